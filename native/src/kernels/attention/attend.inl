// attend.inl: see attend.h; compiled once per level.

#include "attend_cache.inl"
#include "attend_products.inl"

namespace llmpy {
namespace {

// What has been summed for some queries: sums [queries], maxima [queries], weighted values [queries, padded].
// A maximum of -inf means that no token was seen yet.
struct State {
    float* most;
    float* total;
    float* values;

    State(float* memory, int64_t queries) : most(memory), total(memory + queries), values(memory + 2 * queries) {}
};

// The tokens first <= j < last of a page that a query sees.
struct Seen {
    int first, last;
};

LLMPY_INLINE Seen tokens_seen(Span span, int64_t page_start) {
    const int64_t first = greater(int64_t{0}, span.begin - page_start);
    const int64_t last = lesser(int64_t{kPageTokens}, span.end - page_start);
    return {static_cast<int>(lesser(first, int64_t{kPageTokens})), static_cast<int>(greater(last, int64_t{0}))};
}

// What bends the scores of neighbouring queries: slopes of ALiBi, and how far the page's first token is from the query.
struct Bend {
    float softcap;
    float slope[kQueriesAtOnce], distance[kQueriesAtOnce];
};

// Scores are kept as exponents of 2: those that are not bent by the scale of the queries, the others when they are.
LLMPY_INLINE bool is_bent(const AttendShape& shape) { return shape.softcap != 0.0f || shape.slopes != nullptr; }

inline void bend_scores(float* scores, float softcap, float slope, float distance) {
    static const float numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    for (int i = 0; i < kPageTokens; i += 16) {
        F32x16 s = load(scores + i);
        if (softcap != 0.0f) s = tanh(s * set1(1.0f / softcap)) * set1(softcap);
        const F32x16 away = absolute(set1(distance - static_cast<float>(i)) - load(numbers));
        store(scores + i, (s - set1(slope) * away) * set1(kLog2E));
    }
}

// Scores of a page -> exponentials, in place; maxima and sums of the state move on, its values are scaled to fit. Each
// step for all queries before the next one, so that none waits for the last of another.
template <int queries>
LLMPY_NOINLINE void soften(float* scores, const Seen* seen, float* most, float* total, float* values, int64_t padded) {
    float now[queries];
    unroll<queries>([&](auto r) LLMPY_LAMBDA {
        float* const x = scores + r.value * kPageTokens;
        const Seen part = seen[r.value];
        F32x16 s[kPageVectors];
        unroll<kPageVectors>([&](auto v) LLMPY_LAMBDA { s[v.value] = load(x + 16 * v.value); });
        if (part.first > 0 || part.last < kPageTokens) {
            const F32x16 never = set1(-__builtin_inff());
            unroll<kPageVectors>([&](auto v) LLMPY_LAMBDA {
                const int first = greater(part.first - 16 * v.value, 0), last = greater(part.last - 16 * v.value, 0);
                s[v.value] = select(first_lanes(first), never, select(first_lanes(last), s[v.value], never));
                store(x + 16 * v.value, s[v.value]);
            });
        }
        // Never -inf: a score of -inf then counts for nothing instead of making NaN of all.
        const float top = max_lane(max(max(s[0], s[1]), max(s[2], s[3])));
        now[r.value] = greater(greater(top, most[r.value]), -__FLT_MAX__);
    });
    float added[queries];
    unroll<queries>([&](auto r) LLMPY_LAMBDA {
        float* const x = scores + r.value * kPageTokens;
        const F32x16 base = set1(now[r.value]);
        F32x16 s[kPageVectors];
        unroll<kPageVectors>([&](auto v) LLMPY_LAMBDA {
            s[v.value] = exp2_down(load(x + 16 * v.value) - base);
            store(x + 16 * v.value, s[v.value]);
        });
        added[r.value] = sum((s[0] + s[1]) + (s[2] + s[3]));
    });
    for (int r = 0; r < queries; ++r, values += padded) {
        if (now[r] == most[r]) {
            total[r] += added[r];
            continue;
        }
        float lanes[16];
        store(lanes, exp2_down(set1(most[r] - now[r])));
        const float keep = lanes[0];
        most[r] = now[r];
        total[r] = total[r] * keep + added[r];
        for (int64_t i = 0; i < padded; i += 16) store(values + i, load(values + i) * set1(keep));
    }
}

// What the values of a page add for `queries` neighbouring queries, by their exponentials.
template <int queries, class T>
LLMPY_INLINE void weigh_page(const float* p, const T* page, int64_t d, Ahead ahead, const Seen* seen, float* values,
                             int64_t padded) {
    int first = 0, last = kPageTokens;
    unroll<queries>([&](auto r) LLMPY_LAMBDA {
        first = greater(first, seen[r.value].first);
        last = lesser(last, seen[r.value].last);
    });
    if (queries == 1 || (first == 0 && last == kPageTokens)) {
        add_values<queries>(p, page, d, first, last, ahead.values, values, padded);
        return;
    }
    // At the edges of what they see, each query alone: a value that one must not see is not even multiplied by 0.
    const int middle = lesser(greater(first, 0), greater(last, first));
    last = greater(last, middle);
    const auto each = [&](int r, int begin, int end) LLMPY_LAMBDA {
        add_values<1>(p + r * kPageTokens, page, d, begin, end, 0, values + r * padded, padded);
    };
    for (int r = 0; r < queries; ++r) each(r, seen[r].first, lesser(middle, seen[r].last));
    add_values<queries>(p, page, d, middle, last, ahead.values, values, padded);
    for (int r = 0; r < queries; ++r) each(r, greater(last, seen[r].first), seen[r].last);
}

// The same for values of int14: whatever one must not see has a weight of zero.
template <int queries>
LLMPY_INLINE void weigh_page(const float* p, const int16_t* page, int64_t, Ahead ahead, const Seen* seen, float* values,
                             int64_t padded) {
    const auto* const scales = reinterpret_cast<const float*>(page + padded * kPageTokens);
    int16_t weights[queries * kPageTokens];
    float step[queries];
    int first = kPageTokens, last = 0;
    round_weights<queries>(p, scales, weights, step);
    unroll<queries>([&](auto r) LLMPY_LAMBDA {
        first = lesser(first, seen[r.value].first);
        last = greater(last, seen[r.value].last);
    });
    add_all_pairs<queries>(weights, step, page, padded, first / 2, (last + 1) / 2, ahead.values, values);
}

// One page of keys and values for `queries` neighbouring queries.
template <int queries, class T>
void take_page(const AttendShape& shape, const float* q, const void* key_page, const void* value_page, Ahead ahead,
               const Seen* seen, const Bend* bend, State state, int64_t at, float* scores) {
    const auto* const keys = static_cast<const T*>(key_page);
    const auto* const page = static_cast<const T*>(value_page);
    const int64_t padded = padded_values(shape);
    float* const values = state.values + at * padded;
    score_page<queries>(q, keys, shape.d_key, ahead.keys, scores);
    for (int r = 0; bend != nullptr && r < queries; ++r) {
        bend_scores(scores + r * kPageTokens, bend->softcap, bend->slope[r], bend->distance[r]);
    }
    soften<queries>(scores, seen, state.most + at, state.total + at, values, padded);
    weigh_page<queries>(scores, page, shape.d_value, ahead, seen, values, padded);
}

// What depends on the type of the cache.
struct PageKernels {
    void (*prepare)(const float* x, int64_t d, float factor, float* out);
    decltype(&take_page<1, float>) take[kQueriesAtOnce];  // for one query, for two, ...
};

template <class T>
void prepare_for(const float* x, int64_t d, float factor, float* out) {
    prepare_query(x, d, factor, static_cast<const T*>(nullptr), out);
}

template <class T, int queries = kQueriesAtOnce>
constexpr void list_pages(PageKernels& kernels) {
    if constexpr (queries > 0) {
        kernels.take[queries - 1] = take_page<queries, T>;
        list_pages<T, queries - 1>(kernels);
    }
}
template <class T>
constexpr PageKernels page_kernels() {
    PageKernels kernels = {prepare_for<T>, {}};
    list_pages<T>(kernels);
    return kernels;
}

const PageKernels& kernels_of(CacheType type) {
    static constexpr PageKernels int14 = page_kernels<int16_t>(), f32 = page_kernels<float>(),
                                 q8_0 = page_kernels<int8_t>(), f16 = page_kernels<uint16_t>(),
                                 q4_0 = page_kernels<TwoNibbles>();
    switch (type) {
        case CacheType::int14:
            return int14;
        case CacheType::f32:
            return f32;
        case CacheType::q8_0:
            return q8_0;
        case CacheType::f16:
            return f16;
        case CacheType::q4_0:
            return q4_0;
    }
    return f32;
}

// All queries of one key head meet one page.
void take_head(const AttendCall& call, const PageKernels& kernels, const float* q, int32_t head, int64_t page_start,
               const void* keys, const void* page, Ahead ahead, State state) {
    const AttendShape& shape = *call.shape;
    const int32_t group = shape.n_head / shape.n_kv, n_queries = call.n_rows * group;
    const int64_t base = int64_t{head - call.head_begin} * n_queries;
    float scores[kQueriesAtOnce * kPageTokens];
    Bend bend = {shape.softcap, {}, {}};
    const int64_t width = query_floats(shape);
    q += base * width;
    for (int32_t i = 0; i < n_queries;) {
        Seen seen[kQueriesAtOnce];
        int n = 0;
        for (; n < kQueriesAtOnce && i + n < n_queries; ++n) {
            const int64_t position = call.positions[(i + n) / group];
            seen[n] = tokens_seen(attend_span(shape, position, call.session_end), page_start);
            if (seen[n].first >= seen[n].last) break;
            if (shape.slopes == nullptr) continue;
            bend.slope[n] = shape.slopes[head * group + (i + n) % group];
            bend.distance[n] = static_cast<float>(position - page_start);
        }
        if (n > 0) {
            const Ahead first = i == 0 ? ahead : Ahead{0, 0};
            const Bend* const curve = is_bent(shape) ? &bend : nullptr;
            kernels.take[n - 1](shape, q + i * width, keys, page, first, seen, curve, state, base + i, scores);
        }
        i += n > 0 ? n : 1;  // a query may see nothing of the page
    }
}

LLMPY_NOINLINE void forget(State state, int64_t queries, int64_t padded) {
    for (int64_t i = 0; i < queries; ++i) {
        state.most[i] = -__builtin_inff();
        state.total[i] = 0.0f;
    }
    for (int64_t i = 0; i < queries * padded; i += 16) store(state.values + i, set1(0.0f));
}

// What later tokens gave joins what earlier ones gave.
LLMPY_NOINLINE void join(State sum, State more, int64_t queries, int64_t padded) {
    for (int64_t i = 0; i < queries; ++i) {
        if (more.most[i] == -__builtin_inff()) continue;
        float* const x = sum.values + i * padded;
        const float* const y = more.values + i * padded;
        if (sum.most[i] == -__builtin_inff()) {
            sum.most[i] = more.most[i];
            sum.total[i] = more.total[i];
            for (int64_t j = 0; j < padded; j += 16) store(x + j, load(y + j));
            continue;
        }
        const float now = greater(sum.most[i], more.most[i]);
        float a[16], b[16];
        store(a, exp2_down(set1(sum.most[i] - now)));
        store(b, exp2_down(set1(more.most[i] - now)));
        sum.most[i] = now;
        sum.total[i] = sum.total[i] * a[0] + more.total[i] * b[0];
        for (int64_t j = 0; j < padded; j += 16) store(x + j, fma(load(x + j), set1(a[0]), load(y + j) * set1(b[0])));
    }
}

// A score without a value joins the sum.
LLMPY_INLINE void join_sink(float sink, float& most, float& total, float* values, int64_t padded) {
    sink *= kLog2E;
    const float now = greater(greater(most, sink), -__FLT_MAX__);
    float keep[16], added[16];
    store(keep, exp2_down(set1(most - now)));
    store(added, exp2_down(set1(sink - now)));
    total = total * keep[0] + added[0];
    most = now;
    for (int64_t i = 0; i < padded; i += 16) store(values + i, load(values + i) * set1(keep[0]));
}

LLMPY_NOINLINE void finish(const AttendCall& call, State state) {
    const AttendShape& shape = *call.shape;
    const int32_t group = shape.n_head / shape.n_kv;
    const int64_t padded = padded_values(shape), d = shape.d_value;
    int64_t at = 0;
    for (int32_t h = call.head_begin; h < call.head_end; ++h) {
        for (int32_t t = 0; t < call.n_rows; ++t) {
            for (int32_t g = 0; g < group; ++g, ++at) {
                float* const y = call.y + (int64_t{t} * shape.n_head + h * group + g) * d;
                float* const x = state.values + at * padded;
                if (shape.sinks != nullptr) {
                    join_sink(shape.sinks[h * group + g], state.most[at], state.total[at], x, padded);
                }
                const F32x16 total = set1(state.total[at]);
                each_vector(
                    d, [&](int64_t i) LLMPY_LAMBDA { store(y + i, load(x + i) / total); },
                    [&](int64_t i, int rest) LLMPY_LAMBDA { store_part(y + i, load(x + i) / total, rest); });
            }
        }
    }
}

// The pages begin <= page < end meet all queries; what comes next is fetched meanwhile.
void take_pages(const AttendCall& call, const PageKernels& kernels, const float* q, int64_t begin, int64_t end,
                State state) {
    const AttendShape& shape = *call.shape;
    const int64_t key_bytes = kPageTokens * cache_bytes(shape.type, shape.d_key);
    const int64_t value_bytes = kPageTokens * cache_bytes(shape.type, shape.d_value);
    for (int64_t page = begin; page < end; ++page) {
        const auto* const bytes = reinterpret_cast<const unsigned char*>(call.pages[page]);
        const auto to_next_page = static_cast<int64_t>(call.pages[lesser(page + 1, end - 1)] - call.pages[page]);
        for (int32_t h = call.head_begin; h < call.head_end; ++h) {
            const bool more = h + 1 < call.head_end;
            const int64_t stored = h / shape.heads_a_key;
            const int64_t heads = (more ? h + 1 : call.head_begin) / shape.heads_a_key - stored;
            const int64_t pages = more ? 0 : to_next_page;
            const unsigned char* const keys = bytes + shape.keys + stored * key_bytes;
            const unsigned char* const values = bytes + shape.values + stored * value_bytes;
            const Ahead ahead = {pages + heads * key_bytes, pages + heads * value_bytes};
            take_head(call, kernels, q, h, page * kPageTokens, keys, values, ahead, state);
        }
    }
}

void attend(const AttendCall& call) {
    const AttendShape& shape = *call.shape;
    const PageKernels& kernels = kernels_of(shape.type);
    const int32_t group = shape.n_head / shape.n_kv, n_queries = call.n_rows * group;
    const int64_t queries = int64_t{call.head_end - call.head_begin} * n_queries, padded = padded_values(shape);
    float* const q = call.scratch;
    float* const here = q + whole_vectors(queries * query_floats(shape));
    State state(call.partial != nullptr ? call.partial : here, queries);
    State total(here + attend_state_floats(queries, shape), queries);

    const float scale = is_bent(shape) ? shape.scale : shape.scale * kLog2E;
    float* out = q;
    for (int32_t h = call.head_begin; h < call.head_end; ++h) {
        for (int64_t i = 0; i < n_queries; ++i, out += query_floats(shape)) {
            const int64_t head = i / group * shape.n_head + h * group + i % group;
            kernels.prepare(call.q + head * shape.d_key, shape.d_key, scale, out);
        }
    }

    const int64_t begin = attend_span(shape, call.positions[0], call.session_end).begin;
    const int64_t newest = attend_span(shape, call.positions[call.n_rows - 1], call.session_end).end - 1;
    int64_t segment = call.segment >= 0 ? call.segment : begin / kSegmentTokens;
    const int64_t last_segment = call.segment >= 0 ? call.segment : newest / kSegmentTokens;
    for (const int64_t first = segment; segment <= last_segment; ++segment) {
        forget(state, queries, padded);
        const int64_t page_begin = greater(segment * kSegmentPages, begin / kPageTokens);
        const int64_t page_end = lesser((segment + 1) * kSegmentPages, newest / kPageTokens + 1);
        take_pages(call, kernels, q, page_begin, page_end, state);
        if (call.segment >= 0) return;
        if (first == last_segment) return finish(call, state);
        if (segment == first) {
            const State swap = state;
            state = total;
            total = swap;
        } else {
            join(total, state, queries, padded);
        }
    }
    finish(call, total);
}

void attend_join(const AttendCall& call, const float* partials, int64_t stride, int32_t n_segments) {
    const AttendShape& shape = *call.shape;
    const int64_t queries = int64_t{call.head_end - call.head_begin} * call.n_rows * (shape.n_head / shape.n_kv);
    // The first one is summed into: partial results are the caller's to spoil.
    State total(const_cast<float*>(partials), queries);
    for (int32_t i = 1; i < n_segments; ++i) {
        join(total, State(const_cast<float*>(partials) + i * stride, queries), queries, padded_values(shape));
    }
    finish(call, total);
}

constexpr AttendKernels attend_kernels = {store_key, store_value, attend, attend_join};

}  // namespace
}  // namespace llmpy
