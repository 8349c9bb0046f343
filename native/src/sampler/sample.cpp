// Sampling: see llmpy/sample.h. Each step shrinks or changes the list of tokens that are left.
#include "llmpy/sample.h"

#include <math.h>

#include "sample_adaptive.h"
#include "sample_list.h"
#include "sample_penalties.h"
#include "sample_truncate.h"

namespace {

constexpr uint64_t kGolden = 0x9e3779b97f4a7c15u;

uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

// The random numbers of one token: stream 0 is for the draw, stream 1 for what steps decide by chance.
struct Random {
    uint64_t seed, counter;

    double uniform(uint64_t stream) const {
        uint64_t base = mix(seed + kGolden);
        base = stream ? mix(base + stream) : base;
        return (double)(mix(base + (counter + 1) * kGolden) >> 11) * 0x1p-53;
    }
};

// What a chain works on, and what it leaves for the next state.
struct Run {
    const llmpy_chain& chain;
    Workspace work;
    History history;
    Random random;
    List list;
    int64_t total;  // of the weights that `adaptive_p` left in the items
};

int32_t apply(const llmpy_sample_step& step, Run* run) {
    List* const list = &run->list;
    const Workspace& work = run->work;
    const int32_t n_vocab = run->chain.n_vocab;
    const double* const state = run->chain.state;
    const double* const value = step.value;
    switch (step.kind) {
        case LLMPY_SAMPLE_GREEDY:
            return greedy(list, work);
        case LLMPY_SAMPLE_TEMPERATURE:
            return temperature(list, value[0], work);
        case LLMPY_SAMPLE_DYNAMIC_TEMPERATURE:
            return dynamic_temperature(list, value[0], value[1], value[2], work);
        case LLMPY_SAMPLE_TOP_K:
            return top_k(list, step.count[0], work);
        case LLMPY_SAMPLE_TOP_P:
            return top_p(list, value[0], step.min_keep, work);
        case LLMPY_SAMPLE_MIN_P:
            return min_p(list, value[0], step.min_keep, work);
        case LLMPY_SAMPLE_TOP_A:
            return top_a(list, value[0], value[1], step.min_keep, work);
        case LLMPY_SAMPLE_TOP_N_SIGMA:
            return top_n_sigma(list, value[0], step.min_keep, work);
        case LLMPY_SAMPLE_TAIL_FREE:
            return tail_free(list, value[0], step.min_keep, work);
        case LLMPY_SAMPLE_LOCALLY_TYPICAL:
            return locally_typical(list, value[0], step.min_keep, work);
        case LLMPY_SAMPLE_XTC:
            return xtc(list, value[0], value[1], run->random.uniform(1), work);
        case LLMPY_SAMPLE_REPETITION:
        case LLMPY_SAMPLE_FREQUENCY:
        case LLMPY_SAMPLE_PRESENCE:
            return penalise(list, step, run->history, n_vocab, work);
        case LLMPY_SAMPLE_SEQUENCE_REPETITION:
            return sequence_repetition(list, step, run->history, n_vocab, work);
        case LLMPY_SAMPLE_DRY:
            return dry(list, step, run->history, n_vocab, work);
        case LLMPY_SAMPLE_LOGIT_BIAS:
            return logit_bias(list, step, n_vocab, work);
        case LLMPY_SAMPLE_MIROSTAT1:
            return state ? mirostat1(list, step.count[0], state[0], n_vocab, work) : LLMPY_SAMPLE_BAD_ARGUMENT;
        case LLMPY_SAMPLE_MIROSTAT2:
            return state ? mirostat2(list, state[0], work) : LLMPY_SAMPLE_BAD_ARGUMENT;
        case LLMPY_SAMPLE_ADAPTIVE_P:
            return state ? adaptive_p(list, value[0], state, work, &run->total) : LLMPY_SAMPLE_BAD_ARGUMENT;
        default:
            return LLMPY_SAMPLE_BAD_ARGUMENT;
    }
}

// The index in the list of the first token, in id order, at which the sum of the weights passes `u` times their total.
int32_t draw(List* list, double u, const Workspace& work, int64_t* total) {
    const int32_t status = scan(list, work);
    if (status < 0) {
        return status;
    }
    *total = (int64_t)kOne;
    if (list->n == 1) {
        return 0;
    }
    *total = weigh_all(*list, work);
    int64_t rest = (int64_t)(u * (double)*total);
    rest = rest < *total ? rest : *total - 1;
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
    return b * kBlock + i;
}

// The state after the token at `index` was drawn; `total`: the sum of the weights it was drawn from.
void follow(const llmpy_sample_step& step, const Run& run, int32_t index, int64_t total) {
    double* const state = run.chain.state;
    if (step.kind == LLMPY_SAMPLE_MIROSTAT1 || step.kind == LLMPY_SAMPLE_MIROSTAT2) {
        const double distance = (double)run.list.logits[index] - (double)run.list.max_logit;
        const double surprise = (ln((double)total / kOne) - distance) / kLn2;
        state[0] = state[0] - step.value[1] * (surprise - step.value[0]);
    } else if (step.kind == LLMPY_SAMPLE_ADAPTIVE_P) {
        const double probability = (double)run.work.items[index].weight / (double)run.total;
        state[0] = probability + step.value[1] * state[0];
        state[1] = 1.0 + step.value[1] * state[1];
    }
}

bool usable(const void* workspace, int64_t workspace_size, const float* logits, int32_t n_vocab) {
    const int64_t needed = llmpy_sample_workspace(n_vocab);
    return needed > 0 && workspace && workspace_size >= needed && ((uintptr_t)workspace & 7) == 0 && logits;
}

bool usable(const llmpy_chain& chain, const float* logits, const int32_t* history, int64_t n_history) {
    return usable(chain.workspace, chain.workspace_size, logits, chain.n_vocab) && chain.n_steps >= 0 &&
           (chain.n_steps == 0 || chain.steps) && n_history >= 0 && (n_history == 0 || history);
}

Run begin(const llmpy_chain& chain, const float* logits, const int32_t* history, int64_t n_history, Random random,
          float* maxima) {
    Workspace work = lay_out(chain.workspace, chain.n_vocab);
    if (maxima != nullptr) work.block_maxima = maxima;
    const float* const scanned = maxima != nullptr ? logits : nullptr;
    return Run{chain, work, {history, n_history}, random, {logits, nullptr, chain.n_vocab, 0.0f, scanned}, 0};
}

int32_t apply_all(Run* run) {
    for (int32_t i = 0; i < run->chain.n_steps; i++) {
        const int32_t status = apply(run->chain.steps[i], run);
        if (status < 0) {
            return status;
        }
    }
    return 0;
}

}  // namespace

