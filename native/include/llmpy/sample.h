// sample: the sampler of llmpy.h, and what the plan leaves for it.
//
// One pass over the logits (their maxima in blocks of 64) is what it costs; everything after works
// on the few tokens that can still be chosen. The vocabulary is never sorted. Without a truncating
// step the exponentials of all tokens are needed.
//
// Probabilities are integers: the exponential, rounded to 40 bits after the point. So their sums do
// not depend on the order of summation, nor on the machine, and a token below 2^-41 of the most
// likely one is never drawn. One thread. Every step equals the one of the same name in
// llmpy/sampling/, and the token equals `draw` in sampling/weights.py, bit for bit.
#ifndef LLMPY_SAMPLE_H
#define LLMPY_SAMPLE_H

#include <stdint.h>

#include "llmpy.h"

namespace llmpy {

// The maxima of blocks of 64 logits, which are what most of `llmpy_sample` takes: whoever makes the logits may leave
// them in the workspace, at `sample_block_maxima`, where n_vocab is in range. NaN in any of them: a logit is NaN.
constexpr int32_t kMaximaBlock = 64;
float* sample_block_maxima(void* workspace, int32_t n_vocab);

// llmpy_sample; `maxima_known`: of these logits they are there.
int32_t sample(const llmpy_chain* chain, const float* logits, const int32_t* history, int64_t n_history, uint64_t seed,
               uint64_t counter, bool maxima_known);

}  // namespace llmpy

#endif
