// plan_moe: y = sum over the n_used experts e of the largest router weights p_e of p_e * down_e(f(gate_e x) * up_e x)
//
// Each pair (token, expert) is a row of work; pairs are sorted by expert, so that an expert's weights are read once for all
// its tokens, and taken in waves that bound the memory. A pair's row, and the order in which a token adds up its experts
// (largest first), do not depend on what else is in the batch. Means the same as `moe` in backends/reference/moe.py.

#include <string.h>

#include "plan_state.h"

namespace llmpy {
namespace {

constexpr int64_t kLeastWave = 16;

struct Moe {
    int64_t n_embd, n_ff, n_expert, n_used;
    WeightType gate_type, up_type, down_type;
    Function function;
    int64_t rows, pairs, wave;

    Moe(const llmpy_op& op, int64_t n_rows)
        : n_embd(op.n[0]),
          n_ff(op.n[1]),
          n_expert(op.n[2]),
          n_used(op.n[3]),
          gate_type(static_cast<WeightType>(op.n[4])),
          up_type(static_cast<WeightType>(op.n[5])),
          down_type(static_cast<WeightType>(op.n[6])),
          function(static_cast<Function>(op.n[7])),
          rows(n_rows),
          pairs(n_rows * n_used),
          wave(pairs < kLeastWave    ? pairs
               : n_rows > kLeastWave ? n_rows
                                     : kLeastWave) {}
};

// Pieces of one block of memory, each aligned; with no memory they only count.
struct Pieces {
    unsigned char* memory;
    int64_t used = 0;

    explicit Pieces(unsigned char* block) : memory(block) {}
    template <class T>
    T* take(int64_t n) {
        T* const piece = memory == nullptr ? nullptr : reinterpret_cast<T*>(memory + used);
        used += align_up(n * int64_t{sizeof(T)});
        return piece;
    }
};

struct Workspace {
    int32_t* expert;             // [pairs] by token, best first
    float* router_weight;        // [pairs] its weight
    int32_t* place;              // [pairs] where it lies in the sorted order
    int32_t* row;                // [pairs] sorted: its token
    int32_t* begin;              // [n_expert + 1] sorted: where an expert's pairs begin
    LinearCall* calls;           // [2 * n_expert]
    float *x, *gate, *up, *out;  // [wave, n_embd], twice [wave, n_ff], [pairs, n_embd]
    unsigned char *prepared[input_kinds], *prepared_ff[input_kinds];  // by kind of input

