// plan_simple: rows of tables, norms, elementwise operations and copies

#include <string.h>

#include "llmpy/blocks.h"
#include "plan_state.h"

namespace llmpy {
namespace {

void run_embed(Run& run, const llmpy_op& op) {
    const Rows& rows = run.rows(op);
    const int32_t* const tokens = run.plan.batch.tokens;
    const auto* const table = reinterpret_cast<const unsigned char*>(op.w[0]);
    const int64_t width = op.n[1], of_which = op.n[3], first = op.n[4];
    float* const y = run.at(rows, op.y);
    over_range(run, rows.n, width, 1, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
            int64_t row = first;
            if (of_which == LLMPY_ROW_TOKEN) row += tokens[rows.token_rows != nullptr ? rows.token_rows[r] : r];
            if (of_which == LLMPY_ROW_POSITION) row += rows.positions[r];
            dequantize_row(static_cast<WeightType>(op.n[0]), table + row * op.n[2], width, y + r * width);
        }
    });
}

void run_norm(Run& run, const llmpy_op& op) {
    over_range(run, run.rows(op).n * op.n[1], op.n[0], 1,
               [&](int64_t begin, int64_t end) { norm_vectors(run, op, begin, end); });
}

void run_elementwise(Run& run, const llmpy_op& op) {
    const Rows& rows = run.rows(op);
    const OpKernels& kernels = run.kernels;
    const float *const a = run.at(rows, op.x), *const b = run.at(rows, op.x2);
    float* const y = run.at(rows, op.y);
    const auto f = static_cast<Function>(op.n[1]);
    const int64_t cost = op.kind == LLMPY_FUNCTION || op.kind == LLMPY_GATE ? 4 : 1;
    over_range(run, rows.n * op.n[0], cost, 16, [&](int64_t begin, int64_t end) {
        const int64_t n = end - begin;
        switch (op.kind) {
            case LLMPY_ADD:
                return kernels.add(a + begin, b + begin, n, y + begin);
            case LLMPY_MUL:
                return kernels.mul(a + begin, b + begin, n, y + begin);
            case LLMPY_SCALE:
                return kernels.scale(a + begin, static_cast<float>(op.f[0]), n, y + begin);
            case LLMPY_CLAMP:
                return kernels.clamp(a + begin, static_cast<float>(op.f[0]), static_cast<float>(op.f[1]), n, y + begin);
            case LLMPY_FUNCTION:
                return kernels.function(f, a + begin, n, y + begin);
            default:
                return kernels.gate(f, a + begin, b + begin, n, y + begin);
        }
    });
}

// Each vector of a row with something of its own.
void run_by_vector(Run& run, const llmpy_op& op) {
    const Rows& rows = run.rows(op);
    const int64_t width = op.n[0];
    const float *const x = run.at(rows, op.x), *const factors = run.at(rows, op.x2);
    const auto* const w = reinterpret_cast<const float*>(op.w[0]);
    float* const y = run.at(rows, op.y);
    over_range(run, rows.n * op.n[1], width, 1, [&](int64_t begin, int64_t end) {
        for (int64_t v = begin; v < end; ++v) {
            const int64_t at = v * width;
            if (op.kind == LLMPY_SUM) y[v] = run.kernels.total(x + at, width);
            if (op.kind == LLMPY_MUL_EACH) run.kernels.scale(x + at, factors[v], width, y + at);
            if (op.kind == LLMPY_ADD_WEIGHT) run.kernels.add(x + at, w, width, y + at);
            if (op.kind == LLMPY_MUL_WEIGHT) run.kernels.mul(x + at, w, width, y + at);
        }
    });
}

