// Attention at every level that runs here: against plain loops in double, the same bits however it is cut up, and no trace
// of what the unwritten part of a page holds.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <initializer_list>

#include "check.h"
#include "levels.h"
#include "llmpy/ops.h"
#include "llmpy/os.h"

using namespace llmpy;

namespace {

constexpr int32_t kCutRows = 96;
Random dice;

float* new_values(int64_t n) {
    auto* const values = static_cast<float*>(malloc(sizeof(float) * static_cast<size_t>(n)));
    for (int64_t i = 0; i < n; ++i) values[i] = dice.value();
    return values;
}

// To values that q8_0 holds exactly (q4_0 with `most` -8), vector by vector, so that its products can be checked as closely
// as the others'.
void snap(float* x, int64_t vectors, int32_t d, float most = 127.0f) {
    for (int64_t i = 0; i < vectors; ++i, x += d) {
        for (int32_t begin = 0; begin < d; begin += kCacheBlock) {
            const int32_t end = begin + kCacheBlock < d ? static_cast<int32_t>(begin + kCacheBlock) : d;
            float size = 0.0f;
            for (int32_t j = begin; j < end; ++j) size = fabsf(x[j]) > size ? fabsf(x[j]) : size;
            const float limit = most < 0.0f ? 7.0f : most, scale = exp2f(ceilf(log2f(size / limit)));
            for (int32_t j = begin; j < end; ++j) x[j] = roundf(x[j] / scale) * scale;
            x[begin] = (x[begin] < 0.0f || most < 0.0f ? -fabsf(most) : most) * scale;
        }
    }
}

// A context of `n` tokens in pages, whose rest is full of NaN, and its queries.
struct Case {
    const Level& level;
    AttendShape shape;
    int32_t n;
    float *q, *k, *v, *y, *scratch;
    int32_t* positions;
    uint64_t* pages;
    int32_t n_pages;
    size_t page_bytes;

    Case(const Level& l, const AttendShape& s, int32_t n_tokens) : level(l), shape(s), n(n_tokens) {
        q = new_values(int64_t{n} * shape.n_head * shape.d_key);
        k = new_values(int64_t{n} * shape.n_kv * shape.d_key);
        v = new_values(int64_t{n} * shape.n_kv * shape.d_value);
        y = new_values(int64_t{n} * shape.n_head * shape.d_value);
        scratch = new_values(attend_scratch_floats(shape));
        if (has_blocks(shape.type)) {
            const float most = shape.type == CacheType::q8_0 ? 127.0f : -8.0f;
            snap(q, int64_t{n} * shape.n_head, shape.d_key);
            snap(k, int64_t{n} * shape.n_kv, shape.d_key, most);
            snap(v, int64_t{n} * shape.n_kv, shape.d_value, most);
        }
        positions = static_cast<int32_t*>(malloc(sizeof(int32_t) * static_cast<size_t>(n)));
        n_pages = (n + kPageTokens - 1) / kPageTokens;
        pages = static_cast<uint64_t*>(malloc(sizeof(uint64_t) * static_cast<size_t>(n_pages)));
        const int32_t stored = shape.n_kv / shape.heads_a_key;
        const int64_t key_bytes = kPageTokens * cache_bytes(shape.type, shape.d_key);
        const int64_t value_bytes = kPageTokens * cache_bytes(shape.type, shape.d_value);
        shape.keys = 0;
        shape.values = key_bytes * stored;
        page_bytes = static_cast<size_t>((key_bytes + value_bytes) * stored);
        for (int32_t i = 0; i < n_pages; ++i) {
            void* const page = malloc(page_bytes);
            memset(page, 0xff, page_bytes);  // NaN, in every type
            pages[i] = reinterpret_cast<uint64_t>(page);
        }
        for (int32_t t = 0; t < n; ++t) {
            positions[t] = t;
            auto* const page = reinterpret_cast<unsigned char*>(pages[t / kPageTokens]);
            for (int32_t h = 0; h < stored; ++h) {
                const int64_t at = int64_t{t} * stored + h;
                level.attention->store_key(k + at * shape.d_key, shape.d_key, shape.type, page + h * key_bytes,
                                           t % kPageTokens);
                level.attention->store_value(v + at * shape.d_value, shape.d_value, shape.type,
                                             page + shape.values + h * value_bytes, t % kPageTokens);
            }
        }
    }
    ~Case() {
        for (int32_t i = 0; i < n_pages; ++i) free(reinterpret_cast<void*>(pages[i]));
        for (void* p : {static_cast<void*>(q), static_cast<void*>(k), static_cast<void*>(v), static_cast<void*>(y),
                        static_cast<void*>(scratch), static_cast<void*>(positions), static_cast<void*>(pages)}) {
            free(p);
        }
    }
    Case(const Case&) = delete;
    Case& operator=(const Case&) = delete;

