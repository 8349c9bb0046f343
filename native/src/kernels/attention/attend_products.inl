// attend_products: queries times the keys of a page, and weights times its values. Uses attend_cache.inl's loads.

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

// How many bytes further lies what is read next. One query computes too little to wait for memory in between, and the
// processor's own guesses end with each run of keys.
struct Ahead {
    int64_t keys, values;
};
template <class T>
LLMPY_INLINE void prefetch(const T* p, int64_t ahead) {
    prefetch_l1(reinterpret_cast<const char*>(p) + ahead);
}

// scores[r][j] = q[r] . key j, for the 64 keys [d, 64] of one head in a page
template <int queries, class T>
void score_page(const float* q, const T* keys, int64_t d, int64_t ahead, float* scores) {
    constexpr int vectors = vectors_at_once<queries>();
    for (int at = 0; at < kPageVectors; at += vectors) {
        F32x16 sum[queries][vectors];
        unroll<queries>([&](auto r) LLMPY_LAMBDA {
            unroll<vectors>([&](auto v) LLMPY_LAMBDA { sum[r.value][v.value] = set1(0.0f); });
        });
        const T* key = keys + 16 * at;
        for (int64_t i = 0; i < d; ++i, key += kPageTokens) {
            F32x16 k[vectors];
            unroll<vectors>([&](auto v) LLMPY_LAMBDA {
                k[v.value] = load_cache(key + 16 * v.value);
                prefetch(key + 16 * v.value, ahead);
            });
            unroll<queries>([&](auto r) LLMPY_LAMBDA {
                const F32x16 x = set1(q[r.value * d + i]);
                unroll<vectors>(
                    [&](auto v) LLMPY_LAMBDA { sum[r.value][v.value] = fma(x, k[v.value], sum[r.value][v.value]); });
            });
        }
        unroll<queries>([&](auto r) LLMPY_LAMBDA {
            unroll<vectors>([&](auto v) LLMPY_LAMBDA {
                store(scores + r.value * kPageTokens + 16 * (at + v.value), sum[r.value][v.value]);
            });
        });
    }
}

// A quad of 16 tokens' keys.
template <int quad>
LLMPY_INLINE U8x64 load_key_quad(const int8_t* keys, int64_t token, int64_t ahead) {
    const int8_t* const key = keys + 4 * (quad * kPageTokens + token);
    prefetch(key, ahead);
    return load_bytes(key);
}
template <int quad>
LLMPY_INLINE U8x64 load_key_quad(const TwoNibbles* keys, int64_t token, int64_t ahead) {
    const TwoNibbles* const key = keys + 4 * (quad % 4 * kPageTokens + token);
    if constexpr (quad < 4) prefetch(key, ahead);
    return shift_right < quad<4 ? 0 : 4>(load_bytes(key)) & set1_byte(15);
}

