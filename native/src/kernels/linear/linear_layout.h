// linear_layout: where things lie in packed weights, in prepared inputs and in the scratch of a thread.
//
// Packed weights: tile after tile of 16 output rows; in a tile, group after group of 256 inputs (the last may be
// shorter). The unit is the quad: 64 bytes, 4 consecutive inputs of each of the 16 rows. Types of less than 8 bits hold
// several quads in one vector, so that a shift and a mask bring them out. The size is that of the file's blocks, or up to
// 6 % more. What a group of each type consists of is said beside `packed` in blocks.h.
//
// The order is the order in which a kernel first touches the lines: one ascending stream is what the hardware fetches
// ahead at the speed of memory. With scales behind the quads (three streams within a page), Q6_K and Q4_1 ran at a
// third.
//
// Prepared input, int8: for all groups, all tokens: q int8 [256]; then Int8Side; then sums of 16 q int32 [16], negated;
//                        then entries kept apart, Int8Apart [most_apart]; then which of those there are, a byte for
//                        each token: bit i for entry i.
// Prepared input, int16: for all groups, all tokens: q int16 [256]; then f32 scales [8].
// Prepared input, floats: for all groups, all tokens: f32 [256].

#ifndef LLMPY_LINEAR_LAYOUT_H
#define LLMPY_LINEAR_LAYOUT_H

#include "llmpy/blocks.h"
#include "llmpy/linear.h"

namespace llmpy {

// What the kernels need to know about 256 activations besides themselves. An activation is q * scale * 2^shift, with a
// shift for each 32.
constexpr int most_shift = 3;
struct Int8Side {
    int32_t minus_sums[8];  // of each 32 q, negated: what an offset of one in the weights adds
    int32_t shifts[8];      // from 0 to most_shift
    float sums[8];          // of each 32 q, times 2^shift: what one that is added to the weights adds
    int32_t pairs[4];       // the same as int16: (0,2) (1,3) (4,6) (5,7), in the order in which 6-bit minima come apart
    float scale;
    int32_t unused[3];
};
static_assert(sizeof(Int8Side) == 128, "two cache lines");

// Activations that are much larger than the rest of their 256 would make the scales of all 32 around them coarse. They
// are kept here as they are, and their q are zero.
constexpr int most_apart = 4;
struct Int8Apart {
    float x;            // zero beyond the last entry
    int8_t of_four[4];  // which of its quad: that one is 1, the others 0
    int32_t at;         // which of the group's inputs; group_width beyond the last entry
    int32_t unused;
};
static_assert(most_apart * sizeof(Int8Apart) == 64, "one cache line");

constexpr int64_t int8_group_bytes = group_width + int64_t{sizeof(Int8Side)} + 16 * int64_t{sizeof(int32_t)} +
                                     most_apart * int64_t{sizeof(Int8Apart)} + 1;

constexpr int int16_block = 32;  // inputs that share an activation scale
constexpr int int16_blocks = static_cast<int>(group_width) / int16_block;
// Pairs of inputs in whole blocks.
static inline int64_t int16_pairs(int64_t inputs) {
    return (inputs + int16_block - 1) / int16_block * (int16_block / 2);
}
constexpr int64_t int16_group_bytes = group_width * int64_t{sizeof(int16_t)} + int16_blocks * int64_t{sizeof(float)};

static inline int64_t group_count(int64_t inputs) { return (inputs + group_width - 1) / group_width; }

// Bytes of one group of one tile, `inputs` wide.
int64_t packed_group_bytes(WeightType type, int64_t inputs);

namespace {

// Bytes of a tile, of each of its groups, and of the last one, which may be narrower: told once for all tiles, because
// telling takes as long as some of the products.
struct TileBytes {
    int64_t tile, group, last;

    explicit TileBytes(const LinearCall& call)
        : tile(packed_tile_bytes(call.type, call.inputs)),
          group(packed_group_bytes(call.type, group_width)),
          last(tile - group * (group_count(call.inputs) - 1)) {}
};

}  // namespace

// Scratch of a thread: weights of two tiles and one group unpacked for the multiplication with many tokens, those that
// activations kept apart meet as float32, and sums.
constexpr int64_t tokens_at_once = 512;
constexpr int64_t panel_tile_bytes = 64 * (64 + 16 + 16 + 9);  // quads, scales, what is added, minima
constexpr int64_t column_bytes = (group_width + 1) * 2 * tile_rows * int64_t{sizeof(float)};
constexpr int64_t scratch_bytes =
    2 * panel_tile_bytes + column_bytes + tokens_at_once * 2 * tile_rows * int64_t{sizeof(float)};

}  // namespace llmpy

#endif
