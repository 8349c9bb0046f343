// quantize_search: the scales that cost least, for sixteen groups at once. The same steps as quant/search.py.

namespace llmpy {
namespace {

constexpr float kTiny = 1e-15f;  // a group with no value above it becomes zeros
constexpr float kFlat = 1e-5f;   // a variance below this part of the mean square is rounding of float32
constexpr float kMargin = 1.0f + 4.0f / (1 << 23);  // what is better by less is not: sums were rounded
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

// The value of largest size of each group (1 where that is 0), and where it is not 0.
struct Extreme {
    F32x16 divisor;
    Mask16 some;

    LLMPY_INLINE Extreme(const float* x, int n) {
        F32x16 most = load(x), least = most;
        for (int i = 1; i < n; ++i) {
            most = max(most, load(x + 16 * i));
            least = min(least, load(x + 16 * i));
        }
        const F32x16 largest = select(less(set1(0.0f) - least, most), most, least);
        some = less(set1(kTiny), absolute(largest));
        divisor = select(some, largest, set1(1.0f));
    }
};

// x and w are [n][16]; without weights w is not read. `halves`: scales are rounded to halves before they are compared.
template <bool weighted, class Code>
LLMPY_NOINLINE Scale fit_codes(const float* x, const float* w, int n, bool halves, const Ends& ends, const Code code) {
    const F32x16 zero = set1(0.0f), tiny = set1(kTiny);
    const Extreme extreme(x, n);
    F32x16 best = zero, best_d = zero, best_qq = zero;
    for (int c = 0; c < ends.n; ++c) {
        const F32x16 inverse = set1(ends.at[c]) / extreme.divisor;
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
        F32x16 d = xq / max(qq, tiny);
        if (halves) d = as_half(d);
        const F32x16 score = d * (xq + xq - d * qq);
        const Mask16 better = less(c == 0 ? set1(-1.0f) : best * set1(kMargin), c == 0 ? zero : score);
        best = select(better, score, best);
        best_d = select(better, d, best_d);
        best_qq = select(better, qq, best_qq);
    }
    return {select(extreme.some, best_d, zero), select(extreme.some, best_qq, zero)};
}

// The scale of a block's scales, as a half can hold it: the candidates are compared by what is left of x.
LLMPY_NOINLINE F32x16 fit_scale(const float* x, const float* w, int n, const Ends& ends, const Rounded code) {
    const F32x16 zero = set1(0.0f);
    const Extreme extreme(x, n);
    F32x16 best = zero, least = zero;
    for (int c = 0; c < ends.n; ++c) {
        F32x16 inverse = set1(ends.at[c]) / extreme.divisor, xq = zero, qq = zero, lost = zero;
        for (int i = 0; i < n; ++i) {
            const F32x16 v = load(x + 16 * i), u = load(w + 16 * i);
            const F32x16 q = code(v * inverse);
            xq = xq + u * v * q;
            qq = qq + u * q * q;
        }
        const F32x16 d = as_half(xq / max(qq, set1(kTiny)));
        inverse = reciprocal(d);
        for (int i = 0; i < n; ++i) {
            const F32x16 v = load(x + 16 * i);
            const F32x16 left = d * code(v * inverse) - v;
            lost = lost + load(w + 16 * i) * left * left;
        }
        const Mask16 better = less(c == 0 ? set1(-1.0f) : lost, c == 0 ? zero : least);
        best = select(better, d, best);
        least = select(better, lost, least);
    }
    return select(extreme.some, best, zero);
}

struct Range {
    F32x16 d, m, weight, all;
};

// Sums for one choice of integers, and the best step and offset (less low) for it, if it is better than what there was.
struct RangeSearch {
    const float *x, *w;  // w may be null
    int n;
    bool any_sign;
    Rounded code;
    F32x16 low, usual, sy, sw, score, d, m, qq;
};

// The integers code((y - m) * inverse - cut) of y = x - low, with m and cut if they are `shifted`.
template <bool weighted, bool shifted>
LLMPY_NOINLINE void consider(RangeSearch& search, F32x16 m, F32x16 inverse, F32x16 cut, bool first) {
    const F32x16 zero = set1(0.0f), low = search.low, sy = search.sy, sw = search.sw;
    const Rounded code = search.code;
    const float *const x = search.x, *const w = search.w;
    F32x16 sq = zero, s2 = zero, yq = zero;
    for (int i = 0; i < search.n; ++i) {
        const F32x16 y = load(x + 16 * i) - low;
        const F32x16 q = code(shifted ? (y - m) * inverse - cut : y * inverse);
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
    const F32x16 square = sw * s2, spread = square - sq * sq;
    const Mask16 varied = less(set1(kFlat) * square, spread);  // else one integer for all: any offset fits as well
    const F32x16 divided = select(varied, spread, set1(1.0f));
    F32x16 step = (sw * yq - sy * sq) / divided;
    F32x16 offset = (s2 * sy - sq * yq) / divided;
    if (search.any_sign) {
        step = select(varied, step, search.usual);
        offset = select(varied, offset, (sy - search.usual * sq) / sw);
    } else {  // where the offset would be above 0, or may be anything: it is 0, and the step the best without it
        const F32x16 most = zero - low, alone = (yq + low * sq) / max(s2, set1(kTiny));
        const Mask16 above = less(most, offset);
        step = select(varied, select(above, alone, step), alone);
        offset = select(varied, select(above, most, offset), most);
    }
    const F32x16 gain = step * (yq + yq - step * s2) + offset * (sy + sy - offset * sw) - (step + step) * offset * sq;
    const Mask16 better = less(first ? set1(-1.0f) : search.score * set1(kMargin), first ? zero : gain);
    search.score = select(better, gain, search.score);
    search.d = select(better, step, search.d);
    search.m = select(better, offset, search.m);
    search.qq = select(better, s2, search.qq);
}

// d * q + m with q from 0 to high; m is 0 or below unless `any_sign`.
LLMPY_NOINLINE Range fit_ranged(const float* x, const float* w, int n, int high, bool any_sign) {
    const F32x16 zero = set1(0.0f), one = set1(1.0f);
#ifdef __OPTIMIZE_SIZE__
    constexpr bool always_shifted = true;
#else
    constexpr bool always_shifted = false;
#endif
    const auto plain = w != nullptr ? consider<true, always_shifted> : consider<false, always_shifted>;
    const auto shifted = w != nullptr ? consider<true, true> : consider<false, true>;
    F32x16 most = load(x), low = most, sy = zero, sw = set1(w != nullptr ? 0.0f : static_cast<float>(n));
    for (int i = 1; i < n; ++i) {
        most = max(most, load(x + 16 * i));
        low = min(low, load(x + 16 * i));
    }
    if (!any_sign) low = min(low, zero);
    low = low + zero;
    const F32x16 width = most - low;
    const Mask16 some = less(set1(kTiny), width);
    const F32x16 divisor = select(some, width, one);
    for (int i = 0; i < n; ++i) {
        const F32x16 y = load(x + 16 * i) - low;
        if (w != nullptr) {
            const F32x16 u = load(w + 16 * i);
            sy = sy + u * y;
            sw = sw + u;
        } else {
            sy = sy + y;
        }
    }
    const F32x16 usual = divisor / set1(static_cast<float>(high));
    RangeSearch search = {x, w, n, any_sign, rounded(0, high), low, usual, sy, sw, zero, zero, zero, zero};
    Ends ends;
    ends.around(high, 1, 1.0f);
    for (int c = 0; c < ends.n; ++c) {
        const F32x16 inverse = set1(ends.at[c]) / divisor;
        plain(search, zero, inverse, zero, c == 0);
        if (!any_sign) continue;
        const float cut = ends.at[c] - static_cast<float>(high);  // off the lower end, and off both
        shifted(search, zero, inverse, set1(cut), false);
        shifted(search, zero, inverse, set1(cut / 2.0f), false);
    }
    for (int round = 0; round < kRounds; ++round) {  // from the best on: round to it, and fit again
        const F32x16 inverse = one / select(less(zero, absolute(search.d)), search.d, one);
        shifted(search, search.m, inverse, zero, false);
    }
    return {select(some, search.d, zero), select(some, search.m, zero) + low, select(some, search.qq, zero), sw};
}

}  // namespace
}  // namespace llmpy