// The same for keys of q8_0 and q4_0, and queries rounded to 8 bits: a block at a time.
template <int queries, int bits, class T>
LLMPY_INLINE void score_blocks(const float* q, const T* keys, int64_t d, int64_t ahead, float* scores) {
    constexpr int vectors = vectors_at_once<queries>();
    constexpr int quads = static_cast<int>(kCacheBlock) / 4;
    const int64_t blocks = cache_blocks(d);
    const auto* const query = reinterpret_cast<const QueryBlock*>(q);
    constexpr int64_t block_bytes = bits * kCacheBlock / 8 * kPageTokens;
    const auto* scale = reinterpret_cast<const uint16_t*>(keys + blocks * block_bytes);
    for (int64_t b = 0; b < blocks; ++b, keys += block_bytes, scale += kPageTokens) {
        for (int at = 0; at < kPageVectors; at += vectors) {
            Dot<bits> dot[queries][vectors];
            unroll<queries>([&](auto r) LLMPY_LAMBDA {
                const I32x16 start = set1(query[r.value * blocks + b].start);
                unroll<vectors>([&](auto v) LLMPY_LAMBDA { dot[r.value][v.value].start(start); });
            });
            unroll<quads>([&](auto quad) LLMPY_LAMBDA {
                U8x64 k[vectors];
                unroll<vectors>([&](auto v) LLMPY_LAMBDA {
                    k[v.value] = load_key_quad<quad.value>(keys, 16 * (at + v.value), ahead);
                });
                unroll<queries>([&](auto r) LLMPY_LAMBDA {
                    const int8_t* const x = query[r.value * blocks + b].values;
                    unroll<vectors>([&](auto v) LLMPY_LAMBDA {
                        dot[r.value][v.value].template add<quad.value, quads>(k[v.value], x);
                    });
                });
            });
            unroll<queries>([&](auto r) LLMPY_LAMBDA {
                const F32x16 factor = set1(query[r.value * blocks + b].scale);
                unroll<vectors>([&](auto v) LLMPY_LAMBDA {
                    float* const score = scores + r.value * kPageTokens + 16 * (at + v.value);
                    const F32x16 both = load_f16(scale + 16 * (at + v.value)) * factor;
                    const F32x16 before = b == 0 ? set1(0.0f) : load(score);
                    store(score, fma(to_f32(dot[r.value][v.value].result()), both, before));
                });
            });
        }
    }
}

template <int queries>
LLMPY_INLINE void score_page(const float* q, const int8_t* keys, int64_t d, int64_t ahead, float* scores) {
    score_blocks<queries, 8>(q, keys, d, ahead, scores);
}
template <int queries>
LLMPY_INLINE void score_page(const float* q, const TwoNibbles* keys, int64_t d, int64_t ahead, float* scores) {
    score_blocks<queries, 4>(q, keys, d, ahead, scores);
}

// dot[r][v] = the sum over i < n of what `rows` holds at i for the lanes of vector v, times pair i of query r: products
// of pairs of 16-bit integers. Rows are `stride` integers apart, queries `apart`. Where registers are left, odd rows
// have sums of their own: integers do not mind the order.
template <int queries, int vectors>
LLMPY_INLINE void multiply_pairs_of(const int16_t* rows, int64_t stride, const int16_t* pairs, int64_t apart, int64_t n,
                                    int64_t ahead, I32x16 (&dot)[queries][vectors]) {
    constexpr int sums = 2 * queries * vectors <= kAccumulators ? 2 : 1;
    I32x16 sum[sums][queries][vectors];
    unroll<sums>([&](auto s) LLMPY_LAMBDA {
        unroll<queries>([&](auto r) LLMPY_LAMBDA {
            unroll<vectors>([&](auto v) LLMPY_LAMBDA { sum[s.value][r.value][v.value] = set1(0); });
        });
    });
    const auto add_row = [&](auto s) LLMPY_LAMBDA {
        U8x64 x[vectors];
        unroll<vectors>([&](auto v) LLMPY_LAMBDA {
            x[v.value] = load_bytes(rows + 2 * 16 * v.value);
            prefetch(rows + 2 * 16 * v.value, ahead);
        });
        unroll<queries>([&](auto r) LLMPY_LAMBDA {
            const int32_t pair = read<int32_t>(pairs + r.value * apart);
            unroll<vectors>([&](auto v) LLMPY_LAMBDA {
                I32x16& y = sum[s.value][r.value][v.value];
                y = add_products_of_pairs(y, x[v.value], pair);
            });
        });
        rows += stride;
        pairs += 2;
    };
    int64_t i = 0;
    for (; i + sums <= n; i += sums) unroll<sums>(add_row);
    if (i < n) add_row(Index<0>{});
    unroll<queries>([&](auto r) LLMPY_LAMBDA {
        unroll<vectors>([&](auto v) LLMPY_LAMBDA {
            dot[r.value][v.value] = sum[0][r.value][v.value];
            if constexpr (sums == 2) dot[r.value][v.value] = dot[r.value][v.value] + sum[sums - 1][r.value][v.value];
        });
    });
}

