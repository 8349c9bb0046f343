// attend_cache: how keys and values lie in pages, see attend.h.
//
// q8_0: per block of 32, scale = (largest size) / 127 and the nearest integers to x / scale, ties to even; a block
// with an infinity or NaN becomes NaN.

#pragma once

namespace llmpy {
namespace {

LLMPY_INLINE F32x16 load_cache(const uint16_t* p) {
    return load_f16(p);
}
LLMPY_INLINE F32x16 load_cache(const float* p) {
    return load(p);
}
LLMPY_INLINE F32x16 load_cache(const int8_t* p) {
    return to_f32(load_i8(p));
}
LLMPY_INLINE F32x16 load_cache_part(const uint16_t* p, int n) {
    return load_f16_part(p, n);
}
LLMPY_INLINE F32x16 load_cache_part(const float* p, int n) {
    return load_part(p, n);
}
LLMPY_INLINE void store_cache(uint16_t* p, F32x16 a) {
    store_f16(p, a);
}
LLMPY_INLINE void store_cache(float* p, F32x16 a) {
    store(p, a);
}
LLMPY_INLINE void store_cache_part(uint16_t* p, F32x16 a, int n) {
    store_f16_part(p, a, n);
}
LLMPY_INLINE void store_cache_part(float* p, F32x16 a, int n) {
    store_part(p, a, n);
}

template <class T>
LLMPY_INLINE void store_column(const float* x, int64_t d, T* head, int64_t slot) {
    each_vector(
        d,
        [&](int64_t i) LLMPY_LAMBDA {
            T values[16];
            store_cache(values, load(x + i));
            for (int64_t j = 0; j < 16; ++j) head[(i + j) * kPageTokens + slot] = values[j];
        },
        [&](int64_t i, int rest) LLMPY_LAMBDA {
            T values[16];
            store_cache_part(values, load_part(x + i, rest), rest);
            for (int64_t j = 0; j < rest; ++j) head[(i + j) * kPageTokens + slot] = values[j];
        });
}

template <class T>
LLMPY_INLINE void store_row(const float* x, int64_t d, T* head, int64_t slot) {
    T* const row = head + slot * d;
    each_vector(
        d, [&](int64_t i) LLMPY_LAMBDA { store_cache(row + i, load(x + i)); },
        [&](int64_t i, int rest) LLMPY_LAMBDA { store_cache_part(row + i, load_part(x + i, rest), rest); });
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

void store_key(const float* x, int64_t d, CacheType type, void* head, int64_t slot) {
    switch (type) {
        case CacheType::f16:
            return store_column(x, d, static_cast<uint16_t*>(head), slot);
        case CacheType::f32:
            return store_column(x, d, static_cast<float*>(head), slot);
        case CacheType::q8_0:
            return store_rounded_key(x, d, static_cast<uint8_t*>(head), slot);
    }
}

void store_value(const float* x, int64_t d, CacheType type, void* head, int64_t slot) {
    switch (type) {
        case CacheType::f16:
            return store_row(x, d, static_cast<uint16_t*>(head), slot);
        case CacheType::f32:
            return store_row(x, d, static_cast<float*>(head), slot);
        case CacheType::q8_0:
            return store_rounded_value(x, d, static_cast<uint8_t*>(head), slot);
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
LLMPY_INLINE void prepare_query(const float* x, int64_t d, float factor, const int8_t*, float* out) {
    auto* const blocks = reinterpret_cast<QueryBlock*>(out);
    for (int64_t b = 0; b < cache_blocks(d); ++b) {
        QueryBlock& block = blocks[b];
        block.scale =
            round_block(x + b * kCacheBlock, lesser(d - b * kCacheBlock, kCacheBlock), block.values) * factor;
        block.start = 0;
        for (int i = 0; weights_are_offset && i < kCacheBlock; ++i) block.start -= 128 * block.values[i];
    }
}

}  // namespace
}  // namespace llmpy
