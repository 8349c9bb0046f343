// simd/neon: the vocabulary on 64-bit ARM with the dot-product extension (ARMv8.2-A): four registers a vector. Compiled
// with FEAT_I8MM, also products of int8 matrices. See simd/common.h.

#ifndef LLMPY_SIMD_LEVEL
#define LLMPY_SIMD_LEVEL neon

#include <arm_neon.h>

#include "llmpy/simd/common.h"

namespace llmpy {
namespace {

struct F32x16 {
    float32x4_t v[4];
};
struct I32x16 {
    int32x4_t v[4];
};
struct U8x64 {
    uint8x16_t v[4];
};
struct Mask16 {
    uint32x4_t v[4];
};

// A vector whose register i is f(i).
template <class Vector, class Part>
LLMPY_INLINE Vector parts(const Part& f) {
    return Vector{{f(0), f(1), f(2), f(3)}};
}
#define LLMPY_PARTS(Vector, expression) parts<Vector>([&](int i) LLMPY_LAMBDA { return expression; })

LLMPY_INLINE Mask16 first_lanes(int n) {
    const int32_t numbers[4] = {0, 1, 2, 3};
    const int32x4_t first = vld1q_s32(numbers);
    return LLMPY_PARTS(Mask16, vcltq_s32(vaddq_s32(first, vdupq_n_s32(4 * i)), vdupq_n_s32(n)));
}

// ---- floats

LLMPY_INLINE F32x16 set1(float x) { return LLMPY_PARTS(F32x16, (static_cast<void>(i), vdupq_n_f32(x))); }
LLMPY_INLINE F32x16 load(const float* p) { return LLMPY_PARTS(F32x16, vld1q_f32(p + 4 * i)); }
LLMPY_INLINE F32x16 load_part(const float* p, int n) {
    float lanes[16] = {};
    memcpy(lanes, p, static_cast<size_t>(lesser(n, 16)) * sizeof *p);
    return load(lanes);
}
LLMPY_INLINE void store(float* p, F32x16 a) {
    unroll<4>([&](auto i) LLMPY_LAMBDA { vst1q_f32(p + 4 * i.value, a.v[i.value]); });
}
LLMPY_INLINE void store_part(float* p, F32x16 a, int n) {
    float lanes[16];
    store(lanes, a);
    memcpy(p, lanes, static_cast<size_t>(lesser(n, 16)) * sizeof *p);
}
LLMPY_INLINE F32x16 operator+(F32x16 a, F32x16 b) { return LLMPY_PARTS(F32x16, vaddq_f32(a.v[i], b.v[i])); }
LLMPY_INLINE F32x16 operator-(F32x16 a, F32x16 b) { return LLMPY_PARTS(F32x16, vsubq_f32(a.v[i], b.v[i])); }
LLMPY_INLINE F32x16 operator*(F32x16 a, F32x16 b) { return LLMPY_PARTS(F32x16, vmulq_f32(a.v[i], b.v[i])); }
LLMPY_INLINE F32x16 operator/(F32x16 a, F32x16 b) { return LLMPY_PARTS(F32x16, vdivq_f32(a.v[i], b.v[i])); }
// a * b + c
LLMPY_INLINE F32x16 fma(F32x16 a, F32x16 b, F32x16 c) { return LLMPY_PARTS(F32x16, vfmaq_f32(c.v[i], a.v[i], b.v[i])); }
// The second operand where either is NaN (the instruction of that name would give NaN).
LLMPY_INLINE F32x16 max(F32x16 a, F32x16 b) {
    return LLMPY_PARTS(F32x16, vbslq_f32(vcgtq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]));
}
LLMPY_INLINE F32x16 min(F32x16 a, F32x16 b) {
    return LLMPY_PARTS(F32x16, vbslq_f32(vcltq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]));
}
LLMPY_INLINE Mask16 less(F32x16 a, F32x16 b) { return LLMPY_PARTS(Mask16, vcltq_f32(a.v[i], b.v[i])); }
// Bit i: lane i.
LLMPY_INLINE unsigned bits_of(Mask16 m) {
    const uint32_t bits[4] = {1, 2, 4, 8};
    unsigned all = 0;
    LLMPY_EACH(i, 4) all |= vaddvq_u32(vandq_u32(m.v[i], vld1q_u32(bits))) << 4 * i;
    return all;
}
LLMPY_INLINE F32x16 select(Mask16 m, F32x16 yes, F32x16 no) {
    return LLMPY_PARTS(F32x16, vbslq_f32(m.v[i], yes.v[i], no.v[i]));
}
// Lanes 2 i and 2 i + 1 exchanged.
LLMPY_INLINE F32x16 swap_neighbours(F32x16 a) { return LLMPY_PARTS(F32x16, vrev64q_f32(a.v[i])); }

