// linear_prepare: activations as linear wants them.
//
// int8: per token and group of 256, scale = (largest size) / 127 / 2^most_shift; each 32 have a unit of their own, scale
// times the smallest power of two with which their largest size is at most 127; q = the nearest integer to
// x / unit, ties to even. Sizes that are more than apart_from times the mean, the largest of those and one for each 64
// inputs at most, count for none of this: they are kept apart (Int8Apart). A largest size below 2^-100 counts as zero
// (its reciprocal would overflow); if some x is not finite, the scale is NaN, and so will be every output of the token.
// int16: one scale for each 32 from their largest size, and 32767.

#pragma once

#include "linear_int16.inl"
#include "linear_int8.inl"

namespace llmpy {
namespace {

constexpr float smallest_size = 0x1p-100f;
// Activations are kept apart from so many times the mean size of their group on (chosen by measurements: LOG.md).
constexpr float apart_from = 10.0f;
constexpr int group_blocks = static_cast<int>(group_width) / 32;

// Where a group's rounded activations go.
struct Int8Group {
    int8_t* q;
    Int8Side* side;
    int32_t* of_16;
    Int8Apart* apart;

    explicit Int8Group(const Int8Tokens& x)
        : q(const_cast<int8_t*>(x.q)),
          side(const_cast<Int8Side*>(x.sides)),
          of_16(const_cast<int32_t*>(x.of_16)),
          apart(const_cast<Int8Apart*>(x.apart)) {}
};

// One for each 64 inputs: a narrower group has less to lose.
constexpr int most_apart_of(int64_t width) {
    return static_cast<int>((width * most_apart + group_width - 1) / group_width);
}

// What is known of a group's activations: 32 at a time their largest size, and how many exceed the limit.
struct Int8Sizes {
    float of_32[group_blocks];
    float most;
};

inline Int8Sizes sizes_of(const float* x, int64_t width) {
    Int8Sizes sizes = {};
    I32x16 most = set1(0);
    for (int j = 0; 32 * j < width; ++j) {
        const I32x16 larger = max(bits_of(absolute(load(x + 32 * j))), bits_of(absolute(load(x + 32 * j + 16))));
        sizes.of_32[j] = float_from_bits(static_cast<uint32_t>(max_lane(larger)));
        most = max(most, larger);
    }
    sizes.most = float_from_bits(static_cast<uint32_t>(max_lane(most)));
    return sizes;
}

// Which of up to 256 activations are larger than the limit, 16 in each; returns how many.
inline int find_larger(const float* x, int64_t width, float limit, unsigned* larger) {
    int n = 0;
    for (int64_t i = 0; i < width; i += 16) {
        larger[i / 16] = bits_of(less(set1(limit), absolute(load(x + i))));
        n += __builtin_popcount(larger[i / 16]);
    }
    return n;
}

// The size that `most` of those are above, or fewer where some are equal.
inline float limit_of(const float* x, int64_t width, const unsigned* larger, int most) {
    float sizes[group_width];
    int n = 0;
    for (int64_t i = 0; i < width; i += 16) {
        for (unsigned left = larger[i / 16]; left != 0; left &= left - 1) {
            const float at = x[i + __builtin_ctz(left)];
            sizes[n++] = float_from_bits(bits_from_float(at) & 0x7fffffffu);
        }
    }
    for (int i = 0; i <= most; ++i) {  // the largest ones come first
        int next = i;
        for (int j = i + 1; j < n; ++j) next = sizes[j] > sizes[next] ? j : next;
        const float size = sizes[next];
        sizes[next] = sizes[i];
        sizes[i] = size;
    }
    return sizes[most];
}

// Activations above the limit become entries, and zero in `rest`.
inline void set_apart(const float* x, int64_t width, float limit, float* rest, Int8Group to) {
    unsigned larger[group_width / 16];
    const int most = most_apart_of(width);
    if (find_larger(x, width, limit, larger) > most) {
        limit = limit_of(x, width, larger, most);
        find_larger(x, width, limit, larger);
    }
    int n = 0;
    for (int64_t i = 0; i < width; i += 16) {
        const F32x16 all = load(x + i);
        store(rest + i, select(less(set1(limit), absolute(all)), set1(0.0f), all));
        for (unsigned left = larger[i / 16]; left != 0; left &= left - 1, ++n) {
            const int at = static_cast<int>(i) + __builtin_ctz(left);
            to.apart->x[n] = x[at];
            to.apart->of_four[n][at % 4] = 1;
            to.apart->at[n] = static_cast<uint16_t>(at);
        }
    }
    to.side->n_apart = n;
}

// Rounds 32 at a time.
inline void round_by_32(const float* x, int64_t width, const Int8Sizes& sizes, Int8Group to) {
    const float factor = 127.0f / sizes.most, half = sizes.most * 0.5f;
    float factors[group_blocks];
    for (int j = 0; j < group_blocks; ++j) {
        const float size = sizes.of_32[j];
        const int less_than = (size <= half) + (size <= half * 0.5f) + (size <= half * 0.25f);
        to.side->shifts[j] = most_shift - less_than;
        factors[j] = factor * static_cast<float>(1 << less_than);
    }
    for (int j = 0; 32 * j < width; ++j) {
        const F32x16 f = set1(factors[j]);
        store_i8(to.q + 32 * j, to_i32(load(x + 32 * j) * f));
        store_i8(to.q + 32 * j + 16, to_i32(load(x + 32 * j + 16) * f));
    }
}

// The sums of blocks, as what is added to weights and minima meet them.
inline void fill_sums(int64_t width, Int8Group to) {
    sums_of_16(to.q, static_cast<int>(width / 16), to.of_16);
    int32_t scaled[8];
    for (int j = 0; j < 8; ++j) {
        const int32_t sum = to.of_16[2 * j] + to.of_16[2 * j + 1];
        to.side->minus_sums[j] = -sum;
        scaled[j] = sum * (1 << to.side->shifts[j]);
        to.side->sums[j] = static_cast<float>(scaled[j]);
    }
    for (int j = 0; j < 16; ++j) to.of_16[j] = -to.of_16[j];
    for (int i = 0; i < 4; ++i) {
        const int first = 4 * (i / 2) + i % 2;
        to.side->pairs[i] = pair_of(scaled[first], scaled[first + 2]);
    }
}

// `width` activations, a multiple of 32, of one group. Floats without sign have the same order as their bits, and
// infinity and NaN come last.
inline void round_group(const float* x, int64_t width, Int8Group to) {
    F32x16 total = set1(0.0f);
    for (int64_t i = 0; i < width; i += 16) total = total + absolute(load(x + i));
    const float limit = sum(total) * (apart_from / static_cast<float>(width));
    Int8Sizes sizes = sizes_of(x, width);
    const bool finite = sizes.most <= __FLT_MAX__;
    memset(to.side, 0, sizeof *to.side);
    memset(to.of_16, 0, 16 * sizeof *to.of_16);
    memset(to.apart, 0, sizeof *to.apart);
    for (uint16_t& at : to.apart->at) at = group_width;
    float rest[group_width];
    if (finite && sizes.most > limit) {
        set_apart(x, width, limit, rest, to);
        sizes = sizes_of(rest, width);
        x = rest;
    }
    if (!finite || sizes.most < smallest_size) {
        to.side->scale = finite ? 0.0f : __builtin_nanf("");
        memset(to.q, 0, static_cast<size_t>(width));
        return;
    }
    to.side->scale = sizes.most / 127.0f * (1.0f / (1 << most_shift));
    round_by_32(x, width, sizes, to);
    fill_sums(width, to);
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
