// sample_adaptive: temperatures, and the steps that follow what was drawn; each equals the one of its name in
// sampling/temperatures.py or sampling/adaptive.py.
#ifndef LLMPY_SAMPLE_ADAPTIVE_H
#define LLMPY_SAMPLE_ADAPTIVE_H

#include <math.h>

#include <algorithm>

#include "sample_truncate.h"

namespace {

int32_t temperature(List* list, double value, const Workspace& work) {
    const float t = (float)value;
    if (!(t > 0.0f)) {
        return LLMPY_SAMPLE_BAD_ARGUMENT;
    }
    const float* x = list->logits;
    for (int32_t i = 0; i < list->n; i++) {
        work.logits[i] = x[i] / t;
    }
    list->logits = work.logits;
    return 0;
}

int32_t dynamic_temperature(List* list, double low, double high, double exponent, const Workspace& work) {
    if (!(low > 0.0 && high >= low && exponent >= 0.0)) {
        return LLMPY_SAMPLE_BAD_ARGUMENT;
    }
    const int32_t status = scan(list, work);
    if (status < 0) {
        return status;
    }
    int32_t n = 0;
    for (int32_t i = 0; i < list->n; i++) {
        n += list->logits[i] > -INFINITY;
    }
    if (n < 2) {
        return 0;
    }
    double mean = 0.0;
    const double total = total_and_mean(*list, work, &mean);
    const double relative = (ln(total) - mean) / ln((double)n);
    const double share = std::min(std::max(relative, 0.0), 1.0);
    const double part = exponent == 0.0 ? 1.0 : share == 0.0 ? 0.0 : exponential(exponent * ln(share));
    return temperature(list, low + (high - low) * part, work);
}

// How many tokens stay, of `left`; `top`: the items with the largest logits, in order.
int32_t mirostat_count(const Item* top, int32_t n, int32_t n_vocab, int32_t left, double mu) {
    double products = 0.0, squares = 0.0;
    for (int32_t i = 0; i + 1 < n; i++) {
        const double t = ln((i + 2.0) / (i + 1.0));
        products += t * ((double)logit_of(top[i].key) - (double)logit_of(top[i + 1].key));
        squares += t * t;
    }
    if (!(products > 0.0)) {
        return left;
    }
    const double exponent = products / squares;
    const double epsilon = exponent - 1.0;
    const double log_n = ln((double)n_vocab);
    const double rest = 1.0 - exponential(-epsilon * log_n);
    const double ratio = rest != 0.0 ? epsilon / rest : 1.0 / log_n;
    if (!(ratio > 0.0)) {
        return 1;
    }
    const double k = exponential((mu * kLn2 + ln(ratio)) / exponent);
    return std::max(1, (int32_t)std::min(k, (double)left));
}

int32_t mirostat1(List* list, int32_t m, double mu, int32_t n_vocab, const Workspace& work) {
    if (m < 2 || !(mu - mu == 0.0)) {
        return LLMPY_SAMPLE_BAD_ARGUMENT;
    }
    const int32_t status = scan(list, work);
    if (status < 0) {
        return status;
    }
    int32_t left = 0;
    for (int32_t i = 0; i < list->n; i++) {
        left += list->logits[i] > -INFINITY;
    }
    const int32_t n = items_from(*list, near_bound(*list, std::min(m, list->n), work), work);
    std::sort(work.items, work.items + n, [](const Item& a, const Item& b) { return a.key < b.key; });
    return top_k(list, mirostat_count(work.items, std::min(n, m), n_vocab, left, mu), work);
}

int32_t mirostat2(List* list, double mu, const Workspace& work) {
    if (!(mu - mu == 0.0)) {
        return LLMPY_SAMPLE_BAD_ARGUMENT;
    }
    const int32_t status = scan(list, work);
    if (status < 0) {
        return status;
    }
    return keep_near(list, ln(total_and_mean(*list, work, nullptr)) - mu * kLn2, 1, work);
}

// The weights of the list before it go into work.items, for the next state; returns their sum in *total.
int32_t adaptive_p(List* list, double aim, const double* state, const Workspace& work, int64_t* total) {
    constexpr double kWidth = 0.3, kHeight = 5.0, kSharpness = 10.0;
    if (!(aim >= 0.0 && aim <= 1.0 && state[0] - state[0] == 0.0 && state[1] > 0.0)) {
        return LLMPY_SAMPLE_BAD_ARGUMENT;
    }
    const int32_t status = scan(list, work);
    if (status < 0) {
        return status;
    }
    const double target = std::min(std::max(2.0 * aim - state[0] / state[1], 0.0), 1.0);
    *total = 0;
    for (int32_t b = 0; b < blocks_of(list->n); b++) {
        int64_t w[kBlock];
        *total += weigh(*list, b, w);
        for (int32_t i = 0; i < block_length(*list, b); i++) {
            work.items[b * kBlock + i].weight = w[i];
        }
    }
    for (int32_t i = 0; i < list->n; i++) {
        const double probability = (double)work.items[i].weight / (double)*total;
        const double off = fabs(probability - target) / kWidth;
        const float near = (float)(kHeight - kSharpness * off * off / (1.0 + off));
        work.logits[i] = list->logits[i] > -INFINITY ? near : -INFINITY;
    }
    list->logits = work.logits;
    return 0;
}

}  // namespace

#endif
