// attend_products: queries times the keys of a page, and weights times its values. Uses ops.inl's loads of cached values.

#pragma once

namespace llmpy {
namespace {

// Products of some queries with some vectors at a time: as many accumulators as the registers hold.
template <int queries>
constexpr int vectors_at_once() {
    constexpr int n = kAccumulators / queries;
    return n < 1 ? 1 : n > 4 ? 4 : n;
}
constexpr int kPageVectors = kPageTokens / 16;

// scores[r][j] = q[r] . key j, for the 64 keys [d, 64] of one head in a page
template <int queries, class T>
void score_page(const float* q, const T* keys, int64_t d, float* scores) {
    constexpr int vectors = vectors_at_once<queries>();
    for (int at = 0; at < kPageVectors; at += vectors) {
        F32x16 sum[queries][vectors];
        unroll<queries>([&](auto r) LLMPY_LAMBDA {
            unroll<vectors>([&](auto v) LLMPY_LAMBDA { sum[r.value][v.value] = set1(0.0f); });
        });
        const T* key = keys + 16 * at;
        for (int64_t i = 0; i < d; ++i, key += kPageTokens) {
            F32x16 k[vectors];
            unroll<vectors>([&](auto v) LLMPY_LAMBDA { k[v.value] = load_cache(key + 16 * v.value); });
            unroll<queries>([&](auto r) LLMPY_LAMBDA {
                const F32x16 x = set1(q[r.value * d + i]);
                unroll<vectors>([&](auto v) LLMPY_LAMBDA {
                    sum[r.value][v.value] = fma(x, k[v.value], sum[r.value][v.value]);
                });
            });
        }
        unroll<queries>([&](auto r) LLMPY_LAMBDA {
            unroll<vectors>([&](auto v) LLMPY_LAMBDA {
                store(scores + r.value * kPageTokens + 16 * (at + v.value), sum[r.value][v.value]);
            });
        });
    }
}

// values[r] += p[r][j] * value j, for tokens first <= j < last of one head's values [64, d] in a page, `width` of the
// vectors' lanes from dimension `at` on.
template <int queries, int vectors, bool whole, class T>
void add_vectors(const float* p, const T* page, int64_t d, int first, int last, float* values,
                              int64_t padded, int64_t at) {
    F32x16 sum[queries][vectors];
    unroll<queries>([&](auto r) LLMPY_LAMBDA {
        unroll<vectors>([&](auto v) LLMPY_LAMBDA {
            sum[r.value][v.value] = load(values + r.value * padded + at + 16 * v.value);
        });
    });
    const int rest = static_cast<int>(d - at) - 16 * (vectors - 1);
    const T* row = page + first * d + at;
    for (int j = first; j < last; ++j, row += d) {
        F32x16 x[vectors];
        unroll<vectors>([&](auto v) LLMPY_LAMBDA {
            constexpr bool part = !whole && v.value == vectors - 1;
            x[v.value] = part ? load_cache_part(row + 16 * v.value, rest) : load_cache(row + 16 * v.value);
        });
        unroll<queries>([&](auto r) LLMPY_LAMBDA {
            const F32x16 weight = set1(p[r.value * kPageTokens + j]);
            unroll<vectors>([&](auto v) LLMPY_LAMBDA {
                sum[r.value][v.value] = fma(weight, x[v.value], sum[r.value][v.value]);
            });
        });
    }
    unroll<queries>([&](auto r) LLMPY_LAMBDA {
        unroll<vectors>([&](auto v) LLMPY_LAMBDA {
            store(values + r.value * padded + at + 16 * v.value, sum[r.value][v.value]);
        });
    });
}

template <int queries, class T>
void add_values(const float* p, const T* page, int64_t d, int first, int last, float* values,
                             int64_t padded) {
    if (first >= last) return;
    constexpr int vectors = vectors_at_once<queries>();
    int64_t at = 0;
    for (; at + 16 * vectors <= d; at += 16 * vectors) {
        add_vectors<queries, vectors, true>(p, page, d, first, last, values, padded, at);
    }
    for (; at + 16 <= d; at += 16) add_vectors<queries, 1, true>(p, page, d, first, last, values, padded, at);
    if (at < d) add_vectors<queries, 1, false>(p, page, d, first, last, values, padded, at);
}

}  // namespace
}  // namespace llmpy