// ---- integers

LLMPY_INLINE I32x16 set1(int32_t x) { return LLMPY_PARTS(I32x16, (static_cast<void>(i), vdupq_n_s32(x))); }
LLMPY_INLINE I32x16 load(const int32_t* p) { return LLMPY_PARTS(I32x16, vld1q_s32(p + 4 * i)); }
LLMPY_INLINE void store(int32_t* p, I32x16 a) {
    unroll<4>([&](auto i) LLMPY_LAMBDA { vst1q_s32(p + 4 * i.value, a.v[i.value]); });
}
LLMPY_INLINE I32x16 operator+(I32x16 a, I32x16 b) { return LLMPY_PARTS(I32x16, vaddq_s32(a.v[i], b.v[i])); }
LLMPY_INLINE I32x16 operator-(I32x16 a, I32x16 b) { return LLMPY_PARTS(I32x16, vsubq_s32(a.v[i], b.v[i])); }
LLMPY_INLINE I32x16 operator&(I32x16 a, I32x16 b) { return LLMPY_PARTS(I32x16, vandq_s32(a.v[i], b.v[i])); }
LLMPY_INLINE I32x16 max(I32x16 a, I32x16 b) { return LLMPY_PARTS(I32x16, vmaxq_s32(a.v[i], b.v[i])); }
template <int n>
LLMPY_INLINE I32x16 shift_left(I32x16 a) {
    return LLMPY_PARTS(I32x16, vshlq_n_s32(a.v[i], n));
}
LLMPY_INLINE I32x16 shift_left_by(I32x16 a, int32_t n) {
    const int32x4_t count = vdupq_n_s32(n);
    return LLMPY_PARTS(I32x16, vshlq_s32(a.v[i], count));
}
template <int n>
LLMPY_INLINE I32x16 shift_right_signed(I32x16 a) {
    return LLMPY_PARTS(I32x16, vshrq_n_s32(a.v[i], n));
}
// 16 bytes, one per lane
LLMPY_INLINE I32x16 load_i8(const void* p) {
    const int8x16_t bytes = vld1q_s8(static_cast<const int8_t*>(p));
    const int16x8_t low = vmovl_s8(vget_low_s8(bytes));
    const int16x8_t high = vmovl_s8(vget_high_s8(bytes));
    return {{vmovl_s16(vget_low_s16(low)), vmovl_s16(vget_high_s16(low)), vmovl_s16(vget_low_s16(high)),
             vmovl_s16(vget_high_s16(high))}};
}
LLMPY_INLINE I32x16 load_u8(const void* p) { return load_i8(p) & set1(255); }
// Each lane, which must lie in -128..127.
LLMPY_INLINE void store_i8(int8_t* p, I32x16 a) {
    const int16x8_t low = vcombine_s16(vmovn_s32(a.v[0]), vmovn_s32(a.v[1]));
    const int16x8_t high = vcombine_s16(vmovn_s32(a.v[2]), vmovn_s32(a.v[3]));
    vst1q_s8(p, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
}
// Each lane, which must lie in -32768..32767.
LLMPY_INLINE void store_i16(int16_t* p, I32x16 a) {
    vst1q_s16(p, vcombine_s16(vmovn_s32(a.v[0]), vmovn_s32(a.v[1])));
    vst1q_s16(p + 8, vcombine_s16(vmovn_s32(a.v[2]), vmovn_s32(a.v[3])));
}

// ---- between them

LLMPY_INLINE F32x16 to_f32(I32x16 a) { return LLMPY_PARTS(F32x16, vcvtq_f32_s32(a.v[i])); }
// To the nearest integer, ties to even; of NaN and what does not fit: some integer.
LLMPY_INLINE I32x16 to_i32(F32x16 a) { return LLMPY_PARTS(I32x16, vcvtnq_s32_f32(a.v[i])); }
LLMPY_INLINE I32x16 bits_of(F32x16 a) { return LLMPY_PARTS(I32x16, vreinterpretq_s32_f32(a.v[i])); }
LLMPY_INLINE F32x16 as_f32(I32x16 a) { return LLMPY_PARTS(F32x16, vreinterpretq_f32_s32(a.v[i])); }
LLMPY_INLINE I32x16 as_i32(U8x64 a) { return LLMPY_PARTS(I32x16, vreinterpretq_s32_u8(a.v[i])); }
LLMPY_INLINE F32x16 absolute(F32x16 a) { return LLMPY_PARTS(F32x16, vabsq_f32(a.v[i])); }

// ---- half precision in memory

LLMPY_INLINE F32x16 load_f16(const uint16_t* p) {
    return LLMPY_PARTS(F32x16, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i))));
}
LLMPY_INLINE void store_f16(uint16_t* p, F32x16 a) {
    unroll<4>([&](auto i)
                  LLMPY_LAMBDA { vst1_u16(p + 4 * i.value, vreinterpret_u16_f16(vcvt_f16_f32(a.v[i.value]))); });
}
LLMPY_INLINE F32x16 load_bf16(const uint16_t* p) {
    return LLMPY_PARTS(F32x16, vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * i), 16)));
}

