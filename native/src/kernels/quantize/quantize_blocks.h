// quantize_blocks: integers and scales into the bytes of a block; what the readers in llmpy.quant undo.
//
// q: the block's integers as bytes, as the type stores them (offsets added). d, m: halves.

#ifndef LLMPY_QUANTIZE_BLOCKS_H
#define LLMPY_QUANTIZE_BLOCKS_H

#include "llmpy/simd/common.h"

namespace llmpy {
namespace {

// What a search found for a block: at most 16 groups.
struct Found {
    uint16_t d, m;
    uint8_t q[256];
    uint8_t scale[16], minimum[16];
};

// Values i and i + n of 2n in one byte each.
LLMPY_INLINE void join_nibbles(const uint8_t* q, int n, uint8_t* out) {
    for (int i = 0; i < n; ++i) out[i] = static_cast<uint8_t>((q[i] & 15) | q[i + n] << 4);
}

// Two bits of values i, i + 32, i + 64, i + 96 in one byte.
LLMPY_INLINE void join_pairs(const uint8_t* q, int shift, uint8_t* out) {
    for (int i = 0; i < 32; ++i) {
        const int a = q[i] >> shift & 3, b = q[i + 32] >> shift & 3, c = q[i + 64] >> shift & 3;
        out[i] = static_cast<uint8_t>(a | b << 2 | c << 4 | (q[i + 96] >> shift & 3) << 6);
    }
}

// Bit `shift` of values i, i + 32, ... i + 224 in one byte.
LLMPY_INLINE void join_bits(const uint8_t* q, int shift, uint8_t* out) {
    for (int i = 0; i < 32; ++i) {
        int bits = 0;
        for (int j = 0; j < 8; ++j) bits |= (q[32 * j + i] >> shift & 1) << j;
        out[i] = static_cast<uint8_t>(bits);
    }
}

// Q4_0 and IQ4_NL; Q4_1 with a minimum; Q5_0 and Q5_1 with fifth bits.
LLMPY_INLINE void pack_32(const Found& f, bool minimum, bool fifth, uint8_t* out) {
    write(out, f.d);
    out += 2;
    if (minimum) {
        write(out, f.m);
        out += 2;
    }
    if (fifth) {
        uint32_t bits = 0;
        for (int i = 0; i < 32; ++i) bits |= static_cast<uint32_t>(f.q[i] >> 4 & 1) << i;
        write(out, bits);
        out += 4;
    }
    join_nibbles(f.q, 16, out);
}

LLMPY_INLINE void pack_q2_k(const Found& f, uint8_t* out) {
    for (int g = 0; g < 16; ++g) out[g] = static_cast<uint8_t>(f.scale[g] | f.minimum[g] << 4);
    join_pairs(f.q, 0, out + 16);
    join_pairs(f.q + 128, 0, out + 48);
    write(out + 80, f.d);
    write(out + 82, f.m);
}

LLMPY_INLINE void pack_q3_k(const Found& f, uint8_t* out) {
    join_bits(f.q, 2, out);
    join_pairs(f.q, 0, out + 32);
    join_pairs(f.q + 128, 0, out + 64);
    const uint8_t* s = f.scale;
    join_nibbles(s, 8, out + 96);
    for (int g = 0; g < 4; ++g) {
        const int low = s[g] >> 4 | s[g + 4] >> 4 << 2, high = s[g + 8] >> 4 | s[g + 12] >> 4 << 2;
        out[104 + g] = static_cast<uint8_t>(low | high << 4);
    }
    write(out + 108, f.d);
}

// 8 scales and 8 minima of 6 bits in 12 bytes; see dequantize.cpp.
LLMPY_INLINE void pack_six_bits(const Found& f, uint8_t* out) {
    for (int g = 0; g < 4; ++g) {
        out[g] = static_cast<uint8_t>(f.scale[g] | f.scale[g + 4] >> 4 << 6);
        out[g + 4] = static_cast<uint8_t>(f.minimum[g] | f.minimum[g + 4] >> 4 << 6);
        out[g + 8] = static_cast<uint8_t>((f.scale[g + 4] & 15) | f.minimum[g + 4] << 4);
    }
}

LLMPY_INLINE void pack_q4_k(const Found& f, uint8_t* out) {
    write(out, f.d);
    write(out + 2, f.m);
    pack_six_bits(f, out + 4);
    for (int j = 0; j < 4; ++j) join_nibbles(f.q + 64 * j, 32, out + 16 + 32 * j);
}

LLMPY_INLINE void pack_q5_k(const Found& f, uint8_t* out) {
    write(out, f.d);
    write(out + 2, f.m);
    pack_six_bits(f, out + 4);
    join_bits(f.q, 4, out + 16);
    for (int j = 0; j < 4; ++j) join_nibbles(f.q + 64 * j, 32, out + 48 + 32 * j);
}

LLMPY_INLINE void pack_q6_k(const Found& f, uint8_t* out) {
    for (int j = 0; j < 2; ++j) {
        join_nibbles(f.q + 128 * j, 64, out + 64 * j);
        join_pairs(f.q + 128 * j, 4, out + 128 + 32 * j);
    }
    memcpy(out + 192, f.scale, 16);
    write(out + 208, f.d);
}

LLMPY_INLINE void pack_iq4_xs(const Found& f, uint8_t* out) {
    write(out, f.d);
    int high = 0;
    for (int g = 0; g < 8; ++g) high |= f.scale[g] >> 4 << 2 * g;
    write(out + 2, static_cast<uint16_t>(high));
    for (int g = 0; g < 4; ++g) {
        out[4 + g] = static_cast<uint8_t>((f.scale[2 * g] & 15) | f.scale[2 * g + 1] << 4);
    }
    for (int j = 0; j < 8; ++j) join_nibbles(f.q + 32 * j, 16, out + 8 + 16 * j);
}

}  // namespace
}  // namespace llmpy

#endif
