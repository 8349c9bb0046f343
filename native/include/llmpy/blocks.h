// blocks: the file's storage types as structs, and one row of any of them as float32.
//
// A struct is a block as the file has it. `values` writes its numbers, the same, bit for bit, as llmpy.quant.dequantize (NaN
// apart): for looking up rows of an embedding, where a kernel would be a waste. `packed` says how many bytes so many blocks
// of each of 16 rows take in the layout of `linear`, and in which order they lie; see linear_layout.h. Every pointer to
// blocks in a file may be unaligned.

#ifndef LLMPY_BLOCKS_H
#define LLMPY_BLOCKS_H

#include "llmpy/kernels.h"
#include "llmpy/simd/common.h"

namespace llmpy {

// What IQ4_NL, IQ4_XS and MXFP4 number: integers that the scale multiplies.
constexpr int8_t nonlinear_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
constexpr int8_t doubled_floats[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// Nibble i of n bytes: all low halves first.
static inline int nibble_of(const uint8_t* bytes, int n, int i) { return i < n ? bytes[i] & 15 : bytes[i - n] >> 4; }
static inline int bit_of(const uint8_t* bytes, int i) { return bytes[i / 8] >> i % 8 & 1; }
// Two bits of element i of 256, of which four 32 apart share a byte.
static inline int two_bits_of(const uint8_t* bytes, int i) {
    return bytes[i / 128 * 32 + i % 32] >> 2 * (i % 128 / 32) & 3;
}

// The scales of Q3_K and IQ4_XS, -32 to 31.
static inline int q3_k_scale(const uint8_t* s, int j) {
    const int low = j < 8 ? s[j] & 15 : s[j - 8] >> 4;
    return (low | (s[8 + j % 4] >> 2 * (j / 4) & 3) << 4) - 32;
}
static inline int iq4_xs_scale(const uint8_t* low, int high, int j) {
    return ((low[j / 2] >> 4 * (j % 2) & 15) | (high >> 2 * j & 3) << 4) - 32;
}

// The 6-bit scales and minima of Q4_K and Q5_K. Bytes 0-3 hold scales 0-3 and bytes 4-7 minima 0-3 in their low six
// bits; their top two bits belong to scales and minima 4-7, whose low halves share bytes 8-11.
static inline int six_bit_scale(const uint8_t* s, int j) {
    return j < 4 ? s[j] & 63 : (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
}
static inline int six_bit_minimum(const uint8_t* s, int j) {
    return j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | s[j] >> 6 << 4;
}

// Packed blocks of 32, two to a header.
constexpr int64_t pairs_bytes(int64_t blocks, int64_t header, int64_t block) {
    return (blocks + 1) / 2 * header + blocks * block;
}
// Packed 16-bit numbers: scales, and whole blocks of 32.
constexpr int64_t halves_bytes(int64_t values) { return values == 0 ? 0 : 64 + (values + 31) / 32 * 1024; }

struct BlockF32 {
    float value;

    // [input][16]
    static constexpr int64_t packed(int64_t blocks) { return blocks * 64; }
    void values(float* v) const { *v = value; }
};
struct BlockF16 {
    uint16_t value;

    // f32 scales [16]; int16 [pair of inputs][16][2], blocks of 32 inputs filled up with zeros. Or, where rounding would
    // lose too much: a mark instead of the scales; the file's numbers [input][16]
    static constexpr int64_t packed(int64_t blocks) { return halves_bytes(blocks); }
    void values(float* v) const { *v = f32_from_f16(value); }
};
struct BlockBF16 {
    uint16_t value;

    // As F16.
    static constexpr int64_t packed(int64_t blocks) { return halves_bytes(blocks); }
    void values(float* v) const { *v = f32_from_bf16(value); }
};
struct BlockQ4_0 {
    uint16_t d;
    uint8_t low[16];  // nibbles: elements 0..15 in the low halves, 16..31 in the high ones

    // Pairs of blocks: f16 scales [2][16], and for each of the two, nibbles.
    static constexpr int64_t packed(int64_t blocks) { return pairs_bytes(blocks, 64, 256); }
    void values(float* v) const {
        const float scale = f32_from_f16(d);
        for (int i = 0; i < 32; ++i) v[i] = scale * static_cast<float>(nibble_of(low, 16, i) - 8);
    }
};
struct BlockQ4_1 {
    uint16_t d, m;
    uint8_t low[16];

    // As Q4_0, with f16 minima [2][16] behind the scales.
    static constexpr int64_t packed(int64_t blocks) { return pairs_bytes(blocks, 128, 256); }
    void values(float* v) const {
        const float scale = f32_from_f16(d), minimum = f32_from_f16(m);
        for (int i = 0; i < 32; ++i) v[i] = scale * static_cast<float>(nibble_of(low, 16, i)) + minimum;
    }
};
struct BlockQ5_0 {
    uint16_t d;
    uint8_t high[4];  // bit i: the fifth bit of element i
    uint8_t low[16];

    // As Q4_0, with a vector of fifth bits before the nibbles.
    static constexpr int64_t packed(int64_t blocks) { return pairs_bytes(blocks, 64, 320); }
    void values(float* v) const {
        const float scale = f32_from_f16(d);
        for (int i = 0; i < 32; ++i) {
            v[i] = scale * static_cast<float>((nibble_of(low, 16, i) | bit_of(high, i) << 4) - 16);
        }
    }
};
struct BlockQ5_1 {
    uint16_t d, m;
    uint8_t high[4];
    uint8_t low[16];

    // As Q5_0, with f16 minima [2][16] behind the scales.
    static constexpr int64_t packed(int64_t blocks) { return pairs_bytes(blocks, 128, 320); }
    void values(float* v) const {
        const float scale = f32_from_f16(d), minimum = f32_from_f16(m);
        for (int i = 0; i < 32; ++i) {
            v[i] = scale * static_cast<float>(nibble_of(low, 16, i) | bit_of(high, i) << 4) + minimum;
        }
    }
};
struct BlockQ8_0 {
    uint16_t d;
    int8_t q[32];

    // As Q4_0, with bytes.
    static constexpr int64_t packed(int64_t blocks) { return pairs_bytes(blocks, 64, 512); }
    void values(float* v) const {
        const float scale = f32_from_f16(d);
        for (int i = 0; i < 32; ++i) v[i] = scale * static_cast<float>(q[i]);
    }
};
struct BlockIQ4_NL {
    uint16_t d;
    uint8_t low[16];  // as in Q4_0; they number the values of a table

    // As Q4_0.
    static constexpr int64_t packed(int64_t blocks) { return pairs_bytes(blocks, 64, 256); }
    void values(float* v) const {
        const float scale = f32_from_f16(d);
        for (int i = 0; i < 32; ++i) v[i] = scale * static_cast<float>(nonlinear_values[nibble_of(low, 16, i)]);
    }
};
struct BlockMXFP4 {
    uint8_t exponent;  // the scale is 2^(exponent - 128)
    uint8_t low[16];   // as in Q4_0; they number 4-bit floats, doubled

    // As Q4_0, with bf16 scales.
    static constexpr int64_t packed(int64_t blocks) { return pairs_bytes(blocks, 64, 256); }
    void values(float* v) const {
        const float scale = f32_from_bf16(bf16_of_exponent(exponent));
        for (int i = 0; i < 32; ++i) v[i] = scale * static_cast<float>(doubled_floats[nibble_of(low, 16, i)]);
    }
};
struct BlockQ2_K {
    uint8_t scales[16];  // per 16 elements: the scale in the low half, the minimum in the high one
    uint8_t q[64];       // per 128 elements 32 bytes: two bits each of elements i, 32 + i, 64 + i, 96 + i
    uint16_t d, dmin;

    // f16 d, dmin [2][16]; for each 64 inputs a vector of scales and minima, 4 of two bits.
    static constexpr int64_t packed(int64_t blocks) { return blocks * (1024 + 256 + 64); }
    void values(float* v) const {
        const float of_scales = f32_from_f16(d), of_minima = f32_from_f16(dmin);
        for (int i = 0; i < 256; ++i) {
            const float scale = of_scales * static_cast<float>(scales[i / 16] & 15);
            const float minimum = of_minima * static_cast<float>(scales[i / 16] >> 4);
            v[i] = scale * static_cast<float>(two_bits_of(q, i)) - minimum;
        }
    }
};
struct BlockQ3_K {
    uint8_t high[32];    // bit j of byte i: the third bit of element 32 j + i
    uint8_t q[64];       // as in Q2_K
    uint8_t scales[12];  // 16 scales of 6 bits: low halves in 8 bytes, then two bits of scales i, 4 + i, 8 + i, 12 + i
    uint16_t d;

    // f16 d [16], 32 unused bytes; for each 64 inputs int8 scales [4][16], 2 vectors of third bits, 4 of two bits.
    static constexpr int64_t packed(int64_t blocks) { return blocks * (1024 + 512 + 256 + 64); }
    void values(float* v) const {
        const float of_scales = f32_from_f16(d);
        for (int i = 0; i < 256; ++i) {
            const float scale = of_scales * static_cast<float>(q3_k_scale(scales, i / 16));
            const int number = two_bits_of(q, i) | (high[i % 32] >> i / 32 & 1) << 2;
            v[i] = scale * static_cast<float>(number - 4);
        }
    }
};
struct BlockIQ4_XS {
    uint16_t d, high;   // bits 2 j and 2 j + 1: the upper ones of scale j
    uint8_t scales[4];  // the lower four bits of two each
    uint8_t low[128];   // per 32 elements 16 bytes, as in IQ4_NL

    // f16 d [16], 32 unused bytes; int8 scales [8][16]; nibbles as in Q4_0.
    static constexpr int64_t packed(int64_t blocks) { return blocks * (2048 + 128 + 64); }
    void values(float* v) const {
        const float of_scales = f32_from_f16(d);
        for (int i = 0; i < 256; ++i) {
            const float scale = of_scales * static_cast<float>(iq4_xs_scale(scales, high, i / 32));
            v[i] = scale * static_cast<float>(nonlinear_values[nibble_of(low + i / 32 * 16, 16, i % 32)]);
        }
    }
};
struct BlockQ4_K {
    uint16_t d, dmin;
    uint8_t scales[12];  // 8 scales and 8 minima of 6 bits
    uint8_t low[128];    // 32 bytes for 64 elements: the first 32 in the low halves

    // f16 d, dmin [2][16]; 3 vectors of 6-bit scales as in the file; 32 vectors of nibbles.
    static constexpr int64_t packed(int64_t blocks) { return blocks * (2048 + 192 + 64); }
    void values(float* v) const {
        const float of_scales = f32_from_f16(d), of_minima = f32_from_f16(dmin);
        for (int j = 0; j < 8; ++j) {
            const float scale = of_scales * static_cast<float>(six_bit_scale(scales, j));
            const float minimum = of_minima * static_cast<float>(six_bit_minimum(scales, j));
            const uint8_t* const nibbles = low + 32 * (j / 2);
            for (int i = 0; i < 32; ++i) {
                v[32 * j + i] = scale * static_cast<float>(nibbles[i] >> 4 * (j % 2) & 15) - minimum;
            }
        }
    }
};
struct BlockQ5_K {
    uint16_t d, dmin;
    uint8_t scales[12];
    uint8_t high[32];  // bit j of byte i: the fifth bit of element 32 j + i
    uint8_t low[128];

    // As Q4_K, with 8 vectors of fifth bits between the nibbles.
    static constexpr int64_t packed(int64_t blocks) { return blocks * (2048 + 512 + 192 + 64); }
    void values(float* v) const {
        const float of_scales = f32_from_f16(d), of_minima = f32_from_f16(dmin);
        for (int j = 0; j < 8; ++j) {
            const float scale = of_scales * static_cast<float>(six_bit_scale(scales, j));
            const float minimum = of_minima * static_cast<float>(six_bit_minimum(scales, j));
            const uint8_t* const nibbles = low + 32 * (j / 2);
            for (int i = 0; i < 32; ++i) {
                const int number = (nibbles[i] >> 4 * (j % 2) & 15) | (high[i] >> j & 1) << 4;
                v[32 * j + i] = scale * static_cast<float>(number) - minimum;
            }
        }
    }
};
struct BlockQ6_K {
    uint8_t low[128];  // per 128 elements 64 bytes: elements 0..63 in the low halves, 64..127 in the high ones
    uint8_t high[64];  // per 128 elements 32 bytes: two bits each of elements i, 32 + i, 64 + i, 96 + i
    int8_t scales[16];
    uint16_t d;

    // f16 d [16], 32 unused bytes; for each 64 inputs int8 scales [4][16], 8 vectors of nibbles, 4 of upper bits between
    // them.
    static constexpr int64_t packed(int64_t blocks) { return blocks * (2048 + 1024 + 256 + 64); }
    void values(float* v) const {
        const float scale = f32_from_f16(d);
        for (int i = 0; i < 256; ++i) {
            const int half = i / 128, within = i % 128;
            const int four = low[64 * half + within % 64] >> 4 * (within / 64) & 15;
            const int two = high[32 * half + within % 32] >> 2 * (within / 32) & 3;
            v[i] = scale * static_cast<float>(scales[i / 16]) * static_cast<float>((four | two << 4) - 32);
        }
    }
};

#define LLMPY_CHECK(name, Name, number, width, bytes, input, written) \
    static_assert(sizeof(Block##Name) == bytes, "as in the file");
LLMPY_WEIGHT_TYPES(LLMPY_CHECK)
#undef LLMPY_CHECK

// Elements in a block (1 for F32, F16, BF16; 0 for unknown types), and its bytes.
int64_t block_width(WeightType type);
int64_t block_bytes(WeightType type);

// `count` values, a whole number of blocks. False, and nothing written, if the type is unknown or blocks are broken.
bool dequantize_row(WeightType type, const void* row, int64_t count, float* values);

}  // namespace llmpy

#endif
