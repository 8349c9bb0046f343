// simd/math: functions of vectors made of the vocabulary alone; included by each level's header.

#ifndef LLMPY_SIMD_MATH_H
#define LLMPY_SIMD_MATH_H

namespace llmpy {
namespace {

// Where code shall be small these are called, by all that use them.
#ifdef __OPTIMIZE_SIZE__
#define LLMPY_FUNCTION inline __attribute__((noinline, unused))
#else
#define LLMPY_FUNCTION LLMPY_INLINE
#endif

// e^x within 1.5 units in the last place: 0 below -104, infinity above 88.73, NaN for NaN.
// n = round(x / ln 2), r = x - n ln 2 in two steps (n times the first part is exact), a polynomial of degree 6 for e^r
// (minimax of (e^r - 1 - r) / r^2 in the relative error of e^r), and 2^n in two factors so that denormals come out
// right.
constexpr float kLog2E = 1.44269504f;
LLMPY_FUNCTION F32x16 exp(F32x16 x) {
    const F32x16 shifter = set1(12582912.0f);  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
    const F32x16 shifted = fma(x, set1(kLog2E), shifter);
    const F32x16 whole = shifted - shifter;
    F32x16 r = fma(whole, set1(-0.693145751953125f), x);
    r = fma(whole, set1(-1.428606765330187e-06f), r);
    F32x16 p = set1(0.0013814539415761828f);
    p = fma(p, r, set1(0.00836874544620514f));
    p = fma(p, r, set1(0.04166838899254799f));
    p = fma(p, r, set1(0.1666652113199234f));
    p = fma(p, r, set1(0.4999999403953552f));
    p = fma(p, r * r, r) + set1(1.0f);
    const I32x16 n = bits_of(shifted) - set1(0x4b400000), half = shift_right_signed<1>(n), bias = set1(127);
    p = p * as_f32(shift_left<23>(half + bias));
    p = p * as_f32(shift_left<23>(n - half + bias));
    p = select(less(x, set1(-104.0f)), set1(0.0f), p);
    return select(less(set1(88.73f), x), set1(__builtin_inff()), p);
}
// 2^x for x of at most 0 or NaN, within 1.5 units in the last place; 0 from -126.5 down, where results are denormal.
// n = round(x), a polynomial of degree 5 for 2^(x - n) (minimax in the relative error), times 2^n.
LLMPY_FUNCTION F32x16 exp2_down(F32x16 x) {
    const F32x16 shifter = set1(12582912.0f + 127.0f);  // leaves n + 127, the exponent of 2^n, in the low bits
    const F32x16 least = max(set1(-127.0f), x), shifted = least + shifter, r = least - (shifted - shifter);
    F32x16 p = set1(0.001326472731307149f);
    p = fma(p, r, set1(0.009671512991189957f));
    p = fma(p, r, set1(0.05550733581185341f));
    p = fma(p, r, set1(0.24022242426872253f));
    p = fma(p, r, set1(0.6931470036506653f));
    p = fma(p, r, set1(1.0f));
    return p * as_f32(shift_left<23>(bits_of(shifted)));
}

LLMPY_INLINE F32x16 sigmoid(F32x16 x) { return set1(1.0f) / (set1(1.0f) + exp(set1(0.0f) - x)); }

LLMPY_INLINE F32x16 silu(F32x16 x) { return x / (set1(1.0f) + exp(set1(0.0f) - x)); }

// Within 5e-7 of itself: below 0.625 x + x^3 P(x^2) (minimax), else 1 - 2 / (e^2x + 1), which saturates cleanly.
LLMPY_FUNCTION F32x16 tanh(F32x16 x) {
    const F32x16 size = absolute(x), square = x * x;
    F32x16 p = set1(-0.005515164176226899f);
    p = fma(p, square, set1(0.02046942020687741f));
    p = fma(p, square, set1(-0.05368802322909598f));
    p = fma(p, square, set1(0.133308303473358f));
    p = fma(p, square, set1(-0.33333259848180563f));
    const F32x16 large = set1(1.0f) - set1(2.0f) / (exp(size + size) + set1(1.0f));
    const F32x16 with_sign = select(less(x, set1(0.0f)), set1(0.0f) - large, large);
    return select(less(size, set1(0.625f)), fma(p * square, x, x), with_sign);
}

// x / 2 (1 + tanh(u)) = x / (1 + e^-2u) with u = sqrt(2 / pi) (x + 0.044715 x^3): nothing cancels far below zero.
LLMPY_INLINE F32x16 gelu(F32x16 x) {
    const F32x16 twice = x * fma(x * x, set1(0.0713548162726009f), set1(1.5957691216057308f));
    return x / (set1(1.0f) + exp(set1(0.0f) - twice));
}

// x times the probability of a normal variate below x. Of one below -|x| that is e^(-x^2 / 2) R(|x|), and R a polynomial
// in t = 1 / (1 + 0.35 |x|) (minimax in the relative error, 4e-7); what x^2 loses by rounding is made good.
LLMPY_FUNCTION F32x16 gelu_exact(F32x16 x) {
    const F32x16 size = min(set1(14.5f), absolute(x)), square = size * size;
    const F32x16 t = set1(1.0f) / fma(size, set1(0.35f), set1(1.0f));
    F32x16 r = set1(-0.02915789932012558f);
    r = fma(r, t, set1(0.14403097331523895f));
    r = fma(r, t, set1(-0.255839079618454f));
    r = fma(r, t, set1(0.15931975841522217f));
    r = fma(r, t, set1(-0.023212384432554245f));
    r = fma(r, t, set1(0.10555250942707062f));
    r = fma(r, t, set1(0.11982128769159317f));
    r = fma(r, t, set1(0.139863520860672f));
    r = fma(r, t, set1(0.139621302485466f)) * t;
    const F32x16 lost = fma(size, size, set1(0.0f) - square) * set1(-0.5f);
    const F32x16 bell = exp(square * set1(-0.5f));
    const F32x16 tail = fma(bell, lost, bell) * r;
    return x * select(less(x, set1(0.0f)), tail, set1(1.0f) - tail);
}

// max(x, 0) + log(1 + y) with y = e^-|x|, and log(1 + y) = 2 atanh(s) with s = y / (2 + y) (minimax, 5e-9).
LLMPY_INLINE F32x16 softplus(F32x16 x) {
    const F32x16 y = exp(set1(0.0f) - absolute(x)), s = y / (set1(2.0f) + y), square = s * s;
    F32x16 p = set1(0.14005993373836617f);
    p = fma(p, square, set1(0.14000902647390195f));
    p = fma(p, square, set1(0.200107636185557f));
    p = fma(p, square, set1(0.3333320814285903f));
    const F32x16 log1p = fma(p * square, s, s);
    return max(x, set1(0.0f)) + (log1p + log1p);
}

// Nothing below 0; NaN stays NaN, as it does in `clamp`.
LLMPY_INLINE F32x16 relu(F32x16 x) { return max(set1(0.0f), x); }
LLMPY_INLINE F32x16 clamp(F32x16 x, F32x16 low, F32x16 high) { return min(high, max(low, x)); }

#undef LLMPY_FUNCTION

}  // namespace
}  // namespace llmpy

#endif
