#include "llmpy.h"

#include <string.h>

#include "llmpy/os.h"
#include "plan_state.h"

namespace llmpy {

bool Block::resize(int64_t wanted) {
    release(data, static_cast<size_t>(bytes));
    data = nullptr;
    bytes = 0;
    if (wanted == 0) return true;
    data = static_cast<unsigned char*>(allocate(static_cast<size_t>(wanted)));
    if (data == nullptr) return false;
    bytes = wanted;
    return true;
}

namespace {

void run_op(Run& run, const llmpy_op& op) {
    switch (op.kind) {
        case LLMPY_PREPARE:
            return run_prepare(run, op);
        case LLMPY_LINEAR_HEADS:
            return run_linear_heads(run, op);
        case LLMPY_ROPE:
            return run_rope(run, op);
        case LLMPY_CACHED:
            return run_cached(run, op);
        case LLMPY_ATTEND:
            return run_attend(run, op);
        case LLMPY_MOE:
            return run_moe(run, op);
        case LLMPY_ROUTE:
            return run_route(run, op);
        case LLMPY_PREVIOUS:
        case LLMPY_CONV:
        case LLMPY_SCAN:
        case LLMPY_DELTA_RULE:
        case LLMPY_WKV4:
            return run_recurrent(run, op);
        default:
            return run_simple(run, op);
    }
}

// Weights of so many bytes stay in a processor's last cache from token to token; the hardware fetches from there in time.
constexpr int64_t kCached = 32 << 20;

// The weights of all products, as packed.
int64_t product_bytes(const llmpy_plan_spec& spec) {
    int64_t bytes = 0;
    for (int32_t i = 0; i < spec.n_ops; ++i) {
        const llmpy_op& op = spec.ops[i];
        const bool multiplies = op.kind == LLMPY_LINEAR || op.kind == LLMPY_LINEAR_HEADS || op.kind == LLMPY_MOE;
        for (int w = 0; multiplies && w < (op.kind == LLMPY_MOE ? 3 : 1); ++w) {
            const auto& weights = *reinterpret_cast<const llmpy_weights*>(op.w[w]);
            const int64_t each = packed_bytes(static_cast<WeightType>(weights.type), weights.outputs, weights.inputs);
            bytes += each * weights.matrices;
        }
    }
    return bytes;
}

void add_time(llmpy_op_time& time, int32_t rows, int32_t ops, uint64_t nanoseconds) {
    time.calls += rows > 0 ? 1 : 0;
    time.rows += rows;
    time.ops = ops;
    time.nanoseconds += nanoseconds;
}

}  // namespace

}  // namespace llmpy

using namespace llmpy;

