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

LLMPY_INLINE Seen tokens_seen(Span span, int64_t page_start) {
    const int64_t first = greater(int64_t{0}, span.begin - page_start);
    const int64_t last = lesser(int64_t{kPageTokens}, span.end - page_start);
    return {static_cast<int>(lesser(first, int64_t{kPageTokens})), static_cast<int>(greater(last, int64_t{0}))};
}

// What bends the scores of neighbouring queries: slopes of ALiBi, and how far the page's first token is from the query.
struct Bend {
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
LLMPY_NOINLINE void soften(int queries, float* scores, const Seen* seen, float* most, float* total, float* values,
                           int64_t padded) {
    float now[kQueriesAtOnce], added[kQueriesAtOnce];
    LLMPY_NO_UNROLL for (int r = 0; r < queries; ++r) {
        float* const x = scores + r * kPageTokens;
        const Seen part = seen[r];
        F32x16 s[kPageVectors];
        unroll<kPageVectors>([&](auto v) LLMPY_LAMBDA { s[v.value] = load(x + 16 * v.value); });
        if (part.first > 0 || part.last < kPageTokens) {
            const F32x16 never = set1(-__builtin_inff());
            unroll<kPageVectors>([&](auto v) LLMPY_LAMBDA {
                const int first = part.first - 16 * v.value, last = part.last - 16 * v.value;
                s[v.value] = select(first_lanes(first), never, select(first_lanes(last), s[v.value], never));
                store(x + 16 * v.value, s[v.value]);
            });
        }
        // Never -inf: a score of -inf then counts for nothing instead of making NaN of all.
        const float top = max_lane(max(max(s[0], s[1]), max(s[2], s[3])));
        now[r] = greater(greater(top, most[r]), -__FLT_MAX__);
    }
    LLMPY_NO_UNROLL for (int r = 0; r < queries; ++r) {
        float* const x = scores + r * kPageTokens;
        const F32x16 base = set1(now[r]);
        F32x16 s[kPageVectors];
        unroll<kPageVectors>([&](auto v) LLMPY_LAMBDA {
            s[v.value] = exp2_down(load(x + 16 * v.value) - base);
            store(x + 16 * v.value, s[v.value]);
        });
        added[r] = sum((s[0] + s[1]) + (s[2] + s[3]));
    }
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

// All queries of one key head meet one page.
void take_head(const AttendCall& call, const ScoreKernels& scoring, const WeighKernels& weighing, const float* q,
               int32_t head, int64_t page_start, const void* keys, const void* page, Ahead ahead, State state) {
    const AttendShape& shape = *call.shape;
    const int32_t group = shape.n_head / shape.n_kv, n_queries = call.n_rows * group;
    const int64_t base = int64_t{head - call.head_begin} * n_queries;
    float scores[kQueriesAtOnce * kPageTokens];
    Bend bend = {};
    const int64_t width = query_floats(shape), padded = padded_values(shape);
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
            const int64_t at = base + i;
            float* const values = state.values + at * padded;
            scoring.score[n - 1](q + i * width, keys, shape.d_key, first.keys, scores);
            for (int r = 0; is_bent(shape) && r < n; ++r) {
                bend_scores(scores + r * kPageTokens, shape.softcap, bend.slope[r], bend.distance[r]);
            }
            soften(n, scores, seen, state.most + at, state.total + at, values, padded);
            weighing.weigh[n - 1](scores, page, shape.d_value, first.values, seen, values, padded);
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
void take_pages(const AttendCall& call, const ScoreKernels& scoring, const WeighKernels& weighing, const float* q,
                int64_t begin, int64_t end, State state) {
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
            take_head(call, scoring, weighing, q, h, page * kPageTokens, keys, values, ahead, state);
        }
    }
}

void attend_with(const AttendCall& call, const ScoreKernels& scoring, const WeighKernels& weighing) {
    const AttendShape& shape = *call.shape;
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
            scoring.prepare(call.q + head * shape.d_key, shape.d_key, scale, out);
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
        take_pages(call, scoring, weighing, q, page_begin, page_end, state);
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

template <class T>
void attend_pages(const AttendCall& call) {
    attend_with(call, score_kernels<T>, weigh_kernels<T>);
}

void attend(const AttendCall& call) {
    switch (call.shape->type) {
        case CacheType::int14:
            return attend_pages<int16_t>(call);
        case CacheType::f32:
            return attend_pages<float>(call);
        case CacheType::q8_0:
            return attend_pages<int8_t>(call);
        case CacheType::f16:
            return attend_pages<uint16_t>(call);
        case CacheType::q4_0:
            return attend_pages<TwoNibbles>(call);
    }
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
// For levels that have other products of integers; see attend_integers.inl.
constexpr AttendParts attend_parts = {attend_kernels, attend_with, weigh_kernels<int8_t>, weigh_kernels<TwoNibbles>};

}  // namespace
}  // namespace llmpy
