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
struct BlockIQ4_NL {
    uint16_t d;
    uint8_t low[16];  // as in Q4_0; they number the values of a table
};
struct BlockMXFP4 {
    uint8_t exponent;  // the scale is 2^(exponent - 128)
    uint8_t low[16];   // as in Q4_0; they number 4-bit floats, doubled
};
struct BlockQ2_K {
    uint8_t scales[16];  // per 16 elements: the scale in the low half, the minimum in the high one
    uint8_t q[64];       // per 128 elements 32 bytes: two bits each of elements i, 32 + i, 64 + i, 96 + i
    uint16_t d, dmin;
};
struct BlockQ3_K {
    uint8_t high[32];    // bit j of byte i: the third bit of element 32 j + i
    uint8_t q[64];       // as in Q2_K
    uint8_t scales[12];  // 16 scales of 6 bits: low halves in 8 bytes, then two bits of scales i, 4 + i, 8 + i, 12 + i
    uint16_t d;
};
struct BlockIQ4_XS {
    uint16_t d, high;  // bits 2 j and 2 j + 1: the upper ones of scale j
    uint8_t scales[4]; // the lower four bits of two each
    uint8_t low[128];  // per 32 elements 16 bytes, as in IQ4_NL
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
static_assert(sizeof(BlockIQ4_NL) == 18 && sizeof(BlockMXFP4) == 17 && sizeof(BlockIQ4_XS) == 136, "as in the file");
static_assert(sizeof(BlockQ2_K) == 84 && sizeof(BlockQ3_K) == 110, "as in the file");
static_assert(sizeof(BlockQ5_K) == 176 && sizeof(BlockQ6_K) == 210, "as in the file");

// What IQ4_NL, IQ4_XS and MXFP4 number: integers that the scale multiplies.
constexpr int8_t nonlinear_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
constexpr int8_t doubled_floats[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// The scales of Q3_K and IQ4_XS, -32 to 31.
inline int q3_k_scale(const uint8_t* s, int j) {
    const int low = j < 8 ? s[j] & 15 : s[j - 8] >> 4;
    return (low | (s[8 + j % 4] >> 2 * (j / 4) & 3) << 4) - 32;
}
inline int iq4_xs_scale(const uint8_t* low, int high, int j) {
    return ((low[j / 2] >> 4 * (j % 2) & 15) | (high >> 2 * j & 3) << 4) - 32;
}

// Elements in a block (1 for F32, F16, BF16; 0 for unknown types), and its bytes.
int64_t block_width(WeightType type);
int64_t block_bytes(WeightType type);

// `count` values, a whole number of blocks. False, and nothing written, if the type is unknown or blocks are broken.
bool dequantize_row(WeightType type, const void* row, int64_t count, float* values);

}  // namespace llmpy

#endif
