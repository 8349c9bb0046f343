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
    uint8_t* which;

    explicit Int8Group(const Int8Tokens& x)
        : q(const_cast<int8_t*>(x.q)),
          side(const_cast<Int8Side*>(x.sides)),
          of_16(const_cast<int32_t*>(x.of_16)),
          apart(const_cast<Int8Apart*>(x.apart)),
          which(const_cast<uint8_t*>(x.which)) {}
};

// One for each 64 inputs: a narrower group has less to lose.
constexpr int most_apart_of(int64_t width) {
    return static_cast<int>((width * most_apart + group_width - 1) / group_width);
}

// What is known of a group's activations: which of each 64 are above a limit, if there is one, and of the others the largest
// size of each 32 and of all.
struct Int8Sizes {
    uint64_t above[group_width / 64];
    F32x16 of_32;  // in the first lanes
    float most;
};

template <bool has_limit>
LLMPY_INLINE Int8Sizes sizes_below([[maybe_unused]] float limit, const float* x, int64_t width) {
    Int8Sizes sizes;
    LLMPY_EACH(i, group_width / 64) sizes.above[i] = 0;
    const auto of_16 = [&](int64_t i) LLMPY_LAMBDA {
        const F32x16 size = absolute(load(x + 16 * i));
        if constexpr (!has_limit) return bits_of(size);
        const Mask16 above = less(set1(limit), size);
        sizes.above[i / 4] |= uint64_t{bits_of(above)} << (i % 4 * 16);
        return bits_of(select(above, set1(0.0f), size));  // floats without sign have the same order as their bits
    };
    I32x16 of_32[group_blocks];
    LLMPY_EACH(j, group_blocks) of_32[j] = 32 * j < width ? max(of_16(2 * j), of_16(2 * j + 1)) : set1(0);
    const I32x16 each = largest_of_each(of_32);
    sizes.of_32 = as_f32(each);
    sizes.most = float_from_bits(static_cast<uint32_t>(max_lane(each)));
    return sizes;
}

// The same of all groups that have some above the limit, which are few.
LLMPY_NOINLINE Int8Sizes sizes_with_limit(float limit, const float* x, int64_t width) {
    return sizes_below<true>(limit, x, width);
}

LLMPY_INLINE int count_above(const Int8Sizes& sizes) {
    int n = 0;
    LLMPY_EACH(i, group_width / 64) n += __builtin_popcountll(sizes.above[i]);
    return n;
}

// body(i) for each activation above the limit.
template <class Body>
LLMPY_INLINE void for_above(const Int8Sizes& sizes, const Body& body) {
    LLMPY_EACH(i, static_cast<int>(group_width) / 64) {
        for (uint64_t left = sizes.above[i]; left != 0; left &= left - 1) body(64 * i + __builtin_ctzll(left));
    }
}

// The size that `most` of those are above, or fewer where some are equal.
inline float limit_of(const float* x, const Int8Sizes& sizes, int most) {
    float above[group_width];
    int n = 0;
    for_above(sizes, [&](int i) LLMPY_LAMBDA { above[n++] = float_from_bits(bits_from_float(x[i]) & 0x7fffffffu); });
    for (int i = 0; i <= most; ++i) {  // the largest ones come first
        int next = i;
        for (int j = i + 1; j < n; ++j) next = above[j] > above[next] ? j : next;
        const float size = above[next];
        above[next] = above[i];
        above[i] = size;
    }
    return above[most];
}

// Activations above the limit become entries.
LLMPY_INLINE void set_apart(const float* x, const Int8Sizes& sizes, Int8Group to) {
    int n = 0;
    for_above(sizes, [&](int i) LLMPY_LAMBDA {
        to.apart[n] = Int8Apart{x[i], {}, i, 0};
        to.apart[n++].of_four[i % 4] = 1;
    });
    *to.which = static_cast<uint8_t>((1 << n) - 1);
}

