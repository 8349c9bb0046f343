// linear_types_small: types whose codes look up a table, and those of two and three bits. See linear_types.inl.

#pragma once

#include "linear_types.inl"

namespace llmpy {
namespace {

// The integers of a table, plus an offset, as `quad` gives them.
struct Table {
    alignas(16) uint8_t bytes[16];

    constexpr Table(const int8_t* values, int offset) : bytes() {
        for (int i = 0; i < 16; ++i) bytes[i] = static_cast<uint8_t>(values[i] + offset);
    }
};
constexpr int table_offset = weights_are_offset ? 128 : 0;
constexpr Table nonlinear_table(nonlinear_values, table_offset);
constexpr Table float_table(doubled_floats, 16);  // 4 to 28: five bits

// ---- blocks of 32 nibbles that look up a table, packed as those of Q4_0

template <class Block, int value_bits, bool is_float>
struct Table32 {
    using FileBlock = Block;
    static constexpr int file_blocks = 8;
    using Nibbles = Block32<BlockQ4_0, 4, Minima::none>;
    static constexpr int bits = value_bits;
    static constexpr int quads = 8;
    static constexpr int blocks = 8;
    static constexpr Minima minima = Minima::none;
    static constexpr bool plain_bytes = false;
    static constexpr int offset_shift = bits < 8 || weights_are_offset ? bits - 1 : -1;
    static constexpr int low_bits = 4, high_bits = 0;
    static constexpr bool looks_up = true, one_factor = false;

    static constexpr Place place(int at) { return Nibbles::place(at); }
    template <class Body>
    static LLMPY_INLINE void for_blocks(int n, const Body& body) {
        for (int j = 0; j < n; ++j) body(j);
    }

    static void pack(uint8_t* out, const Rows<Block>& rows, int64_t first_block, int n) {
        for (int j = 0; j < n; ++j) {
            const uint8_t* blocks[tile_rows];
            rows.blocks(first_block + j, blocks);
            for (int row = 0; row < tile_rows; ++row) {
                uint8_t* header = out + Nibbles::header_at(j) + 2 * row;
                if constexpr (is_float) {
                    write<uint16_t>(header, bf16_of_exponent(blocks[row][0]));
                } else {
                    copy_half(header, blocks[row]);
                }
            }
            copy_quads(out + Nibbles::quads_at(j), blocks, offsetof(Block, low), 16);
        }
    }

    struct Reader : Nibbles::Reader {
        U8x64 table;

        LLMPY_INLINE Reader(const uint8_t* p, int n)
            : Nibbles::Reader(p, n), table(load_table(is_float ? float_table.bytes : nonlinear_table.bytes)) {}

        template <int q>
        LLMPY_INLINE U8x64 quad(int j) const {
            return look_up(table, Nibbles::Reader::template quad<q>(j));
        }
        LLMPY_INLINE F32x16 scale(int j) const {
            const auto* p = reinterpret_cast<const uint16_t*>(this->group + Nibbles::header_at(j));
            return is_float ? load_bf16(p) : load_f16(p);
        }
        LLMPY_INLINE F32x16 scale_at(unsigned j) const { return scale(static_cast<int>(j)); }
    };
};

using IQ4_NL = Table32<BlockIQ4_NL, 8, false>;
using MXFP4 = Table32<BlockMXFP4, 5, true>;

// ---- blocks of 256 with nibbles that look up the same table: IQ4_XS

struct IQ4_XS {
    using FileBlock = BlockIQ4_XS;
    static constexpr int file_blocks = 1;
    static constexpr int bits = 8;
    static constexpr int quads = 8;
    static constexpr int blocks = 8;
    static constexpr Minima minima = Minima::none;
    static constexpr bool plain_bytes = false;
    static constexpr int offset_shift = weights_are_offset ? 7 : -1;
    static constexpr int64_t scales_at = quad_bytes;
    static constexpr int64_t nibbles_at = scales_at + 8 * tile_rows;
    static constexpr int low_bits = 4, high_bits = 0;
    static constexpr bool looks_up = true, one_factor = true;

    static constexpr Place place(int at) { return {nibbles_at + quad_bytes * (at / 8 * 4 + at % 4), at & 4, 0, 0}; }

    template <class Body>
    static LLMPY_INLINE void for_blocks(int, const Body& body) {
        for (int j = 0; j < 8; ++j) body(j);
    }

    static void pack(uint8_t* out, const Rows<BlockIQ4_XS>& rows, int64_t first_block, int) {
        const uint8_t* blocks[tile_rows];
        rows.blocks(first_block, blocks);
        for (int row = 0; row < tile_rows; ++row) {
            const uint8_t* block = blocks[row];
            const auto high = read<uint16_t>(block + offsetof(BlockIQ4_XS, high));
            copy_half(out + 2 * row, block + offsetof(BlockIQ4_XS, d));
            for (int j = 0; j < 8; ++j) {
                const int scale = iq4_xs_scale(block + offsetof(BlockIQ4_XS, scales), high, j);
                out[scales_at + tile_rows * j + row] = static_cast<uint8_t>(scale);
            }
        }
        copy_quads(out + nibbles_at, blocks, offsetof(BlockIQ4_XS, low), 128);
        memset(out + 32, 0, 32);
    }