extern "C" {

llmpy_plan* llmpy_plan_create(const llmpy_plan_spec* spec) {
    auto* const plan = static_cast<llmpy_plan*>(allocate(sizeof(llmpy_plan)));
    if (plan == nullptr) return nullptr;
    plan->level = level_of(spec->level);
    plan->fetch_ahead = fetches_too_little() && product_bytes(*spec) > kCached;
    plan->spec = *spec;
    const int64_t op_bytes = spec->n_ops * int64_t{sizeof(llmpy_op)};
    int64_t bytes = op_bytes + spec->n_ropes * int64_t{sizeof(llmpy_rope)};
    for (int32_t i = 0; i < spec->n_ropes; ++i) bytes += spec->ropes[i].n_pairs * int64_t{sizeof(double)};
    const int64_t products_bytes = spec->n_ops * int64_t{sizeof(Products) + sizeof(LinearCall)};
    if (!plan->operations.resize(bytes) || !plan->products.resize(products_bytes)) {
        llmpy_plan_destroy(plan);
        return nullptr;
    }
    auto* const products = reinterpret_cast<Products*>(plan->products.data);
    auto* const calls = reinterpret_cast<LinearCall*>(products + spec->n_ops);
    for (int32_t i = 0; i < spec->n_ops; ++i) products[i].calls = calls + i;
    unsigned char* out = plan->operations.data;
    plan->spec.ops = reinterpret_cast<llmpy_op*>(out);
    memcpy(out, spec->ops, static_cast<size_t>(op_bytes));
    auto* const ropes = reinterpret_cast<llmpy_rope*>(out + op_bytes);
    auto* numbers = reinterpret_cast<double*>(ropes + spec->n_ropes);
    plan->spec.ropes = ropes;
    for (int32_t i = 0; i < spec->n_ropes; ++i) {
        ropes[i] = spec->ropes[i];
        memcpy(numbers, ropes[i].frequencies, sizeof(double) * static_cast<size_t>(ropes[i].n_pairs));
        ropes[i].frequencies = numbers;
        numbers += ropes[i].n_pairs;
    }
    return plan;
}

void llmpy_plan_destroy(llmpy_plan* plan) {
    if (plan == nullptr) return;
    Block* const blocks[] = {&plan->operations, &plan->products, &plan->arena, &plan->rows,
                             &plan->partials,   &plan->scratch,  &plan->moe,   &plan->maxima};
    for (Block* block : blocks) block->resize(0);
    release(plan, sizeof(llmpy_plan));
}

int32_t llmpy_plan_reserve(llmpy_plan* plan, int64_t tokens, int64_t output_rows, int64_t positions, int32_t threads) {
    const llmpy_plan_spec& spec = plan->spec;
    int64_t partials = 0, moe = 0, scratch = linear_scratch_bytes();
    for (int32_t i = 0; i < spec.n_ops; ++i) {
        const llmpy_op& op = spec.ops[i];
        const int64_t rows = op.output_rows != 0 ? output_rows : tokens;
        int64_t here = 0;
        if (op.kind == LLMPY_LINEAR || op.kind == LLMPY_LINEAR_HEADS || op.kind == LLMPY_MOE) {
            here = align_up(linear_scratch_bytes()) + on_the_way_bytes(op);
            scratch = here > scratch ? here : scratch;
        }
        if (op.kind == LLMPY_ATTEND) {
            here = attend_partial_bytes(op, spec.cache_type, rows, positions);
            partials = here > partials ? here : partials;
            here = attend_scratch_floats(attend_shape(op, spec.cache_type)) * int64_t{sizeof(float)};
            scratch = here > scratch ? here : scratch;
        } else if (op.kind == LLMPY_MOE) {
            here = moe_bytes(op, rows);
            moe = here > moe ? here : moe;
        }
    }
    plan->scratch_stride = align_up(scratch);
    const int64_t logits = spec.logits >= 0 ? spec.ops[spec.logits].n[1] : 0;
    const int64_t maxima = output_rows * maxima_blocks(logits) * int64_t{sizeof(float)};
    const int64_t rows = output_rows * 2 * int64_t{sizeof(int32_t)} + (tokens + output_rows) * int64_t{sizeof(Tile)};
    const bool enough = plan->arena.resize(tokens * spec.all_bytes + output_rows * spec.output_bytes) &&
                        plan->rows.resize(rows) && plan->partials.resize(partials) && plan->moe.resize(moe) &&
                        plan->maxima.resize(maxima) && plan->scratch.resize(plan->scratch_stride * threads);
    plan->tokens = enough ? tokens : 0;
    plan->output_rows = enough ? output_rows : 0;
    plan->positions = enough ? positions : 0;
    plan->threads = enough ? threads : 0;
    return enough ? LLMPY_OK : LLMPY_NO_MEMORY;
}

void llmpy_plan_bind(llmpy_plan* plan, const llmpy_batch* batch) { plan->batch = *batch; }

void llmpy_plan_trace(llmpy_plan* plan, llmpy_op_time* times) { plan->times = times; }

void llmpy_plan_run(llmpy_plan* plan, int32_t tokens, int32_t output_rows, int32_t threads) {
    const llmpy_plan_spec& spec = plan->spec;
    const llmpy_batch& batch = plan->batch;
    auto* const positions = reinterpret_cast<int32_t*>(plan->rows.data);
    int32_t* const sessions = positions + plan->output_rows;
    Tile* const tiles = reinterpret_cast<Tile*>(sessions + plan->output_rows);
    for (int32_t i = 0; i < output_rows; ++i) {
        positions[i] = batch.positions[batch.output_rows[i]];
        sessions[i] = batch.sessions[batch.output_rows[i]];
    }
    unsigned char* const arena = plan->arena.data;
    Run run = {*plan,
               *plan->level->ops,
               threads,
               {tokens, arena, batch.positions, batch.sessions, nullptr, tiles, 0, 0},
               {output_rows, arena + spec.all_bytes * tokens, positions, sessions, batch.output_rows,
                tiles + plan->tokens, 0, 0}};
    ThreadQuota quota(threads);
    run.threads = quota.threads();
    make_rope_tables(run);
    for (int32_t i = 0; i < spec.n_ops; ++i) {
        const llmpy_op& op = spec.ops[i];
        const int32_t first = i;
        const uint64_t begin = plan->times != nullptr ? nanoseconds() : 0;
        if (op.kind == LLMPY_REGION) {
            i += run_region_op(run, op) - 1;
        } else if (run.rows(op).n > 0) {
            run_op(run, op);
        }
        const bool done = op.kind != LLMPY_REGION || i > first;
        if (plan->times != nullptr && done)
            add_time(plan->times[first], run.rows(op).n, i + 1 - first, nanoseconds() - begin);
        const int32_t now = quota.again();
        if (now != run.threads) run.threads = now;  // a line that is not written stays in the caches of all
    }
}
}
