// sample_bound: how many of some logits are large, and which bound leaves a certain number of them.
#ifndef LLMPY_SAMPLE_BOUND_H
#define LLMPY_SAMPLE_BOUND_H

#include <math.h>
#include <stdint.h>
#include <string.h>

namespace {

typedef float F32x4 __attribute__((vector_size(16)));
typedef int32_t I32x4 __attribute__((vector_size(16)));
typedef double F64x2 __attribute__((vector_size(16)));
typedef uint64_t U64x2 __attribute__((vector_size(16)));

inline F32x4 load(const float* x) {
    F32x4 v;
    memcpy(&v, x, sizeof v);
    return v;
}

// How many are at or above `bound`.
inline int32_t count_from(const float* x, int32_t n, float bound) {
    const F32x4 bounds = {bound, bound, bound, bound};
    I32x4 a = {0, 0, 0, 0};
    I32x4 b = {0, 0, 0, 0};
    int32_t i = 0;
    for (; i + 8 <= n; i += 8) {
        a += load(x + i) >= bounds;
        b += load(x + i + 4) >= bounds;
    }
    a += b;
    int32_t count = -(a[0] + a[1] + a[2] + a[3]);
    for (; i < n; i++) {
        count += x[i] >= bound;
    }
    return count;
}

// A logit with at least k at or above it, and at most `enough` if halving finds that: not where many are equal. -infinity
// where fewer than k are more than that. `max_logit`: the largest of all.
inline float find_bound(const float* x, int32_t n, float max_logit, int32_t k, int32_t enough) {
    float low = -INFINITY, high = max_logit;
    int32_t from_low = n;  // so many are at or above it
    for (float below = 1.0f; below < 1e30f; below *= 4.0f) {
        const float logit = max_logit - below;
        const int32_t count = count_from(x, n, logit);
        if (count >= k) {
            low = logit;
            from_low = count;
            break;
        }
        high = logit;
    }
    for (int i = 0; i < 24 && from_low > enough && low > -INFINITY; i++) {
        const float logit = low + (high - low) * 0.5f;
        if (!(logit > low && logit < high)) {
            break;
        }
        const int32_t count = count_from(x, n, logit);
        if (count >= k) {
            low = logit;
            from_low = count;
        } else {
            high = logit;
        }
    }
    return low;
}

// Whether one of 4 is at or above `bound`.
inline bool any_from(const float* x, float bound) {
    const F32x4 bounds = {bound, bound, bound, bound};
    const U64x2 any = (U64x2)(load(x) >= bounds);
    return (any[0] | any[1]) != 0;
}

}  // namespace

#endif