    Workspace(const Moe& m, Pieces& pieces)
        : expert(pieces.take<int32_t>(m.pairs)),
          router_weight(pieces.take<float>(m.pairs)),
          place(pieces.take<int32_t>(m.pairs)),
          row(pieces.take<int32_t>(m.pairs)),
          begin(pieces.take<int32_t>(m.n_expert + 1)),
          calls(pieces.take<LinearCall>(2 * m.n_expert)),
          x(pieces.take<float>(m.wave * m.n_embd)),
          gate(pieces.take<float>(m.wave * m.n_ff)),
          up(pieces.take<float>(m.wave * m.n_ff)),
          out(pieces.take<float>(m.pairs * m.n_embd)) {
        for (int kind = 0; kind < input_kinds; ++kind) {
            const auto input = static_cast<InputKind>(kind);
            prepared[kind] = pieces.take<unsigned char>(linear_input_bytes(input, m.wave, m.n_embd));
            prepared_ff[kind] = pieces.take<unsigned char>(linear_input_bytes(input, m.wave, m.n_ff));
        }
    }
};

void sort_by_expert(const Moe& m, const Workspace& w) {
    memset(w.begin, 0, sizeof(int32_t) * static_cast<size_t>(m.n_expert + 1));
    for (int64_t i = 0; i < m.pairs; ++i) ++w.begin[w.expert[i] + 1];
    for (int64_t e = 0; e < m.n_expert; ++e) w.begin[e + 1] += w.begin[e];
    for (int64_t i = 0; i < m.pairs; ++i) {
        const int32_t at = w.begin[w.expert[i]]++;
        w.place[i] = at;
        w.row[at] = static_cast<int32_t>(i / m.n_used);
    }
    for (int64_t e = m.n_expert; e > 0; --e) w.begin[e] = w.begin[e - 1];
    w.begin[0] = 0;
}

// body(e, begin, end) for each expert that has pairs in first .. last-1, with its own of them, counted from `first`.
template <class Body>
void each_expert(const Workspace& w, const Moe& m, int64_t first, int64_t last, const Body& body) {
    for (int64_t e = 0; e < m.n_expert; ++e) {
        const int64_t begin = w.begin[e] > first ? w.begin[e] : first;
        const int64_t end = w.begin[e + 1] < last ? w.begin[e + 1] : last;
        if (begin < end) body(e, begin - first, end - first);
    }
}

// One matrix of each expert that has pairs in first .. last-1, as calls; returns how many.
int32_t expert_calls(const Workspace& w, const Moe& m, int64_t first, int64_t last, LinearCall call, uint64_t weights,
                     LinearCall* calls) {
    int32_t n = 0;
    each_expert(w, m, first, last, [&](int64_t e, int64_t begin, int64_t end) {
        calls[n] = call;
        read_weights(calls[n], weights, e);
        if (call.bias != nullptr) calls[n].bias = call.bias + e * call.outputs;
        calls[n].token_begin = begin;
        calls[n].token_end = end;
        ++n;
    });
    return n;
}

// `i`: gate, up, down.
LinearCall call_of(const llmpy_op& op, int i, int64_t outputs, int64_t inputs, const LinearInput* input, float* y) {
    LinearCall call = {};
    call.type = static_cast<WeightType>(op.n[4 + i]);
    call.outputs = call.y_stride = outputs;
    call.inputs = inputs;
    call.bias = reinterpret_cast<const float*>(op.w[3 + i]);
    call.input = input;
    call.y = y;
    return call;
}

void prepare(const Run& run, const LinearInput& input, const float* x) {
    over_range(run, input.tokens, input.inputs, 1, [&](int64_t begin, int64_t end) {
        run.plan.level->linear->prepare(input, x, input.inputs, begin, end);
    });
}

// What the pairs first .. last-1 feed to a matrix of their experts, for those who want to know.
void collect_of_experts(const Run& run, const Workspace& w, const Moe& m, int64_t first, int64_t last, const float* x,
                        int64_t width, uint64_t sums) {
    if (sums == 0) return;
    each_expert(w, m, first, last, [&](int64_t e, int64_t begin, int64_t end) {
        collect(run, sums, e, x + begin * width, end - begin, width, width);
    });
}

// Sorted pairs first .. last-1, at most a wave.
void run_wave(const Run& run, const llmpy_op& op, const Moe& m, const Workspace& w, const float* x, int64_t first,
              int64_t last) {
    const int64_t n = last - first;
    for (int64_t i = 0; i < n; ++i) {
        memcpy(w.x + i * m.n_embd, x + w.row[first + i] * m.n_embd, sizeof(float) * static_cast<size_t>(m.n_embd));
    }
    LinearInput inputs[input_kinds], hidden[input_kinds];
    for (int kind = 0; kind < input_kinds; ++kind) {
        const auto k = static_cast<InputKind>(kind);
        inputs[kind] = {k, n, m.n_embd, w.prepared[kind]};
        hidden[kind] = {k, n, m.n_ff, w.prepared_ff[kind]};
        if (linear_input_kind(m.gate_type) == k || linear_input_kind(m.up_type) == k) prepare(run, inputs[kind], w.x);
    }
    const auto input_of = [](const LinearInput* of, WeightType type) {
        return &of[static_cast<int>(linear_input_kind(type))];
    };
    LinearCall call = call_of(op, 0, m.n_ff, m.n_embd, input_of(inputs, m.gate_type), w.gate);
    int32_t n_calls = expert_calls(w, m, first, last, call, op.w[0], w.calls);
    call = call_of(op, 1, m.n_ff, m.n_embd, input_of(inputs, m.up_type), w.up);
    n_calls += expert_calls(w, m, first, last, call, op.w[1], w.calls + n_calls);
    run_linears(run, w.calls, n_calls);
    over_range(run, n * m.n_ff, 4, 16, [&](int64_t begin, int64_t end) {
        run.kernels.gate(m.function, w.gate + begin, w.up + begin, end - begin, w.gate + begin);
    });
    collect_of_experts(run, w, m, first, last, w.x, m.n_embd, op.w[6]);
    collect_of_experts(run, w, m, first, last, w.gate, m.n_ff, op.w[7]);
    const LinearInput* const down = input_of(hidden, m.down_type);
    prepare(run, *down, w.gate);
    call = call_of(op, 2, m.n_embd, m.n_ff, down, w.out + first * m.n_embd);
    run_linears(run, w.calls, expert_calls(w, m, first, last, call, op.w[2], w.calls));
}

}  // namespace

int64_t moe_bytes(const llmpy_op& op, int64_t rows) {
    if (rows == 0) return 0;
    const Moe m(op, rows);
    Pieces pieces(nullptr);
    const Workspace counted(m, pieces);
    return pieces.used;
}

void run_moe(Run& run, const llmpy_op& op) {
    const Rows& rows = run.rows(op);
    const Moe m(op, rows.n);
    Pieces pieces(run.plan.moe.data);
    const Workspace w(m, pieces);
    const float* const x = run.at(rows, op.x);
    const float* const weights = run.at(rows, op.x2);
    float* const y = run.at(rows, op.y);
    for (int64_t r = 0; r < m.rows; ++r) {
        const float* const of_token = weights + r * m.n_expert;
        int32_t* const best = w.expert + r * m.n_used;
        choose_best(of_token, static_cast<int32_t>(m.n_expert), static_cast<int32_t>(m.n_used), best);
        for (int64_t i = 0; i < m.n_used; ++i) w.router_weight[r * m.n_used + i] = of_token[best[i]];
    }
    sort_by_expert(m, w);
    for (int64_t first = 0; first < m.pairs; first += m.wave) {
        run_wave(run, op, m, w, x, first, first + m.wave < m.pairs ? first + m.wave : m.pairs);
    }
    over_range(run, m.rows, m.n_embd * m.n_used, 1, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
            float* const sum = y + r * m.n_embd;
            for (int64_t i = r * m.n_used; i < (r + 1) * m.n_used; ++i) {
                const float* const part = w.out + w.place[i] * m.n_embd;
                if (i == r * m.n_used) {
                    run.kernels.scale(part, w.router_weight[i], m.n_embd, sum);
                } else {
                    run.kernels.add_scaled(part, w.router_weight[i], m.n_embd, sum);
                }
            }
        }
    });
}

}  // namespace llmpy
