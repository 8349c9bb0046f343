// plan_route: from the scores of a router to the weight of each expert in a token's sum
//
// One token after the other, in the order of experts, so that a weight does not depend on what else is in the batch.
// Means the same as `route` in backends/reference/moe.py, within 1e-6.

#include <math.h>

#include "plan_state.h"

namespace llmpy {
namespace {

struct Route {
    int32_t n_expert, n_used;
    int64_t gating;
    bool normalize;
    int32_t n_group, n_group_used;
    float factor;
    const float* bias;  // [n_expert], added for the choice only; or null

    explicit Route(const llmpy_op& op)
        : n_expert(static_cast<int32_t>(op.n[0])),
          n_used(static_cast<int32_t>(op.n[1])),
          gating(op.n[2]),
          normalize(op.n[3] != 0),
          n_group(static_cast<int32_t>(op.n[4])),
          n_group_used(static_cast<int32_t>(op.n[5])),
          factor(static_cast<float>(op.f[0])),
          bias(reinterpret_cast<const float*>(op.w[0])) {}
};

// p of all experts: softmax or sigmoid of the scores.
void shares_of_all(const Route& r, const float* scores, float* p) {
    if (r.gating == LLMPY_GATING_SIGMOID) {
        for (int32_t e = 0; e < r.n_expert; ++e) p[e] = 1.0f / (1.0f + expf(-scores[e]));
        return;
    }
    float most = scores[0], total = 0.0f;
    for (int32_t e = 1; e < r.n_expert; ++e) most = scores[e] > most ? scores[e] : most;
    for (int32_t e = 0; e < r.n_expert; ++e) total += p[e] = expf(scores[e] - most);
    for (int32_t e = 0; e < r.n_expert; ++e) p[e] /= total;
}

// All but the best groups become -inf. A group is as good as its best expert, with a bias as the sum of the best two.
void leave_groups_out(const Route& r, float* judged) {
    const int32_t size = r.n_expert / r.n_group, n_best = r.bias != nullptr && size > 1 ? 2 : 1;
    float merit[kMostExperts];
    int32_t order[kMostExperts];
    for (int32_t g = 0; g < r.n_group; ++g) {
        choose_best(judged + g * size, size, n_best, order);
        merit[g] = judged[g * size + order[0]];
        if (n_best > 1) merit[g] += judged[g * size + order[1]];
    }
    choose_best(merit, r.n_group, r.n_group, order);
    for (int32_t i = r.n_group_used; i < r.n_group; ++i) {
        for (int32_t e = 0; e < size; ++e) judged[order[i] * size + e] = -__builtin_inff();
    }
}

// Best after best; the weight of each is its softmax among those near the best of the rest.
void sparsemixer(const Route& r, const float* scores, float* y) {
    float left[kMostExperts], weights[kMostExperts];
    for (int32_t e = 0; e < r.n_expert; ++e) {
        left[e] = scores[e];
        weights[e] = 0.0f;
    }
    for (int32_t i = 0; i < r.n_used; ++i) {
        int32_t best;
        choose_best(left, r.n_expert, 1, &best);
        const float top = left[best];
        float total = 0.0f;
        for (int32_t e = 0; e < r.n_expert; ++e) {
            const float size = fabsf(scores[e]) > top ? fabsf(scores[e]) : top;
            if (!((top - scores[e]) / size > 0.02f)) total += expf(left[e] - top);
        }
        weights[best] = r.factor / total;
        left[best] = -__builtin_inff();
    }
    for (int32_t e = 0; e < r.n_expert; ++e) y[e] = weights[e];
}

void route_token(const Route& r, const float* scores, float* y) {
    if (r.gating == LLMPY_GATING_SPARSEMIXER) return sparsemixer(r, scores, y);
    float p[kMostExperts], judged[kMostExperts];
    int32_t chosen[kMostExperts];
    shares_of_all(r, scores, p);
    const bool by_score = r.gating == LLMPY_GATING_SOFTMAX && r.bias == nullptr;
    for (int32_t e = 0; e < r.n_expert; ++e) {
        judged[e] = by_score ? scores[e] : r.bias != nullptr ? p[e] + r.bias[e] : p[e];
    }
    if (r.n_group_used < r.n_group) leave_groups_out(r, judged);
    choose_best(judged, r.n_expert, r.n_used, chosen);
    float total = 1.0f;
    if (r.normalize) {
        total = 0.0f;
        for (int32_t i = 0; i < r.n_used; ++i) total += p[chosen[i]];
        total = total < 1e-20f ? 1e-20f : total;
    }
    for (int32_t e = 0; e < r.n_expert; ++e) y[e] = 0.0f;
    for (int32_t i = 0; i < r.n_used; ++i) y[chosen[i]] = p[chosen[i]] / total * r.factor;
}

}  // namespace

// By insertion: nearly every value is compared once, with the worst of the best.
void choose_best(const float* values, int32_t n, int32_t n_best, int32_t* best) {
    const auto better = [&](int32_t a, int32_t b) {
        return values[a] > values[b] || (values[b] != values[b] && values[a] == values[a]);
    };
    int32_t count = 0;
    for (int32_t e = 0; e < n; ++e) {
        if (count == n_best && !better(e, best[count - 1])) continue;
        int32_t at = count < n_best ? count++ : count - 1;
        for (; at > 0 && better(e, best[at - 1]); --at) best[at] = best[at - 1];
        best[at] = e;
    }
}

void run_route(Run& run, const llmpy_op& op) {
    const Rows& rows = run.rows(op);
    const Route route(op);
    const float* const scores = run.at(rows, op.x);
    float* const y = run.at(rows, op.y);
    constexpr int64_t cost = 16;  // of an exponential and a comparison or two
    over_range(run, rows.n, route.n_expert * cost, 1, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) route_token(route, scores + r * route.n_expert, y + r * route.n_expert);
    });
}

}  // namespace llmpy
