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
    using Nibbles = Block32<BlockQ4_0, 4, Minima::none>;
    static constexpr int bits = value_bits;
    static constexpr int quads = 8;
    static constexpr int blocks = 8;
    static constexpr Minima minima = Minima::none;
    static constexpr bool plain_bytes = false;
    static constexpr int offset_shift = bits < 8 || weights_are_offset ? bits - 1 : -1;

    template <class Body>
    static LLMPY_INLINE void for_blocks(int n, const Body& body) {
        for (int j = 0; j < n; ++j) body(j);
    }

    static void pack(uint8_t* out, const Rows<Block>& rows, int64_t first_block, int n) {
        for (int row = 0; row < tile_rows; ++row) {
            for (int j = 0; j < n; ++j) {
                const uint8_t* block = rows.block(row, first_block + j);
                uint8_t* header = out + Nibbles::header_at(j) + 2 * row;
                if constexpr (is_float) {
                    write<uint16_t>(header, bf16_of_exponent(block[0]));
                } else {
                    copy_half(header, block);
                }
                uint8_t* quad = out + Nibbles::quads_at(j) + 4 * row;
                LLMPY_EACH(i, 4) copy_quad(quad + quad_bytes * i, block + offsetof(Block, low) + 4 * i);
            }
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
    };
};

using IQ4_NL = Table32<BlockIQ4_NL, 8, false>;
using MXFP4 = Table32<BlockMXFP4, 5, true>;

// ---- what the rest share: blocks of 256

struct Block256 {
    static constexpr bool plain_bytes = false;
    static constexpr int64_t scales_at = quad_bytes;

    // Bytes of the file, four at a time, each to a vector of their own.
    static LLMPY_INLINE void copy_quads(uint8_t* lane, const uint8_t* from, int n) {
        for (int i = 0; i < n; ++i) copy_quad(lane + quad_bytes * i, from + 4 * i);
    }
    // The two bits of quad q of block j of 16: four blocks of 32 share a vector.
    template <int q, int j>
    static LLMPY_INLINE U8x64 two_bits(const uint8_t* vectors) {
        const U8x64 four = load_bytes(vectors + quad_bytes * (8 * (j / 8) + 4 * (j % 2) + q));
        return shift_right<2 * (j % 8 / 2)>(four) & set1_byte(3);
    }
};

struct IQ4_XS : Block256 {
    using FileBlock = BlockIQ4_XS;
    static constexpr int bits = 8;
    static constexpr int quads = 8;
    static constexpr int blocks = 8;
    static constexpr Minima minima = Minima::none;
    static constexpr int offset_shift = weights_are_offset ? 7 : -1;
    static constexpr int64_t nibbles_at = scales_at + 8 * tile_rows;

    template <class Body>
    static LLMPY_INLINE void for_blocks(int, const Body& body) {
        for (int j = 0; j < 8; ++j) body(j);
    }

    static void pack(uint8_t* out, const Rows<BlockIQ4_XS>& rows, int64_t first_block, int) {
        for (int row = 0; row < tile_rows; ++row) {
            const uint8_t* block = rows.block(row, first_block);
            const auto high = read<uint16_t>(block + offsetof(BlockIQ4_XS, high));
            copy_half(out + 2 * row, block + offsetof(BlockIQ4_XS, d));
            for (int j = 0; j < 8; ++j) {
                const int scale = iq4_xs_scale(block + offsetof(BlockIQ4_XS, scales), high, j);
                out[scales_at + tile_rows * j + row] = static_cast<uint8_t>(scale);
            }
            copy_quads(out + nibbles_at + 4 * row, block + offsetof(BlockIQ4_XS, low), 32);
        }
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
            return look_up(table, shift_right<q < 4 ? 0 : 4>(pair) & set1_byte(15));
        }
        LLMPY_INLINE F32x16 scale(int j) const { return d * to_f32(load_i8(group + scales_at + tile_rows * j)); }
    };
};

struct Q2_K : Block256 {
    using FileBlock = BlockQ2_K;
    static constexpr int bits = 4;  // so few that sums stay in 16 bits for long
    static constexpr int quads = 4;
    static constexpr int blocks = 16;
    static constexpr Minima minima = Minima::pairs_of_16;
    static constexpr int offset_shift = -1;
    static constexpr int64_t quads_at = scales_at + 4 * quad_bytes;

    template <class Body>
    static LLMPY_INLINE void for_blocks(int, const Body& body) {
        unroll<16>(body);
    }

