// linear_prepare: activations as linear wants them.
//
// int8: per token and group of 256, scale = (largest size) / 127 and q = the nearest integer to x / scale, ties to
// even. A largest size below 2^-100 counts as zero (its reciprocal would overflow); if some x is not finite, the scale
// is NaN, and so will be every output of the token. int16: the same with 32767 and for each 32.

#pragma once

#include "linear_int16.inl"
#include "linear_int8.inl"

namespace llmpy {
namespace {

constexpr float smallest_size = 0x1p-100f;

// `width` activations, a multiple of 32, of one group. The largest size is found among integers: floats without sign
// have the same order as their bits, and infinity and NaN come last.
inline void round_group(const float* x, int64_t width, int8_t* q, Int8Side* side, int32_t* minus_sums_of_16) {
    I32x16 most = set1(0);
    for (int64_t i = 0; i < width; i += 16) most = max(most, bits_of(absolute(load(x + i))));
    const int32_t largest = max_lane(most);
    const bool finite = largest < 0x7f800000;
    const float size = float_from_bits(static_cast<uint32_t>(largest));
    const bool zero = !finite || size < smallest_size;
    const F32x16 factor = set1(zero ? 0.0f : 127.0f / size);
    memset(minus_sums_of_16, 0, 16 * sizeof *minus_sums_of_16);
    if (zero) memset(q, 0, static_cast<size_t>(width));
    for (int64_t i = 0; i < width && !zero; i += 16) {
        store_i8(q + i, to_i32(load(x + i) * factor));
        minus_sums_of_16[i / 16] = -sum_i8(q + i);
    }
    for (int j = 0; j < 8; ++j) side->minus_sums[j] = minus_sums_of_16[2 * j] + minus_sums_of_16[2 * j + 1];
    for (int i = 0; i < 4; ++i) {
        const int first = 4 * (i / 2) + i % 2;
        const uint32_t low = static_cast<uint32_t>(-side->minus_sums[first]) & 0xffffu;
        side->pairs[i] = static_cast<int32_t>(low | static_cast<uint32_t>(-side->minus_sums[first + 2]) << 16);
    }
    side->scale = !finite ? __builtin_nanf("") : zero ? 0.0f : size / 127.0f;
    memset(side->unused, 0, sizeof side->unused);
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
                round_group(from, width, const_cast<int8_t*>(view.values(group, token)),
                            const_cast<Int8Side*>(view.sides(group, token)),
                            const_cast<int32_t*>(view.minus_sums_of_16(group, token)));
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
