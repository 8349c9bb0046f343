// dequantize: rows in the file's layout to float32, in plain C++. See blocks.h.

#include "llmpy/blocks.h"
#include "llmpy/simd/common.h"

namespace llmpy {

int64_t block_width(WeightType type) {
    switch (type) {
        case type_f32:
        case type_f16:
        case type_bf16:
            return 1;
        case type_q4_0:
        case type_q4_1:
        case type_q5_0:
        case type_q5_1:
        case type_q8_0:
        case type_iq4_nl:
        case type_mxfp4:
            return 32;
        case type_q2_k:
        case type_q3_k:
        case type_iq4_xs:
        case type_q4_k:
        case type_q5_k:
        case type_q6_k:
            return 256;
    }
    return 0;
}

int64_t block_bytes(WeightType type) {
    switch (type) {
        case type_f32:
            return 4;
        case type_f16:
        case type_bf16:
            return 2;
        case type_q4_0:
            return sizeof(BlockQ4_0);
        case type_q4_1:
            return sizeof(BlockQ4_1);
        case type_q5_0:
            return sizeof(BlockQ5_0);
        case type_q5_1:
            return sizeof(BlockQ5_1);
        case type_q8_0:
            return sizeof(BlockQ8_0);
        case type_iq4_nl:
            return sizeof(BlockIQ4_NL);
        case type_mxfp4:
            return sizeof(BlockMXFP4);
        case type_iq4_xs:
            return sizeof(BlockIQ4_XS);
        case type_q2_k:
            return sizeof(BlockQ2_K);
        case type_q3_k:
            return sizeof(BlockQ3_K);
        case type_q4_k:
            return sizeof(BlockQ4_K);
        case type_q5_k:
            return sizeof(BlockQ5_K);
        case type_q6_k:
            return sizeof(BlockQ6_K);
    }
    return 0;
}

namespace {

// Nibble i of n bytes: all low halves first.
int nibble(const uint8_t* bytes, int n, int i) { return i < n ? bytes[i] & 15 : bytes[i - n] >> 4; }

int bit(const uint8_t* bytes, int i) { return bytes[i / 8] >> i % 8 & 1; }

void values_of(const BlockIQ4_NL& b, float* values) {
    const float d = f32_from_f16(b.d);
    for (int i = 0; i < 32; ++i) values[i] = d * static_cast<float>(nonlinear_values[nibble(b.low, 16, i)]);
}

void values_of(const BlockMXFP4& b, float* values) {
    const float d = f32_from_bf16(bf16_of_exponent(b.exponent));
    for (int i = 0; i < 32; ++i) values[i] = d * static_cast<float>(doubled_floats[nibble(b.low, 16, i)]);
}

void values_of(const BlockIQ4_XS& b, float* values) {
    const float d = f32_from_f16(b.d);
    for (int i = 0; i < 256; ++i) {
        const float scale = d * static_cast<float>(iq4_xs_scale(b.scales, b.high, i / 32));
        values[i] = scale * static_cast<float>(nonlinear_values[nibble(b.low + i / 32 * 16, 16, i % 32)]);
    }
}

// Two bits of element i of 256, of which four 32 apart share a byte.
int two_bits(const uint8_t* bytes, int i) { return bytes[i / 128 * 32 + i % 32] >> 2 * (i % 128 / 32) & 3; }

void values_of(const BlockQ2_K& b, float* values) {
    const float d = f32_from_f16(b.d), dmin = f32_from_f16(b.dmin);
    for (int i = 0; i < 256; ++i) {
        const float scale = d * static_cast<float>(b.scales[i / 16] & 15);
        const float minimum = dmin * static_cast<float>(b.scales[i / 16] >> 4);
        values[i] = scale * static_cast<float>(two_bits(b.q, i)) - minimum;
    }
}

void values_of(const BlockQ3_K& b, float* values) {
    const float d = f32_from_f16(b.d);
    for (int i = 0; i < 256; ++i) {
        const float scale = d * static_cast<float>(q3_k_scale(b.scales, i / 16));
        const int q = two_bits(b.q, i) | (b.high[i % 32] >> i / 32 & 1) << 2;
        values[i] = scale * static_cast<float>(q - 4);
    }
}

// The 6-bit scales and minima of Q4_K and Q5_K. Bytes 0-3 hold scales 0-3 and bytes 4-7 minima 0-3 in their low six
// bits; their top two bits belong to scales and minima 4-7, whose low halves share bytes 8-11.
int six_bit_scale(const uint8_t* s, int j) { return j < 4 ? s[j] & 63 : (s[j + 4] & 15) | s[j - 4] >> 6 << 4; }
int six_bit_minimum(const uint8_t* s, int j) { return j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | s[j] >> 6 << 4; }

void values_of(const BlockQ4_0& b, float* values) {
    const float d = f32_from_f16(b.d);
    for (int i = 0; i < 32; ++i) values[i] = d * static_cast<float>(nibble(b.low, 16, i) - 8);
}

void values_of(const BlockQ4_1& b, float* values) {
    const float d = f32_from_f16(b.d), m = f32_from_f16(b.m);
    for (int i = 0; i < 32; ++i) values[i] = d * static_cast<float>(nibble(b.low, 16, i)) + m;
}

void values_of(const BlockQ5_0& b, float* values) {
    const float d = f32_from_f16(b.d);
    for (int i = 0; i < 32; ++i) {
        values[i] = d * static_cast<float>((nibble(b.low, 16, i) | bit(b.high, i) << 4) - 16);
    }
}

void values_of(const BlockQ5_1& b, float* values) {
    const float d = f32_from_f16(b.d), m = f32_from_f16(b.m);
    for (int i = 0; i < 32; ++i) values[i] = d * static_cast<float>(nibble(b.low, 16, i) | bit(b.high, i) << 4) + m;
}

void values_of(const BlockQ8_0& b, float* values) {
    const float d = f32_from_f16(b.d);
    for (int i = 0; i < 32; ++i) values[i] = d * static_cast<float>(b.q[i]);
}

void values_of(const BlockQ4_K& b, float* values) {
    const float d = f32_from_f16(b.d), dmin = f32_from_f16(b.dmin);
    for (int j = 0; j < 8; ++j) {
        const float scale = d * static_cast<float>(six_bit_scale(b.scales, j));
        const float minimum = dmin * static_cast<float>(six_bit_minimum(b.scales, j));
        const uint8_t* low = b.low + 32 * (j / 2);
        for (int i = 0; i < 32; ++i) {
            values[32 * j + i] = scale * static_cast<float>(low[i] >> 4 * (j % 2) & 15) - minimum;
        }
    }
}

void values_of(const BlockQ5_K& b, float* values) {
    const float d = f32_from_f16(b.d), dmin = f32_from_f16(b.dmin);
    for (int j = 0; j < 8; ++j) {
        const float scale = d * static_cast<float>(six_bit_scale(b.scales, j));
        const float minimum = dmin * static_cast<float>(six_bit_minimum(b.scales, j));
        const uint8_t* low = b.low + 32 * (j / 2);
        for (int i = 0; i < 32; ++i) {
            const int q = (low[i] >> 4 * (j % 2) & 15) | (b.high[i] >> j & 1) << 4;
            values[32 * j + i] = scale * static_cast<float>(q) - minimum;
        }
    }
}

void values_of(const BlockQ6_K& b, float* values) {
    const float d = f32_from_f16(b.d);
    for (int i = 0; i < 256; ++i) {
        const int half = i / 128, within = i % 128;
        const int low = b.low[64 * half + within % 64] >> 4 * (within / 64) & 15;
        const int high = b.high[32 * half + within % 32] >> 2 * (within / 32) & 3;
        values[i] = d * static_cast<float>(b.scales[i / 16]) * static_cast<float>((low | high << 4) - 32);
    }
}

template <class Block>
void values_of_row(const void* row, int64_t count, int64_t width, float* values) {
    const uint8_t* bytes = static_cast<const uint8_t*>(row);
    for (int64_t i = 0; i < count / width; ++i) {
        values_of(read<Block>(bytes + i * static_cast<int64_t>(sizeof(Block))), values + i * width);
    }
}

template <class Convert>
void values_of_halves(const void* row, int64_t count, float* values, Convert convert) {
    const uint8_t* bytes = static_cast<const uint8_t*>(row);
    for (int64_t i = 0; i < count; ++i) values[i] = convert(read<uint16_t>(bytes + 2 * i));
}

}  // namespace

bool dequantize_row(WeightType type, const void* row, int64_t count, float* values) {
    const int64_t width = block_width(type);
    if (width == 0 || count < 0 || count % width != 0) return false;
    switch (type) {
        case type_f32:
            if (count > 0) memcpy(values, row, static_cast<size_t>(count) * sizeof *values);
            break;
        case type_f16:
            values_of_halves(row, count, values, f32_from_f16);
            break;
        case type_bf16:
            values_of_halves(row, count, values, f32_from_bf16);
            break;
        case type_q4_0:
            values_of_row<BlockQ4_0>(row, count, width, values);
            break;
        case type_q4_1:
            values_of_row<BlockQ4_1>(row, count, width, values);
            break;
        case type_q5_0:
            values_of_row<BlockQ5_0>(row, count, width, values);
            break;
        case type_q5_1:
            values_of_row<BlockQ5_1>(row, count, width, values);
            break;
        case type_q8_0:
            values_of_row<BlockQ8_0>(row, count, width, values);
            break;
        case type_iq4_nl:
            values_of_row<BlockIQ4_NL>(row, count, width, values);
            break;
        case type_mxfp4:
            values_of_row<BlockMXFP4>(row, count, width, values);
            break;
        case type_iq4_xs:
            values_of_row<BlockIQ4_XS>(row, count, width, values);
            break;
        case type_q2_k:
            values_of_row<BlockQ2_K>(row, count, width, values);
            break;
        case type_q3_k:
            values_of_row<BlockQ3_K>(row, count, width, values);
            break;
        case type_q4_k:
            values_of_row<BlockQ4_K>(row, count, width, values);
            break;
        case type_q5_k:
            values_of_row<BlockQ5_K>(row, count, width, values);
            break;
        case type_q6_k:
            values_of_row<BlockQ6_K>(row, count, width, values);
            break;
    }
    return true;
}

}  // namespace llmpy
