// linear_types: how each type's groups are packed, and how a kernel reads them.
//
// A type is a struct with constants and two halves. `pack` copies one group of 16 rows into the layout of
// linear_layout.h. `Reader` gives it back by blocks j (of `quads` quads each, `blocks` in a full group, which has
// `file_blocks` blocks of the file):
//
//   quad<q>(j)       weights as U8x64 without sign, too large by 2^offset_shift (nothing if offset_shift < 0)
//   scale(j)         the weights' scale, float per row
//   added(j)         float per row, what a weight is more than scale * quad, unless Minima::none
//   scale_at(j), added_at(j)  the same of any block, which need not be known when compiled
//   Minima::pairs    minimum_pairs<i>(0): int16 minima of two blocks, in the order of Int8Side::pairs; minus_dmin()
//   ..._of_16        minimum_pairs<i>(part): for blocks of 16, those of blocks 4 part + i and the next but one
//
// `plain_bytes`: quads are stored as they are multiplied, quads_at(j) those of block j.
//
// `one_factor`: Reader::d is a factor of all scales of a group.
//
// place(at) says where the reader finds quad at % quads of block at / quads, for packed_quad, which takes any.
//
// `for_blocks(n, body)` calls body(j) for j = 0..n-1; j is an Index where the reader needs it as a constant, a BlockOfPart
// where it needs to know which of a part.

#pragma once

#include <stddef.h>

#include "linear_quads.inl"
#include "llmpy/blocks.h"

namespace llmpy {
namespace {

enum class Minima { none, each, pairs, pairs_of_16 };

// A block where each part of a group, four blocks, lies as the first one does: the code for one part serves all.
template <int of_part>
struct BlockOfPart {
    static constexpr int value = of_part;
    int part;

    constexpr operator int() const { return 4 * part + of_part; }
};

template <int parts, class Body>
LLMPY_INLINE void for_parts(const Body& body) {
    LLMPY_NO_UNROLL for (int part = 0; part < parts; ++part) {
        unroll<4>([&](auto j) LLMPY_LAMBDA { body(BlockOfPart<j.value>{part}); });
    }
}

// ---- blocks of 32: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0

template <class Block, int weight_bits, Minima minima_kind>
struct Block32 {
    using FileBlock = Block;
    static constexpr int file_blocks = 8;
    static constexpr int bits = weight_bits;
    static constexpr int quads = 8;
    static constexpr int blocks = 8;
    static constexpr Minima minima = minima_kind;
    static constexpr bool plain_bytes = bits == 8;
    static constexpr bool offset = minima == Minima::none && (bits < 8 || weights_are_offset);
    static constexpr int offset_shift = offset ? bits - 1 : -1;
    static constexpr int64_t header_bytes = minima == Minima::each ? 128 : 64;
    static constexpr int64_t block_bytes = bits == 8 ? 512 : bits == 5 ? 320 : 256;
    static constexpr int64_t nibbles_at = bits == 5 ? quad_bytes : 0;
    static constexpr int low_bits = bits == 8 ? 8 : 4, high_bits = bits == 5 ? 1 : 0;
    static constexpr bool looks_up = false, one_factor = false;

    // Two blocks share a header: the scales of both, then the minima of both.
    static constexpr LLMPY_INLINE int64_t header_at(int j) {
        return (j / 2) * (header_bytes + 2 * block_bytes) + 32 * (j % 2);
    }
    static constexpr LLMPY_INLINE int64_t quads_at(int j) {
        return (j / 2) * (header_bytes + 2 * block_bytes) + header_bytes + block_bytes * (j % 2);
    }
    static constexpr Place place(int at) {
        const int64_t quads = quads_at(at / 8);
        if (bits == 8) return {quads + quad_bytes * (at % 8), 0, 0, 0};
        return {quads + nibbles_at + quad_bytes * (at % 4), at & 4, quads, at % 8};
    }

    template <class Body>
    static LLMPY_INLINE void for_blocks(int n, const Body& body) {
        for (int j = 0; j < n; ++j) body(j);
    }

    static void pack(uint8_t* out, const Rows<Block>& rows, int64_t first_block, int n) {
        for (int j = 0; j < n; ++j) {
            const uint8_t* blocks[tile_rows];
            rows.blocks(first_block + j, blocks);
            for (int row = 0; row < tile_rows; ++row) {
                uint8_t* header = out + header_at(j) + 2 * row;
                copy_half(header, blocks[row] + offsetof(Block, d));
                if constexpr (minima == Minima::each) copy_half(header + 64, blocks[row] + offsetof(Block, m));
            }
            pack_quads(out + quads_at(j), blocks, rows.flip);
        }
    }

