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
    const Int8Apart* apart;
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
        const uint8_t* const apart = of_16 + all * 16 * int64_t{sizeof(int32_t)};
        return {reinterpret_cast<const int8_t*>(data) + i * group_width, reinterpret_cast<const Int8Side*>(sides) + i,
                reinterpret_cast<const int32_t*>(of_16) + i * 16, reinterpret_cast<const Int8Apart*>(apart) + i};
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

// Which 32 inputs block j is of.
template <class T>
LLMPY_INLINE int block_of_32(int j) {
    return T::quads == 4 ? j / 2 : j;
}

// The integer sum of block j in units of the group's scale.
template <class T>
LLMPY_INLINE F32x16 in_scale(const Dot<T::bits>& dot, const Int8Tokens& x, int t, int j) {
    return to_f32(shift_left_by(dot.result(), x.sides[t].shifts[block_of_32<T>(j)]));
}

// How many activations the token that has most keeps apart.
template <int tokens>
LLMPY_INLINE int most_kept_apart(const Int8Tokens& x) {
    int n = 0;
    LLMPY_EACH(t, tokens) n = greater(n, x.sides[t].n_apart);
    return n;
}

// y(t, r) += weights * activations for the n entries of some tokens, and tiles. weights(r, at) gives a quad, scale(r, j)
// and added(r, j) what makes weights of it: zeros for block T::blocks, so that what a token does not have is no product
// with infinity.
template <class T, int tokens, int tiles, class Sums, class Weights, class Scale, class Added>
LLMPY_INLINE void add_apart(const Int8Tokens& x, int n, const Sums& y, const Weights& weights, const Scale& scale,
                            const Added& added) {
    const I32x16 start = offset_times<T>(-1);
    for (int i = 0; i < n; ++i) {
        LLMPY_EACH(t, tokens) {
            const unsigned at = x.apart[t].at[i], j = at / (4 * T::quads);
            const F32x16 activation = set1(x.apart[t].x[i]);
            LLMPY_EACH(r, tiles) {
                Dot<T::bits> dot;
                dot.start(start);
                dot.template add<0, 1>(weights(r, at / 4), x.apart[t].of_four[i]);
                F32x16 weight = to_f32(dot.result());
                if constexpr (T::minima == Minima::none) {
                    weight = weight * scale(r, j);
                } else {
                    weight = fma(weight, scale(r, j), added(r, j));
                }
                y(t, r) = fma(weight, activation, y(t, r));
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

// Two 16-bit integers in one.
LLMPY_INLINE int32_t pair_of(int32_t low, int32_t high) {
    return static_cast<int32_t>((static_cast<uint32_t>(low) & 0xffffu) | static_cast<uint32_t>(high) << 16);
}

// Minima that are integers times one factor of the group: pairs of them, and the sums of activations that each meets.
template <class T>
constexpr int minimum_pairs = T::minima == Minima::pairs         ? 4
                              : T::minima == Minima::pairs_of_16 ? 8
                                                                 : 0;

template <class T>
LLMPY_INLINE int32_t sums_of_pair(const Int8Tokens& x, int t, int i) {
    if constexpr (T::minima == Minima::pairs) return x.sides[t].pairs[i];
    const int first = 4 * (i / 2) + i % 2;
    const auto sum = [&](int j) LLMPY_LAMBDA { return -x.of_16[16 * t + j] * (1 << x.sides[t].shifts[j / 2]); };
    return pair_of(sum(first), sum(first + 2));
}

}  // namespace
}  // namespace llmpy
