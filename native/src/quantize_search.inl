// quantize_search: the scales that cost least, for sixteen groups at once. The same steps as quant/search.py.

namespace llmpy {
namespace {

constexpr float kTiny = 1e-15f;  // a group with no value above it becomes zeros
constexpr int kRounds = 3;

// Candidates: at most 19 around each of two ends.
struct Ends {
    float at[40];
    int n = 0;

    // `end`, then end + k * step / 10 for k from -9 to 9; all with the sign.
    LLMPY_INLINE void around(int end, int step, float sign) {
        at[n++] = sign * static_cast<float>(end);
        for (int k = -9; k <= 9; ++k) {
            if (k != 0) at[n++] = sign * static_cast<float>((10 * end + step * k) / 10.0);
        }
    }
};

// Near -low with the other sign, and near -low - 1, the largest integers.
LLMPY_INLINE Ends signed_ends(int low) {
    Ends ends;
    ends.around(-low, 1, -1.0f);
    ends.around(-low - 1, 1, 1.0f);
    return ends;
}

// To the nearest integer from `low` to `high`.
struct Rounded {
    F32x16 low, high;
    LLMPY_INLINE F32x16 operator()(F32x16 x) const { return to_f32(to_i32(min(max(x, low), high))); }
};

constexpr float kNonlinear[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

// To the nearest value of the table of IQ4 (half-way: the upper one).
struct Nonlinear {
    LLMPY_INLINE F32x16 operator()(F32x16 x) const {
        F32x16 value = set1(kNonlinear[0]);
        unroll<15>([&](auto i) LLMPY_LAMBDA {
            constexpr float middle = (kNonlinear[i + 1] + kNonlinear[i]) / 2.0f;
            value = select(less(x, set1(middle)), value, set1(kNonlinear[i + 1]));
        });
        return value;
    }
};

LLMPY_INLINE Rounded rounded(int low, int high) {
    return {set1(static_cast<float>(low)), set1(static_cast<float>(high))};
}

// 1 / d, or 0 where d is 0.
LLMPY_INLINE F32x16 reciprocal(F32x16 d) {
    const F32x16 zero = set1(0.0f), one = set1(1.0f);
    const Mask16 some = less(zero, absolute(d));
    return select(some, one / select(some, d, one), zero);
}

// d as a half can hold it.
LLMPY_INLINE F32x16 as_half(F32x16 d) {
    uint16_t half[16];
    store_f16(half, d);
    return load_f16(half);
}

struct Scale {
    F32x16 d, weight;
};

// x and w are [n][16]; without weights w is not read.
template <bool weighted, class Code>
LLMPY_NOINLINE Scale fit_codes(const float* x, const float* w, int n, const Ends& ends, const Code code) {
    const F32x16 zero = set1(0.0f), tiny = set1(kTiny);
    F32x16 most = load(x), least = most;
    for (int i = 1; i < n; ++i) {
        most = max(most, load(x + 16 * i));
        least = min(least, load(x + 16 * i));
    }
    const F32x16 largest = select(less(zero - least, most), most, least);
    const Mask16 some = less(tiny, absolute(largest));
    const F32x16 divisor = select(some, largest, set1(1.0f));
    F32x16 best = zero, best_xq = zero, best_qq = zero;
    for (int c = 0; c < ends.n; ++c) {
        const F32x16 inverse = set1(ends.at[c]) / divisor;
        F32x16 xq = zero, qq = zero;
        for (int i = 0; i < n; ++i) {
            const F32x16 v = load(x + 16 * i);
            const F32x16 q = code(v * inverse);
            if constexpr (weighted) {
                const F32x16 u = load(w + 16 * i);
                xq = xq + u * v * q;
                qq = qq + u * q * q;
            } else {
                xq = xq + v * q;
                qq = qq + q * q;
            }
        }
        const F32x16 score = xq * xq / max(qq, tiny);
        const Mask16 better = less(c == 0 ? set1(-1.0f) : best, c == 0 ? zero : score);
        best = select(better, score, best);
        best_xq = select(better, xq, best_xq);
        best_qq = select(better, qq, best_qq);
    }
    return {select(some, best_xq / max(best_qq, tiny), zero), select(some, best_qq, zero)};
}

struct Range {
    F32x16 d, m, weight, all;
};

// Sums for one choice of integers, and the best step and offset (less low) for it, if it is better than what there was.
template <bool weighted>
struct RangeSearch {
    const float *x, *w;
    int n;
    F32x16 low, zero, bound, sy, sw, score, d, m, qq;

    template <class Integers>
    LLMPY_INLINE void consider(const Integers& integers, bool first) {
        F32x16 sq = zero, s2 = zero, yq = zero;
        for (int i = 0; i < n; ++i) {
            const F32x16 y = load(x + 16 * i) - low;
            const F32x16 q = integers(y);
            F32x16 wq = q, wy = y;
            if constexpr (weighted) {
                const F32x16 u = load(w + 16 * i);
                wq = u * q;
                wy = u * y;
            }
            sq = sq + wq;
            s2 = s2 + wq * q;
            yq = yq + wy * q;
        }
        const F32x16 tiny = set1(kTiny);
        const F32x16 determinant = max(sw * s2 - sq * sq, tiny);
        F32x16 step = (sw * yq - sy * sq) / determinant;
        F32x16 offset = (s2 * sy - sq * yq) / determinant;
        const Mask16 above = less(bound, offset);
        step = select(above, (yq + low * sq) / max(s2, tiny), step);
        offset = select(above, zero - low, offset);
        const F32x16 gain = step * (yq + yq - step * s2) + offset * (sy + sy - offset * sw) - (step + step) * offset * sq;
        const Mask16 better = less(first ? set1(-1.0f) : score, first ? zero : gain);
        score = select(better, gain, score);
        d = select(better, step, d);
        m = select(better, offset, m);
        qq = select(better, s2, qq);
    }
};

// d * q + m with q from 0 to high; m is 0 or below unless `any_sign`.
template <bool weighted>
LLMPY_NOINLINE Range fit_ranged(const float* x, const float* w, int n, int high, bool any_sign) {
    const F32x16 zero = set1(0.0f), one = set1(1.0f);
    F32x16 most = load(x), low = most, sy = zero, sw = set1(static_cast<float>(n));
    for (int i = 1; i < n; ++i) {
        most = max(most, load(x + 16 * i));
        low = min(low, load(x + 16 * i));
    }
    if (!any_sign) low = min(low, zero);
    low = low + zero;
    const F32x16 width = most - low;
    const Mask16 some = less(set1(kTiny), width);
    const F32x16 divisor = select(some, width, one);
    if constexpr (weighted) sw = zero;
    for (int i = 0; i < n; ++i) {
        const F32x16 y = load(x + 16 * i) - low;
        if constexpr (weighted) {
            const F32x16 u = load(w + 16 * i);
            sy = sy + u * y;
            sw = sw + u;
        } else {
            sy = sy + y;
        }
    }
    const F32x16 bound = any_sign ? set1(3e38f) : zero - low;
    RangeSearch<weighted> search = {x, w, n, low, zero, bound, sy, sw, zero, zero, zero, zero};
    const Rounded code = rounded(0, high);
    Ends ends;
    ends.around(high, 1, 1.0f);
    for (int c = 0; c < ends.n; ++c) {
        const F32x16 inverse = set1(ends.at[c]) / divisor;
        search.consider([&](F32x16 y) LLMPY_LAMBDA { return code(y * inverse); }, c == 0);
        if (!any_sign) continue;
        const float cut = ends.at[c] - static_cast<float>(high);  // off the lower end, and off both
        search.consider([&](F32x16 y) LLMPY_LAMBDA { return code(y * inverse - set1(cut)); }, false);
        search.consider([&](F32x16 y) LLMPY_LAMBDA { return code(y * inverse - set1(cut / 2.0f)); }, false);
    }
    for (int round = 0; round < kRounds; ++round) {  // from the best on: round to it, and fit again
        const F32x16 m = search.m, inverse = one / select(less(zero, absolute(search.d)), search.d, one);
        search.consider([&](F32x16 y) LLMPY_LAMBDA { return code((y - m) * inverse); }, false);
    }
    return {select(some, search.d, zero), select(some, search.m, zero) + low, select(some, search.qq, zero), sw};
}

}  // namespace
}  // namespace llmpy