    static LLMPY_INLINE void pack_quads(uint8_t* out, const uint8_t* const* blocks, [[maybe_unused]] int flip) {
        if constexpr (bits == 8) {
            copy_quads(out, blocks, offsetof(Block, q), 32, 1, flip);
        } else {
            copy_quads(out + nibbles_at, blocks, offsetof(Block, low), 16);
        }
        if constexpr (bits == 5) {  // bit q of byte b: the fifth bit of element b of quad q
            for (int row = 0; row < tile_rows; ++row) copy_quad(out + 4 * row, blocks[row] + offsetof(Block, high));
            const U8x64 high = load_bytes(out);
            store_bytes(out, every_fourth_bit<0>(high) | every_fourth_bit<1>(high) | every_fourth_bit<2>(high) |
                                 every_fourth_bit<3>(high));
        }
    }

    struct Reader {
        const uint8_t* group;

        LLMPY_INLINE Reader(const uint8_t* p, int) : group(p) {}

        template <int q>
        LLMPY_INLINE U8x64 quad(int j) const {
            const uint8_t* p = group + quads_at(j);
            if constexpr (bits == 8) return load_bytes(p + quad_bytes * q);
            const U8x64 pair = load_bytes(p + nibbles_at + quad_bytes * (q % 4));
            const U8x64 nibble = q < 4 ? pair & set1_byte(15) : shift_right<4>(pair) & set1_byte(15);
            if constexpr (bits < 5) return nibble;
            const U8x64 high = load_bytes(p);
            if constexpr (q <= 4) return masked_or(shift_left<4 - (q <= 4 ? q : 4)>(high), set1_byte(16), nibble);
            return masked_or(shift_right<(q > 4 ? q - 4 : 0)>(high), set1_byte(16), nibble);
        }
        LLMPY_INLINE F32x16 scale(int j) const {
            return load_f16(reinterpret_cast<const uint16_t*>(group + header_at(j)));
        }
        LLMPY_INLINE F32x16 added(int j) const {
            return load_f16(reinterpret_cast<const uint16_t*>(group + header_at(j) + 64));
        }
        LLMPY_INLINE F32x16 scale_at(unsigned j) const { return scale(static_cast<int>(j)); }
        LLMPY_INLINE F32x16 added_at(unsigned j) const { return added(static_cast<int>(j)); }
    };
};

using Q4_0 = Block32<BlockQ4_0, 4, Minima::none>;
using Q4_1 = Block32<BlockQ4_1, 4, Minima::each>;
using Q5_0 = Block32<BlockQ5_0, 5, Minima::none>;
using Q5_1 = Block32<BlockQ5_1, 5, Minima::each>;
using Q8_0 = Block32<BlockQ8_0, 8, Minima::none>;

// ---- blocks of 256 with 6-bit scales and minima: Q4_K, Q5_K

template <class Block, int weight_bits>
struct SixBitScales {
    using FileBlock = Block;
    static constexpr int file_blocks = 1;
    static constexpr int bits = weight_bits;
    static constexpr int quads = 8;
    static constexpr int blocks = 8;
    static constexpr Minima minima = Minima::pairs;
    static constexpr bool plain_bytes = false;
    static constexpr int offset_shift = -1;
    static constexpr int64_t scales_at = quad_bytes;
    static constexpr int64_t quads_at = 4 * quad_bytes;
    static constexpr int low_bits = 4, high_bits = bits - 4;
    static constexpr bool looks_up = false, one_factor = true;

    // Vector i of nibbles. The fifth bits lie between the first eight, each before the one that first needs it.
    static constexpr LLMPY_INLINE int64_t nibbles_at(int i) {
        if (bits == 5) return quads_at + quad_bytes * (i < 8 ? 2 * i : 8 + i);
        return quads_at + quad_bytes * i;
    }
    static constexpr LLMPY_INLINE int64_t high_at(int i) { return quads_at + quad_bytes * (2 * i + 1); }
    static constexpr Place place(int at) {
        const int j = at / 8, q = at % 8;
        return {nibbles_at(8 * (j / 2) + q), 4 * (j % 2), high_at(q), j};
    }

    template <class Body>
    static LLMPY_INLINE void for_blocks(int, const Body& body) {
        if constexpr (bits == 4) {
            for_parts<2>(body);
        } else {
            unroll<8>(body);
        }
    }

    static void pack(uint8_t* out, const Rows<Block>& rows, int64_t first_block, int) {
        const uint8_t* blocks[tile_rows];
        rows.blocks(first_block, blocks);
        for (int row = 0; row < tile_rows; ++row) {
            copy_half(out + 2 * row, blocks[row] + offsetof(Block, d));
            copy_half(out + 32 + 2 * row, blocks[row] + offsetof(Block, dmin));
            for (int i = 0; i < 3; ++i) {
                copy_quad(out + scales_at + quad_bytes * i + 4 * row, blocks[row] + offsetof(Block, scales) + 4 * i);
            }
        }
        if constexpr (bits == 5) copy_quads(out + high_at(0), blocks, offsetof(Block, high), 32, 2);
        copy_quads(out + nibbles_at(0), blocks, offsetof(Block, low), 32, bits == 5 ? 2 : 1);
        copy_quads(out + nibbles_at(8), blocks, offsetof(Block, low) + 32, 96);
    }

