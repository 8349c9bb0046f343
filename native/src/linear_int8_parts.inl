// linear_int8_parts: what both kernels of linear_int8 share: rounded activations as they lie, what a sum starts with,
// where it is stored.

#pragma once

#include "linear_types.inl"
#include "linear_types_small.inl"

namespace llmpy {
namespace {

// A group of a token's activations, and behind each part that of the next token.
struct Int8Tokens {
    const int8_t* q;
    const Int8Side* sides;
    const int32_t* of_16;  // negated sums of 16 q, 16 for each token
    const Int8Large* large;
};

struct Int8Input {
    const uint8_t* data;
    int64_t tokens, groups;

    explicit LLMPY_INLINE Int8Input(const LinearInput& input)
        : data(static_cast<const uint8_t*>(input.data)), tokens(input.tokens), groups(group_count(input.inputs)) {}

    LLMPY_INLINE Int8Tokens at(int64_t group, int64_t token) const {
        const int64_t i = group * tokens + token, all = groups * tokens;
        const uint8_t* const sides = data + all * group_width;
        const uint8_t* const of_16 = sides + all * int64_t{sizeof(Int8Side)};
        const uint8_t* const large = of_16 + all * 16 * int64_t{sizeof(int32_t)};
        return {reinterpret_cast<const int8_t*>(data) + i * group_width, reinterpret_cast<const Int8Side*>(sides) + i,
                reinterpret_cast<const int32_t*>(of_16) + i * 16, reinterpret_cast<const Int8Large*>(large) + i};
    }
};

// What an integer sum starts with: the weights' offset times the sum of activations, negated.
template <class T>
LLMPY_INLINE I32x16 offset_times(int32_t minus_sum) {
    if constexpr (T::offset_shift < 0) {
        return set1(0);
    } else {
        return shift_left<(T::offset_shift < 0 ? 0 : T::offset_shift)>(set1(minus_sum));
    }
}

template <class T>
LLMPY_INLINE I32x16 start_of(const Int8Tokens& x, int t, int j) {
    return offset_times<T>(T::quads == 4 ? x.of_16[16 * t + j] : x.sides[t].minus_sums[j]);
}

// How many quads of large activations the token that has most has.
template <int tokens>
LLMPY_INLINE int large_quads(const Int8Tokens& x) {
    int n = 0;
    LLMPY_EACH(t, tokens) n = greater(n, x.sides[t].n_large);
    return n;
}

// f(t, r) += 255 h * weights for n quads of large activations of some tokens and tiles. weights(r, at) gives quads,
// factor(r, j) and minimum(r, j) 255 times the scale and what is subtracted of block j: zeros for block T::blocks, so that
// what a token does not have is no product with infinity.
template <class T, int tokens, int tiles, class Sums, class Weights, class Factor, class Minimum>
LLMPY_INLINE void add_large(const Int8Tokens& x, int n, const Sums& f, const Weights& weights, const Factor& factor,
                            const Minimum& minimum) {
    if (n > 0) LLMPY_EACH(t, tokens) prefetch_l1(x.large + tokens + t);  // the next tokens will have some as well
    for (int i = 0; i < n; ++i) {
        LLMPY_EACH(t, tokens) {
            const Int8Large& large = x.large[t];
            const unsigned at = large.at[i];
            const I32x16 start = offset_times<T>(large.minus_sums[i]);
            const F32x16 minus_sum = to_f32(set1(T::minima == Minima::none ? 0 : large.minus_sums[i]));
            LLMPY_EACH(r, tiles) {
                Dot<T::bits> dot;
                dot.start(start);
                dot.template add<0, 1>(weights(r, at), large.h[i]);
                f(t, r) = fma(to_f32(dot.result()), factor(r, at / T::quads), f(t, r));
                if constexpr (T::minima != Minima::none) {
                    f(t, r) = fma(minimum(r, at / T::quads), minus_sum, f(t, r));
                }
            }
        }
    }
}

// Adds the bias and what was there, if wanted, and stores 16 outputs of a token, or as many as there are.
LLMPY_INLINE void finish(const LinearCall& call, int64_t token, int64_t row, F32x16 value) {
    float* y = call.y + token * call.y_stride + row;
    const int64_t rows = call.outputs - row;
    if (rows >= tile_rows) {
        if (call.bias) value = value + load(call.bias + row);
        if (call.accumulate) value = value + load(y);
        store(y, value);
    } else {
        const int part = static_cast<int>(rows);
        if (call.bias) value = value + load_part(call.bias + row, part);
        if (call.accumulate) value = value + load_part(y, part);
        store_part(y, value, part);
    }
}

// Minima that are integers times one factor of the group: pairs of them, and the sums of activations that each meets.
template <class T>
constexpr int minimum_pairs = T::minima == Minima::pairs         ? 4
                              : T::minima == Minima::pairs_of_16 ? 8
                                                                 : 0;

template <class T>
LLMPY_INLINE int32_t sums_of_pair(const Int8Tokens& x, int t, int i) {
    if constexpr (T::minima == Minima::pairs) return x.sides[t].pairs[i];
    const int32_t* const of_16 = x.of_16 + 16 * t;
    const int first = 4 * (i / 2) + i % 2;
    const uint32_t low = static_cast<uint32_t>(-of_16[first]) & 0xffffu;
    return static_cast<int32_t>(low | static_cast<uint32_t>(-of_16[first + 2]) << 16);
}

}  // namespace
}  // namespace llmpy