// Rounds all that are not above the limit, and adds them up as what is added to weights and minima meets them.
LLMPY_INLINE void round_below(const float* x, int64_t width, const Int8Sizes& sizes, Int8Group to) {
    const float least = 127.0f / sizes.most;
    F32x16 unit = set1(1.0f), factors = set1(least * (1 << most_shift));
    LLMPY_EACH(i, most_shift) {
        const Mask16 larger = less(set1(sizes.most * (1.0f / (1 << (most_shift - i)))), sizes.of_32);
        unit = select(larger, set1(static_cast<float>(2 << i)), unit);
        factors = select(larger, set1(least * (1 << (most_shift - 1 - i))), factors);
    }
    U8x64 q[group_width / 64];
    LLMPY_EACH(i, static_cast<int>(group_width) / 64) {
        I32x16 of_16[4];
        LLMPY_EACH(j, 4) {
            const bool there = 64 * i + 16 * j < width;
            const F32x16 factor = there ? lane_everywhere(factors, 2 * i + j / 2) : set1(0.0f);
            of_16[j] = there ? to_i32(load(x + 64 * i + 16 * j) * factor) : set1(0);
        }
        q[i] = without(narrow(of_16), sizes.above[i]);
        store_bytes(to.q + 64 * i, q[i]);
    }
    const I32x16 sums = sums_of_16(q), of_32 = even_lanes(sums + bits_of(swap_neighbours(as_f32(sums))));
    const F32x16 scaled = to_f32(of_32) * unit;
    int32_t scaled_sums[16];
    store(scaled_sums, to_i32(scaled));
    store(to.of_16, set1(0) - sums);
    // Each of these writes over what follows.
    store(to.side->minus_sums, set1(0) - of_32);
    store(to.side->shifts, shift_right_signed<23>(bits_of(unit)) - set1(127));
    store(to.side->sums, scaled);
    to.side->scale = sizes.most / 127.0f * (1.0f / (1 << most_shift));
    for (int i = 0; i < 4; ++i) {
        const int first = 4 * (i / 2) + i % 2;
        to.side->pairs[i] = pair_of(scaled_sums[first], scaled_sums[first + 2]);
    }
}

// Of `width` activations, a multiple of 32, of one group. Infinity and NaN are above no limit that is made of them.
LLMPY_INLINE Int8Sizes sizes_of(const float* x, int64_t width) {
    F32x16 totals[4];
    LLMPY_EACH(i, 4) totals[i] = set1(0.0f);
    LLMPY_EACH(i, group_width / 16) {
        if (16 * i < width) totals[i % 4] = totals[i % 4] + absolute(load(x + 16 * i));
    }
    const F32x16 total = (totals[0] + totals[1]) + (totals[2] + totals[3]);
    const float limit = sum(total) * (apart_from / static_cast<float>(width));
    Int8Sizes sizes = sizes_below<false>(limit, x, width);
    if (!(sizes.most > limit)) return sizes;  // as with most groups
    const int most = most_apart_of(width);
    sizes = sizes_with_limit(limit, x, width);
    return count_above(sizes) > most ? sizes_with_limit(limit_of(x, sizes, most), x, width) : sizes;
}

LLMPY_INLINE void round_group(const float* x, int64_t width, const Int8Sizes& sizes, Int8Group to) {
    *to.which = 0;
    for (int i = 0; i < most_apart; ++i) to.apart[i] = Int8Apart{0.0f, {}, static_cast<int32_t>(group_width), 0};
    const bool finite = sizes.most <= __FLT_MAX__;
    if (finite && sizes.most >= smallest_size) {
        round_below(x, width, sizes, to);
    } else {
        memset(to.side, 0, sizeof *to.side);
        memset(to.of_16, 0, 16 * sizeof *to.of_16);
        memset(to.q, 0, group_width);
        if (!finite) to.side->scale = __builtin_nanf("");
    }
    if (finite) set_apart(x, sizes, to);
}

// A token. Sizes of some groups before any is rounded: each is a long chain of instructions, and so several are under way
// at once. Whole groups have loops of known lengths.
void round_token(const float* x, int64_t token, const Int8Input& view, int64_t inputs) {
    constexpr int64_t at_once = 8;
    Int8Sizes sizes[at_once];
    for (int64_t begin = 0; begin < view.groups; begin += at_once) {
        const int64_t end = lesser(begin + at_once, view.groups), whole = lesser(end, inputs / group_width);
        for (int64_t i = begin; i < whole; ++i) sizes[i - begin] = sizes_of(x + i * group_width, group_width);
        if (whole < end) sizes[whole - begin] = sizes_of(x + whole * group_width, inputs - whole * group_width);
        for (int64_t i = begin; i < whole; ++i)
            round_group(x + i * group_width, group_width, sizes[i - begin], Int8Group(view.at(i, token)));
        if (whole < end)
            round_group(x + whole * group_width, inputs - whole * group_width, sizes[whole - begin],
                        Int8Group(view.at(whole, token)));
    }
}

void prepare(const LinearInput& input, const float* x, int64_t stride, int64_t token_begin, int64_t token_end) {
    const int64_t groups = group_count(input.inputs);
    const Int8Input view(input);
    for (int64_t token = token_begin; token < token_end; ++token) {
        const float* row = x + token * stride;
        if (input.kind == InputKind::int8) {
            round_token(row, token, view, input.inputs);
            continue;
        }
        for (int64_t group = 0; group < groups; ++group) {
            const int64_t width = lesser(input.inputs - group * group_width, group_width);
            const float* from = row + group * group_width;
            if (input.kind == InputKind::int16) {
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
