// Checks of llmpy_sample that need no Python: hand-worked results, refusals, and arrays of exactly
// the declared size, so that the sanitizers see every byte read or written beyond them.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llmpy/sample.h"
#include "sampler/sample_weigh.h"

namespace {

int failures = 0;

void check(bool truth, const char* what, int line) {
    if (!truth) {
        fprintf(stderr, "test_sample.cpp:%d: %s\n", line, what);
        failures++;
    }
}

#define CHECK(truth) check((truth), #truth, __LINE__)

llmpy_sample_step step(int32_t kind, int32_t count = 0, double value = 0.0, double second = 0.0) {
    return llmpy_sample_step{kind, 1, {count, 0, 0, 0}, {value, second, 0.0}, nullptr, nullptr};
}

llmpy_sample_step bias_step(int32_t n, const int32_t* ids, const float* biases) {
    return llmpy_sample_step{LLMPY_SAMPLE_LOGIT_BIAS, 1, {n, 0, 0, 0}, {0.0, 0.0, 0.0}, ids, biases};
}

// One call on copies that are as long as declared and not a byte longer; `state` is what the last step remembers.
int32_t sample(const llmpy_sample_step* steps, int32_t n_steps, const float* logits, int32_t n_vocab,
               const int32_t* history = nullptr, int64_t n_history = 0, uint64_t counter = 0, double* state = nullptr) {
    const int64_t size = llmpy_sample_workspace(n_vocab);
    void* workspace = calloc(1, (size_t)size);
    float* copy = (float*)malloc((size_t)n_vocab * sizeof(float));
    memcpy(copy, logits, (size_t)n_vocab * sizeof(float));
    int32_t* said = (int32_t*)malloc((size_t)n_history * sizeof(int32_t) + 1);
    if (n_history > 0) {
        memcpy(said, history, (size_t)n_history * sizeof(int32_t));
    }
    const double before[2] = {state ? state[0] : 0.0, state ? state[1] : 0.0};
    const auto restore = [&]() {
        if (state) {
            memcpy(state, before, sizeof before);
        }
    };
    const llmpy_chain chain = {steps, workspace, size, -1, nullptr, state, n_steps, n_vocab, 0};
    const int32_t first = llmpy_sample(&chain, copy, said, n_history, 7, counter);
    restore();
    const int32_t again = llmpy_sample(&chain, copy, said, n_history, 7, counter);
    CHECK(first == again);
    float* const maxima = (float*)malloc((size_t)llmpy::maxima_blocks(n_vocab) * sizeof(float));
    bool nan = false;
    for (int32_t i = 0; i < n_vocab; i++) {
        float* const max_logit = maxima + i / llmpy::kMaximaBlock;
        *max_logit = i % llmpy::kMaximaBlock == 0 || logits[i] > *max_logit ? logits[i] : *max_logit;
        nan |= logits[i] != logits[i];
    }
    maxima[0] = nan ? NAN : maxima[0];
    restore();
    CHECK(first == llmpy::sample(&chain, copy, said, n_history, 7, counter, maxima));
    free(maxima);
    float* out = (float*)malloc((size_t)n_vocab * sizeof(float));
    const double after[2] = {state ? state[0] : 0.0, state ? state[1] : 0.0};
    restore();
    const int32_t status = llmpy_sample_apply(&chain, copy, said, n_history, 7, counter, out);
    CHECK(first < 0 ? status == first : status == 0 && out[first] > -INFINITY);
    CHECK(llmpy_sample_apply(&chain, copy, said, n_history, 7, counter, copy) == status);
    CHECK(status < 0 ? memcmp(copy, logits, (size_t)n_vocab * sizeof(float)) == 0
                     : memcmp(copy, out, (size_t)n_vocab * sizeof(float)) == 0);
    if (state) {
        memcpy(state, after, sizeof after);
    }
    free(out);
    free(said);
    free(copy);
    free(workspace);
    return first;
}

uint64_t state = 1;

uint32_t random_bits() {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 32);
}

void test_greedy_takes_the_first_of_equals() {
    const llmpy_sample_step greedy = step(LLMPY_SAMPLE_GREEDY);
    float logits[200];
    for (int n = 1; n <= 200; n++) {
        for (int best = 0; best < n; best++) {
            for (int i = 0; i < n; i++) {
                logits[i] = i < best ? -1.0f : 3.0f;
            }
            CHECK(sample(&greedy, 1, logits, n) == best);
        }
    }
}