    struct Reader {
        const uint8_t* group;
        U8x64 scales_low, scales_high, minima_low, minima_high;  // bytes: of blocks 0..3, of blocks 4..7
        F32x16 d;

        LLMPY_INLINE Reader(const uint8_t* p, int) : group(p) {
            const U8x64 first = load_bytes(p + scales_at);
            const U8x64 second = load_bytes(p + scales_at + quad_bytes);
            const U8x64 third = load_bytes(p + scales_at + 2 * quad_bytes);
            scales_low = first & set1_byte(63);
            minima_low = second & set1_byte(63);
            scales_high = masked_or(shift_right<2>(first), set1_byte(48), third & set1_byte(15));
            minima_high = masked_or(shift_right<2>(second), set1_byte(48), shift_right<4>(third) & set1_byte(15));
            d = load_f16(reinterpret_cast<const uint16_t*>(p));
        }

        template <int q, int j>
        LLMPY_INLINE U8x64 quad(BlockOfPart<j> block) const {
            const uint8_t* const part = group + 16 * quad_bytes * block.part;
            return shift_right<4 * (j % 2)>(load_bytes(part + nibbles_at(8 * (j / 2) + q))) & set1_byte(15);
        }
        template <int q, int j>
        LLMPY_INLINE U8x64 quad(Index<j>) const {
            const U8x64 pair = load_bytes(group + nibbles_at(8 * (j / 2) + q));
            const U8x64 nibble = shift_right<4 * (j % 2)>(pair) & set1_byte(15);
            const U8x64 high = load_bytes(group + high_at(q));
            if constexpr (j <= 4) return masked_or(shift_left<4 - (j <= 4 ? j : 4)>(high), set1_byte(16), nibble);
            return masked_or(shift_right<(j > 4 ? j - 4 : 0)>(high), set1_byte(16), nibble);
        }
        template <int j>
        LLMPY_INLINE F32x16 scale(BlockOfPart<j> block) const {
            return d * to_f32(byte_of_lane<j>(block.part == 0 ? scales_low : scales_high));
        }
        template <int j>
        LLMPY_INLINE F32x16 scale(Index<j>) const {
            return d * to_f32(byte_of_lane<j % 4>(j < 4 ? scales_low : scales_high));
        }
        template <int i>
        LLMPY_INLINE U8x64 minimum_pairs(int) const {
            const U8x64 four = i < 2 ? minima_low : minima_high;
            return shift_right<8 * (i % 2)>(four) & even_bytes();
        }
        LLMPY_INLINE F32x16 minus_dmin() const {
            return set1(0.0f) - load_f16(reinterpret_cast<const uint16_t*>(group + 32));
        }
        template <int j>
        LLMPY_INLINE F32x16 added(BlockOfPart<j> block) const {
            return minus_dmin() * to_f32(byte_of_lane<j>(block.part == 0 ? minima_low : minima_high));
        }
        template <int j>
        LLMPY_INLINE F32x16 added(Index<j>) const {
            return minus_dmin() * to_f32(byte_of_lane<j % 4>(j < 4 ? minima_low : minima_high));
        }
        LLMPY_INLINE F32x16 scale_at(unsigned j) const {
            return d * to_f32(any_byte_of_lane(j < 4 ? scales_low : scales_high, j % 4));
        }
        LLMPY_INLINE F32x16 added_at(unsigned j) const {
            return minus_dmin() * to_f32(any_byte_of_lane(j < 4 ? minima_low : minima_high, j % 4));
        }
        static LLMPY_INLINE U8x64 even_bytes() { return set1_bytes_of_lane(0x00ff00ff); }
    };
};

using Q4_K = SixBitScales<BlockQ4_K, 4>;
using Q5_K = SixBitScales<BlockQ5_K, 5>;

// ---- Q6_K: blocks of 256 with int8 scales for each 16

struct Q6_K {
    using FileBlock = BlockQ6_K;
    static constexpr int file_blocks = 1;
    static constexpr int bits = 6;
    static constexpr int low_bits = 4, high_bits = 2;
    static constexpr bool looks_up = false, one_factor = true;
    static constexpr int quads = 4;
    static constexpr int blocks = 16;
    static constexpr Minima minima = Minima::none;
    static constexpr bool plain_bytes = false;
    static constexpr int offset_shift = 5;