void run_copy(Run& run, const llmpy_op& op) {
    const Rows& rows = run.rows(op);
    const int64_t start = op.n[2], times = op.n[5], widths[2] = {op.n[1], op.n[4]}, sizes[2] = {op.n[3], op.n[4]};
    const float *const x = run.at(rows, op.x), *const x2 = run.at(rows, op.x2);
    float* const y = run.at(rows, op.y);
    const auto copy = [](float* to, const float* from, int64_t n) {
        memcpy(to, from, sizeof(float) * static_cast<size_t>(n));
    };
    over_range(run, rows.n * op.n[0], sizes[0] + sizes[1], 1, [&](int64_t begin, int64_t end) {
        for (int64_t v = begin; v < end; ++v) {
            float* const to = y + v * (sizes[0] + sizes[1]);
            copy(to, x + v / times * widths[0] + start, sizes[0]);
            if (x2 != nullptr) copy(to + sizes[0], x2 + v * widths[1], sizes[1]);
        }
    });
}

void run_output_rows(Run& run, const llmpy_op& op) {
    const size_t bytes = sizeof(float) * static_cast<size_t>(op.n[0]);
    const float* const x = run.at(run.all, op.x);
    float* const y = run.at(run.output_rows, op.y);
    for (int64_t r = 0; r < run.output_rows.n; ++r) {
        memcpy(y + r * op.n[0], x + run.output_rows.token_rows[r] * op.n[0], bytes);
    }
}

void run_collect(Run& run, const llmpy_op& op) {
    const Rows& rows = run.rows(op);
    const int64_t width = op.n[0], matrices = op.n[1];
    for (int64_t i = 0; i < matrices; ++i) {
        collect(run, op.w[0], i, run.at(rows, op.x) + i * width, rows.n, width, matrices * width);
    }
}

}  // namespace

void norm_vectors(const Run& run, const llmpy_op& op, int64_t begin, int64_t end) {
    const Rows& rows = run.rows(op);
    const int64_t width = op.n[0], n_weights = op.n[2];
    const auto *const w = reinterpret_cast<const float*>(op.w[0]), *const b = reinterpret_cast<const float*>(op.w[1]);
    const float* const x = run.at(rows, op.x);
    float* const y = run.at(rows, op.y);
    const auto norm = [&](const float* weights, const float* bias, int64_t first, int64_t n) {
        run.kernels.norm(x + first * width, weights, bias, static_cast<float>(op.f[0]), op.n[3] != 0, n, width,
                         y + first * width);
    };
    if (n_weights <= 1) return norm(w, b, begin, end - begin);
    for (int64_t v = begin; v < end; ++v) {
        const int64_t at = v % n_weights * width;
        norm(w + at, b == nullptr ? b : b + at, v, 1);
    }
}

void collect(const Run& run, uint64_t sums, int64_t matrix, const float* x, int64_t n_rows, int64_t width,
             int64_t stride) {
    if (sums == 0) return;
    const auto& of = *reinterpret_cast<const llmpy_sums*>(sums);
    of.counts[matrix] += static_cast<double>(n_rows);
    over_range(run, width, n_rows, 16, [&](int64_t begin, int64_t end) {
        double* const squares = of.squares + matrix * width;
        for (int64_t r = 0; r < n_rows; ++r) {
            const float* const row = x + r * stride;
            for (int64_t i = begin; i < end; ++i)
                squares[i] += static_cast<double>(row[i]) * static_cast<double>(row[i]);
        }
    });
}

void run_simple(Run& run, const llmpy_op& op) {
    switch (op.kind) {
        case LLMPY_EMBED:
            return run_embed(run, op);
        case LLMPY_NORM:
            return run_norm(run, op);
        case LLMPY_SUM:
        case LLMPY_MUL_EACH:
        case LLMPY_ADD_WEIGHT:
        case LLMPY_MUL_WEIGHT:
            return run_by_vector(run, op);
        case LLMPY_COPY:
            return run_copy(run, op);
        case LLMPY_OUTPUT_ROWS:
            return run_output_rows(run, op);
        case LLMPY_COLLECT:
            return run_collect(run, op);
        default:
            return run_elementwise(run, op);
    }
}

}  // namespace llmpy
