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

// The maxima of blocks of 64 logits are what most of `llmpy_sample` takes: whoever makes the logits may leave them too.
// NaN in any of them: a logit is NaN.
constexpr int32_t kMaximaBlock = 64;
constexpr int64_t maxima_blocks(int64_t n_vocab) { return (n_vocab + kMaximaBlock - 1) / kMaximaBlock; }

// llmpy_sample. `maxima`: those of the logits, [maxima_blocks(n_vocab)], which are lost; null: they are not known.
int32_t sample(const llmpy_chain* chain, const float* logits, const int32_t* history, int64_t n_history, uint64_t seed,
               uint64_t counter, float* maxima);

}  // namespace llmpy

#endif
