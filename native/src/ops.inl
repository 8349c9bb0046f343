// ops.inl: the kernels of ops.h but attend's, in the vocabulary of simd/*.h; compiled once per level.

namespace llmpy {
namespace {

// y[i] = f(index of the first of 16 values, how many of them) for n values.
template <class Load, class Store>
LLMPY_INLINE void each_vector(int64_t n, const Load& whole, const Store& part) {
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) whole(i);
    if (i < n) part(i, static_cast<int>(n - i));
}

template <class F>
LLMPY_INLINE void map1(const float* a, int64_t n, float* y, const F& f) {
    each_vector(
        n, [&](int64_t i) LLMPY_LAMBDA { store(y + i, f(load(a + i))); },
        [&](int64_t i, int rest) LLMPY_LAMBDA { store_part(y + i, f(load_part(a + i, rest)), rest); });
}

template <class F>
LLMPY_INLINE void map2(const float* a, const float* b, int64_t n, float* y, const F& f) {
    each_vector(
        n, [&](int64_t i) LLMPY_LAMBDA { store(y + i, f(load(a + i), load(b + i))); },
        [&](int64_t i, int rest) LLMPY_LAMBDA {
            store_part(y + i, f(load_part(a + i, rest), load_part(b + i, rest)), rest);
        });
}

void add(const float* a, const float* b, int64_t n, float* y) {
    map2(a, b, n, y, [](F32x16 p, F32x16 q) LLMPY_LAMBDA { return p + q; });
}

void mul(const float* a, const float* b, int64_t n, float* y) {
    map2(a, b, n, y, [](F32x16 p, F32x16 q) LLMPY_LAMBDA { return p * q; });
}

void scale(const float* a, float factor, int64_t n, float* y) {
    const F32x16 f = set1(factor);
    map1(a, n, y, [&](F32x16 p) LLMPY_LAMBDA { return p * f; });
}

void add_scaled(const float* a, float factor, int64_t n, float* y) {
    const F32x16 f = set1(factor);
    map2(a, y, n, y, [&](F32x16 p, F32x16 q) LLMPY_LAMBDA { return fma(p, f, q); });
}

void silu_all(const float* a, int64_t n, float* y) {
    map1(a, n, y, [](F32x16 p) LLMPY_LAMBDA { return silu(p); });
}

void silu_mul(const float* a, const float* b, int64_t n, float* y) {
    map2(a, b, n, y, [](F32x16 p, F32x16 q) LLMPY_LAMBDA { return silu(p) * q; });
}

// In a fixed order: four running sums over vectors 0, 4, 8 .., 1, 5, 9 .., and so on.
LLMPY_INLINE float sum_of_squares(const float* x, int64_t n) {
    F32x16 s[4] = {set1(0.0f), set1(0.0f), set1(0.0f), set1(0.0f)};
    int64_t i = 0;
    for (; i + 64 <= n; i += 64) {
        unroll<4>([&](auto j) LLMPY_LAMBDA {
            const F32x16 v = load(x + i + 16 * j.value);
            s[j.value] = fma(v, v, s[j.value]);
        });
    }
    for (; i + 16 <= n; i += 16) {
        const F32x16 v = load(x + i);
        s[0] = fma(v, v, s[0]);
    }
    if (i < n) {
        const F32x16 v = load_part(x + i, static_cast<int>(n - i));
        s[1] = fma(v, v, s[1]);
    }
    return sum((s[0] + s[1]) + (s[2] + s[3]));
}

void rms_norm(const float* x, const float* w, float eps, int64_t rows, int64_t width, float* y) {
    for (int64_t r = 0; r < rows; ++r, x += width, y += width) {
        const float mean = sum_of_squares(x, width) / static_cast<float>(width);
        const F32x16 factor = set1(1.0f / __builtin_sqrtf(mean + eps));
        map2(x, w, width, y, [&](F32x16 p, F32x16 q) LLMPY_LAMBDA { return p * factor * q; });
    }
}

void rope(float* x, const float* cos, const float* sin, int64_t n_heads, int64_t width, int64_t n_pairs, bool neox) {
    const int64_t apart = neox ? n_pairs : 1, step = neox ? 1 : 2;
    for (int64_t h = 0; h < n_heads; ++h, x += width) {
        for (int64_t i = 0; i < n_pairs; ++i) {
            float* const pair = x + i * step;
            const float a = pair[0], b = pair[apart];
            pair[0] = a * cos[i] - b * sin[i];
            pair[apart] = a * sin[i] + b * cos[i];
        }
    }
}

LLMPY_INLINE F32x16 load_cache(const uint16_t* p) {
    return load_f16(p);
}
LLMPY_INLINE F32x16 load_cache(const float* p) {
    return load(p);
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

void store_key(const float* x, int64_t d, CacheType type, void* head, int64_t slot) {
    if (type == CacheType::f16) {
        store_column(x, d, static_cast<uint16_t*>(head), slot);
    } else {
        store_column(x, d, static_cast<float*>(head), slot);
    }
}

void store_value(const float* x, int64_t d, CacheType type, void* head, int64_t slot) {
    if (type == CacheType::f16) {
        store_row(x, d, static_cast<uint16_t*>(head), slot);
    } else {
        store_row(x, d, static_cast<float*>(head), slot);
    }
}

}  // namespace
}  // namespace llmpy