int64_t llmpy_sample_workspace(int32_t n_vocab) {
    return n_vocab < 1 || n_vocab > LLMPY_SAMPLE_MAX_VOCAB ? 0 : workspace_bytes(n_vocab);
}

int32_t llmpy::sample(const llmpy_chain* chain, const float* logits, const int32_t* history, int64_t n_history,
                      uint64_t seed, uint64_t counter, float* maxima) {
    if (!chain || !usable(*chain, logits, history, n_history)) {
        return LLMPY_SAMPLE_BAD_ARGUMENT;
    }
    Run run = begin(*chain, logits, history, n_history, Random{seed, counter}, maxima);
    const int32_t status = apply_all(&run);
    if (status < 0) {
        return status;
    }
    int64_t total = 0;
    const int32_t index = draw(&run.list, run.random.uniform(0), run.work, &total);
    if (index < 0) {
        return index;
    }
    if (chain->state && chain->n_steps > 0) {
        follow(chain->steps[chain->n_steps - 1], run, index, total);
    }
    return id_at(run.list, index);
}

int32_t llmpy_sample(const llmpy_chain* chain, const float* logits, const int32_t* history, int64_t n_history,
                     uint64_t seed, uint64_t counter) {
    return llmpy::sample(chain, logits, history, n_history, seed, counter, nullptr);
}

int32_t llmpy_sample_apply(const llmpy_chain* chain, const float* logits, const int32_t* history, int64_t n_history,
                           uint64_t seed, uint64_t counter, float* out) {
    if (!chain || !out || !usable(*chain, logits, history, n_history)) {
        return LLMPY_SAMPLE_BAD_ARGUMENT;
    }
    Run run = begin(*chain, logits, history, n_history, Random{seed, counter}, nullptr);
    int32_t status = apply_all(&run);
    status = status < 0 ? status : scan(&run.list, run.work);
    if (status < 0) {
        return status;
    }
    if (!run.list.ids) {
        memmove(out, run.list.logits, (size_t)run.list.n * sizeof(float));
        return 0;
    }
    for (int32_t i = 0; i < chain->n_vocab; i++) {
        out[i] = -INFINITY;
    }
    for (int32_t i = 0; i < run.list.n; i++) {
        out[run.list.ids[i]] = run.list.logits[i];
    }
    return 0;
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
    *log_sum = (double)list.max_logit + log((double)weigh_all(list, work) / kOne);
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