    struct Reader {
        const uint8_t* group;
        F32x16 d;
        U8x64 table;

        LLMPY_INLINE Reader(const uint8_t* p, int)
            : group(p), d(load_f16(reinterpret_cast<const uint16_t*>(p))), table(load_table(nonlinear_table.bytes)) {}

        template <int q>
        LLMPY_INLINE U8x64 quad(int j) const {
            const U8x64 pair = load_bytes(group + nibbles_at + quad_bytes * (4 * j + q % 4));
            return look_up(table, shift_right < q<4 ? 0 : 4>(pair) & set1_byte(15));
        }
        LLMPY_INLINE F32x16 scale(int j) const { return d * to_f32(load_i8(group + scales_at + tile_rows * j)); }
        LLMPY_INLINE F32x16 scale_at(unsigned j) const { return scale(static_cast<int>(j)); }
    };
};

// ---- blocks of 256 with two bits, in blocks of 16 with scales of their own: Q2_K, Q3_K

struct TwoBits {
    static constexpr bool plain_bytes = false;
    static constexpr int quads = 4;
    static constexpr int blocks = 16;
    static constexpr int bits = 4;  // so few that sums stay in 16 bits for long
    static constexpr int low_bits = 2;
    static constexpr bool looks_up = false, one_factor = true;

    template <class Body>
    static LLMPY_INLINE void for_blocks(int, const Body& body) {
        for_parts<4>(body);
    }

    // The two bits of 16 elements, four of them in a byte: quad q in bits 2 q. The file has those of elements 32 apart
    // in a byte.
    static LLMPY_INLINE void pack_two_bits(uint8_t* lane, const uint8_t* file, int j) {
        uint32_t together = 0;
        LLMPY_EACH(q, 4) {
            const uint32_t four = read<uint32_t>(file + 32 * (j / 8) + 16 * (j % 2) + 4 * q);
            together |= (four >> 2 * (j % 8 / 2) & 0x03030303u) << 2 * q;
        }
        write<uint32_t>(lane, together);
    }
    template <int q>
    static LLMPY_INLINE U8x64 two_bits(const uint8_t* vector) {
        return shift_right<2 * q>(load_bytes(vector)) & set1_byte(3);
    }
};

struct Q2_K : TwoBits {
    using FileBlock = BlockQ2_K;
    static constexpr int file_blocks = 1;
    static constexpr Minima minima = Minima::pairs_of_16;
    static constexpr int offset_shift = -1;

    // Behind the factors of the rows, per 64 elements 5 vectors: two bits of the first block, four scales and minima,
    // two bits of the other blocks.
    static constexpr int64_t part_bytes = 5 * quad_bytes;
    static constexpr LLMPY_INLINE int64_t block_at(int j) {
        return part_bytes * (j / 4) + quad_bytes * (1 + (j % 4 > 0 ? j % 4 + 1 : 0));
    }
    static constexpr LLMPY_INLINE int64_t scales_at(int part) { return part_bytes * part + 2 * quad_bytes; }
    static constexpr int high_bits = 0;
    static constexpr Place place(int at) { return {block_at(at / 4), 2 * (at % 4), 0, 0}; }

    static void pack(uint8_t* out, const Rows<BlockQ2_K>& rows, int64_t first_block, int) {
        for (int row = 0; row < tile_rows; ++row) {
            const uint8_t* block = rows.block(row, first_block);
            copy_half(out + 2 * row, block + offsetof(BlockQ2_K, d));
            copy_half(out + 32 + 2 * row, block + offsetof(BlockQ2_K, dmin));
            uint8_t* lane = out + 4 * row;
            for (int i = 0; i < 4; ++i) copy_quad(lane + scales_at(i), block + offsetof(BlockQ2_K, scales) + 4 * i);
            for (int j = 0; j < 16; ++j) pack_two_bits(lane + block_at(j), block + offsetof(BlockQ2_K, q), j);
        }
    }

    struct Reader {
        const uint8_t* group;
        F32x16 d;

        LLMPY_INLINE Reader(const uint8_t* p, int) : group(p), d(load_f16(reinterpret_cast<const uint16_t*>(p))) {}

