// blocks: the file's storage types as structs, and one row of any of them as float32.
//
// The same numbers, bit for bit, as llmpy.quant.dequantize (NaN apart). For looking up rows of an embedding, where a
// kernel would be a waste; `linear` has its own layout. Every pointer may be unaligned.

#ifndef LLMPY_BLOCKS_H
#define LLMPY_BLOCKS_H

#include "llmpy/kernels.h"

namespace llmpy {

struct BlockQ4_0 {
    uint16_t d;
    uint8_t low[16];  // nibbles: elements 0..15 in the low halves, 16..31 in the high ones
};
struct BlockQ4_1 {
    uint16_t d, m;
    uint8_t low[16];
};
struct BlockQ5_0 {
    uint16_t d;
    uint8_t high[4];  // bit i: the fifth bit of element i
    uint8_t low[16];
};
struct BlockQ5_1 {
    uint16_t d, m;
    uint8_t high[4];
    uint8_t low[16];
};
struct BlockQ8_0 {
    uint16_t d;
    int8_t q[32];
};
struct BlockQ4_K {
    uint16_t d, dmin;
    uint8_t scales[12];  // 8 scales and 8 minima of 6 bits
    uint8_t low[128];    // 32 bytes for 64 elements: the first 32 in the low halves
};
struct BlockQ5_K {
    uint16_t d, dmin;
    uint8_t scales[12];
    uint8_t high[32];  // bit j of byte i: the fifth bit of element 32 j + i
    uint8_t low[128];
};
struct BlockQ6_K {
    uint8_t low[128];  // per 128 elements 64 bytes: elements 0..63 in the low halves, 64..127 in the high ones
    uint8_t high[64];  // per 128 elements 32 bytes: two bits each of elements i, 32 + i, 64 + i, 96 + i
    int8_t scales[16];
    uint16_t d;
};

static_assert(sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20 && sizeof(BlockQ5_0) == 22, "as in the file");
static_assert(sizeof(BlockQ5_1) == 24 && sizeof(BlockQ8_0) == 34 && sizeof(BlockQ4_K) == 144, "as in the file");
static_assert(sizeof(BlockQ5_K) == 176 && sizeof(BlockQ6_K) == 210, "as in the file");

// Elements in a block (1 for F32, F16, BF16; 0 for unknown types), and its bytes.
int64_t block_width(WeightType type);
int64_t block_bytes(WeightType type);

// `count` values, a whole number of blocks. False, and nothing written, if the type is unknown or blocks are broken.
bool dequantize_row(WeightType type, const void* row, int64_t count, float* values);

}  // namespace llmpy

#endif
