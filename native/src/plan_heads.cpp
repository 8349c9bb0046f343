// plan_heads: what is done head by head between products and attention, and all of that for one new token as one
// region.

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

void cached_heads(const Run& run, const llmpy_op& op, int64_t begin, int64_t end) {
    const Rows& rows = run.rows(op);
    const int64_t heads = op.n[0], width = op.n[1], keys = op.n[2], values = op.n[3];
    const auto type = static_cast<CacheType>(run.plan.spec.cache_type);
    const int64_t head_bytes = kPageTokens * cache_bytes(type, width);
    const float* const x = run.at(rows, op.x);
    for (int64_t h = begin; h < end; ++h) {
        for (int32_t r = 0; r < rows.n; ++r) {
            const uint64_t address = run.pages(op, rows.sessions[r])[rows.positions[r] / kPageTokens];
            auto* const page = reinterpret_cast<unsigned char*>(address) + h * head_bytes;
            const float* const values_of_head = x + (r * heads + h) * width;
            const int64_t slot = rows.positions[r] % kPageTokens;
            if (keys >= 0) run.kernels.store_key(values_of_head, width, type, page + keys, slot);
            if (values >= 0) run.kernels.store_value(values_of_head, width, type, page + values, slot);
        }
    }
}

// Whether x of an operation is what one of the products gives.
bool is_product(const llmpy_op* ops, int32_t n, const llmpy_op& op) {
    for (int32_t i = 0; i < n; ++i) {
        if (ops[i].y == op.x) return true;
    }
    return false;
}

// Everything about one region of heads.
struct Heads {
    const Run& run;
    const Products& products;
    const llmpy_op* ops;
    AttendShape shape;
    AttendCall call;
};

void take_heads(const Heads& a, int32_t chunk, int32_t worker) {
    const HeadOps& heads = a.products.heads;
    const int64_t begin = int64_t{chunk} * heads.at_once, end = begin + heads.at_once, n_kv = a.shape.n_kv;
    for (int32_t i = 0; i < a.products.n; ++i) {
        const LinearCall& call = a.products.calls[i];
        const int64_t tiles = tile_count(call.outputs);
        run_tiles(a.products, call, tiles * begin / n_kv, tiles * end / n_kv, worker);
    }
    for (const llmpy_op* op = a.ops + a.products.n; op < a.ops + heads.attend; ++op) {
        const int64_t of_each = op->n[0] / n_kv;
        op->kind == LLMPY_ROPE ? rope_heads(a.run, *op, 0, begin * of_each, end * of_each)
                               : cached_heads(a.run, *op, begin, end);
    }
    AttendCall call = a.call;
    call.head_begin = static_cast<int32_t>(begin);
    call.head_end = static_cast<int32_t>(end);
    call.scratch = reinterpret_cast<float*>(a.run.scratch(worker));
    a.run.kernels.attend(call);
}

}  // namespace

void run_rope(Run& run, const llmpy_op& op) {
    over_range(run, run.rows(op).n, op.n[0] * op.n[1], 1, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) rope_heads(run, op, static_cast<int32_t>(r), 0, op.n[0]);
    });
}

void run_cached(Run& run, const llmpy_op& op) {
    // By head: two threads never write to the same line of transposed keys.
    over_range(run, op.n[0], run.rows(op).n * op.n[1] * 2, 1,
               [&](int64_t begin, int64_t end) { cached_heads(run, op, begin, end); });
}

HeadOps find_heads(const llmpy_plan& plan, const llmpy_op* ops, const Products& products) {
    constexpr HeadOps none = {0, 0};
    constexpr int64_t worth_dividing = 256 << 10;  // bytes of a thread's weights: below, it takes its heads at once
    const llmpy_op* const end = plan.spec.ops + plan.spec.n_ops;
    const llmpy_op* attend = ops + products.n;
    while (attend < end && (attend->kind == LLMPY_ROPE || attend->kind == LLMPY_CACHED)) ++attend;
    if (attend == end || attend->kind != LLMPY_ATTEND || products.threads < 2) return none;
    const int64_t n_kv = attend->n[1];
    bool alike = attend_shape(*attend, plan.spec.cache_type).heads_a_key == 1;
    for (const llmpy_op* op = ops + products.n; op <= attend; ++op) {
        const bool by_head = op->kind == LLMPY_CACHED ? op->n[0] == n_kv : op->n[0] % n_kv == 0;
        const bool in_place = op->kind != LLMPY_ROPE || op->y == op->x;
        alike = alike && by_head && in_place && op->output_rows == ops->output_rows && is_product(ops, products.n, *op);
    }
    int64_t at_once = 1, bytes = 0;  // heads whose rows are whole tiles
    for (int32_t i = 0; i < products.n; ++i) {
        const LinearCall& call = products.calls[i];
        alike = alike && !call.accumulate && call.outputs % n_kv == 0;
        while (at_once * (call.outputs / n_kv) % tile_rows != 0) at_once *= 2;
        bytes += packed_bytes(call.type, call.outputs, call.inputs);
    }
    if (!alike || n_kv % (at_once * products.threads) != 0) return none;
    if (bytes / products.threads < worth_dividing) at_once = n_kv / products.threads;
    return {static_cast<int32_t>(attend - ops), static_cast<int32_t>(at_once)};
}

bool run_heads(Run& run, const llmpy_op* ops, const Products& products) {
    const llmpy_op& attend = ops[products.heads.attend];
    const Rows& rows = run.rows(attend);
    Heads a = {run, products, ops, attend_shape(attend, run.plan.spec.cache_type), {}};
    a.call = attend_call(run, attend, a.shape, {0, 1, rows.sessions[0]});
    if (attend_span(a.shape, rows.positions[0], a.call.session_end).end > kSegmentTokens) return false;
    // The buffer of the result may be that of something other threads still read.
    float* const y = a.call.y;
    a.call.y = reinterpret_cast<float*>(run.plan.partials.data);
    const ChunkBody body = [](void* context, int32_t chunk, int32_t worker) {
        take_heads(*static_cast<const Heads*>(context), chunk, worker);
    };
    run_region(products.threads, static_cast<int32_t>(a.shape.n_kv / products.heads.at_once), body, &a);
    memcpy(y, a.call.y, sizeof(float) * static_cast<size_t>(a.shape.n_head * a.shape.d_value));
    return true;
}

}  // namespace llmpy