// The same for keys of int14: 64 dimensions are summed as integers.
template <int queries>
void score_page(const float* q, const int16_t* keys, int64_t d, int64_t ahead, float* scores) {
    constexpr int vectors = vectors_at_once<queries>();
    const int64_t pairs = whole_vectors(d) / 2, blocks = query_pair_blocks(d);
    const auto* query = reinterpret_cast<const QueryPairs*>(q);
    const auto* const scale = reinterpret_cast<const float*>(keys + pairs * 2 * kPageTokens);
    constexpr int64_t block_numbers = sizeof(QueryPairs) / sizeof(int16_t);
    for (int64_t b = 0; b < blocks; ++b, ++query, keys += kQueryPairs * 2 * kPageTokens) {
        const int64_t n = lesser(pairs - b * kQueryPairs, kQueryPairs);
        for (int at = 0; at < kPageVectors; at += vectors) {
            I32x16 dot[queries][vectors];
            multiply_pairs_of(keys + 2 * 16 * at, 2 * kPageTokens, query->values, blocks * block_numbers, n, ahead,
                              dot);
            unroll<queries>([&](auto r) LLMPY_LAMBDA {
                const F32x16 factor = set1(query[r.value * blocks].scale);
                unroll<vectors>([&](auto v) LLMPY_LAMBDA {
                    const int lane = 16 * (at + v.value);
                    float* const score = scores + r.value * kPageTokens + lane;
                    const F32x16 before = b == 0 ? set1(0.0f) : load(score);
                    const F32x16 sum = fma(to_f32(dot[r.value][v.value]), factor, before);
                    store(score, b + 1 < blocks ? sum : sum * load(scale + lane));
                });
            });
        }
    }
}

// values[r] += p[r][j] * value j, for tokens first <= j < last of one head's values [64, d] in a page, `width` of the
// vectors' lanes from dimension `at` on.
template <int queries, int vectors, bool whole, class T>
void add_vectors(const float* p, const T* page, int64_t d, int first, int last, int64_t ahead, float* values,
                 int64_t padded, int64_t at) {
    F32x16 sum[queries][vectors];
    unroll<queries>([&](auto r) LLMPY_LAMBDA {
        unroll<vectors>(
            [&](auto v) LLMPY_LAMBDA { sum[r.value][v.value] = load(values + r.value * padded + at + 16 * v.value); });
    });
    [[maybe_unused]] const int rest = static_cast<int>(d - at) - 16 * (vectors - 1);
    const T* row = page + first * d + at;
    for (int j = first; j < last; ++j, row += d) {
        F32x16 x[vectors];
        unroll<vectors>([&](auto v) LLMPY_LAMBDA {
            prefetch(row + 16 * v.value, ahead);
            if constexpr (!whole && v.value == vectors - 1) {
                x[v.value] = load_part(row + 16 * v.value, rest);
            } else {
                x[v.value] = load_cache(row + 16 * v.value);
            }
        });
        unroll<queries>([&](auto r) LLMPY_LAMBDA {
            const F32x16 weight = set1(p[r.value * kPageTokens + j]);
            unroll<vectors>(
                [&](auto v) LLMPY_LAMBDA { sum[r.value][v.value] = fma(weight, x[v.value], sum[r.value][v.value]); });
        });
    }
    unroll<queries>([&](auto r) LLMPY_LAMBDA {
        unroll<vectors>(
            [&](auto v) LLMPY_LAMBDA { store(values + r.value * padded + at + 16 * v.value, sum[r.value][v.value]); });
    });
}

template <int queries>
LLMPY_NOINLINE void add_values(const float* p, const float* page, int64_t d, int first, int last, int64_t ahead,
                               float* values, int64_t padded) {
    if (first >= last) return;
    constexpr int vectors = vectors_at_once<queries>();
    int64_t at = 0;
    for (; at + 16 * vectors <= d; at += 16 * vectors) {
        add_vectors<queries, vectors, true>(p, page, d, first, last, ahead, values, padded, at);
    }
    for (; at + 16 <= d; at += 16) add_vectors<queries, 1, true>(p, page, d, first, last, ahead, values, padded, at);
    if (at < d) add_vectors<queries, 1, false>(p, page, d, first, last, ahead, values, padded, at);
}

