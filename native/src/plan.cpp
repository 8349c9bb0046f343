#include "llmpy/plan.h"

#include <string.h>

#include "llmpy/os.h"
#include "llmpy/sample.h"
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

LinearInput linear_input(const Run& run, const Rows& rows, int64_t kind, int64_t inputs, int64_t place) {
    return {static_cast<InputKind>(kind), rows.n, inputs, run.at(rows, place)};
}

// One input for each head, one after the other.
void run_prepare(Run& run, const llmpy_op& op) {
    const Rows& rows = run.rows(op);
    const int64_t inputs = op.n[1], heads = op.n[2];
    const LinearInput first = linear_input(run, rows, op.n[0], inputs, op.y);
    const int64_t bytes = linear_input_bytes(first.kind, rows.n, inputs);
    const float* const x = run.at(rows, op.x);
    over_range(run, rows.n, inputs * heads, 1, [&](int64_t begin, int64_t end) {
        LinearInput input = first;
        for (int64_t h = 0; h < heads; ++h) {
            run.plan.level->linear->prepare(input, x + h * inputs, heads * inputs, begin, end);
            input.data = static_cast<unsigned char*>(input.data) + bytes;
        }
    });
}

// The products that share one input: `group` operations from `op` on.
void run_linear(Run& run, const llmpy_op* op) {
    constexpr int32_t most = 8;
    const Rows& rows = run.rows(*op);
    const auto type = static_cast<WeightType>(op->n[0]);
    const LinearInput input =
        linear_input(run, rows, static_cast<int64_t>(linear_input_kind(type)), op->n[2], op->x);
    LinearCall calls[most];
    const auto n = static_cast<int32_t>(op->n[3] < most ? op->n[3] : most);
    for (int32_t i = 0; i < n; ++i, ++op) {
        LinearCall& call = calls[i] = LinearCall{};
        call.type = static_cast<WeightType>(op->n[0]);
        call.outputs = call.y_stride = op->n[1];
        call.inputs = op->n[2];
        read_weights(call, op->w[0], 0);
        call.input = &input;
        call.token_end = rows.n;
        call.y = run.at(rows, op->y);
        call.bias = reinterpret_cast<const float*>(op->w[1]);
        if (op == run.plan.spec.ops + run.plan.logits_op && rows.n == 1) call.peaks = run.plan.peaks;
        if (op->x2 >= 0) {
            call.accumulate = true;
            const float* const before = run.at(rows, op->x2);
            if (before != call.y) memcpy(call.y, before, sizeof(float) * static_cast<size_t>(rows.n * call.outputs));
        }
    }
    run_linears(run, calls, n);
}

// A matrix for each head, which lie one after the other as an expert's do.
void run_linear_heads(Run& run, const llmpy_op& op) {
    constexpr int64_t most = 64;
    const Rows& rows = run.rows(op);
    const int64_t outputs = op.n[1], inputs = op.n[2], heads = op.n[3];
    const auto type = static_cast<WeightType>(op.n[0]);
    const LinearInput first =
        linear_input(run, rows, static_cast<int64_t>(linear_input_kind(type)), inputs, op.x);
    const int64_t input_bytes = linear_input_bytes(first.kind, rows.n, inputs);
    LinearInput input[most];
    LinearCall calls[most];
    for (int64_t begin = 0; begin < heads; begin += most) {
        const int64_t n = heads - begin < most ? heads - begin : most;
        for (int64_t i = 0; i < n; ++i) {
            const int64_t h = begin + i;
            input[i] = first;
            input[i].data = static_cast<unsigned char*>(first.data) + h * input_bytes;
            LinearCall& call = calls[i] = LinearCall{};
            call.type = type;
            call.outputs = outputs;
            call.inputs = inputs;
            read_weights(call, op.w[0], h);
            call.input = &input[i];
            call.token_end = rows.n;
            call.y = run.at(rows, op.y) + h * outputs;
            call.y_stride = heads * outputs;
        }
        run_linears(run, calls, static_cast<int32_t>(n));
    }
}

