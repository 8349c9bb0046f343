// plan_heads: what is done head by head between matmuls and attention, and all of that for one new token at once.

#include <string.h>

#include "plan_state.h"

namespace llmpy {
namespace {

void rope_heads(const Run& run, const llmpy_op& op, int32_t row, int64_t begin, int64_t end) {
    const Rows& rows = run.rows(op);
    const int64_t width = op.n[1], n_pairs = op.n[2], first = (row * op.n[0] + begin) * width;
    const float* const x = run.at(rows, op.x) + first;
    float* const y = run.at(rows, op.y) + first;
    const float* const table = run.at(run.all, run.plan.spec.ropes[op.n[4]].place);
    const float* const cos = table + 2 * n_pairs * (rows.token_rows != nullptr ? rows.token_rows[row] : row);
    if (x != y) memcpy(y, x, sizeof(float) * static_cast<size_t>((end - begin) * width));
    run.kernels.rope(y, cos, cos + n_pairs, end - begin, width, n_pairs, op.n[3] != 0);
}

void cached_heads(const Run& run, const llmpy_op& op, int32_t row_begin, int32_t row_end, int64_t begin, int64_t end) {
    const Rows& rows = run.rows(op);
    const int64_t heads = op.n[0], width = op.n[1], keys = op.n[2], values = op.n[3];
    const auto type = static_cast<CacheType>(run.plan.spec.cache_type);
    const int64_t head_bytes = kPageTokens * cache_bytes(type, width);
    const float* const x = run.at(rows, op.x);
    for (int64_t h = begin; h < end; ++h) {
        for (int32_t r = row_begin; r < row_end; ++r) {
            const uint64_t address = run.pages(op, rows.sessions[r])[rows.positions[r] / kPageTokens];
            auto* const page = reinterpret_cast<unsigned char*>(address) + h * head_bytes;
            const float* const values_of_head = x + (r * heads + h) * width;
            const int64_t slot = rows.positions[r] % kPageTokens;
            if (keys >= 0) run.plan.level->attention->store_key(values_of_head, width, type, page + keys, slot);
            if (values >= 0) run.plan.level->attention->store_value(values_of_head, width, type, page + values, slot);
        }
    }
}

// Everything about one region of heads.
struct Heads {
    const Run& run;
    const Products& products;
    const llmpy_op& region;
    AttendShape shape;
    AttendCall call;
};

void take_heads(const Heads& a, int32_t chunk, int32_t worker) {
    const int64_t begin = int64_t{chunk} * a.products.heads, end = begin + a.products.heads, n_kv = a.shape.n_kv;
    for (int32_t i = 0; i < a.products.n; ++i) {
        const LinearCall& call = a.products.calls[i];
        const int64_t tiles = tile_count(call.outputs);
        run_tiles(a.products, call, tiles * begin / n_kv, tiles * end / n_kv, worker);
    }
    const llmpy_op* const attend = &a.region + a.region.n[0];
    for (const llmpy_op* op = &a.region + 1 + a.products.n; op < attend; ++op)
        run_op_of_heads(a.run, *op, 0, 1, {begin, end, n_kv});
    AttendCall call = a.call;
    call.head_begin = static_cast<int32_t>(begin);
    call.head_end = static_cast<int32_t>(end);
    call.scratch = reinterpret_cast<float*>(a.run.scratch(worker));
    a.run.plan.level->attention->attend(call);
}

}  // namespace

void run_op_of_heads(const Run& run, const llmpy_op& op, int32_t row_begin, int32_t row_end, HeadRange heads) {
    const auto begin = [&](int64_t n) { return n * heads.begin / heads.n; };
    const auto end = [&](int64_t n) { return n * heads.end / heads.n; };
    if (op.kind == LLMPY_CACHED) return cached_heads(run, op, row_begin, row_end, heads.begin, heads.end);
    for (int32_t row = row_begin; row < row_end; ++row) {
        if (op.kind == LLMPY_NORM) norm_vectors(run, op, row * op.n[1] + begin(op.n[1]), row * op.n[1] + end(op.n[1]));
        if (op.kind == LLMPY_ROPE) rope_heads(run, op, row, begin(op.n[0]), end(op.n[0]));
    }
}

void run_rope(Run& run, const llmpy_op& op) {
    over_range(run, run.rows(op).n, op.n[0] * op.n[1], 1, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) rope_heads(run, op, static_cast<int32_t>(r), 0, op.n[0]);
    });
}

void run_cached(Run& run, const llmpy_op& op) {
    // By head: two threads never write to the same line of transposed keys.
    over_range(run, op.n[0], run.rows(op).n * op.n[1] * 2, 1,
               [&](int64_t begin, int64_t end) { cached_heads(run, op, 0, run.rows(op).n, begin, end); });
}

int32_t heads_at_once(const llmpy_plan& plan, const llmpy_op& region, const Products& products) {
    constexpr int64_t worth_dividing = 256 << 10;  // bytes of a thread's weights: below, it takes its heads at once
    const llmpy_op& attend = (&region)[region.n[0]];
    const int64_t n_kv = attend.n[1], threads = products.n > 0 ? products.threads : products.wanted_threads;
    if (threads < 2 || attend_shape(attend, plan.spec.cache_type).heads_a_key != 1) return 0;
    int64_t at_once = 1, bytes = 0;
    for (int32_t i = 0; i < products.n; ++i) {
        const LinearCall& call = products.calls[i];
        while (at_once * (call.outputs / n_kv) % tile_rows != 0) at_once *= 2;
        bytes += packed_bytes(call.type, call.outputs, call.inputs);
    }
    if (n_kv % (at_once * threads) != 0) return 0;
    return static_cast<int32_t>(bytes / threads < worth_dividing ? n_kv / threads : at_once);
}

bool run_heads(Run& run, const llmpy_op& region, const Products& products) {
    const llmpy_op& attend = (&region)[region.n[0]];
    const Rows& rows = run.rows(attend);
    Heads a = {run, products, region, attend_shape(attend, run.plan.spec.cache_type), {}};
    a.call = attend_call(run, attend, a.shape, {0, 1, rows.sessions[0]});
    const int64_t end = attend_span(a.shape, rows.positions[0], a.call.session_end).end;
    if (end > kSegmentTokens || (products.n == 0 && !worth_sharing(a.shape, end))) return false;
    const ChunkBody body = [](void* context, int32_t chunk, int32_t worker) {
        take_heads(*static_cast<const Heads*>(context), chunk, worker);
    };
    const int32_t threads = products.n > 0 ? products.threads : products.wanted_threads;
    run_region(threads, a.shape.n_kv / products.heads, body, &a);
    return true;
}

}  // namespace llmpy