void test_truncation_by_hand() {
    const float logits[5] = {0.0f, 2.0f, 2.0f, 1.0f, -INFINITY};
    bool seen[5] = {};
    const llmpy_sample_step two = step(LLMPY_SAMPLE_TOP_K, 2);
    for (uint64_t counter = 0; counter < 200; counter++) {
        seen[sample(&two, 1, logits, 5, nullptr, 0, counter)] = true;
    }
    CHECK(!seen[0] && seen[1] && seen[2] && !seen[3] && !seen[4]);

    const llmpy_sample_step nucleus = step(LLMPY_SAMPLE_TOP_P, 0, 0.1);
    const llmpy_sample_step half = step(LLMPY_SAMPLE_MIN_P, 0, log(0.9));
    for (uint64_t counter = 0; counter < 50; counter++) {
        CHECK(sample(&nucleus, 1, logits, 5, nullptr, 0, counter) == 1);
        const int32_t id = sample(&half, 1, logits, 5, nullptr, 0, counter);
        CHECK(id == 1 || id == 2);
    }
}

void test_penalties_and_bias() {
    const float logits[3] = {1.0f, 1.5f, -1.0f};
    const int32_t said[4] = {1, 1, 0, 1};
    llmpy_sample_step steps[2] = {step(LLMPY_SAMPLE_REPETITION, -1, 2.0), step(LLMPY_SAMPLE_GREEDY)};
    CHECK(sample(steps, 2, logits, 3, said, 4) == 1);  // 0.5, 0.75
    steps[0] = step(LLMPY_SAMPLE_FREQUENCY, -1, 0.5);
    CHECK(sample(steps, 2, logits, 3, said, 4) == 0);  // 0.5, 0.0
    steps[0] = step(LLMPY_SAMPLE_PRESENCE, 1, 0.75);
    CHECK(sample(steps, 2, logits, 3, said, 4) == 0);  // 1.0, 0.75: the window holds one id
    const int32_t ids[2] = {0, 1};
    const float biases[2] = {-INFINITY, -3.0f};
    steps[0] = bias_step(2, ids, biases);
    CHECK(sample(steps, 2, logits, 3) == 2);
}

void test_refusals() {
    float logits[70];
    for (int i = 0; i < 70; i++) {
        logits[i] = -INFINITY;
    }
    const llmpy_sample_step greedy = step(LLMPY_SAMPLE_GREEDY);
    CHECK(sample(&greedy, 1, logits, 70) == LLMPY_SAMPLE_NOTHING_LEFT);
    CHECK(sample(nullptr, 0, logits, 70) == LLMPY_SAMPLE_NOTHING_LEFT);
    for (int i = 0; i < 70; i++) {
        logits[i] = NAN;
        CHECK(sample(&greedy, 1, logits, 70) == LLMPY_SAMPLE_NOT_A_NUMBER);
        logits[i] = INFINITY;
        CHECK(sample(nullptr, 0, logits, 70) == LLMPY_SAMPLE_NOT_A_NUMBER);
        logits[i] = 1.0f;
    }
    const int32_t outside[2] = {70, -1};
    for (int i = 0; i < 2; i++) {
        const llmpy_sample_step penalty = step(LLMPY_SAMPLE_PRESENCE, 64, 1.0);
        CHECK(sample(&penalty, 1, logits, 70, outside + i, 1) == LLMPY_SAMPLE_TOKEN_OUT_OF_RANGE);
        const float bias = 1.0f;
        const llmpy_sample_step biased = bias_step(1, outside + i, &bias);
        CHECK(sample(&biased, 1, logits, 70) == LLMPY_SAMPLE_TOKEN_OUT_OF_RANGE);
    }
    const llmpy_sample_step bad[] = {
        step(99),
        step(LLMPY_SAMPLE_TEMPERATURE, 0, 0.0),
        step(LLMPY_SAMPLE_TEMPERATURE, 0, NAN),
        step(LLMPY_SAMPLE_TOP_P, 0, 0.0),
        step(LLMPY_SAMPLE_TOP_P, 0, NAN),
        step(LLMPY_SAMPLE_MIN_P, 0, NAN),
        step(LLMPY_SAMPLE_REPETITION, 64, -1.0),
        step(LLMPY_SAMPLE_FREQUENCY, 64, NAN),
        step(LLMPY_SAMPLE_LOGIT_BIAS, 3),
        step(LLMPY_SAMPLE_DYNAMIC_TEMPERATURE, 0, 0.0, 1.0),
        step(LLMPY_SAMPLE_DYNAMIC_TEMPERATURE, 0, 1.0, NAN),
        step(LLMPY_SAMPLE_TOP_A, 0, NAN, 1.0),
        step(LLMPY_SAMPLE_TOP_N_SIGMA, 0, NAN),
        step(LLMPY_SAMPLE_TAIL_FREE, 0, 1.0),
        step(LLMPY_SAMPLE_TAIL_FREE, 0, NAN),
        step(LLMPY_SAMPLE_LOCALLY_TYPICAL, 0, NAN),
        step(LLMPY_SAMPLE_XTC, 0, NAN, 0.1),
        step(LLMPY_SAMPLE_SEQUENCE_REPETITION, 513, 1.0),
        step(LLMPY_SAMPLE_SEQUENCE_REPETITION, 64, NAN),
        step(LLMPY_SAMPLE_DRY, 0, 1.0, 1.0),
        step(LLMPY_SAMPLE_DRY, 1, 1.0, NAN),
        step(LLMPY_SAMPLE_MIROSTAT1, 100, 5.0, 0.1),  // without a state
        step(LLMPY_SAMPLE_MIROSTAT2, 0, 5.0, 0.1),
        step(LLMPY_SAMPLE_ADAPTIVE_P, 0, 0.5, 0.9),
    };
    for (const llmpy_sample_step& one : bad) {
        CHECK(sample(&one, 1, logits, 70) == LLMPY_SAMPLE_BAD_ARGUMENT);
    }
    CHECK(llmpy_sample_workspace(0) == 0);
    CHECK(llmpy_sample_workspace(-1) == 0);
    CHECK(llmpy_sample_workspace(LLMPY_SAMPLE_MAX_VOCAB + 1) == 0);
    CHECK(llmpy_sample(nullptr, logits, nullptr, 0, 0, 0) == LLMPY_SAMPLE_BAD_ARGUMENT);
    uint64_t little[1] = {0};
    const llmpy_chain chains[] = {
        {nullptr, nullptr, 1 << 20, 0, nullptr, nullptr, 0, 70, 0},
        {nullptr, little, 8, 0, nullptr, nullptr, 0, 70, 0},
        {nullptr, little, 8, 0, nullptr, nullptr, 1, 70, 0},
    };
    for (const llmpy_chain& chain : chains) {
        CHECK(llmpy_sample(&chain, logits, nullptr, 0, 0, 0) == LLMPY_SAMPLE_BAD_ARGUMENT);
        CHECK(llmpy_sample_apply(&chain, logits, nullptr, 0, 0, 0, logits) == LLMPY_SAMPLE_BAD_ARGUMENT);
    }
}