void run_rope(Run& run, const llmpy_op& op) {
    const Rows& rows = run.rows(op);
    const int64_t heads = op.n[0], width = op.n[1], n_pairs = op.n[2];
    const float* const x = run.at(rows, op.x);
    float* const y = run.at(rows, op.y);
    const float* const table = run.at(run.all, run.plan.spec.ropes[op.n[4]].place);
    over_range(run, rows.n, heads * width, 1, [&](int64_t begin, int64_t end) {
        const int64_t n = heads * width;
        if (x != y) memcpy(y + begin * n, x + begin * n, sizeof(float) * static_cast<size_t>((end - begin) * n));
        for (int64_t r = begin; r < end; ++r) {
            const float* const cos = table + 2 * n_pairs * (rows.token_rows != nullptr ? rows.token_rows[r] : r);
            run.kernels.rope(y + r * n, cos, cos + n_pairs, heads, width, n_pairs, op.n[3] != 0);
        }
    });
}

void run_cached(Run& run, const llmpy_op& op) {
    const Rows& rows = run.rows(op);
    const int64_t heads = op.n[0], width = op.n[1], keys = op.n[2], values = op.n[3];
    const auto type = static_cast<CacheType>(run.plan.spec.cache_type);
    const int64_t head_bytes = kPageTokens * cache_bytes(type, width);
    const float* const x = run.at(rows, op.x);
    // By head: two threads never write to the same line of transposed keys.
    over_range(run, heads, rows.n * width * 2, 1, [&](int64_t begin, int64_t end) {
        for (int64_t h = begin; h < end; ++h) {
            for (int32_t r = 0; r < rows.n; ++r) {
                auto* const page = reinterpret_cast<unsigned char*>(run.page(rows, r)) + h * head_bytes;
                const float* const values_of_head = x + (r * heads + h) * width;
                const int64_t slot = rows.positions[r] % kPageTokens;
                if (keys >= 0) run.kernels.store_key(values_of_head, width, type, page + keys, slot);
                if (values >= 0) run.kernels.store_value(values_of_head, width, type, page + values, slot);
            }
        }
    });
}

// Tiles that are packed at a time for a product whose weights are not packed yet.
constexpr int64_t kTilesOnTheWay = 2;

int64_t on_the_way_bytes(const llmpy_op& op) {
    int64_t bytes = 0;
    for (int i = 0; i < (op.kind == LLMPY_MIXTURE ? 3 : 1); ++i) {
        const auto& weights = *reinterpret_cast<const llmpy_weights*>(op.w[i]);
        const int64_t tile = packed_tile_bytes(static_cast<WeightType>(weights.type), weights.inputs);
        bytes = tile > bytes ? tile : bytes;
    }
    return kTilesOnTheWay * bytes;
}

// As `linear`, of weights that are still as the file has them.
void pack_and_run(const Run& run, LinearCall call) {
    const LinearKernels& kernels = *run.plan.level->linear;
    const int64_t tile_bytes = packed_tile_bytes(call.type, call.inputs), end = call.tile_end;
    unsigned char* const tiles = static_cast<unsigned char*>(call.scratch) + align_up(linear_scratch_bytes());
    while (call.tile_begin < end) {
        const int64_t begin = call.tile_begin;
        call.tile_end = begin + kTilesOnTheWay < end ? begin + kTilesOnTheWay : end;
        // Where the whole matrix would begin, so that its tile `begin` lies at `tiles`.
        const uint64_t matrix = reinterpret_cast<uint64_t>(tiles) - static_cast<uint64_t>(begin * tile_bytes);
        kernels.pack(call.type, call.outputs, call.inputs, call.rows, reinterpret_cast<void*>(matrix), begin,
                     call.tile_end);
        call.packed = reinterpret_cast<const void*>(matrix);
        kernels.linear(call);
        call.tile_begin = call.tile_end;
    }
}