// The same for values of f16, whose rows are filled up.
template <int queries>
LLMPY_NOINLINE void add_values(const float* p, const uint16_t* page, int64_t d, int first, int last, int64_t ahead,
                               float* values, int64_t padded) {
    if (first >= last) return;
    constexpr int vectors = vectors_at_once<queries>();
    const int64_t width = whole_vectors(d);
    int64_t at = 0;
    for (; at + 16 * vectors <= width; at += 16 * vectors) {
        add_vectors<queries, vectors, true>(p, page, width, first, last, ahead, values, padded, at);
    }
    for (; at < width; at += 16) add_vectors<queries, 1, true>(p, page, width, first, last, ahead, values, padded, at);
}

// Weights [queries, 64] times the scales of a block's values.
template <int queries>
LLMPY_INLINE void join_scales(const float* p, const uint16_t* scales, float* weights) {
    unroll<kPageVectors>([&](auto v) LLMPY_LAMBDA {
        const F32x16 s = load_f16(scales + 16 * v.value);
        unroll<queries>([&](auto r) LLMPY_LAMBDA {
            constexpr int at = r.value * kPageTokens + 16 * v.value;
            store(weights + at, load(p + at) * s);
        });
    });
}

// The same for values of q8_0: each block's scales join the weights.
template <int queries>
LLMPY_NOINLINE void add_values(const float* p, const int8_t* page, int64_t d, int first, int last, int64_t ahead,
                               float* values, int64_t padded) {
    if (first >= last) return;
    constexpr int vectors = queries * 2 > kAccumulators ? 1 : 2;
    const int64_t blocks = cache_blocks(d), width = blocks * kCacheBlock;
    const auto* scale = reinterpret_cast<const uint16_t*>(page + width * kPageTokens);
    for (int64_t b = 0; b < blocks; ++b, scale += kPageTokens) {
        float weights[queries * kPageTokens];
        join_scales<queries>(p, scale, weights);
        for (int i = 0; i < kCacheBlock; i += 16 * vectors) {
            const int64_t at = b * kCacheBlock + i;
            add_vectors<queries, vectors, true>(weights, page, width, first, last, ahead, values, padded, at);
        }
    }
}

// values[r] += weights[r][j] * `halves` times 16 values j from 16 * `half` on, of a block of q4_0 whose bytes are `width`
// apart.
template <int queries, int half, int halves>
void add_nibbles(const float* weights, const TwoNibbles* block, int64_t width, int first, int last, int64_t ahead,
                 float* values, int64_t padded) {
    F32x16 sum[queries][halves];
    unroll<queries>([&](auto r) LLMPY_LAMBDA {
        unroll<halves>([&](auto h) LLMPY_LAMBDA {
            sum[r.value][h.value] = load(values + r.value * padded + 16 * (half + h.value));
        });
    });
    const TwoNibbles* row = block + first * width;
    for (int j = first; j < last; ++j, row += width) {
        const I32x16 both = load_u8(row);
        F32x16 x[halves];
        if constexpr (half == 0) prefetch(row, ahead);
        unroll<halves>([&](auto h) LLMPY_LAMBDA {
            const I32x16 nibble = half + h.value == 0 ? both & set1(15) : shift_right_signed<4>(both);
            x[h.value] = to_f32(nibble - set1(8));
        });
        unroll<queries>([&](auto r) LLMPY_LAMBDA {
            const F32x16 weight = set1(weights[r.value * kPageTokens + j]);
            unroll<halves>(
                [&](auto h) LLMPY_LAMBDA { sum[r.value][h.value] = fma(weight, x[h.value], sum[r.value][h.value]); });
        });
    }
    unroll<queries>([&](auto r) LLMPY_LAMBDA {
        unroll<halves>([&](auto h) LLMPY_LAMBDA {
            store(values + r.value * padded + 16 * (half + h.value), sum[r.value][h.value]);
        });
    });
}

