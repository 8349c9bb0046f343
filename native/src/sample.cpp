// Sampling: see llmpy/sample.h. Each step shrinks or changes the list of tokens that are left.
#include "llmpy/sample.h"

#include <math.h>

#include "sample_list.h"

namespace {

int32_t greedy(List* list, const Workspace& work) {
    const int32_t status = scan(list, work);
    if (status < 0) {
        return status;
    }
    int32_t b = 0;
    while (work.block_peaks[b] < list->peak) {
        b++;
    }
    int32_t i = b * kBlock;
    while (list->logits[i] < list->peak) {
        i++;
    }
    const int32_t id = id_at(*list, i);
    work.logits[0] = list->peak;
    work.ids[0] = id;
    list->logits = work.logits;
    list->ids = work.ids;
    list->n = 1;
    return 0;
}

// Keeps what is at or above a bound that `find_bound` gave; nothing of -infinity.
void keep_from(List* list, float bound, const Workspace& work) {
    keep(list, bound, bound == -INFINITY ? -1 : INT32_MAX, work);
}

// Leaves less of a long list, but the k largest: at least k blocks have a peak at or above the bound.
void top_blocks(List* list, int32_t k, const Workspace& work) {
    const int32_t n_blocks = blocks_of(list->n);
    if (k >= n_blocks) {
        return;
    }
    keep_from(list, find_bound(work.block_peaks, n_blocks, list->peak, k, k + k / 4 + 1), work);
    scan(list, work);
}

int32_t top_k(List* list, int32_t k, const Workspace& work) {
    if (k <= 0 || k >= list->n) {
        return 0;
    }
    const int32_t status = scan(list, work);
    if (status < 0) {
        return status;
    }
    top_blocks(list, k, work);
    keep_from(list, find_bound(list->logits, list->n, list->peak, k, k), work);
    if (list->n <= k) {
        return 0;
    }
    int32_t n = 0;  // equal ones, or too near to each other
    for (; n < list->n; n++) {
        work.items[n] = Item{key_of(list->logits[n], id_at(*list, n)), 1};
    }
    scan(list, work);
    const uint64_t cut = find_cut(work.items, n, k);
    keep(list, logit_of(cut), (int32_t)(uint32_t)cut, work);
    return 0;
}

int32_t top_p(List* list, double p, const Workspace& work) {
    if (!(p > 0.0 && p <= 1.0)) {
        return LLMPY_SAMPLE_BAD_ARGUMENT;
    }
    const int32_t status = scan(list, work);
    if (status < 0 || p == 1.0) {
        return status;
    }
    const float bound = (float)((double)list->peak + kVanishing);
    int64_t total = 0;
    int32_t n = 0;
    for (int32_t b = 0; b < blocks_of(list->n); b++) {
        if (work.block_peaks[b] < bound) {
            continue;
        }
        int64_t w[kBlock];
        total += weigh(*list, b, w);
        const int32_t length = block_length(*list, b);
        for (int32_t i = 0; i < length; i++) {
            const int32_t index = b * kBlock + i;
            work.items[n] = Item{key_of(list->logits[index], id_at(*list, index)), w[i]};
            n += w[i] != 0;
        }
    }
    const int64_t target = (int64_t)ceil(p * (double)total);
    const uint64_t cut = find_cut(work.items, n, target < total ? target : total);
    keep(list, logit_of(cut), (int32_t)(uint32_t)cut, work);
    return 0;
}

int32_t min_p(List* list, double log_ratio, const Workspace& work) {
    if (!(log_ratio <= 0.0)) {
        return LLMPY_SAMPLE_BAD_ARGUMENT;
    }
    const int32_t status = scan(list, work);
    if (status < 0) {
        return status;
    }
    keep(list, (float)((double)list->peak + log_ratio), INT32_MAX, work);
    return 0;
}

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

float penalised(int32_t kind, float logit, float penalty, int32_t count) {
    if (kind == LLMPY_SAMPLE_REPETITION) {
        return logit > 0.0f ? logit / penalty : logit * penalty;
    }
    return logit - (kind == LLMPY_SAMPLE_FREQUENCY ? (float)count * penalty : penalty);
}

int32_t penalise(List* list, const llmpy_sample_step& step, const History& history, int32_t n_vocab,
                 const Workspace& work) {
    const float penalty = (float)step.value;
    if (penalty - penalty != 0.0f || (step.kind == LLMPY_SAMPLE_REPETITION && !(penalty > 0.0f))) {
        return LLMPY_SAMPLE_BAD_ARGUMENT;
    }
    const int64_t window = step.count < 0 || step.count > history.n ? history.n : step.count;
    const int32_t* recent = history.ids + (history.n - window);
    for (int64_t i = 0; i < window; i++) {
        if (recent[i] < 0 || recent[i] >= n_vocab) {
            return LLMPY_SAMPLE_TOKEN_OUT_OF_RANGE;
        }
    }
    int32_t n_touched = 0;
    for (int64_t i = 0; i < window; i++) {
        if (work.counts[recent[i]]++ == 0) {
            work.touched[n_touched++] = recent[i];
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
    if (step.count < 0 || (step.count > 0 && (!step.ids || !step.biases))) {
        return LLMPY_SAMPLE_BAD_ARGUMENT;
    }
    float* logits = writable(list, work);
    for (int32_t i = 0; i < step.count; i++) {
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

int32_t apply(const llmpy_sample_step& step, List* list, const History& history, int32_t n_vocab,
              const Workspace& work) {
    switch (step.kind) {
        case LLMPY_SAMPLE_GREEDY:
            return greedy(list, work);
        case LLMPY_SAMPLE_TEMPERATURE:
            return temperature(list, step.value, work);
        case LLMPY_SAMPLE_TOP_K:
            return top_k(list, step.count, work);
        case LLMPY_SAMPLE_TOP_P:
            return top_p(list, step.value, work);
        case LLMPY_SAMPLE_MIN_P:
            return min_p(list, step.value, work);
        case LLMPY_SAMPLE_REPETITION:
        case LLMPY_SAMPLE_FREQUENCY:
        case LLMPY_SAMPLE_PRESENCE:
            return penalise(list, step, history, n_vocab, work);
        case LLMPY_SAMPLE_LOGIT_BIAS:
            return logit_bias(list, step, n_vocab, work);
        default:
            return LLMPY_SAMPLE_BAD_ARGUMENT;
    }
}

constexpr uint64_t kGolden = 0x9e3779b97f4a7c15u;

uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

double uniform(uint64_t seed, uint64_t counter) {
    return (double)(mix(mix(seed + kGolden) + (counter + 1) * kGolden) >> 11) * 0x1p-53;
}

// The first token, in id order, at which the sum of the weights passes `u` times their total.
int32_t draw(List* list, double u, const Workspace& work) {
    const int32_t status = scan(list, work);
    if (status < 0) {
        return status;
    }
    if (list->n == 1) {
        return id_at(*list, 0);
    }
    const int64_t total = weigh_all(*list, work);
    int64_t rest = (int64_t)(u * (double)total);
    rest = rest < total ? rest : total - 1;
    int32_t b = 0;
    while (rest >= work.block_sums[b]) {
        rest -= work.block_sums[b++];
    }
    int64_t w[kBlock];
    weigh(*list, b, w);
    int32_t i = 0;
    while (rest >= w[i]) {
        rest -= w[i++];
    }
    return id_at(*list, b * kBlock + i);
}

bool usable(const void* workspace, int64_t workspace_size, const float* logits, int32_t n_vocab) {
    const int64_t needed = llmpy_sample_workspace(n_vocab);
    return needed > 0 && workspace && workspace_size >= needed && ((uintptr_t)workspace & 7) == 0 && logits;
}

}  // namespace

int64_t llmpy_sample_workspace(int32_t n_vocab) {
    return n_vocab < 1 || n_vocab > LLMPY_SAMPLE_MAX_VOCAB ? 0 : workspace_bytes(n_vocab);
}

float* llmpy::sample_peaks(void* workspace, int32_t n_vocab) { return lay_out(workspace, n_vocab).block_peaks; }

int32_t llmpy::sample(const llmpy_sample_step* steps, int32_t n_steps, const float* logits, int32_t n_vocab,
                      const int32_t* history, int64_t n_history, uint64_t seed, uint64_t counter, void* workspace,
                      int64_t workspace_size, bool peaks_known) {
    if (!usable(workspace, workspace_size, logits, n_vocab) || n_steps < 0 || (n_steps > 0 && !steps) ||
        n_history < 0 || (n_history > 0 && !history)) {
        return LLMPY_SAMPLE_BAD_ARGUMENT;
    }
    const Workspace work = lay_out(workspace, n_vocab);
    const History said = {history, n_history};
    List list = {logits, nullptr, n_vocab, 0.0f, peaks_known ? logits : nullptr};
    for (int32_t i = 0; i < n_steps; i++) {
        const int32_t status = apply(steps[i], &list, said, n_vocab, work);
        if (status < 0) {
            return status;
        }
    }
    return draw(&list, uniform(seed, counter), work);
}

int32_t llmpy_sample(const llmpy_sample_step* steps, int32_t n_steps, const float* logits, int32_t n_vocab,
                     const int32_t* history, int64_t n_history, uint64_t seed, uint64_t counter, void* workspace,
                     int64_t workspace_size) {
    return llmpy::sample(steps, n_steps, logits, n_vocab, history, n_history, seed, counter, workspace, workspace_size,
                         false);
}

int32_t llmpy_sample_top(const float* logits, int32_t n_vocab, int32_t n_top, int32_t* top, double* log_sum,
                         void* workspace, int64_t workspace_size) {
    if (!usable(workspace, workspace_size, logits, n_vocab) || n_top < 0 || n_top > n_vocab || (n_top > 0 && !top) ||
        !log_sum) {
        return LLMPY_SAMPLE_BAD_ARGUMENT;
    }
    const Workspace work = lay_out(workspace, n_vocab);
    List list = {logits, nullptr, n_vocab, 0.0f, nullptr};
    const int32_t status = scan(&list, work);
    if (status < 0) {
        return status;
    }
    *log_sum = (double)list.peak + log((double)weigh_all(list, work) * 0x1p-40);
    if (n_top == 0) {
        return 0;
    }
    top_k(&list, n_top, work);
    int32_t count = 0;
    for (int32_t i = 0; i < list.n; i++) {
        if (list.logits[i] > -INFINITY) {
            top[count++] = id_at(list, i);
        }
    }
    return count;
}
