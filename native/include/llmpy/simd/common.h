// simd/common: what every instruction set's header shares, before and after it defines its vectors.
//
// The headers in this folder give one vocabulary, so that a kernel is written once and compiled once per level:
//
//   F32x16   16 floats          I32x16   16 integers         Mask16   one truth per lane
//   U8x64    64 bytes, read as 16 lanes (output rows) of 4 bytes (consecutive k): the unit of every 8-bit product
//   Dot<bits>  a running integer product of U8x64 weights with 8-bit activations
//   DotPair<bits>  two of them, for two tokens, where a level `multiplies_pairs`
//
// Everything is in an unnamed namespace and always inlined: a translation unit compiled for AVX-512 must not leave
// behind a function that the linker could hand to the portable path. For the same reason: nothing from std with code in
// it. A lane's result never depends on other lanes, and `sum` adds lanes in one order at every level.

#ifndef LLMPY_SIMD_COMMON_H
#define LLMPY_SIMD_COMMON_H

#include <stdint.h>
#include <string.h>

#include "llmpy/calls.h"

// Under a sanitizer functions stay functions: inlined, its checks would take minutes to compile.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LLMPY_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LLMPY_SANITIZED
#endif
#endif
#ifdef LLMPY_SANITIZED
#define LLMPY_INLINE inline __attribute__((unused))
#define LLMPY_LAMBDA
#else
#define LLMPY_INLINE inline __attribute__((always_inline, unused))
#define LLMPY_LAMBDA __attribute__((always_inline))
#endif
// Before loops whose code should stay small.
#define LLMPY_NO_UNROLL _Pragma("GCC unroll 1")
// For the loops that matter: inlined into their callers, they lose registers to them.
#define LLMPY_NOINLINE LLMPY_CALL __attribute__((noinline, unused))

namespace llmpy {
namespace {

template <int i>
struct Index {
    static constexpr int value = i;
    constexpr operator int() const { return i; }
};

template <int first, int last, class Body>
LLMPY_INLINE void unroll_from(const Body& body) {
    if constexpr (first < last) {
        body(Index<first>{});
        unroll_from<first + 1, last>(body);
    }
}

// body(Index<0>{}) ... body(Index<n-1>{}): a loop whose counter is a constant expression in every round.
template <int n, class Body>
LLMPY_INLINE void unroll(const Body& body) {
    unroll_from<0, n>(body);
}

// for (i = 0; i < n; ++i), unrolled when n is a constant: for what may stay a variable of the loop.
#ifdef __OPTIMIZE_SIZE__
#define LLMPY_EACH(i, n) for (int i = 0; i < (n); ++i)
#else
#define LLMPY_EACH(i, n) _Pragma("GCC unroll 16") for (int i = 0; i < (n); ++i)
#endif

template <class T>
LLMPY_INLINE T lesser(T a, T b) {
    return b < a ? b : a;
}

template <class T>
LLMPY_INLINE T greater(T a, T b) {
    return a < b ? b : a;
}

// Unaligned reads and writes of plain values.
template <class T>
LLMPY_INLINE T read(const void* p) {
    T value;
    memcpy(&value, p, sizeof value);
    return value;
}

template <class T>
LLMPY_INLINE void write(void* p, T value) {
    memcpy(p, &value, sizeof value);
}

LLMPY_INLINE float float_from_bits(uint32_t bits) { return read<float>(&bits); }

LLMPY_INLINE uint32_t bits_from_float(float value) { return read<uint32_t>(&value); }

LLMPY_INLINE float f32_from_bf16(uint16_t h) { return float_from_bits(static_cast<uint32_t>(h) << 16); }

// 2^(e - 128), which is a denormal number for the first two.
LLMPY_INLINE uint16_t bf16_of_exponent(uint8_t e) { return static_cast<uint16_t>(e > 1 ? (e - 1) << 7 : 0x20 << e); }

// Round to nearest, ties to even; NaN stays NaN.
LLMPY_INLINE uint16_t bf16_from_f32(float value) {
    const uint32_t bits = bits_from_float(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(bits >> 16 | 0x40u);
    return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

LLMPY_INLINE float f32_from_f16(uint16_t h) {
    const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16;
    const uint32_t rest = h & 0x7fffu;
    if (rest >= 0x7c00u) {  // infinity and NaN (made quiet, as the hardware does)
        return float_from_bits(sign | 0x7f800000u | rest << 13 | (rest > 0x7c00u ? 0x400000u : 0u));
    }
    if (rest >= 0x400u) return float_from_bits(sign | ((rest << 13) + 0x38000000u));
    const float small = static_cast<float>(rest) * 0x1p-24f;
    return float_from_bits(sign | bits_from_float(small));
}

// Round to nearest, ties to even; overflow gives infinity.
LLMPY_INLINE uint16_t f16_from_f32(float value) {
    const uint32_t bits = bits_from_float(value);
    const uint32_t sign = bits >> 16 & 0x8000u;
    const uint32_t size = bits & 0x7fffffffu;
    if (size > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u | (size >> 13 & 0x3ffu));
    if (size >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);
    if (size < 0x38800000u) {  // below the smallest normal: let the adder round at 2^-24
        const float shifted = float_from_bits(size) + 0.5f;
        return static_cast<uint16_t>(sign | (bits_from_float(shifted) - 0x3f000000u));
    }
    return static_cast<uint16_t>(sign | ((size + 0xfffu + (size >> 13 & 1u) - 0x38000000u) >> 13));
}

template <int bits>
struct DotPair;

}  // namespace
}  // namespace llmpy

#endif