// The same for values of q4_0.
template <int queries>
LLMPY_NOINLINE void add_values(const float* p, const TwoNibbles* page, int64_t d, int first, int last, int64_t ahead,
                               float* values, int64_t padded) {
    if (first >= last) return;
    const int64_t blocks = cache_blocks(d), width = blocks * kCacheBlock / 2;
    const auto* scale = reinterpret_cast<const uint16_t*>(page + width * kPageTokens);
    for (int64_t b = 0; b < blocks; ++b, scale += kPageTokens, page += kCacheBlock / 2, values += kCacheBlock) {
        float weights[queries * kPageTokens];
        join_scales<queries>(p, scale, weights);
        if constexpr (queries * 2 > kAccumulators) {
            add_nibbles<queries, 0, 1>(weights, page, width, first, last, ahead, values, padded);
            add_nibbles<queries, 1, 1>(weights, page, width, first, last, ahead, values, padded);
        } else {
            add_nibbles<queries, 0, 2>(weights, page, width, first, last, ahead, values, padded);
        }
    }
}

// Weights of a page's values as integers, the values' scales in them, and their steps. A weight of zero stays zero
// whatever memory holds for its value.
template <int queries>
LLMPY_INLINE void round_weights(const float* p, const float* scales, int16_t* rounded, float* step) {
    F32x16 x[queries][kPageVectors];
    unroll<queries>([&](auto r) LLMPY_LAMBDA {
        unroll<kPageVectors>([&](auto v) LLMPY_LAMBDA {
            const F32x16 weight = load(p + r.value * kPageTokens + 16 * v.value), zero = set1(0.0f);
            x[r.value][v.value] = select(less(zero, weight), weight * load(scales + 16 * v.value), zero);
        });
    });
    unroll<queries>([&](auto r) LLMPY_LAMBDA {
        const F32x16* const w = x[r.value];
        const float most = max_lane(max(max(w[0], w[1]), max(w[2], w[3])));
        step[r.value] = step_of(most, sum((w[0] + w[1]) + (w[2] + w[3])), 32767.0f, kPairsMost);
    });
    unroll<queries>([&](auto r) LLMPY_LAMBDA {
        const F32x16 factor = set1(inverse_step(step[r.value]));
        unroll<kPageVectors>([&](auto v) LLMPY_LAMBDA {
            store_i16(rounded + r.value * kPageTokens + 16 * v.value, to_i32(x[r.value][v.value] * factor));
        });
    });
}

// values[r] += step[r] * the sum of weights[r][j] * value j, for pairs of tokens first <= j / 2 < last.
template <int queries, int vectors>
void add_pairs(const int16_t* weights, const float* step, const int16_t* page, int64_t width, int first, int last,
               int64_t ahead, float* values, int64_t at) {
    I32x16 dot[queries][vectors];
    multiply_pairs_of(page + 2 * (first * width + at), 2 * width, weights + 2 * first, kPageTokens, last - first, ahead,
                      dot);
    unroll<queries>([&](auto r) LLMPY_LAMBDA {
        const F32x16 factor = set1(step[r.value]);
        unroll<vectors>([&](auto v) LLMPY_LAMBDA {
            float* const y = values + r.value * width + at + 16 * v.value;
            store(y, fma(to_f32(dot[r.value][v.value]), factor, load(y)));
        });
    });
}