// Mirostat's bound falls by eta times how much more surprising a token was than wanted.
void test_what_is_remembered() {
    const float logits[4] = {2.0f, 2.0f, 2.0f, 2.0f};  // 2 bits each
    double mu[2] = {10.0, 0.0};
    const llmpy_sample_step second = step(LLMPY_SAMPLE_MIROSTAT2, 0, 1.0, 0.5);
    CHECK(sample(&second, 1, logits, 4, nullptr, 0, 0, mu) >= 0);
    CHECK(fabs(mu[0] - 9.5) < 1e-12);
    mu[0] = 0.5;  // nothing is so likely: the first one stays, which is sure then
    CHECK(sample(&second, 1, logits, 4, nullptr, 0, 0, mu) >= 0);
    double sums[2] = {0.5, 1.0};
    const llmpy_sample_step adaptive = step(LLMPY_SAMPLE_ADAPTIVE_P, 0, 0.5, 0.9);
    CHECK(sample(&adaptive, 1, logits, 4, nullptr, 0, 0, sums) >= 0);
    CHECK(fabs(sums[0] - (0.25 + 0.9 * 0.5)) < 1e-9 && fabs(sums[1] - 1.9) < 1e-12);
}

void test_repeated_sequences_by_hand() {
    const float logits[5] = {0.0f, 0.0f, 0.0f, 0.5f, 0.25f};
    const int32_t said[7] = {0, 1, 2, 3, 0, 1, 2};
    llmpy_sample_step steps[2] = {step(LLMPY_SAMPLE_DRY, 2, 1.0, 2.0), step(LLMPY_SAMPLE_GREEDY)};
    steps[0].count[1] = -1;
    CHECK(sample(steps, 2, logits, 5, said, 7) == 4);  // 3 would go on with 0 1 2: it loses 2
    const int32_t breaker = 2;
    steps[0].ids = &breaker;
    steps[0].count[2] = 1;
    CHECK(sample(steps, 2, logits, 5, said, 7) == 3);
    steps[0] = step(LLMPY_SAMPLE_SEQUENCE_REPETITION, 64, 1.0);
    steps[0].count[1] = 3;
    CHECK(sample(steps, 2, logits, 5, said, 7) == 4);
    steps[0].count[1] = 4;
    CHECK(sample(steps, 2, logits, 5, said, 7) == 3);
}

