// plan_linear: products with weights, cut into pieces that threads can take.

#include <string.h>

#include "plan_state.h"

namespace llmpy {
namespace {

// Tiles that are packed at a time for a product whose weights are not packed yet.
constexpr int64_t kTilesOnTheWay = 2;

LinearInput input_of_linear(const Run& run, const Rows& rows, const llmpy_op& op) {
    return {linear_input_kind(static_cast<WeightType>(op.n[0])), rows.n, op.n[2], run.at(rows, op.x)};
}

// As `linear`, of weights that are still as the file has them.
void pack_and_run(const LinearKernels& kernels, LinearCall call) {
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

// How many rows the first `tiles` tiles have.
int64_t rows_before(const LinearCall& call, int64_t tiles) {
    return tiles * tile_rows < call.outputs ? tiles * tile_rows : call.outputs;
}

// Cuts the products into pieces, of as many threads' work as is worth it.
void divide(Products& products, int32_t threads) {
    constexpr int64_t least_bytes = 160 << 10;  // of weights, for a region to be worth it
    constexpr int64_t least_products = 200000;
    constexpr int64_t maxima_tiles = kMaximaBlock / tile_rows;
    static_assert(kMaximaBlock == 64, "as OpKernels::block_maxima has it");
    int64_t bytes = 0, multiplications = 0;
    for (int32_t i = 0; i < products.n; ++i) {
        const LinearCall& call = products.calls[i];
        bytes += packed_bytes(call.type, call.outputs, call.inputs);
        multiplications += call.outputs * call.inputs * (call.token_end - call.token_begin);
    }
    products.threads = bytes < least_bytes && multiplications < least_products ? 1 : threads;
    products.chunks = 0;
    for (int32_t i = 0; i < products.n; ++i) {
        LinearCall& call = products.calls[i];
        const int64_t tokens = call.token_end - call.token_begin;
        const int64_t inputs = products.gate.y != nullptr ? 2 * call.inputs : call.inputs;  // a piece is one of both
        call.piece_tiles = linear_chunk_tiles(call.type, call.outputs, inputs, tokens, products.threads);
        if (call.block_maxima != nullptr)
            call.piece_tiles = (call.piece_tiles + maxima_tiles - 1) / maxima_tiles * maxima_tiles;
        call.pieces = static_cast<int32_t>((tile_count(call.outputs) + call.piece_tiles - 1) / call.piece_tiles);
        products.chunks += call.pieces;
    }
    if (products.gate.y != nullptr) products.chunks = products.calls[0].pieces;
}

// A piece of one of the products; or, before a gate, the same part of both, and what the gate makes of it.
void run_piece(const Products& products, int32_t chunk, int32_t worker) {
    int32_t i = 0;
    for (; chunk >= products.calls[i].pieces; ++i) chunk -= products.calls[i].pieces;
    const LinearCall& call = products.calls[i];
    const int64_t tiles = tile_count(call.outputs), begin = chunk * call.piece_tiles;
    const int64_t end = begin + call.piece_tiles < tiles ? begin + call.piece_tiles : tiles;
    run_tiles(products, call, begin, end, worker);
    const Gate& gate = products.gate;
    if (gate.y == nullptr) return;
    run_tiles(products, products.calls[1], begin, end, worker);
    const int64_t first = begin * tile_rows, n = rows_before(call, end) - first;
    for (int64_t r = 0; r < products.tokens; ++r) {
        const int64_t at = r * call.outputs + first;
        products.plan->level->ops->gate(gate.function, gate.a + at, gate.b + at, n, gate.y + at);
    }
}

// The gate of a region that has one.
Gate gate_of(const Run& run, const Rows& rows, const llmpy_op& region) {
    if (region.n[2] != LLMPY_REGION_GATED) return {Function::silu, nullptr, nullptr, nullptr};
    const llmpy_op& op = (&region)[region.n[0]];
    return {static_cast<Function>(op.n[1]), run.at(rows, op.x), run.at(rows, op.x2), run.at(rows, op.y)};
}

void run_products(Products& products) {
    const ChunkBody body = [](void* context, int32_t chunk, int32_t worker) {
        run_piece(*static_cast<Products*>(context), chunk, worker);
    };
    run_region(products.threads, products.chunks, body, &products);
}

float* block_maxima_of(const Run& run, const llmpy_op& op) {
    const llmpy_plan& plan = run.plan;
    return &op == plan.spec.ops + plan.spec.logits ? plan.maxima_of(0, op.n[1]) : nullptr;
}

// Whether what was made for an earlier run is right for this one.
bool is_made(const Run& run, const Rows& rows, const llmpy_op& region, const Products& products) {
    const llmpy_op* const ops = &region + 1;
    bool made = products.tokens == rows.n && products.wanted_threads == run.threads && products.packed;
    if (products.n > 0) made = made && products.input.data == run.at(rows, ops->x);
    for (int32_t i = 0; made && i < products.n; ++i) {
        const LinearCall& call = products.calls[i];
        made = call.y == run.at(rows, ops[i].y) && call.block_maxima == block_maxima_of(run, ops[i]);
    }
    return made;
}

void make(const Run& run, const Rows& rows, const llmpy_op& region, Products& products) {
    const llmpy_op* const ops = &region + 1;
    products.plan = &run.plan;
    products.n = static_cast<int32_t>(region.n[1]);
    products.tokens = rows.n;
    products.wanted_threads = run.threads;
    if (products.n > 0) products.input = input_of_linear(run, rows, *ops);
    products.packed = true;
    for (int32_t i = 0; i < products.n; ++i) {
        const llmpy_op& op = ops[i];
        LinearCall& call = products.calls[i] = LinearCall{};
        call.type = static_cast<WeightType>(op.n[0]);
        call.outputs = call.y_stride = op.n[1];
        call.inputs = op.n[2];
        read_weights(call, op.w[0], 0);
        call.input = &products.input;
        call.token_end = rows.n;
        call.y = run.at(rows, op.y);
        call.bias = reinterpret_cast<const float*>(op.w[1]);
        call.block_maxima = block_maxima_of(run, op);
        call.accumulate = op.x2 >= 0;
        products.packed = products.packed && call.rows == nullptr;
    }
    products.gate = gate_of(run, rows, region);
    divide(products, run.threads);
    products.heads = 0;
    if (region.n[2] == LLMPY_REGION_HEADS && rows.n == 1 && products.packed)
        products.heads = heads_at_once(run.plan, region, products);
}

}  // namespace

void run_tiles(const Products& products, LinearCall call, int64_t begin, int64_t end, int32_t worker) {
    const llmpy_plan& plan = *products.plan;
    call.tile_begin = begin;
    call.tile_end = end;
    call.scratch = plan.scratch.data + worker * plan.scratch_stride;
    call.fetch_ahead = plan.fetch_ahead && call.rows == nullptr;  // what is packed on the way is in a cache
    call.rows == nullptr ? plan.level->linear->linear(call) : pack_and_run(*plan.level->linear, call);
    if (call.block_maxima == nullptr) return;
    const int64_t first = begin * tile_rows;
    for (int64_t t = call.token_begin; t < call.token_end; ++t) {
        plan.level->ops->block_maxima(call.y + t * call.y_stride + first, rows_before(call, end) - first,
                                      call.block_maxima + t * maxima_blocks(call.outputs) + first / kMaximaBlock);
    }
}

int64_t on_the_way_bytes(const llmpy_op& op) {
    int64_t bytes = 0;
    for (int i = 0; i < (op.kind == LLMPY_MOE ? 3 : 1); ++i) {
        const auto& weights = *reinterpret_cast<const llmpy_weights*>(op.w[i]);
        const int64_t tile = packed_tile_bytes(static_cast<WeightType>(weights.type), weights.inputs);
        bytes = tile > bytes ? tile : bytes;
    }
    return kTilesOnTheWay * bytes;
}

void read_weights(LinearCall& call, uint64_t address, int64_t i) {
    const auto& weights = *reinterpret_cast<const llmpy_weights*>(address);
    if (__atomic_load_n(&weights.ready, __ATOMIC_ACQUIRE) != 0) {
        call.packed = static_cast<const unsigned char*>(weights.packed) + i * weights.packed_stride;
    } else {
        call.rows = static_cast<const unsigned char*>(weights.rows) + i * weights.rows_stride;
    }
}

void run_linears(const Run& run, LinearCall* calls, int32_t n) {
    Products products = {};
    products.plan = &run.plan;
    products.calls = calls;
    products.n = n;
    divide(products, run.threads);
    run_products(products);
}

// One input for each head, one after the other.
void run_prepare(Run& run, const llmpy_op& op) {
    const Rows& rows = run.rows(op);
    const int64_t inputs = op.n[1], heads = op.n[2];
    const LinearInput first = {static_cast<InputKind>(op.n[0]), rows.n, inputs, run.at(rows, op.y)};
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

int32_t run_region_op(Run& run, const llmpy_op& region) {
    const Rows& rows = run.rows(region);
    const auto all = static_cast<int32_t>(1 + region.n[0]);
    if (rows.n == 0) return all;
    Products& products = run.plan.products_of(&region);
    if (!is_made(run, rows, region, products)) make(run, rows, region, products);
    if (products.heads > 0 && run_heads(run, region, products)) return all;
    for (int32_t i = 0; i < products.n; ++i) {
        const llmpy_op& op = (&region)[1 + i];
        if (op.x2 < 0) continue;
        const float* const before = run.at(rows, op.x2);
        float* const y = products.calls[i].y;
        if (before != y) memcpy(y, before, sizeof(float) * static_cast<size_t>(rows.n * op.n[1]));
    }
    if (products.n > 0) run_products(products);
    if (region.n[2] == LLMPY_REGION_HEADS && run_attend_from(run, &region + 1 + products.n, (&region)[region.n[0]]))
        return all;
    return products.gate.y != nullptr ? all : 1 + products.n;
}

// A matrix for each head, which lie one after the other as an expert's do.
void run_linear_heads(Run& run, const llmpy_op& op) {
    constexpr int64_t most = 64;
    const Rows& rows = run.rows(op);
    const int64_t outputs = op.n[1], inputs = op.n[2], heads = op.n[3];
    const LinearInput first = input_of_linear(run, rows, op);
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
            call.type = static_cast<WeightType>(op.n[0]);
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

}  // namespace llmpy
