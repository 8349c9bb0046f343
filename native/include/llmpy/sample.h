// sample: the next token from the logits, by a chain of steps, in one call
//
//   p(i) = exp(logit[i] - max) / sum, over the tokens that the steps leave; the draw is its inverse
//   in id order.
//
// One pass over the logits (their maxima in blocks of 64) is what it costs; everything after works
// on the few tokens that can still be chosen. The vocabulary is never sorted. Without a truncating
// step the exponentials of all tokens are needed.
//
//   logits     f32  [n_vocab]     only read; finite or -inf
//   history    i32  [n_history]   ids said so far, the latest last; may be null when n_history is 0
//   workspace       llmpy_sample_workspace(n_vocab) bytes, aligned to 8, zeroed before first use;
//                   for one thread at a time
//
// Probabilities are integers: the exponential, rounded to 40 bits after the point. So their sums do
// not depend on the order of summation, nor on the machine, and a token below 2^-41 of the most
// likely one is never drawn. One thread. Every step equals the one of the same name in
// llmpy/sampling/steps.py, and the token equals `draw` in sampling/weights.py, bit for bit.
#ifndef LLMPY_SAMPLE_H
#define LLMPY_SAMPLE_H

#include <stdint.h>

#include "llmpy/api.h"

#define LLMPY_SAMPLE_MAX_VOCAB (1 << 22)  // keeps the sum of all probabilities below 2^62

// Kinds of steps.              count                       value
#define LLMPY_SAMPLE_GREEDY 0       //
#define LLMPY_SAMPLE_TEMPERATURE 1  //                      temperature > 0
#define LLMPY_SAMPLE_TOP_K 2        // tokens, 0 off
#define LLMPY_SAMPLE_TOP_P 3        //                      probability, 0 < value <= 1
#define LLMPY_SAMPLE_MIN_P 4        //                      natural logarithm of the ratio, <= 0
#define LLMPY_SAMPLE_REPETITION 5   // window, -1 all       penalty > 0
#define LLMPY_SAMPLE_FREQUENCY 6    // window, -1 all       penalty
#define LLMPY_SAMPLE_PRESENCE 7     // window, -1 all       penalty
#define LLMPY_SAMPLE_LOGIT_BIAS 8   // entries of ids, biases

#define LLMPY_SAMPLE_BAD_ARGUMENT (-1)        // null, a size or a parameter out of range
#define LLMPY_SAMPLE_NOT_A_NUMBER (-2)        // a logit is NaN or +inf
#define LLMPY_SAMPLE_NOTHING_LEFT (-3)        // every logit is -inf
#define LLMPY_SAMPLE_TOKEN_OUT_OF_RANGE (-4)  // an id in the history or a bias, not in range

extern "C" {

typedef struct llmpy_sample_step {
    int32_t kind;
    int32_t count;
    double value;
    const int32_t* ids;
    const float* biases;
} llmpy_sample_step;

// Bytes of workspace; 0 when n_vocab is out of range.
LLMPY_API int64_t llmpy_sample_workspace(int32_t n_vocab);

// The chosen id, or one of the negative numbers above. `seed` and `counter` are those of llmpy.Rng
// before the draw.
LLMPY_API int32_t llmpy_sample(const llmpy_sample_step* steps, int32_t n_steps, const float* logits,
                               int32_t n_vocab, const int32_t* history, int64_t n_history,
                               uint64_t seed, uint64_t counter, void* workspace,
                               int64_t workspace_size);

// For log-probabilities: writes log(sum of exp(logits)) and the ids of the `n_top` largest logits,
// in id order and without those of -inf, to `top` [n_top]. Returns how many ids, or one of the
// negative numbers above.
LLMPY_API int32_t llmpy_sample_top(const float* logits, int32_t n_vocab, int32_t n_top,
                                   int32_t* top, double* log_sum, void* workspace,
                                   int64_t workspace_size);
}

namespace llmpy {

// The maxima of blocks of 64 logits, which are what most of `llmpy_sample` takes: whoever makes the logits may leave
// them in the workspace, at `sample_peaks`, where n_vocab is in range. NaN in any of them: a logit is NaN.
constexpr int32_t kPeakBlock = 64;
float* sample_peaks(void* workspace, int32_t n_vocab);

// llmpy_sample; `peaks_known`: of these logits they are there.
int32_t sample(const llmpy_sample_step* steps, int32_t n_steps, const float* logits, int32_t n_vocab,
               const int32_t* history, int64_t n_history, uint64_t seed, uint64_t counter, void* workspace,
               int64_t workspace_size, bool peaks_known);

}  // namespace llmpy

#endif
