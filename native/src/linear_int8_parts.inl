// linear_int8_parts: what both kernels of linear_int8 share: rounded activations as they lie, what a sum starts with,
// where it is stored.

#pragma once

#include "linear_types.inl"
#include "linear_types_small.inl"

namespace llmpy {
namespace {

struct Int8Input {
    const uint8_t* data;
    int64_t tokens, groups;

    explicit LLMPY_INLINE Int8Input(const LinearInput& input)
        : data(static_cast<const uint8_t*>(input.data)), tokens(input.tokens), groups(group_count(input.inputs)) {}

    LLMPY_INLINE const int8_t* values(int64_t group, int64_t token) const {
        return reinterpret_cast<const int8_t*>(data) + (group * tokens + token) * group_width;
    }
    LLMPY_INLINE const Int8Side* sides(int64_t group, int64_t token) const {
        const uint8_t* base = data + groups * tokens * group_width;
        return reinterpret_cast<const Int8Side*>(base) + group * tokens + token;
    }
    // Negated sums of 16 activations: 16 for each token.
    LLMPY_INLINE const int32_t* minus_sums_of_16(int64_t group, int64_t token) const {
        const uint8_t* base = data + groups * tokens * (group_width + static_cast<int64_t>(sizeof(Int8Side)));
        return reinterpret_cast<const int32_t*>(base) + (group * tokens + token) * 16;
    }
    LLMPY_INLINE const Int8Large* large(int64_t group, int64_t token) const {
        const uint8_t* base = data + groups * tokens * (int8_group_bytes - static_cast<int64_t>(sizeof(Int8Large)));
        return reinterpret_cast<const Int8Large*>(base) + group * tokens + token;
    }
};

// f(t, r) += 256 h * weights of the large activations of some tokens, which follow each other, and tiles. quad(r, at) gives
// weights; scales(r) those of each block, then zeros, which keep what a token does not have from being a product with
// infinity. Offsets and minima of the weights meet the sums of all activations elsewhere.
template <class T, int tokens, int tiles, class Sums, class Scales, class Quad>
LLMPY_INLINE void add_large(const Int8Side* sides, const Int8Large* large, const Sums& f, const Scales& scales,
                            const Quad& quad) {
    int n = 0;
    LLMPY_EACH(t, tokens) n = greater(n, sides[t].n_large);
    for (int i = 0; i < n; ++i) {
        LLMPY_EACH(t, tokens) {
            const unsigned at = large[t].at[i];
            LLMPY_EACH(r, tiles) {
                Dot<T::bits> dot;
                dot.start(set1(0));
                dot.template add<0, 1>(quad(r, at), large[t].h[i]);
                f(t, r) = fma(to_f32(shift_left<8>(dot.result())), load(scales(r) + 16 * (at / T::quads)), f(t, r));
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

// What a block's integer sum starts with: the weights' offset times the sum of activations, negated.
template <class T>
LLMPY_INLINE I32x16 start_of(const Int8Side* side, const int32_t* of_16, int j) {
    if constexpr (T::offset_shift < 0) {
        return set1(0);
    } else {
        return shift_left<(T::offset_shift < 0 ? 0 : T::offset_shift)>(
            set1(T::quads == 4 ? of_16[j] : side->minus_sums[j]));
    }
}

// Minima that are integers times one factor of the group: pairs of them, and the sums of activations that each meets.
template <class T>
constexpr int minimum_pairs = T::minima == Minima::pairs ? 4 : T::minima == Minima::pairs_of_16 ? 8 : 0;

template <class T>
LLMPY_INLINE int32_t sums_of_pair(const Int8Side* side, const int32_t* of_16, int i) {
    if constexpr (T::minima == Minima::pairs) return side->pairs[i];
    const int first = 4 * (i / 2) + i % 2;
    const uint32_t low = static_cast<uint32_t>(-of_16[first]) & 0xffffu;
    return static_cast<int32_t>(low | static_cast<uint32_t>(-of_16[first + 2]) << 16);
}

}  // namespace
}  // namespace llmpy