// ---- one number from sixteen, always in this order: lanes i and i + 8, then i + 4, i + 2, i + 1

LLMPY_INLINE float sum(F32x16 a) {
    const float32x4_t by4 = vaddq_f32(vaddq_f32(a.v[0], a.v[2]), vaddq_f32(a.v[1], a.v[3]));
    const float32x2_t by2 = vadd_f32(vget_low_f32(by4), vget_high_f32(by4));
    return vget_lane_f32(by2, 0) + vget_lane_f32(by2, 1);
}
LLMPY_INLINE float max_lane(F32x16 a) {
    const F32x16 by8 = max(a, F32x16{{a.v[2], a.v[3], a.v[2], a.v[3]}});
    const F32x16 by4 = max(by8, F32x16{{by8.v[1], by8.v[1], by8.v[1], by8.v[1]}});
    float lanes[4];
    vst1q_f32(lanes, by4.v[0]);
    const float even = lanes[0] > lanes[2] ? lanes[0] : lanes[2];
    const float odd = lanes[1] > lanes[3] ? lanes[1] : lanes[3];
    return even > odd ? even : odd;
}
LLMPY_INLINE int32_t max_lane(I32x16 a) {
    return vmaxvq_s32(vmaxq_s32(vmaxq_s32(a.v[0], a.v[1]), vmaxq_s32(a.v[2], a.v[3])));
}
// The sum of 16 bytes.
LLMPY_INLINE int32_t sum_i8(const int8_t* p) { return vaddlvq_s8(vld1q_s8(p)); }

// ---- bytes

LLMPY_INLINE U8x64 load_bytes(const void* p) {
    return LLMPY_PARTS(U8x64, vld1q_u8(static_cast<const uint8_t*>(p) + 16 * i));
}
LLMPY_INLINE void store_bytes(void* p, U8x64 a) {
    unroll<4>([&](auto i) LLMPY_LAMBDA { vst1q_u8(static_cast<uint8_t*>(p) + 16 * i.value, a.v[i.value]); });
}
// 16 bytes of each of 16 rows, from `at` on, turned: quads[i] has the bytes 4 i .. 4 i + 3 of row r in lane r.
LLMPY_INLINE void load_quads(const uint8_t* const* rows, int64_t at, U8x64 (&quads)[4]) {
    const auto words = [](uint8x16_t x) LLMPY_LAMBDA { return vreinterpretq_u32_u8(x); };
    const auto pairs = [](uint32x4_t x) LLMPY_LAMBDA { return vreinterpretq_u64_u32(x); };
    LLMPY_EACH(i, 4) {
        const auto row = [&](int r) LLMPY_LAMBDA { return words(vld1q_u8(rows[4 * i + r] + at)); };
        const uint64x2_t a = pairs(vtrn1q_u32(row(0), row(1))), b = pairs(vtrn2q_u32(row(0), row(1)));
        const uint64x2_t c = pairs(vtrn1q_u32(row(2), row(3))), d = pairs(vtrn2q_u32(row(2), row(3)));
        quads[0].v[i] = vreinterpretq_u8_u64(vtrn1q_u64(a, c));
        quads[1].v[i] = vreinterpretq_u8_u64(vtrn1q_u64(b, d));
        quads[2].v[i] = vreinterpretq_u8_u64(vtrn2q_u64(a, c));
        quads[3].v[i] = vreinterpretq_u8_u64(vtrn2q_u64(b, d));
    }
}
LLMPY_INLINE U8x64 set1_byte(int x) {
    return LLMPY_PARTS(U8x64, (static_cast<void>(i), vdupq_n_u8(static_cast<uint8_t>(x))));
}
// The same four bytes in every lane, the lowest first.
LLMPY_INLINE U8x64 set1_bytes_of_lane(int32_t x) {
    return LLMPY_PARTS(U8x64, (static_cast<void>(i), vreinterpretq_u8_s32(vdupq_n_s32(x))));
}
LLMPY_INLINE U8x64 operator&(U8x64 a, U8x64 b) { return LLMPY_PARTS(U8x64, vandq_u8(a.v[i], b.v[i])); }
LLMPY_INLINE U8x64 operator|(U8x64 a, U8x64 b) { return LLMPY_PARTS(U8x64, vorrq_u8(a.v[i], b.v[i])); }
LLMPY_INLINE U8x64 operator^(U8x64 a, U8x64 b) { return LLMPY_PARTS(U8x64, veorq_u8(a.v[i], b.v[i])); }
// (a & mask) | b
LLMPY_INLINE U8x64 masked_or(U8x64 a, U8x64 mask, U8x64 b) { return (a & mask) | b; }
// The four bytes of a lane shifted as one number, first byte lowest.
template <int n>
LLMPY_INLINE U8x64 shift_right(U8x64 a) {
    if constexpr (n == 0) {
        return a;
    } else {
        return LLMPY_PARTS(U8x64, vreinterpretq_u8_u32(vshrq_n_u32(vreinterpretq_u32_u8(a.v[i]), n)));
    }
}
LLMPY_INLINE U8x64 shift_right_by(U8x64 a, int32_t n) {
    const int32x4_t count = vdupq_n_s32(-n);
    return LLMPY_PARTS(U8x64, vreinterpretq_u8_u32(vshlq_u32(vreinterpretq_u32_u8(a.v[i]), count)));
}
template <int n>
LLMPY_INLINE U8x64 shift_left(U8x64 a) {
    return LLMPY_PARTS(U8x64, vreinterpretq_u8_u32(vshlq_n_u32(vreinterpretq_u32_u8(a.v[i]), n)));
}
// The same sixteen bytes four times, a table; and its entry for each byte, which must be below 16.
LLMPY_INLINE U8x64 load_table(const uint8_t* p) { return LLMPY_PARTS(U8x64, (static_cast<void>(i), vld1q_u8(p))); }
LLMPY_INLINE U8x64 look_up(U8x64 table, U8x64 at) { return LLMPY_PARTS(U8x64, vqtbl1q_u8(table.v[i], at.v[i])); }
// Byte b of each lane as a number from 0 to 255.
template <int b>
LLMPY_INLINE I32x16 byte_of_lane(U8x64 a) {
    return as_i32(shift_right<8 * b>(a)) & set1(255);
}

