// linear_layout: where things lie in packed weights, in prepared inputs and in the scratch of a thread.
//
// Packed weights: tile after tile of 16 output rows; in a tile, group after group of 256 inputs (the last may be
// shorter). The unit is the quad: 64 bytes, 4 consecutive inputs of each of the 16 rows. Types of less than 8 bits hold
// several quads in one vector, so that a shift and a mask bring them out. The size is that of the file's blocks, or up to
// 6 % more.
//
//   Q4_0 Q4_1 Q5_0 Q5_1 Q8_0   pairs of blocks of 32: f16 scales [2][16] (, f16 minima [2][16]), and for each of the
//   two
//                              (fifth bits, one vector,) nibbles or bytes
//   IQ4_NL MXFP4               as Q4_0; MXFP4 with bf16 scales
//   IQ4_XS                     f16 d [16], 32 unused bytes; int8 scales [8][16]; nibbles as in Q4_0
//   Q2_K                       f16 d, dmin [2][16]; for each 64 inputs a vector of scales and minima, 4 of two bits
//   Q3_K                       f16 d [16], 32 unused bytes; for each 64 inputs int8 scales [4][16], 2 vectors of third
//                              bits, 4 of two bits
//   Q4_K Q5_K                  f16 d, dmin [2][16]; 3 vectors of 6-bit scales as in the file; 32 vectors of nibbles
//                              (, 8 of fifth bits between them)
//   Q6_K                       f16 d [16], 32 unused bytes; for each 64 inputs int8 scales [4][16], 8 vectors of
//   nibbles,
//                              4 of upper bits between them
//   F16 BF16                   f32 scales [16]; int16 [pair of inputs][16][2], blocks of 32 inputs filled up with zeros.
//                              Or, where rounding would lose too much: a mark instead of the scales; the file's numbers [input][16]
//   F32                        [input][16]
//
// The order is the order in which a kernel first touches the lines: one ascending stream is what the hardware fetches
// ahead at the speed of memory. With scales behind the quads (three streams within a page), Q6_K and Q4_1 ran at a
// third.
//
// Prepared input, int8: for all groups, all tokens: q int8 [256]; then Int8Side; then sums of 16 int32 [16], negated.
// Prepared input, int16: for all groups, all tokens: q int16 [256]; then f32 scales [8].
// Prepared input, floats: for all groups, all tokens: f32 [256].

#ifndef LLMPY_LINEAR_LAYOUT_H
#define LLMPY_LINEAR_LAYOUT_H

#include "llmpy/linear.h"

namespace llmpy {

// What the kernels need to know about 256 activations besides themselves; one cache line.
struct Int8Side {
    int32_t minus_sums[8];  // of each 32, negated: what an offset of one in the weights adds
    int32_t pairs[4];       // the sums as int16: (0,2) (1,3) (4,6) (5,7), in the order in which 6-bit minima come apart
    float scale;
    int32_t unused[3];
};
static_assert(sizeof(Int8Side) == 64, "one cache line");

constexpr int64_t int8_group_bytes = group_width + int64_t{sizeof(Int8Side)} + 16 * int64_t{sizeof(int32_t)};

constexpr int int16_block = 32;  // inputs that share an activation scale
constexpr int int16_blocks = static_cast<int>(group_width) / int16_block;
// Pairs of inputs in whole blocks.
inline int64_t int16_pairs(int64_t inputs) { return (inputs + int16_block - 1) / int16_block * (int16_block / 2); }
constexpr int64_t int16_group_bytes =
    group_width * int64_t{sizeof(int16_t)} + int16_blocks * int64_t{sizeof(float)};

inline int64_t group_count(int64_t inputs) { return (inputs + group_width - 1) / group_width; }

// Blocks of 32, two to a header.
inline int64_t pairs_bytes(int64_t blocks, int64_t header, int64_t block) {
    return (blocks + 1) / 2 * header + blocks * block;
}

// Bytes of one group of one tile, `inputs` wide.
inline int64_t packed_group_bytes(WeightType type, int64_t inputs) {
    const int64_t blocks = inputs / 32;
    int64_t bytes = 0;
    switch (type) {
        case type_f32:
            bytes = inputs * 64;
            break;
        case type_f16:
        case type_bf16:
            bytes = inputs == 0 ? 0 : 64 + int16_pairs(inputs) * 64;
            break;
        case type_q4_0:
        case type_iq4_nl:
        case type_mxfp4:
            bytes = pairs_bytes(blocks, 64, 256);
            break;
        case type_q4_1:
            bytes = pairs_bytes(blocks, 128, 256);
            break;
        case type_q5_0:
            bytes = pairs_bytes(blocks, 64, 320);
            break;
        case type_q5_1:
            bytes = pairs_bytes(blocks, 128, 320);
            break;
        case type_q8_0:
            bytes = pairs_bytes(blocks, 64, 512);
            break;
        case type_iq4_xs:
            bytes = inputs / 256 * (2048 + 128 + 64);
            break;
        case type_q2_k:
            bytes = inputs / 256 * (1024 + 256 + 64);
            break;
        case type_q3_k:
            bytes = inputs / 256 * (1024 + 512 + 256 + 64);
            break;
        case type_q4_k:
            bytes = inputs / 256 * (2048 + 192 + 64);
            break;
        case type_q5_k:
            bytes = inputs / 256 * (2048 + 512 + 192 + 64);
            break;
        case type_q6_k:
            bytes = inputs / 256 * (2048 + 1024 + 256 + 64);
            break;
    }
    return (bytes + linear_alignment - 1) / linear_alignment * linear_alignment;
}

// Bytes of a tile, of each of its groups, and of the last one, which may be narrower: told once for all tiles, because
// telling takes as long as some of the products.
struct TileBytes {
    int64_t tile, group, last;

    explicit TileBytes(const LinearCall& call)
        : tile(packed_tile_bytes(call.type, call.inputs)),
          group(packed_group_bytes(call.type, group_width)),
          last(tile - group * (group_count(call.inputs) - 1)) {}
};

// Scratch of a thread: weights of two tiles and one group unpacked for the multiplication with many tokens, and its
// sums.
constexpr int64_t tokens_at_once = 512;
// How many tokens are multiplied at a time when `tokens` are not left.
constexpr int fewer(int tokens) { return tokens > 4 ? tokens - 2 : 2; }
constexpr int64_t panel_tile_bytes = 64 * 64 + 16 * 64 + 9 * 64;  // quads, scales, minima
constexpr int64_t scratch_bytes = 2 * panel_tile_bytes + tokens_at_once * 2 * tile_rows * int64_t{sizeof(float)};

}  // namespace llmpy

#endif
