// plan_recurrent: tokens in their order to the kernels of recurrent.h; threads share channels and heads.

#include <string.h>

#include "plan_state.h"

namespace llmpy {
namespace {

float* memory(const Run& run, const Rows& rows, int64_t row, int64_t place) {
    return reinterpret_cast<float*>(run.plan.batch.recurrent[rows.sessions[row]] + static_cast<uint64_t>(place));
}

void run_previous(const Run& run, const Rows& rows, const llmpy_op& op) {
    const int64_t n = op.n[0];
    const float* const x = run.at(rows, op.x);
    float* const y = run.at(rows, op.y);
    for (int64_t r = 0; r < rows.n; ++r) {
        const size_t bytes = sizeof(float) * static_cast<size_t>(n);
        float* const last = memory(run, rows, r, op.n[1]);
        memcpy(y + r * n, last, bytes);
        memcpy(last, x + r * n, bytes);
    }
}

void run_conv(const Run& run, const Rows& rows, const llmpy_op& op) {
    const int64_t n = op.n[0], width = op.n[1];
    const float* const x = run.at(rows, op.x);
    const auto* const w = reinterpret_cast<const float*>(op.w[0]);
    const auto* const bias = reinterpret_cast<const float*>(op.w[1]);
    float* const y = run.at(rows, op.y);
    over_range(run, n, rows.n * width, 16, [&](int64_t begin, int64_t end) {
        for (int64_t r = 0; r < rows.n; ++r) {
            run.plan.level->recurrent->conv(x + r * n, w, bias, n, width, begin, end, memory(run, rows, r, op.n[2]),
                                            y + r * n);
        }
    });
}

void run_scan(const Run& run, const Rows& rows, const llmpy_op& op) {
    ScanCall first = {};
    first.n_heads = op.n[0];
    first.d = op.n[1];
    first.n = op.n[2];
    first.n_groups = op.n[3];
    first.a_width = op.n[4];
    first.a = reinterpret_cast<const float*>(op.w[0]);
    first.skip = reinterpret_cast<const float*>(op.w[1]);
    const int64_t cost = rows.n * first.d * first.n * (first.a_width == 1 ? 1 : 4);
    over_range(run, first.n_heads, cost, 1, [&](int64_t begin, int64_t end) {
        ScanCall call = first;
        for (int64_t r = 0; r < rows.n; ++r) {
            call.x = run.at(rows, op.x) + r * call.n_heads * call.d;
            call.dt = run.at(rows, op.x2) + r * call.n_heads;
            call.b = run.at(rows, op.also[0]) + r * call.n_groups * call.n;
            call.c = run.at(rows, op.also[1]) + r * call.n_groups * call.n;
            call.memory = memory(run, rows, r, op.n[5]);
            call.y = run.at(rows, op.y) + r * call.n_heads * call.d;
            run.plan.level->recurrent->scan(call, begin, end);
        }
    });
}

void run_delta_rule(const Run& run, const Rows& rows, const llmpy_op& op) {
    DeltaCall first = {};
    first.n_heads = op.n[0];
    first.d_value = op.n[1];
    first.d_key = op.n[2];
    first.decay_width = op.n[3];
    const int64_t keys = first.n_heads * first.d_key, values = first.n_heads * first.d_value;
    over_range(run, values, 2 * rows.n * first.d_key, 1, [&](int64_t begin, int64_t end) {
        DeltaCall call = first;
        for (int64_t r = 0; r < rows.n; ++r) {
            call.q = run.at(rows, op.x) + r * keys;
            call.decay = run.at(rows, op.x2) + r * call.n_heads * call.decay_width;
            call.k = run.at(rows, op.also[0]) + r * keys;
            call.v = run.at(rows, op.also[1]) + r * values;
            call.a = run.at(rows, op.also[2]) + r * keys;
            call.b = run.at(rows, op.also[3]) + r * keys;
            call.memory = memory(run, rows, r, op.n[4]);
            call.y = run.at(rows, op.y) + r * values;
            run.plan.level->recurrent->delta_rule(call, begin, end);
        }
    });
}

void run_wkv4(const Run& run, const Rows& rows, const llmpy_op& op) {
    const int64_t n = op.n[0];
    over_range(run, n, 16 * rows.n, 16, [&](int64_t begin, int64_t end) {
        Wkv4Call call = {};
        call.decay = reinterpret_cast<const float*>(op.w[0]);
        call.first = reinterpret_cast<const float*>(op.w[1]);
        for (int64_t r = 0; r < rows.n; ++r) {
            call.k = run.at(rows, op.x) + r * n;
            call.v = run.at(rows, op.x2) + r * n;
            call.total = memory(run, rows, r, op.n[1]);
            call.weight = memory(run, rows, r, op.n[2]);
            call.most = memory(run, rows, r, op.n[3]);
            call.y = run.at(rows, op.y) + r * n;
            run.plan.level->recurrent->wkv4(call, begin, end);
        }
    });
}

}  // namespace

void run_recurrent(Run& run, const llmpy_op& op) {
    const Rows& rows = run.rows(op);
    switch (op.kind) {
        case LLMPY_PREVIOUS:
            return run_previous(run, rows, op);
        case LLMPY_CONV:
            return run_conv(run, rows, op);
        case LLMPY_SCAN:
            return run_scan(run, rows, op);
        case LLMPY_DELTA_RULE:
            return run_delta_rule(run, rows, op);
        default:
            return run_wkv4(run, rows, op);
    }
}

}  // namespace llmpy