        template <int q, int j>
        LLMPY_INLINE U8x64 quad(BlockOfPart<j> block) const {
            return two_bits<q>(group + part_bytes * block.part + block_at(j));
        }
        LLMPY_INLINE U8x64 four_scales(int part) const { return load_bytes(group + scales_at(part)); }
        template <int j>
        LLMPY_INLINE F32x16 scale(BlockOfPart<j> block) const {
            return d * to_f32(byte_of_lane<j>(four_scales(block.part) & set1_byte(15)));
        }
        template <int i>
        LLMPY_INLINE U8x64 minimum_pairs(int part) const {
            return shift_right<4 + 8 * i>(four_scales(part)) & set1_bytes_of_lane(0x000f000f);
        }
        LLMPY_INLINE F32x16 minus_dmin() const {
            return set1(0.0f) - load_f16(reinterpret_cast<const uint16_t*>(group + 32));
        }
        template <int j>
        LLMPY_INLINE F32x16 added(BlockOfPart<j> block) const {
            const U8x64 minima = shift_right<4>(four_scales(block.part)) & set1_byte(15);
            return minus_dmin() * to_f32(byte_of_lane<j>(minima));
        }
        LLMPY_INLINE F32x16 scale_at(unsigned j) const {
            return d * to_f32(any_byte_of_lane(four_scales(static_cast<int>(j / 4)), j % 4) & set1(15));
        }
        LLMPY_INLINE F32x16 added_at(unsigned j) const {
            const U8x64 minima = shift_right<4>(four_scales(static_cast<int>(j / 4))) & set1_byte(15);
            return minus_dmin() * to_f32(any_byte_of_lane(minima, j % 4));
        }
    };
};

struct Q3_K : TwoBits {
    using FileBlock = BlockQ3_K;
    static constexpr int file_blocks = 1;
    static constexpr Minima minima = Minima::none;
    static constexpr int offset_shift = 2;

    // Behind the factors of the rows, per 64 elements 7 vectors: third bits of two blocks, two bits of the first, int8
    // scales [4][16], two bits of the second; then third bits and two bits of the other two blocks.
    static constexpr int64_t part_bytes = 7 * quad_bytes;
    static constexpr LLMPY_INLINE int64_t part_at(int j) { return quad_bytes + part_bytes * (j / 4); }
    static constexpr LLMPY_INLINE int64_t high_at(int j) { return part_at(j) + quad_bytes * (j % 4 < 2 ? 0 : 4); }
    static constexpr LLMPY_INLINE int64_t block_at(int j) {
        return part_at(j) + quad_bytes * (j % 4 < 2 ? 1 + 2 * (j % 4) : 3 + j % 4);
    }
    static constexpr LLMPY_INLINE int64_t scale_at(int j) { return part_at(j) + 2 * quad_bytes + tile_rows * (j % 4); }
    static constexpr int high_bits = 1;
    static constexpr Place place(int at) { return {block_at(at / 4), 2 * (at % 4), high_at(at / 4), at % 8}; }

    static void pack(uint8_t* out, const Rows<BlockQ3_K>& rows, int64_t first_block, int) {
        for (int row = 0; row < tile_rows; ++row) {
            const uint8_t* block = rows.block(row, first_block);
            copy_half(out + 2 * row, block + offsetof(BlockQ3_K, d));
            for (int j = 0; j < 16; ++j) {
                const int scale = q3_k_scale(block + offsetof(BlockQ3_K, scales), j);
                out[scale_at(j) + row] = static_cast<uint8_t>(scale);
                pack_two_bits(out + block_at(j) + 4 * row, block + offsetof(BlockQ3_K, q), j);
            }
            for (int j = 0; j < 16; j += 2) {
                pack_third_bits(out + high_at(j) + 4 * row, block + offsetof(BlockQ3_K, high), j / 2);
            }
        }
        memset(out + 32, 0, 32);
    }

    // The third bits of 32 elements, eight of them in a byte: quad q in bit q.
    static LLMPY_INLINE void pack_third_bits(uint8_t* lane, const uint8_t* file, int j) {
        uint32_t together = 0;
        LLMPY_EACH(q, 8) together |= (read<uint32_t>(file + 4 * q) >> j & 0x01010101u) << q;
        write<uint32_t>(lane, together);
    }

    struct Reader {
        const uint8_t* group;
        F32x16 d;

        LLMPY_INLINE Reader(const uint8_t* p, int) : group(p), d(load_f16(reinterpret_cast<const uint16_t*>(p))) {}

        template <int q, int j>
        LLMPY_INLINE U8x64 quad(BlockOfPart<j> block) const {
            constexpr int bit = 4 * (j % 2) + q;
            const uint8_t* const part = group + part_bytes * block.part;
            const U8x64 high = load_bytes(part + high_at(j));
            const U8x64 low = two_bits<q>(part + block_at(j));
            if constexpr (bit < 2) return masked_or(shift_left<2 - (bit < 2 ? bit : 2)>(high), set1_byte(4), low);
            return masked_or(shift_right<(bit > 2 ? bit - 2 : 0)>(high), set1_byte(4), low);
        }
        template <int j>
        LLMPY_INLINE F32x16 scale(BlockOfPart<j> block) const {
            return d * to_f32(load_i8(group + part_bytes * block.part + Q3_K::scale_at(j)));
        }
        LLMPY_INLINE F32x16 scale_at(unsigned j) const {
            return d * to_f32(load_i8(group + Q3_K::scale_at(static_cast<int>(j))));
        }
    };
};

}  // namespace
}  // namespace llmpy
