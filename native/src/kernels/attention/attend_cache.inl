// attend_cache: how keys and values lie in pages, see attend.h.
//
// int14: of a token's head, scale = (largest size) / 8191 and the nearest integers to x / scale, ties to even; with an
// infinity or NaN, all of it becomes NaN.
// q8_0: per block of 32, scale = (largest size) / 127 and the nearest integers to x / scale, ties to even; a block
// with an infinity or NaN becomes NaN.
// q4_0: per block of 32, scale = (value of largest size) / -8 and 8 more than x / scale, rounded up at half, from 0 to 15, as
// ggml has it; a block with an infinity or NaN becomes NaN.
// f16: to nearest, ties to even.

#pragma once

#include "../ops/maps.inl"

namespace llmpy {
namespace {

// Two values of q4_0.
struct TwoNibbles {
    uint8_t both;
};

LLMPY_INLINE F32x16 load_cache(const float* p) { return load(p); }
LLMPY_INLINE F32x16 load_cache(const uint16_t* p) { return load_f16(p); }
LLMPY_INLINE F32x16 load_cache(const int8_t* p) { return to_f32(load_i8(p)); }
LLMPY_INLINE void store_column(const float* x, int64_t d, float* head, int64_t slot) {
    for (int64_t i = 0; i < d; ++i) head[i * kPageTokens + slot] = x[i];
}

LLMPY_INLINE void store_row(const float* x, int64_t d, float* head, int64_t slot) {
    memcpy(head + slot * d, x, static_cast<size_t>(d) * sizeof *x);
}

LLMPY_INLINE void store_half_column(const float* x, int64_t d, uint16_t* head, int64_t slot) {
    for (int64_t i = 0; i < d; ++i) head[i * kPageTokens + slot] = f16_from_f32(x[i]);
}

LLMPY_INLINE void store_half_row(const float* x, int64_t d, uint16_t* head, int64_t slot) {
    const int64_t width = whole_vectors(d);
    for (int64_t i = 0; i < width; ++i) head[slot * width + i] = i < d ? f16_from_f32(x[i]) : uint16_t{0};
}

// What numbers are divided by to become integers of at most `most_of_one`, whose sizes add up to at most `most_of_all`
// and half of their number. 0: all are zero; NaN: one is not finite.
LLMPY_INLINE float step_of(float most, float total, float most_of_one, float most_of_all) {
    if (!(total <= __FLT_MAX__)) return __builtin_nanf("");
    const float step = greater(most * (1.0f / most_of_one), total * (1.0f / most_of_all));
    return step < 0x1p-100f ? 0.0f : step;  // its reciprocal would overflow
}
LLMPY_INLINE float inverse_step(float step) { return step > 0.0f ? 1.0f / step : 0.0f; }

// Keys and values of int14 have 13 bits and a sign, so that queries and weights can have as many as an integer sum holds.
constexpr float kCacheMost = 8191.0f;
constexpr float kPairsMost = 262000.0f;  // 2^31 / 8191, less what rounding 64 numbers may add

// x [n] as integers: put(i, numbers i .. i + 15), zeros behind the last; returns their step.
template <class Put>
LLMPY_INLINE float round_pairs(const float* x, int64_t n, float most_of_one, float most_of_all, const Put& put) {
    const auto part = [&](int64_t i)
                          LLMPY_LAMBDA { return load_part(x + i, static_cast<int>(lesser(n - i, int64_t{16}))); };
    F32x16 most = set1(0.0f), total = set1(0.0f);
    for (int64_t i = 0; i < n; i += 16) {
        const F32x16 size = absolute(part(i));
        most = max(most, size);
        total = total + size;
    }
    const float step = step_of(max_lane(most), sum(total), most_of_one, most_of_all);
    const F32x16 factor = set1(inverse_step(step));
    for (int64_t i = 0; i < n; i += 16) put(i, to_i32(part(i) * factor));
    return step;
}

// One token's key or value in a head: put(i, integers i .. i + 15), the step behind them all.
template <class Put>
LLMPY_INLINE void store_pairs(const float* x, int64_t d, int16_t* head, int64_t slot, const Put& put) {
    const float step = round_pairs(x, d, kCacheMost, __FLT_MAX__, put);
    write(head + whole_vectors(d) * kPageTokens + 2 * slot, step);
}

// n <= 32 values as integers, zeros behind them; returns their scale.
LLMPY_INLINE float round_block(const float* x, int64_t n, int8_t* rounded) {
    const int first = static_cast<int>(lesser(n, int64_t{16})), second = static_cast<int>(n) - first;
    const F32x16 a = load_part(x, first), b = second > 0 ? load_part(x + 16, second) : set1(0.0f);
    const float size = max_lane(max(absolute(a), absolute(b)));
    const bool zero = size < 0x1p-100f;  // its reciprocal would overflow
    const F32x16 factor = set1(zero ? 0.0f : 127.0f / size);
    store_i8(rounded, to_i32(a * factor));
    store_i8(rounded + 16, to_i32(b * factor));
    const float nothing = sum((a - a) + (b - b));  // NaN where there is an infinity or NaN
    return (zero ? 0.0f : size / 127.0f) + nothing;
}

// Keys are kept as `Dot` wants them.
LLMPY_INLINE void store_rounded_key(const float* x, int64_t d, uint8_t* head, int64_t slot) {
    constexpr uint32_t offset = weights_are_offset ? 0x80808080u : 0u;
    uint8_t* const scales = head + cache_blocks(d) * kCacheBlock * kPageTokens;
    for (int64_t b = 0; b < cache_blocks(d); ++b) {
        int8_t rounded[kCacheBlock];
        const float scale = round_block(x + b * kCacheBlock, lesser(d - b * kCacheBlock, kCacheBlock), rounded);
        for (int64_t quad = 0; quad < kCacheBlock / 4; ++quad) {
            const int64_t at = (b * kCacheBlock / 4 + quad) * kPageTokens + slot;
            write(head + 4 * at, read<uint32_t>(rounded + 4 * quad) ^ offset);
        }
        write(scales + 2 * (b * kPageTokens + slot), f16_from_f32(scale));
    }
}

LLMPY_INLINE void store_rounded_value(const float* x, int64_t d, uint8_t* head, int64_t slot) {
    const int64_t width = cache_blocks(d) * kCacheBlock;
    for (int64_t b = 0; b < cache_blocks(d); ++b) {
        int8_t rounded[kCacheBlock];
        const float scale = round_block(x + b * kCacheBlock, lesser(d - b * kCacheBlock, kCacheBlock), rounded);
        memcpy(head + slot * width + b * kCacheBlock, rounded, kCacheBlock);
        write(head + width * kPageTokens + 2 * (b * kPageTokens + slot), f16_from_f32(scale));
    }
}

// n <= 32 values as q4_0 has them, zeros behind them: value i in the low half of byte i, i + 16 in the high one. Returns
// their scale.
LLMPY_INLINE float round_to_nibbles(const float* x, int64_t n, uint8_t* rounded) {
    float most = 0.0f, size = 0.0f, nothing = 0.0f;  // NaN where there is an infinity or NaN
    for (int64_t i = 0; i < n; ++i) {
        const float of_this = float_from_bits(bits_from_float(x[i]) & 0x7fffffffu);
        most = of_this > size ? x[i] : most;
        size = greater(size, of_this);
        nothing += x[i] - x[i];
    }
    const bool zero = size < 0x1p-100f || nothing != 0.0f;  // its reciprocal would overflow
    const float scale = zero ? 0.0f : most / -8.0f, inverse = zero ? 0.0f : 1.0f / scale;
    uint8_t nibbles[kCacheBlock];
    for (int64_t i = 0; i < kCacheBlock; ++i) {
        nibbles[i] =
            static_cast<uint8_t>(lesser(15, static_cast<int>((zero || i >= n ? 0.0f : x[i] * inverse) + 8.5f)));
    }
    for (int64_t i = 0; i < 16; ++i) rounded[i] = static_cast<uint8_t>(nibbles[i] | nibbles[i + 16] << 4);
    return scale + nothing;
}

LLMPY_INLINE void store_nibble_key(const float* x, int64_t d, uint8_t* head, int64_t slot) {
    uint8_t* const scales = head + cache_blocks(d) * kCacheBlock / 2 * kPageTokens;
    for (int64_t b = 0; b < cache_blocks(d); ++b) {
        uint8_t rounded[kCacheBlock / 2];
        const float scale = round_to_nibbles(x + b * kCacheBlock, lesser(d - b * kCacheBlock, kCacheBlock), rounded);
        for (int64_t quad = 0; quad < kCacheBlock / 8; ++quad) {
            const int64_t at = (b * kCacheBlock / 8 + quad) * kPageTokens + slot;
            write(head + 4 * at, read<uint32_t>(rounded + 4 * quad));
        }
        write(scales + 2 * (b * kPageTokens + slot), f16_from_f32(scale));
    }
}

LLMPY_INLINE void store_nibble_value(const float* x, int64_t d, uint8_t* head, int64_t slot) {
    const int64_t width = cache_blocks(d) * kCacheBlock / 2;
    for (int64_t b = 0; b < cache_blocks(d); ++b) {
        uint8_t* const to = head + slot * width + b * kCacheBlock / 2;
        const float scale = round_to_nibbles(x + b * kCacheBlock, lesser(d - b * kCacheBlock, kCacheBlock), to);
        write(head + width * kPageTokens + 2 * (b * kPageTokens + slot), f16_from_f32(scale));
    }
}

[[maybe_unused]] void store_key(const float* x, int64_t d, CacheType type, void* head, int64_t slot) {
    switch (type) {
        case CacheType::int14:
            return store_pairs(x, d, static_cast<int16_t*>(head), slot, [&](int64_t i, I32x16 numbers) LLMPY_LAMBDA {
                int16_t pairs[16];
                store_i16(pairs, numbers);
                auto* const to = static_cast<int16_t*>(head) + (i / 2 * kPageTokens + slot) * 2;
                for (int64_t j = 0; j < 8; ++j) write(to + j * kPageTokens * 2, read<int32_t>(pairs + 2 * j));
            });
        case CacheType::f32:
            return store_column(x, d, static_cast<float*>(head), slot);
        case CacheType::q8_0:
            return store_rounded_key(x, d, static_cast<uint8_t*>(head), slot);
        case CacheType::f16:
            return store_half_column(x, d, static_cast<uint16_t*>(head), slot);
        case CacheType::q4_0:
            return store_nibble_key(x, d, static_cast<uint8_t*>(head), slot);
    }
}

[[maybe_unused]] void store_value(const float* x, int64_t d, CacheType type, void* head, int64_t slot) {
    switch (type) {
        case CacheType::int14:
            return store_pairs(x, d, static_cast<int16_t*>(head), slot, [&](int64_t i, I32x16 numbers) LLMPY_LAMBDA {
                auto* const two = static_cast<int32_t*>(head) + slot / 2 * whole_vectors(d) + i;  // of both tokens
                const I32x16 low = set1(0xffff), before = load(two);
                store(two, slot % 2 == 0 ? before - (before & low) + (numbers & low)
                                         : (before & low) + shift_left<16>(numbers));
            });
        case CacheType::f32:
            return store_row(x, d, static_cast<float*>(head), slot);
        case CacheType::q8_0:
            return store_rounded_value(x, d, static_cast<uint8_t*>(head), slot);
        case CacheType::f16:
            return store_half_row(x, d, static_cast<uint16_t*>(head), slot);
        case CacheType::q4_0:
            return store_nibble_value(x, d, static_cast<uint8_t*>(head), slot);
    }
}

// A query [d], scaled, as the keys of that type meet it: [query_floats].
LLMPY_INLINE void prepare_query(const float* x, int64_t d, float factor, const float*, float* out) {
    const F32x16 f = set1(factor);
    map1(x, d, out, [&](F32x16 v) LLMPY_LAMBDA { return v * f; });
}
LLMPY_INLINE void prepare_query(const float* x, int64_t d, float factor, const uint16_t*, float* out) {
    prepare_query(x, d, factor, static_cast<const float*>(nullptr), out);
}
LLMPY_INLINE void prepare_query(const float* x, int64_t d, float factor, const int16_t*, float* out) {
    auto* const blocks = reinterpret_cast<QueryPairs*>(out);
    constexpr int64_t width = 2 * kQueryPairs;
    for (int64_t b = 0; b < query_pair_blocks(d); ++b) {
        const auto put = [&](int64_t i, I32x16 integers) LLMPY_LAMBDA { store_i16(blocks[b].values + i, integers); };
        const int64_t n = lesser(d - b * width, width);
        blocks[b].scale = round_pairs(x + b * width, n, 32767.0f, kPairsMost, put) * factor;
    }
}
// `offset`: what keys are too large by.
LLMPY_INLINE void prepare_blocks(const float* x, int64_t d, float factor, int32_t offset, float* out) {
    auto* const blocks = reinterpret_cast<QueryBlock*>(out);
    for (int64_t b = 0; b < cache_blocks(d); ++b) {
        QueryBlock& block = blocks[b];
        block.scale = round_block(x + b * kCacheBlock, lesser(d - b * kCacheBlock, kCacheBlock), block.values) * factor;
        block.start = 0;
        for (int i = 0; offset != 0 && i < kCacheBlock; ++i) block.start -= offset * block.values[i];
    }
}
LLMPY_INLINE void prepare_query(const float* x, int64_t d, float factor, const int8_t*, float* out) {
    prepare_blocks(x, d, factor, weights_are_offset ? 128 : 0, out);
}
LLMPY_INLINE void prepare_query(const float* x, int64_t d, float factor, const TwoNibbles*, float* out) {
    prepare_blocks(x, d, factor, 8, out);
}

}  // namespace
}  // namespace llmpy
