// sample_penalties: the steps that change the logits of single tokens; each equals the one of its name in
// sampling/penalties.py or sampling/repeats.py.
#ifndef LLMPY_SAMPLE_PENALTIES_H
#define LLMPY_SAMPLE_PENALTIES_H

#include <float.h>
#include <math.h>

#include <algorithm>

#include "sample_list.h"
#include "sample_math.h"

namespace {

// The last `window` ids (-1: all), each in range.
int32_t recent(const History& history, int32_t window, int32_t n_vocab, History* found) {
    found->n = window < 0 || window > history.n ? history.n : window;
    found->ids = history.ids + (history.n - found->n);
    for (int64_t i = 0; i < found->n; i++) {
        if (found->ids[i] < 0 || found->ids[i] >= n_vocab) {
            return LLMPY_SAMPLE_TOKEN_OUT_OF_RANGE;
        }
    }
    return 0;
}

float penalised(int32_t kind, float logit, float penalty, int32_t count) {
    if (kind == LLMPY_SAMPLE_REPETITION) {
        return logit > 0.0f ? logit / penalty : logit * penalty;
    }
    return logit - (kind == LLMPY_SAMPLE_FREQUENCY ? (float)count * penalty : penalty);
}

int32_t penalise(List* list, const llmpy_sample_step& step, const History& history, int32_t n_vocab,
                 const Workspace& work) {
    const float penalty = (float)step.value[0];
    if (penalty - penalty != 0.0f || (step.kind == LLMPY_SAMPLE_REPETITION && !(penalty > 0.0f))) {
        return LLMPY_SAMPLE_BAD_ARGUMENT;
    }
    History said;
    const int32_t status = recent(history, step.count[0], n_vocab, &said);
    if (status < 0) {
        return status;
    }
    int32_t n_touched = 0;
    for (int64_t i = 0; i < said.n; i++) {
        if (work.counts[said.ids[i]]++ == 0) {
            work.touched[n_touched++] = said.ids[i];
        }
    }
    float* logits = writable(list, work);
    for (int32_t i = 0; i < n_touched; i++) {
        const int32_t id = work.touched[i];
        const int32_t at = position(*list, id);
        if (at >= 0) {
            logits[at] = penalised(step.kind, logits[at], penalty, work.counts[id]);
        }
        work.counts[id] = 0;
    }
    return 0;
}

int32_t logit_bias(List* list, const llmpy_sample_step& step, int32_t n_vocab, const Workspace& work) {
    const int32_t n = step.count[0];
    if (n < 0 || (n > 0 && (!step.ids || !step.biases))) {
        return LLMPY_SAMPLE_BAD_ARGUMENT;
    }
    float* logits = writable(list, work);
    for (int32_t i = 0; i < n; i++) {
        if (step.ids[i] < 0 || step.ids[i] >= n_vocab) {
            return LLMPY_SAMPLE_TOKEN_OUT_OF_RANGE;
        }
        const int32_t at = position(*list, step.ids[i]);
        if (at >= 0) {
            logits[at] += step.biases[i];
        }
    }
    return 0;
}

// Lets a token be penalised by the longest length that was found for it; 0 is none.
void note(const Workspace& work, int32_t id, int32_t length, int32_t* n_touched) {
    if (work.counts[id] == 0) {
        work.touched[(*n_touched)++] = id;
    }
    work.counts[id] = std::max(work.counts[id], length);
}

// Where the match of ids[needle:] that begins at `start` ends; -1: nowhere.
int64_t matched(const History& said, int64_t start, int64_t needle, int32_t tolerance, int32_t max_merge) {
    if (said.ids[start] != said.ids[needle]) {
        return -1;
    }
    int64_t at = start;
    int32_t window = 1;
    for (int64_t i = needle; i < said.n; i++) {
        bool found = false;
        while (window > 0 && !found) {
            window--;
            if (at == said.n) {
                return -1;
            }
            found = said.ids[at++] == said.ids[i];
        }
        if (found) {
            if (i == said.n - 1) {
                return at;
            }
            window = 1;
        } else if (tolerance-- == 0) {
            return -1;
        } else {
            window = max_merge + 1;
        }
    }
    return -1;
}

int32_t sequence_repetition(List* list, const llmpy_sample_step& step, const History& history, int32_t n_vocab,
                            const Workspace& work) {
    const float flat = (float)step.value[0];
    const float stacking = (float)step.value[1];
    const int32_t least = step.count[1], tolerance = step.count[2], max_merge = step.count[3];
    if (flat - flat != 0.0f || stacking - stacking != 0.0f || least < 2 || tolerance < 0 || max_merge < 0 ||
        step.count[0] < 0 || step.count[0] > 512 || max_merge > 512) {
        return LLMPY_SAMPLE_BAD_ARGUMENT;
    }
    History said;
    const int32_t status = recent(history, step.count[0], n_vocab, &said);
    if (status < 0) {
        return status;
    }
    int32_t n_touched = 0;
    for (int64_t start = 0; said.n >= 2 * (int64_t)least && start < said.n - least; start++) {
        const int64_t longest = std::min(said.n - least, said.n - start - 1);
        for (int64_t needle = least; needle <= longest; needle++) {
            const int64_t end = matched(said, start, said.n - needle, tolerance, max_merge);
            if (end >= 0 && end < said.n) {
                note(work, said.ids[end], (int32_t)(end - start + 1), &n_touched);
            }
        }
    }
    float* logits = writable(list, work);
    for (int32_t i = 0; i < n_touched; i++) {
        const int32_t id = work.touched[i];
        const int32_t at = position(*list, id);
        if (at >= 0) {
            logits[at] -= (float)work.counts[id] * stacking + flat;
        }
        work.counts[id] = 0;
    }
    return 0;
}

bool is_among(const int32_t* sorted, int32_t n, int32_t id) { return std::binary_search(sorted, sorted + n, id); }

// How many tokens before position `end` equal those before `n`, at most `limit`, for each end: the Z algorithm, from
// the end of the text to its beginning, so that it takes n steps whatever the text is. `z` is [n].
void suffix_lengths(const History& said, int32_t* z) {
    const int64_t n = said.n;
    const auto from_end = [&said](int64_t i) { return said.ids[said.n - 1 - i]; };
    int64_t left = 0, right = 0;  // from `left` to before `right` the text equals its own end
    for (int64_t k = 1; k < n; k++) {
        int64_t length = k < right ? std::min((int64_t)z[k - left], right - k) : 0;
        while (k + length < n && from_end(length) == from_end(k + length)) {
            length++;
        }
        z[k] = (int32_t)length;
        if (k + length > right) {
            left = k;
            right = k + length;
        }
    }
}

int32_t dry(List* list, const llmpy_sample_step& step, const History& history, int32_t n_vocab, const Workspace& work) {
    const int32_t allowed = step.count[0], n_breakers = step.count[2];
    const double multiplier = step.value[0], base = step.value[1];
    if (!(multiplier >= 0.0 && base >= 1.0) || allowed < 1 || n_breakers < 0 || (n_breakers > 0 && !step.ids)) {
        return LLMPY_SAMPLE_BAD_ARGUMENT;
    }
    History said;
    const int32_t status = recent(history, step.count[1], n_vocab, &said);
    if (status < 0) {
        return status;
    }
    // Lengths go where the items are, which hold a vocabulary of 16 bytes each.
    const int64_t room = (int64_t)n_vocab * (int64_t)(sizeof(Item) / sizeof(int32_t));
    if (said.n > room) {
        said.ids += said.n - room;
        said.n = room;
    }
    int64_t limit = 0;
    while (limit < said.n && !is_among(step.ids, n_breakers, said.ids[said.n - 1 - limit])) {
        limit++;
    }
    if (limit < allowed) {
        return 0;
    }
    int32_t* const z = (int32_t*)work.items;
    suffix_lengths(said, z);
    int32_t n_touched = 0;
    for (int64_t k = 1; k < said.n; k++) {
        const int32_t length = (int32_t)std::min((int64_t)z[k], limit);
        if (length >= allowed) {
            note(work, said.ids[said.n - k], length, &n_touched);
        }
    }
    float* logits = n_touched > 0 ? writable(list, work) : nullptr;
    for (int32_t i = 0; i < n_touched; i++) {
        const int32_t id = work.touched[i];
        const int32_t at = is_among(step.ids, n_breakers, id) ? -1 : position(*list, id);
        if (at >= 0) {
            const double penalty = multiplier * power(base, work.counts[id] - allowed);
            logits[at] -= penalty < (double)FLT_MAX ? (float)penalty : FLT_MAX;
        }
        work.counts[id] = 0;
    }
    return 0;
}

}  // namespace

#endif