    // Behind the scales of the rows, per 64 elements 13 vectors. First int8 scales [block][16]. Vector q of nibbles:
    // quad q of the first 32 elements in the low halves, of the second in the high ones. Vector q % 4 of upper bits:
    // from bit 4 (q / 4) on, two of the first 32, then two of the second. These lie between the first nibbles.
    static constexpr int64_t part_bytes = 13 * quad_bytes;
    static constexpr LLMPY_INLINE int64_t scale_at(int j) {
        return quad_bytes + part_bytes * (j / 4) + tile_rows * (j % 4);
    }
    static constexpr LLMPY_INLINE int64_t nibbles_at(int part, int q) {
        return part_bytes * part + quad_bytes * (2 + (q < 4 ? 2 * q : 4 + q));
    }
    static constexpr LLMPY_INLINE int64_t high_at(int part, int q) {
        return part_bytes * part + quad_bytes * (2 + 2 * (q % 4) + 1);
    }
    static constexpr Place place(int at) {
        const int part = at / 16, second = at / 8 % 2, of_32 = at % 8;
        return {nibbles_at(part, of_32), 4 * second, high_at(part, of_32), (at & 4) + 2 * second};
    }

    template <class Body>
    static LLMPY_INLINE void for_blocks(int, const Body& body) {
        for_parts<4>(body);
    }

    static void pack(uint8_t* out, const Rows<BlockQ6_K>& rows, int64_t first_block, int) {
        const uint8_t* blocks[tile_rows];
        rows.blocks(first_block, blocks);
        for (int row = 0; row < tile_rows; ++row) {
            copy_half(out + 2 * row, blocks[row] + offsetof(BlockQ6_K, d));
            for (int j = 0; j < 16; ++j) out[scale_at(j) + row] = blocks[row][offsetof(BlockQ6_K, scales) + j];
        }
        memset(out + 32, 0, 32);
        // The file pairs the nibbles of elements 64 apart (of 128), and keeps the upper bits of four elements 32 apart
        // together.
        for (int h = 0; h < 2; ++h) {
            for (int q = 0; q < 8; q += 4) {
                pack_pairs(blocks, offsetof(BlockQ6_K, low) + 64 * h + 4 * q, 32, out + nibbles_at(2 * h, q),
                           out + nibbles_at(2 * h + 1, q), q < 4 ? 2 : 1);
            }
            pack_pairs(blocks, offsetof(BlockQ6_K, high) + 32 * h, 16, out + high_at(2 * h, 0),
                       out + high_at(2 * h + 1, 0), 2);
        }
    }

    // Four quads from `at` on, and as many `apart` bytes behind: their low nibbles together, and their high ones.
    static LLMPY_INLINE void pack_pairs(const uint8_t* const* blocks, int64_t at, int64_t apart, uint8_t* low,
                                        uint8_t* high, int64_t stride) {
        U8x64 first[4], second[4];
        load_quads(blocks, at, first);
        load_quads(blocks, at + apart, second);
        const U8x64 nibble = set1_byte(0x0f);
        LLMPY_EACH(q, 4) {
            store_bytes(low + quad_bytes * stride * q, (first[q] & nibble) | shift_left<4>(second[q] & nibble));
            store_bytes(high + quad_bytes * stride * q,
                        (shift_right<4>(first[q]) & nibble) | (second[q] & set1_byte(0xf0)));
        }
    }

    struct Reader {
        const uint8_t* group;
        F32x16 d;

        LLMPY_INLINE Reader(const uint8_t* p, int) : group(p), d(load_f16(reinterpret_cast<const uint16_t*>(p))) {}

        template <int q, int j>
        LLMPY_INLINE U8x64 quad(BlockOfPart<j> block) const {
            constexpr int second = j / 2, of_32 = 4 * (j % 2) + q, at = 4 * (of_32 / 4) + 2 * second;
            const U8x64 pair = load_bytes(group + nibbles_at(block.part, of_32));
            const U8x64 high = load_bytes(group + high_at(block.part, of_32));
            const U8x64 nibble = shift_right<4 * second>(pair) & set1_byte(15);
            if constexpr (at < 4) return masked_or(shift_left<4 - (at < 4 ? at : 4)>(high), set1_byte(48), nibble);
            return masked_or(shift_right<(at > 4 ? at - 4 : 0)>(high), set1_byte(48), nibble);
        }
        template <int j>
        LLMPY_INLINE F32x16 scale(BlockOfPart<j> block) const {
            return d * to_f32(load_i8(group + part_bytes * block.part + Q6_K::scale_at(j)));
        }
        LLMPY_INLINE F32x16 scale_at(unsigned j) const {
            return d * to_f32(load_i8(group + Q6_K::scale_at(static_cast<int>(j))));
        }
    };
};

}  // namespace
}  // namespace llmpy