// ---- products of weights with 8-bit activations

// Whether 8-bit weights are kept as unsigned numbers, 128 too large, or as they are.
constexpr bool weights_are_offset = false;

// One lane's sum over k of weight * activation, from `start` on; see simd/avx512.h. All weights fit in signed bytes.
// Sixteen activations lie in one register and the instruction picks its quad by number, so they are loaded once in
// four.
template <int bits>
struct Dot {
    I32x16 total;

    LLMPY_INLINE void start(I32x16 first) { total = first; }
    template <int q, int quads>
    LLMPY_INLINE void add(U8x64 weights, const int8_t* a) {
        const int8x16_t sixteen = vld1q_s8(a + 16 * (q / 4));
        unroll<4>([&](auto i) LLMPY_LAMBDA {
            total.v[i.value] =
                vdotq_laneq_s32(total.v[i.value], vreinterpretq_s8_u8(weights.v[i.value]), sixteen, q % 4);
        });
    }
    LLMPY_INLINE I32x16 result() const { return total; }
};

// Weights of how many bits have the same Dot.
constexpr int dot_bits(int) { return 8; }

// Whether one instruction multiplies two tokens with two rows, eight inputs of each at once: twice as many products as
// a dot product.
#if defined(__ARM_FEATURE_MATMUL_INT8)
constexpr bool multiplies_pairs = true;

// What two Dots of the same rows and two tokens add up to. A register holds the sums of both tokens with two rows, token
// by token: rows 4i and 4i + 1 in register i of the first, 4i + 2 and 4i + 3 in register i of the second.
template <int bits>
struct DotPair {
    Dot<bits>&a, &b;

    LLMPY_INLINE DotPair(Dot<bits>& first, Dot<bits>& second) : a(first), b(second) { exchange(); }
    LLMPY_INLINE ~DotPair() { exchange(); }
    DotPair(const DotPair&) = delete;