void run_op(Run& run, const llmpy_op& op) {
    switch (op.kind) {
        case LLMPY_PREPARE:
            return run_prepare(run, op);
        case LLMPY_LINEAR:
            return run_linear(run, &op);
        case LLMPY_LINEAR_HEADS:
            return run_linear_heads(run, op);
        case LLMPY_ROPE:
            return run_rope(run, op);
        case LLMPY_CACHED:
            return run_cached(run, op);
        case LLMPY_ATTEND:
            return run_attend(run, op);
        case LLMPY_MIXTURE:
            return run_mixture(run, op);
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

// The operation whose products are the logits, as they are sampled from; -1: there is something between.
int32_t find_logits_op(const llmpy_plan_spec& spec) {
    int32_t found = -1;
    for (int32_t i = 0; i < spec.n_ops; ++i) {
        if (spec.ops[i].y != LLMPY_LOGITS_PLACE) continue;
        if (found >= 0 || spec.ops[i].kind != LLMPY_LINEAR) return -1;
        found = i;
    }
    return found;
}

}  // namespace

void read_weights(LinearCall& call, uint64_t address, int64_t i) {
    const auto& weights = *reinterpret_cast<const llmpy_weights*>(address);
    if (__atomic_load_n(&weights.ready, __ATOMIC_ACQUIRE) != 0) {
        call.packed = static_cast<const unsigned char*>(weights.packed) + i * weights.packed_stride;
    } else {
        call.rows = static_cast<const unsigned char*>(weights.rows) + i * weights.rows_stride;
    }
}

void run_linears(const Run& run, LinearCall* calls, int32_t n) {
    constexpr int64_t least_bytes = 160 << 10;  // of weights, for a region to be worth it
    constexpr int64_t least_products = 200000;
    constexpr int64_t peak_tiles = kPeakBlock / tile_rows;
    int64_t bytes = 0, products = 0, chunks = 0;
    for (int32_t i = 0; i < n; ++i) {
        const LinearCall& call = calls[i];
        bytes += packed_bytes(call.type, call.outputs, call.inputs);
        products += call.outputs * call.inputs * (call.token_end - call.token_begin);
    }
    const int32_t threads = bytes < least_bytes && products < least_products ? 1 : run.threads;
    for (int32_t i = 0; i < n; ++i) {
        LinearCall& call = calls[i];
        const int64_t tokens = call.token_end - call.token_begin;
        call.piece_tiles = linear_chunk_tiles(call.type, call.outputs, call.inputs, tokens, threads);
        if (call.peaks != nullptr) call.piece_tiles = (call.piece_tiles + peak_tiles - 1) / peak_tiles * peak_tiles;
        call.pieces = static_cast<int32_t>((tile_count(call.outputs) + call.piece_tiles - 1) / call.piece_tiles);
        chunks += call.pieces;
    }
    parallel(threads, static_cast<int32_t>(chunks), [&](int32_t chunk, int32_t worker) {
        int32_t i = 0;
        for (; chunk >= calls[i].pieces; ++i) chunk -= calls[i].pieces;
        LinearCall call = calls[i];
        const int64_t tiles = tile_count(call.outputs);
        call.tile_begin = chunk * call.piece_tiles;
        call.tile_end = call.tile_begin + call.piece_tiles < tiles ? call.tile_begin + call.piece_tiles : tiles;
        call.scratch = run.scratch(worker);
        call.fetch_ahead = run.plan.fetch_ahead && call.rows == nullptr;  // what is packed on the way is in a cache
        call.rows == nullptr ? run.plan.level->linear->linear(call) : pack_and_run(run, call);
        if (call.peaks == nullptr) return;
        const int64_t begin = call.tile_begin * tile_rows, end = call.tile_end * tile_rows;
        run.kernels.peaks(call.y + begin, (end < call.outputs ? end : call.outputs) - begin, call.peaks + begin / kPeakBlock);
    });
}

}  // namespace llmpy

using namespace llmpy;

