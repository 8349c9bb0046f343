// simd/math: functions of vectors made of the vocabulary alone; included by each level's header.

#ifndef LLMPY_SIMD_MATH_H
#define LLMPY_SIMD_MATH_H

namespace llmpy {
namespace {

// e^x within 1.5 units in the last place: 0 below -104, infinity above 88.73, NaN for NaN.
// n = round(x / ln 2), r = x - n ln 2 in two steps (n times the first part is exact), a polynomial of degree 6 for e^r
// (minimax of (e^r - 1 - r) / r^2 in the relative error of e^r), and 2^n in two factors so that denormals come out
// right.
LLMPY_INLINE F32x16 exp(F32x16 x) {
    const F32x16 shifter = set1(12582912.0f);  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
    const F32x16 shifted = fma(x, set1(1.44269504f), shifter);
    const F32x16 n = shifted - shifter;
    F32x16 r = fma(n, set1(-0.693145751953125f), x);
    r = fma(n, set1(-1.428606765330187e-06f), r);
    F32x16 p = set1(0.0013814539415761828f);
    p = fma(p, r, set1(0.00836874544620514f));
    p = fma(p, r, set1(0.04166838899254799f));
    p = fma(p, r, set1(0.1666652113199234f));
    p = fma(p, r, set1(0.4999999403953552f));
    p = fma(p, r * r, r) + set1(1.0f);
    const I32x16 whole = bits_of(shifted) - set1(0x4b400000);
    const I32x16 half = shift_right_signed<1>(whole);
    const I32x16 bias = set1(127);
    p = p * as_f32(shift_left<23>(half + bias));
    p = p * as_f32(shift_left<23>(whole - half + bias));
    p = select(less(x, set1(-104.0f)), set1(0.0f), p);
    return select(less(set1(88.73f), x), set1(__builtin_inff()), p);
}

LLMPY_INLINE F32x16 sigmoid(F32x16 x) { return set1(1.0f) / (set1(1.0f) + exp(set1(0.0f) - x)); }

LLMPY_INLINE F32x16 silu(F32x16 x) { return x / (set1(1.0f) + exp(set1(0.0f) - x)); }

// 1 - 2 / (e^2x + 1): absolute error below 2e-7, saturates cleanly at -1 and 1.
LLMPY_INLINE F32x16 tanh(F32x16 x) { return set1(1.0f) - set1(2.0f) / (exp(x + x) + set1(1.0f)); }

LLMPY_INLINE F32x16 load_as_f32(const float* p) { return load(p); }

}  // namespace
}  // namespace llmpy

#endif