// All widths of vectors that this processor has give the same weights.
void test_weights_of_each_width() {
    for (int round = 0; round < 2000; round++) {
        float x[kBlock];
        for (float& logit : x) {
            logit = round % 3 == 0 ? (float)(random_bits() % 4000) * -0.01f : -1e-9f * (float)random_bits();
        }
        x[random_bits() % kBlock] = -INFINITY;
        int64_t narrow[kBlock], wide[kBlock];
        weigh_block_2(x, 0.0f, narrow);
        weigh_block(x, 0.0f, wide);
        CHECK(memcmp(narrow, wide, sizeof wide) == 0);
#if defined(__x86_64__)
        if (__builtin_cpu_supports("avx2")) {
            weigh_block_4(x, 0.0f, wide);
            CHECK(memcmp(narrow, wide, sizeof wide) == 0);
        }
#endif
    }
}

void test_top_in_id_order() {
    const float logits[5] = {0.0f, 2.0f, -INFINITY, 2.0f, 1.0f};
    const int64_t size = llmpy_sample_workspace(5);
    void* workspace = calloc(1, (size_t)size);
    int32_t top[5];
    double log_sum = 0.0;
    CHECK(llmpy_sample_top(logits, 5, 3, top, &log_sum, workspace, size) == 3);
    CHECK(top[0] == 1 && top[1] == 3 && top[2] == 4);
    CHECK(fabs(log_sum - log(1.0 + exp(1.0) + 2.0 * exp(2.0))) < 1e-11);
    CHECK(llmpy_sample_top(logits, 5, 5, top, &log_sum, workspace, size) == 4);
    CHECK(llmpy_sample_top(logits, 5, 0, nullptr, &log_sum, workspace, size) == 0);
    CHECK(llmpy_sample_top(logits, 5, 6, top, &log_sum, workspace, size) == LLMPY_SAMPLE_BAD_ARGUMENT);
    CHECK(llmpy_sample_top(logits, 5, 1, nullptr, &log_sum, workspace, size) == LLMPY_SAMPLE_BAD_ARGUMENT);
    free(workspace);
}

// Any bits as logits, any chain: a token that was not removed, or a status, and no access out of
// bounds.
void test_random_bits() {
    for (int round = 0; round < 3000; round++) {
        const int32_t n = 1 + (int32_t)(random_bits() % 700);
        float logits[700];
        const bool ordinary = random_bits() % 4 != 0;
        for (int32_t i = 0; i < n; i++) {
            const uint32_t bits = random_bits();
            memcpy(&logits[i], &bits, sizeof bits);
            if (ordinary) {
                logits[i] = bits % 8 == 0 ? -INFINITY : (float)(bits % 64) * 0.25f;
            }
        }
        int32_t said[20];
        for (int32_t& id : said) {
            id = (int32_t)(random_bits() % (uint32_t)n);
        }
        llmpy_sample_step steps[6];
        const int32_t n_steps = (int32_t)(random_bits() % 7);
        for (int32_t i = 0; i < n_steps; i++) {
            const int32_t kind = (int32_t)(random_bits() % (LLMPY_SAMPLE_ADAPTIVE_P + 1));
            const double value = kind == LLMPY_SAMPLE_MIN_P ? -3.0 : 0.01 * (1 + random_bits() % 99);
            steps[i] = step(kind, (int32_t)(random_bits() % 150) - 1, value, 1.0 + 0.1 * (random_bits() % 20));
            steps[i].min_keep = 1 + (int32_t)(random_bits() % 5);
            steps[i].count[1] = 2 + (int32_t)(random_bits() % 3);
            if (kind == LLMPY_SAMPLE_SEQUENCE_REPETITION || kind == LLMPY_SAMPLE_DRY) {
                steps[i].count[0] = 1 + (int32_t)(random_bits() % 30);
            }
            if (kind == LLMPY_SAMPLE_MIROSTAT1) {
                steps[i].count[0] = 2 + (int32_t)(random_bits() % 200);
            }
            if (kind == LLMPY_SAMPLE_LOGIT_BIAS) {
                steps[i].count[0] = 0;
            }
        }
        double remembered[2] = {(double)(random_bits() % 10), 5.0};
        const int32_t id = sample(steps, n_steps, logits, n, said, 20, (uint64_t)round, remembered);
        CHECK(id < n);
        if (id >= 0) {
            CHECK(logits[id] > -INFINITY);
        } else {
            CHECK(id == LLMPY_SAMPLE_NOT_A_NUMBER || id == LLMPY_SAMPLE_NOTHING_LEFT);
        }
    }
}

}  // namespace

int main() {
    test_greedy_takes_the_first_of_equals();
    test_truncation_by_hand();
    test_penalties_and_bias();
    test_refusals();
    test_what_is_remembered();
    test_repeated_sequences_by_hand();
    test_weights_of_each_width();
    test_top_in_id_order();
    test_random_bits();
    if (failures == 0) {
        printf("test_sample: all checks passed\n");
    }
    return failures ? 1 : 0;
}