    AttendCall call(int32_t row, int32_t rows, int32_t head_begin, int32_t head_end) const {
        AttendCall c = {};
        c.shape = &shape;
        c.pages = pages;
        c.positions = positions + row;
        c.q = q + int64_t{row} * shape.n_head * shape.d_key;
        c.y = y + int64_t{row} * shape.n_head * shape.d_value;
        c.session_end = n;
        c.n_rows = rows;
        c.head_begin = head_begin;
        c.head_end = head_end;
        c.segment = -1;
        c.scratch = scratch;
        return c;
    }
    // The rows from `begin` on, in tiles of `rows` rows, `heads` key heads at a time.
    void run(int32_t begin, int32_t rows, int32_t heads) const {
        for (int32_t t = begin; t < n; t += rows) {
            const int32_t here = rows < n - t ? rows : n - t;
            for (int32_t h = 0; h < shape.n_kv; h += heads) {
                level.attention->attend(call(t, here, h, h + heads < shape.n_kv ? h + heads : shape.n_kv));
            }
        }
    }
    // The last row by itself, segment by segment.
    void run_segments() const {
        const int32_t row = n - 1;
        const Span span = attend_span(shape, row, n);
        const auto first = static_cast<int32_t>(span.begin / kSegmentTokens);
        const auto last = static_cast<int32_t>((span.end - 1) / kSegmentTokens);
        const int64_t stride = attend_state_floats(shape.n_head, shape);
        float* const partials = new_values(stride * (last - first + 1));
        for (int32_t segment = last; segment >= first; --segment) {
            AttendCall c = call(row, 1, 0, shape.n_kv);
            c.segment = segment;
            c.partial = partials + (segment - first) * stride;
            level.attention->attend(c);
        }
        level.attention->join(call(row, 1, 0, shape.n_kv), partials, stride, last - first + 1);
        free(partials);
    }
    double expected(int32_t t, int32_t head, int32_t i) const {
        const int32_t stored = shape.n_kv / shape.heads_a_key, h = head / (shape.n_head / stored);
        const Span span = attend_span(shape, t, n);
        double most = shape.sinks != nullptr ? double{shape.sinks[head]} : -INFINITY, total = 0.0, sum = 0.0;
        for (int pass = 0; pass < 2; ++pass) {
            if (pass == 1 && shape.sinks != nullptr) total = exp(shape.sinks[head] - most);
            for (int64_t j = span.begin; j < span.end; ++j) {
                double score = 0.0;
                for (int32_t d = 0; d < shape.d_key; ++d) {
                    score += double{q[(int64_t{t} * shape.n_head + head) * shape.d_key + d]} *
                             k[(j * stored + h) * shape.d_key + d];
                }
                score *= shape.scale;
                if (shape.softcap > 0.0f) score = shape.softcap * tanh(score / shape.softcap);
                if (shape.slopes != nullptr) score -= shape.slopes[head] * fabs(static_cast<double>(t - j));
                if (pass == 0) {
                    most = score > most ? score : most;
                } else {
                    total += exp(score - most);
                    sum += exp(score - most) * v[(j * stored + h) * shape.d_value + i];
                }
            }
        }
        return sum / total;
    }
};

void test(const Level& level, const AttendShape& shape, int32_t n) {
    const Case c(level, shape, n);
    const int64_t width = int64_t{shape.n_head} * shape.d_value;
    const size_t bytes = sizeof(float) * static_cast<size_t>(n * width);
    c.run(0, attend_rows(shape), attend_heads(shape, attend_rows(shape)));
    const double tolerance = shape.type == CacheType::int14 || shape.type == CacheType::f16 ? 2e-3 : 3e-6;
    for (int i = 0; i < 40; ++i) {
        const auto t = i == 0 ? n - 1 : static_cast<int32_t>(dice.bits() % static_cast<uint64_t>(n));
        const auto head = static_cast<int32_t>(dice.bits() % static_cast<uint64_t>(shape.n_head));
        const auto d = static_cast<int32_t>(dice.bits() % static_cast<uint64_t>(shape.d_value));
        const double found = c.y[(int64_t{t} * shape.n_head + head) * shape.d_value + d],
                     right = c.expected(t, head, d);
        CHECK(fabs(found - right) < tolerance, "%s d %d/%d heads %d/%d window %d n %d row %d: %g, not %g", level.name,
              shape.d_key, shape.d_value, shape.n_head, shape.n_kv, shape.window, n, t, found, right);
    }
    auto* const whole = static_cast<float*>(malloc(bytes));
    memcpy(whole, c.y, bytes);
    // Rows cut up otherwise: the last, some of which begin a segment where the context is long.
    const int32_t begin = n > kCutRows ? n - kCutRows : 0;
    const size_t before = sizeof(float) * static_cast<size_t>(begin * width);
    for (const int32_t rows : {1, attend_rows(shape) < 3 ? 1 : 3}) {
        memset(c.y, 0, bytes);
        c.run(begin, rows, rows == 1 ? attend_heads(shape, 1) : 1);
        CHECK(memcmp(whole + begin * width, c.y + begin * width, bytes - before) == 0,
              "%s d %d/%d heads %d/%d window %d n %d: %d rows at a time", level.name, shape.d_key, shape.d_value,
              shape.n_head, shape.n_kv, shape.window, n, rows);
    }
    memset(c.y, 0, bytes);
    c.run_segments();
    const size_t last = sizeof(float) * static_cast<size_t>((n - 1) * width);
    CHECK(memcmp(whole + (n - 1) * width, c.y + (n - 1) * width, bytes - last) == 0, "%s window %d n %d: segments",
          level.name, shape.window, n);
    free(whole);
}

AttendShape shape_of(int32_t n_head, int32_t n_kv, int32_t d_key, int32_t d_value, int32_t window, CacheType type) {
    AttendShape s = {};
    s.n_head = n_head;
    s.n_kv = n_kv;
    s.d_key = d_key;
    s.d_value = d_value;
    s.window = window;
    s.causal = true;
    s.scale = 0.5f;
    s.type = type;
    s.heads_a_key = 1;
    return s;
}

void test_kinds(const Level& level, CacheType type) {
    const float slopes[6] = {0.5f, 0.25f, 0.125f, 0.06f, 0.03f, 1.0f},
                sinks[6] = {0.0f, -2.0f, 3.0f, 30.0f, -90.0f, 1.0f};
    for (const int32_t n : {70, 600}) {
        for (const int32_t window : {0, 1, 40, 560}) {
            AttendShape s = shape_of(6, 2, 5, 7, window, type);
            s.slopes = slopes;
            test(level, s, n);
            s.sinks = sinks;
            s.softcap = 1.5f;
            test(level, s, n);
            s.causal = false;
            test(level, s, n);
            s.slopes = s.sinks = nullptr;
            s.softcap = 0.0f;
            test(level, s, n);
            s.causal = true;
            s.n_kv = 3;
            s.heads_a_key = 3;
            test(level, s, n);
        }
    }
}

}  // namespace

int main() {
    each_level([](const Level& level, const char*) {
        for (const CacheType type :
             {CacheType::f32, CacheType::int14, CacheType::q8_0, CacheType::f16, CacheType::q4_0}) {
            for (const int32_t d : {1, 8, 15, 16, 17, 33, 64, 80}) {
                test(level, shape_of(4, 2, d, 81 - d, 0, type), 70);
            }
            for (const int32_t heads : {1, 2, 3, 5, 71}) {
                test(level, shape_of(heads, 1, 4, 20, 0, type), 66);
                test(level, shape_of(2 * heads, 2, 4, 4, 5, type), 66);
            }
            test_kinds(level, type);
            for (const int32_t window : {0, 1, 64, 100, 600}) {
                test(level, shape_of(2, 1, 4, 4, window, type), 1200);
            }
        }
    });
    return n_failures == 0 ? 0 : 1;
}
