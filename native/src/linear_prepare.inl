// linear_prepare: activations as linear wants them.
//
// int8: per token and group of 256, scale = (largest size) / 127 and q = the nearest integer to x / scale, ties to
// even. Where some sizes are more than large_from times the mean, the quads with the largest of those (one for each 64
// inputs at most) are left out of the largest size, and get a second integer (Int8Large). A largest size below 2^-100
// counts as zero (its reciprocal would overflow); if some x is not finite, the scale is NaN, and so will be every output
// of the token. int16: one scale for each 32 from their largest size, and 32767.

#pragma once

#include "linear_int16.inl"
#include "linear_int8.inl"

namespace llmpy {
namespace {

constexpr float smallest_size = 0x1p-100f;
// Activations are large from so many times the mean size of their group on (chosen by measurements: LOG.md).
constexpr float large_from = 5.0f;

// Where a group's rounded activations go.
struct Int8Group {
    int8_t* q;
    Int8Side* side;
    int32_t* of_16;
    Int8Large* large;

    explicit Int8Group(const Int8Tokens& x)
        : q(const_cast<int8_t*>(x.q)),
          side(const_cast<Int8Side*>(x.sides)),
          of_16(const_cast<int32_t*>(x.of_16)),
          large(const_cast<Int8Large*>(x.large)) {}
};

// One for each 64 inputs: a narrower group has less to lose.
constexpr int most_large(int64_t width) {
    return static_cast<int>((width * most_large_quads + group_width - 1) / group_width);
}

// The largest size of each quad of a group; zero beyond `width`.
inline void sizes_of_quads(const float* x, int64_t width, F32x16 (&sizes)[4]) {
    static const float zeros[4] = {};
    LLMPY_EACH(i, 4) {
        const uint8_t* rows[16];
        LLMPY_EACH(r, 16) {
            const int64_t first = 4 * (16 * i + r);
            rows[r] = reinterpret_cast<const uint8_t*>(first < width ? x + first : zeros);
        }
        U8x64 numbers[4];  // the first of each quad, the second, ...
        load_quads(rows, 0, numbers);
        I32x16 most = set1(0);
        LLMPY_EACH(k, 4) most = max(most, as_i32(numbers[k]) & set1(0x7fffffff));
        sizes[i] = as_f32(most);
    }
}

// Chooses the quads whose size is more than `limit`, at most `most`: the largest ones, the first of equals. Returns the
// largest size of the others.
inline float choose_large(const F32x16 (&sizes)[4], float limit, int most, Int8Group to) {
    F32x16 others = set1(0.0f);
    int chosen[64], n = 0;
    LLMPY_EACH(i, 4) {
        const Mask16 large = less(set1(limit), sizes[i]);
        others = max(others, select(large, set1(0.0f), sizes[i]));
        for (unsigned left = bits_of(large); left != 0; left &= left - 1) chosen[n++] = 16 * i + __builtin_ctz(left);
    }
    float rest = max_lane(others);
    if (n > most) {
        float size[64];
        LLMPY_EACH(i, 4) store(size + 16 * i, sizes[i]);
        for (; n > most; --n) {
            int least = 0;
            for (int i = 1; i < n; ++i) least = size[chosen[i]] <= size[chosen[least]] ? i : least;
            rest = greater(rest, size[chosen[least]]);
            for (int i = least; i + 1 < n; ++i) chosen[i] = chosen[i + 1];
        }
    }
    to.side->n_large = n;
    for (int i = 0; i < most_large_quads && i < n; ++i) to.large->at[i] = static_cast<uint8_t>(chosen[i]);
    return rest;
}

// The integers of the large quads in two parts.
inline void split_large(const float* x, F32x16 factor, Int8Group to) {
    float values[16] = {};
    static_assert(4 * most_large_quads == 16, "one vector");
    for (int i = 0; i < to.side->n_large; ++i) memcpy(values + 4 * i, x + 4 * to.large->at[i], 4 * sizeof *x);
    const I32x16 n = to_i32(load(values) * factor), h = to_i32(to_f32(n) * set1(1.0f / 255.0f));
    int8_t low[16];
    store_i8(low, n - (shift_left<8>(h) - h));
    store_i8(to.large->h[0], h);
    for (int i = 0; i < to.side->n_large; ++i) {
        memcpy(to.q + 4 * to.large->at[i], low + 4 * i, 4);
        const int8_t* of_quad = to.large->h[i];
        to.large->minus_sums[i] = -(of_quad[0] + of_quad[1] + of_quad[2] + of_quad[3]);
    }
}

// Rounds to multiples of 1 / factor.
inline void round_by(const float* x, int64_t width, float factor, Int8Group to) {
    const F32x16 f = set1(factor);
    for (int64_t i = 0; i < width; i += 16) store_i8(to.q + i, to_i32(load(x + i) * f));
    if (to.side->n_large > 0) split_large(x, f, to);
    for (int64_t i = 0; i < width; i += 16) to.of_16[i / 16] = -sum_i8(to.q + i);
}

// `width` activations, a multiple of 32, of one group. The largest size is found among integers: floats without sign
// have the same order as their bits, and infinity and NaN come last.
inline void round_group(const float* x, int64_t width, Int8Group to) {
    I32x16 most = set1(0);
    F32x16 total = set1(0.0f);
    for (int64_t i = 0; i < width; i += 16) {
        const F32x16 size = absolute(load(x + i));
        most = max(most, bits_of(size));
        total = total + size;
    }
    const int32_t largest = max_lane(most);
    const bool finite = largest < 0x7f800000;
    const float size = float_from_bits(static_cast<uint32_t>(largest));
    const float limit = sum(total) * (large_from / static_cast<float>(width));
    float scale = size / 127.0f;
    to.side->n_large = 0;
    memset(to.side->unused, 0, sizeof to.side->unused);
    memset(to.large, 0, sizeof *to.large);
    memset(to.large->at, no_quad, sizeof to.large->at);
    memset(to.of_16, 0, 16 * sizeof *to.of_16);
    if (!finite || size < smallest_size) {
        scale = finite ? 0.0f : __builtin_nanf("");
        memset(to.q, 0, static_cast<size_t>(width));
    } else if (size <= limit) {
        round_by(x, width, 127.0f / size, to);
    } else {
        F32x16 sizes[4];
        sizes_of_quads(x, width, sizes);
        scale = greater(choose_large(sizes, limit, most_large(width), to) / 127.0f, size / 32000.0f);
        round_by(x, width, 1.0f / scale, to);
    }
    for (int j = 0; j < 8; ++j) to.side->minus_sums[j] = to.of_16[2 * j] + to.of_16[2 * j + 1];
    for (int i = 0; i < 4; ++i) {
        const int first = 4 * (i / 2) + i % 2;
        const uint32_t low = static_cast<uint32_t>(-to.side->minus_sums[first]) & 0xffffu;
        to.side->pairs[i] = static_cast<int32_t>(low | static_cast<uint32_t>(-to.side->minus_sums[first + 2]) << 16);
    }
    to.side->scale = scale;
}

void prepare(const LinearInput& input, const float* x, int64_t stride, int64_t token_begin, int64_t token_end) {
    const int64_t groups = group_count(input.inputs);
    const Int8Input view(input);
    for (int64_t token = token_begin; token < token_end; ++token) {
        const float* row = x + token * stride;
        for (int64_t group = 0; group < groups; ++group) {
            const int64_t width = lesser(input.inputs - group * group_width, group_width);
            const float* from = row + group * group_width;
            if (input.kind == InputKind::int8) {
                round_group(from, width, Int8Group(view.at(group, token)));
            } else if (input.kind == InputKind::int16) {
                const Int16Input halves(input);
                round_group_to_int16(from, width, const_cast<int16_t*>(halves.values(group, token)),
                                     const_cast<float*>(halves.scales(group, token)));
            } else {
                float* to = static_cast<float*>(input.data) + (group * input.tokens + token) * group_width;
                memcpy(to, from, static_cast<size_t>(width) * sizeof *to);
            }
        }
    }
}

}  // namespace
}  // namespace llmpy