// The same for all `width` dimensions.
template <int queries>
LLMPY_INLINE void add_all_pairs(const int16_t* weights, const float* step, const int16_t* page, int64_t width,
                                int first, int last, int64_t ahead, float* values) {
    constexpr int vectors = vectors_at_once<queries>();
    int64_t at = 0;
    for (; at + 16 * vectors <= width; at += 16 * vectors) {
        add_pairs<queries, vectors>(weights, step, page, width, first, last, ahead, values, at);
    }
    unroll<vectors>([&](auto rest) {
        if constexpr (rest.value > 0) {
            if (width - at != 16 * rest.value) return;
            add_pairs<queries, rest.value>(weights, step, page, width, first, last, ahead, values, at);
        }
    });
}

// What the values of a page add for `queries` neighbouring queries, by their exponentials.
template <int queries, class T>
LLMPY_INLINE void weigh_page(const float* p, const T* page, int64_t d, int64_t ahead, const Seen* seen, float* values,
                             int64_t padded) {
    int first = 0, last = kPageTokens;
    unroll<queries>([&](auto r) LLMPY_LAMBDA {
        first = greater(first, seen[r.value].first);
        last = lesser(last, seen[r.value].last);
    });
    if (queries == 1 || (first == 0 && last == kPageTokens)) {
        add_values<queries>(p, page, d, first, last, ahead, values, padded);
        return;
    }
    // At the edges of what they see, each query alone: a value that one must not see is not even multiplied by 0.
    const int middle = lesser(greater(first, 0), greater(last, first));
    last = greater(last, middle);
    const auto each = [&](int r, int begin, int end) LLMPY_LAMBDA {
        add_values<1>(p + r * kPageTokens, page, d, begin, end, 0, values + r * padded, padded);
    };
    for (int r = 0; r < queries; ++r) each(r, seen[r].first, lesser(middle, seen[r].last));
    add_values<queries>(p, page, d, middle, last, ahead, values, padded);
    for (int r = 0; r < queries; ++r) each(r, greater(last, seen[r].first), seen[r].last);
}

// The same for values of int14: whatever one must not see has a weight of zero.
template <int queries>
LLMPY_INLINE void weigh_page(const float* p, const int16_t* page, int64_t, int64_t ahead, const Seen* seen,
                             float* values, int64_t padded) {
    const auto* const scales = reinterpret_cast<const float*>(page + padded * kPageTokens);
    int16_t weights[queries * kPageTokens];
    float step[queries];
    int first = kPageTokens, last = 0;
    round_weights<queries>(p, scales, weights, step);
    unroll<queries>([&](auto r) LLMPY_LAMBDA {
        first = lesser(first, seen[r.value].first);
        last = greater(last, seen[r.value].last);
    });
    add_all_pairs<queries>(weights, step, page, padded, first / 2, (last + 1) / 2, ahead, values);
}

// ---- the tables of these

template <class T>
LLMPY_CALL void prepare_for(const float* x, int64_t d, float factor, float* out) {
    prepare_query(x, d, factor, static_cast<const T*>(nullptr), out);
}
template <int queries, class T>
LLMPY_CALL void score_keys(const float* q, const void* keys, int64_t d, int64_t ahead, float* scores) {
    score_page<queries>(q, static_cast<const T*>(keys), d, ahead, scores);
}
template <int queries, class T>
LLMPY_CALL void weigh_values(const float* p, const void* page, int64_t d, int64_t ahead, const Seen* seen,
                             float* values, int64_t padded) {
    weigh_page<queries>(p, static_cast<const T*>(page), d, ahead, seen, values, padded);
}
constexpr int queries_of(int n) { return n < kQueriesAtOnce ? n : kQueriesAtOnce; }

template <class T>
constexpr ScoreKernels score_kernels = {prepare_for<T>,
                                        {score_keys<queries_of(1), T>, score_keys<queries_of(2), T>,
                                         score_keys<queries_of(3), T>, score_keys<queries_of(4), T>}};
template <class T>
constexpr WeighKernels weigh_kernels = {{weigh_values<queries_of(1), T>, weigh_values<queries_of(2), T>,
                                         weigh_values<queries_of(3), T>, weigh_values<queries_of(4), T>}};

}  // namespace
}  // namespace llmpy
