// maps: loops over vectors of 16 values and the rest of them.

#pragma once

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
        [&](int64_t i, int rest)
            LLMPY_LAMBDA { store_part(y + i, f(load_part(a + i, rest), load_part(b + i, rest)), rest); });
}

LLMPY_INLINE F32x16 load_up_to(const float* p, int n) { return n == 16 ? load(p) : load_part(p, n); }

LLMPY_INLINE void store_up_to(float* p, F32x16 a, int n) {
    if (n == 16) {
        store(p, a);
    } else {
        store_part(p, a, n);
    }
}

// body(index of the first of 16 values, how many of them) for values begin to end: one loop, for bodies that are long.
template <class Body>
LLMPY_INLINE void each_part(int64_t begin, int64_t end, const Body& body) {
    LLMPY_NO_UNROLL for (int64_t i = begin; i < end; i += 16) {
        body(i, static_cast<int>(lesser<int64_t>(16, end - i)));
    }
}

}  // namespace
}  // namespace llmpy