    static void pack(uint8_t* out, const Rows<BlockQ2_K>& rows, int64_t first_block, int) {
        for (int row = 0; row < tile_rows; ++row) {
            const uint8_t* block = rows.block(row, first_block);
            copy_half(out + 2 * row, block + offsetof(BlockQ2_K, d));
            copy_half(out + 32 + 2 * row, block + offsetof(BlockQ2_K, dmin));
            copy_quads(out + scales_at + 4 * row, block + offsetof(BlockQ2_K, scales), 4);
            copy_quads(out + quads_at + 4 * row, block + offsetof(BlockQ2_K, q), 16);
        }
    }

    struct Reader {
        const uint8_t* group;
        F32x16 d;

        LLMPY_INLINE Reader(const uint8_t* p, int) : group(p), d(load_f16(reinterpret_cast<const uint16_t*>(p))) {}

        template <int q, int j>
        LLMPY_INLINE U8x64 quad(Index<j>) const {
            return two_bits<q, j>(group + quads_at);
        }
        template <int i>
        LLMPY_INLINE U8x64 four_scales() const {
            return load_bytes(group + scales_at + quad_bytes * i);
        }
        template <int j>
        LLMPY_INLINE F32x16 scale(Index<j>) const {
            return d * to_f32(byte_of_lane<j % 4>(four_scales<j / 4>() & set1_byte(15)));
        }
        template <int i>
        LLMPY_INLINE U8x64 minimum_pairs() const {
            return shift_right<4 + 8 * (i % 2)>(four_scales<i / 2>()) & set1_bytes_of_lane(0x000f000f);
        }
        LLMPY_INLINE F32x16 minus_dmin() const {
            return set1(0.0f) - load_f16(reinterpret_cast<const uint16_t*>(group + 32));
        }
        template <int j>
        LLMPY_INLINE F32x16 subtracted(Index<j>) const {
            const U8x64 minima = shift_right<4>(four_scales<j / 4>()) & set1_byte(15);
            return (set1(0.0f) - minus_dmin()) * to_f32(byte_of_lane<j % 4>(minima));
        }
    };
};

struct Q3_K : Block256 {
    using FileBlock = BlockQ3_K;
    static constexpr int bits = 4;
    static constexpr int quads = 4;
    static constexpr int blocks = 16;
    static constexpr Minima minima = Minima::none;
    static constexpr int offset_shift = 2;
    static constexpr int64_t high_at = scales_at + 16 * tile_rows;
    static constexpr int64_t quads_at = high_at + 8 * quad_bytes;

    template <class Body>
    static LLMPY_INLINE void for_blocks(int, const Body& body) {
        unroll<16>(body);
    }

    static void pack(uint8_t* out, const Rows<BlockQ3_K>& rows, int64_t first_block, int) {
        for (int row = 0; row < tile_rows; ++row) {
            const uint8_t* block = rows.block(row, first_block);
            copy_half(out + 2 * row, block + offsetof(BlockQ3_K, d));
            for (int j = 0; j < 16; ++j) {
                const int scale = q3_k_scale(block + offsetof(BlockQ3_K, scales), j);
                out[scales_at + tile_rows * j + row] = static_cast<uint8_t>(scale);
            }
            copy_quads(out + high_at + 4 * row, block + offsetof(BlockQ3_K, high), 8);
            copy_quads(out + quads_at + 4 * row, block + offsetof(BlockQ3_K, q), 16);
        }
        memset(out + 32, 0, 32);
    }

    struct Reader {
        const uint8_t* group;
        F32x16 d;

        LLMPY_INLINE Reader(const uint8_t* p, int) : group(p), d(load_f16(reinterpret_cast<const uint16_t*>(p))) {}

        template <int q, int j>
        LLMPY_INLINE U8x64 quad(Index<j>) const {
            constexpr int bit = j / 2;
            const U8x64 high = load_bytes(group + high_at + quad_bytes * (4 * (j % 2) + q));
            const U8x64 low = two_bits<q, j>(group + quads_at);
            if constexpr (bit < 2) return masked_or(shift_left<2 - (bit < 2 ? bit : 2)>(high), set1_byte(4), low);
            return masked_or(shift_right<(bit > 2 ? bit - 2 : 0)>(high), set1_byte(4), low);
        }
        template <int j>
        LLMPY_INLINE F32x16 scale(Index<j>) const {
            return d * to_f32(load_i8(group + scales_at + tile_rows * j));
        }
    };
};

}  // namespace
}  // namespace llmpy