    // Weights of two quads that follow each other, to eight inputs of a row beside those of the next.
    static LLMPY_INLINE void pair_rows(U8x64& first, U8x64& second) {
        const U8x64 low = first, high = second;
        const auto words = [](uint8x16_t x) LLMPY_LAMBDA { return vreinterpretq_u32_u8(x); };
        first = LLMPY_PARTS(U8x64, vreinterpretq_u8_u32(vzip1q_u32(words(low.v[i]), words(high.v[i]))));
        second = LLMPY_PARTS(U8x64, vreinterpretq_u8_u32(vzip2q_u32(words(low.v[i]), words(high.v[i]))));
    }
    // The first or second of two quads that were paired.
    static LLMPY_INLINE U8x64 row_quad(U8x64 first, U8x64 second, int which) {
        const auto words = [](uint8x16_t x) LLMPY_LAMBDA { return vreinterpretq_u32_u8(x); };
        const auto low = [&](int i) LLMPY_LAMBDA { return vuzp1q_u32(words(first.v[i]), words(second.v[i])); };
        const auto high = [&](int i) LLMPY_LAMBDA { return vuzp2q_u32(words(first.v[i]), words(second.v[i])); };
        return LLMPY_PARTS(U8x64, vreinterpretq_u8_u32(which == 0 ? low(i) : high(i)));
    }
    // Adds the products of quads q and q + 1, paired, with activations of the two tokens.
    template <int q>
    LLMPY_INLINE void add(U8x64 first, U8x64 second, const int8_t* of_a, const int8_t* of_b) {
        const int64x2_t x = vreinterpretq_s64_s8(vld1q_s8(of_a + 16 * (q / 4)));
        const int64x2_t y = vreinterpretq_s64_s8(vld1q_s8(of_b + 16 * (q / 4)));
        const int8x16_t both = vreinterpretq_s8_s64(q % 4 == 0 ? vzip1q_s64(x, y) : vzip2q_s64(x, y));
        a.total = LLMPY_PARTS(I32x16, vmmlaq_s32(a.total.v[i], both, vreinterpretq_s8_u8(first.v[i])));
        b.total = LLMPY_PARTS(I32x16, vmmlaq_s32(b.total.v[i], both, vreinterpretq_s8_u8(second.v[i])));
    }

  private:
    // From sums of tokens to those of pairs, and back.
    LLMPY_INLINE void exchange() {
        const I32x16 x = a.total, y = b.total;
        const auto halves = [](int32x4_t v) LLMPY_LAMBDA { return vreinterpretq_s64_s32(v); };
        a.total = LLMPY_PARTS(I32x16, vreinterpretq_s32_s64(vzip1q_s64(halves(x.v[i]), halves(y.v[i]))));
        b.total = LLMPY_PARTS(I32x16, vreinterpretq_s32_s64(vzip2q_s64(halves(x.v[i]), halves(y.v[i]))));
    }
};
#else
constexpr bool multiplies_pairs = false;
#endif

// sum + the products of a lane's two signed 16-bit numbers with the two in `pair`
LLMPY_INLINE I32x16 add_products_of_pairs(I32x16 sum, U8x64 weights, int32_t pair) {
    const int16x4_t two = vreinterpret_s16_s32(vdup_n_s32(pair));
    unroll<2>([&](auto half) LLMPY_LAMBDA {  // eight rows: their first numbers, their second ones
        constexpr int at = 2 * half.value;
        const int16x8_t a = vreinterpretq_s16_u8(weights.v[at]), b = vreinterpretq_s16_u8(weights.v[at + 1]);
        const int16x8_t first = vuzp1q_s16(a, b), second = vuzp2q_s16(a, b);
        sum.v[at] = vmlal_lane_s16(sum.v[at], vget_low_s16(first), two, 0);
        sum.v[at] = vmlal_lane_s16(sum.v[at], vget_low_s16(second), two, 1);
        sum.v[at + 1] = vmlal_high_lane_s16(sum.v[at + 1], first, two, 0);
        sum.v[at + 1] = vmlal_high_lane_s16(sum.v[at + 1], second, two, 1);
    });
    return sum;
}

#undef LLMPY_PARTS

// Whether blocks are worth code of their own, with places and shifts as constants.
constexpr bool unrolls_blocks = true;
// How many F32x16 the registers hold.
constexpr int vectors_in_registers = 8;
// Of attention: queries that are computed at once, and sums that the registers hold beside operands.
constexpr int kQueriesAtOnce = 4;
constexpr int kAccumulators = 4;
// Tokens that are multiplied at a time: each takes an integer and a float vector for each tile of rows.
constexpr int token_tile = 3;

// ---- memory

LLMPY_INLINE void prefetch_l2(const void* p) { __builtin_prefetch(p, 0, 2); }
LLMPY_INLINE void prefetch_l1(const void* p) { __builtin_prefetch(p, 0, 3); }

}  // namespace
}  // namespace llmpy

#include "llmpy/simd/by_memory.h"
#include "llmpy/simd/math.h"

#endif