extern "C" {

llmpy_plan* llmpy_plan_create(const llmpy_plan_spec* spec) {
    auto* const plan = static_cast<llmpy_plan*>(allocate(sizeof(llmpy_plan)));
    if (plan == nullptr) return nullptr;
    plan->level = level_of(spec->level);
    plan->fetch_ahead = fetches_too_little();
    plan->spec = *spec;
    plan->logits_op = find_logits_op(*spec);
    const int64_t op_bytes = spec->n_ops * int64_t{sizeof(llmpy_op)};
    int64_t bytes = op_bytes + spec->n_ropes * int64_t{sizeof(llmpy_rope)};
    for (int32_t i = 0; i < spec->n_ropes; ++i) bytes += spec->ropes[i].n_pairs * int64_t{sizeof(double)};
    if (!plan->operations.resize(bytes)) {
        llmpy_plan_destroy(plan);
        return nullptr;
    }
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
    Block* const blocks[] = {&plan->operations, &plan->arena, &plan->rows, &plan->partials, &plan->scratch,
                            &plan->mixture};
    for (Block* block : blocks) block->resize(0);
    release(plan, sizeof(llmpy_plan));
}

int32_t llmpy_plan_reserve(llmpy_plan* plan, int64_t tokens, int64_t wanted, int64_t positions, int32_t threads) {
    const llmpy_plan_spec& spec = plan->spec;
    int64_t partials = 0, mixture = 0, scratch = linear_scratch_bytes();
    for (int32_t i = 0; i < spec.n_ops; ++i) {
        const llmpy_op& op = spec.ops[i];
        const int64_t rows = op.wanted != 0 ? wanted : tokens;
        int64_t here = 0;
        if (op.kind == LLMPY_LINEAR || op.kind == LLMPY_LINEAR_HEADS || op.kind == LLMPY_MIXTURE) {
            here = align_up(linear_scratch_bytes()) + on_the_way_bytes(op);
            scratch = here > scratch ? here : scratch;
        }
        if (op.kind == LLMPY_ATTEND) {
            here = attend_partial_bytes(op, spec.cache_type, rows, positions);
            partials = here > partials ? here : partials;
            here = attend_scratch_floats(attend_shape(op, spec.cache_type)) * int64_t{sizeof(float)};
            scratch = here > scratch ? here : scratch;
        } else if (op.kind == LLMPY_MIXTURE) {
            here = mixture_bytes(op, rows);
            mixture = here > mixture ? here : mixture;
        }
    }
    plan->scratch_stride = align_up(scratch);
    const int64_t rows = wanted * 2 * int64_t{sizeof(int32_t)} + (tokens + wanted) * int64_t{sizeof(Tile)};
    const bool enough = plan->arena.resize(tokens * spec.all_bytes + wanted * spec.wanted_bytes) &&
                        plan->rows.resize(rows) && plan->partials.resize(partials) && plan->mixture.resize(mixture) &&
                        plan->scratch.resize(plan->scratch_stride * threads);
    plan->tokens = enough ? tokens : 0;
    plan->wanted = enough ? wanted : 0;
    plan->positions = enough ? positions : 0;
    plan->threads = enough ? threads : 0;
    return enough ? LLMPY_OK : LLMPY_NO_MEMORY;
}

void llmpy_plan_bind(llmpy_plan* plan, const llmpy_batch* batch) {
    plan->batch = *batch;
}

void llmpy_plan_run(llmpy_plan* plan, int32_t tokens, int32_t wanted, int32_t threads) {
    const llmpy_plan_spec& spec = plan->spec;
    const llmpy_batch& batch = plan->batch;
    auto* const positions = reinterpret_cast<int32_t*>(plan->rows.data);
    int32_t* const sessions = positions + plan->wanted;
    Tile* const tiles = reinterpret_cast<Tile*>(sessions + plan->wanted);
    for (int32_t i = 0; i < wanted; ++i) {
        positions[i] = batch.positions[batch.wanted[i]];
        sessions[i] = batch.sessions[batch.wanted[i]];
    }
    unsigned char* const arena = plan->arena.data;
    Run run = {*plan,
               *plan->level->ops,
               threads,
               {tokens, arena, batch.positions, batch.sessions, nullptr, tiles, 0, 0},
               {wanted, arena + spec.all_bytes * tokens, positions, sessions, batch.wanted, tiles + plan->tokens, 0, 0}};
    Share share(threads);
    run.threads = share.threads();
    make_rope_tables(run);
    for (int32_t i = 0; i < spec.n_ops; ++i) {
        const llmpy_op& op = spec.ops[i];
        if (run.rows(op).n > 0) run_op(run, op);
        if (op.kind == LLMPY_LINEAR) i += static_cast<int32_t>(op.n[3]) - 1;
        run.threads = share.again();
    }
}
}
