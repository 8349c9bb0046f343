// generate: one or more tokens of one session, in one call
//
// A step of the plan for the last token said, and the next one by the chain, again and again: what two calls from outside
// cost is paid once, for all tokens that nobody looks at in between. The same bits as one call after the other.

#ifndef LLMPY_GENERATE_H
#define LLMPY_GENERATE_H

#include <stdint.h>

#include "llmpy/api.h"
#include "llmpy/plan.h"
#include "llmpy/sample.h"

extern "C" {

// A chain of steps with all that `llmpy_sample` wants of it.
typedef struct llmpy_chain {
    const llmpy_sample_step* steps;
    void* workspace;
    int64_t workspace_size;
    int64_t n_history;    // how many of the latest ids the steps look at; -1: all
    const int32_t* ends;  // ids after which there is no more to say
    int32_t n_steps, n_vocab, n_ends;
} llmpy_chain;

// `ids` are the `n` tokens said, of which all but the last are read, and room for `most` more; so are `pages`. Says up to
// `most` tokens, until one of the ends, or for some milliseconds: others may wait. Returns how many; all but the last of
// them are read. Or, if none could be drawn, a negative number of sample.h; the last of the `n` is read then.
// The plan must have been given room for a batch of one token, its logits, and so many positions.
LLMPY_API int32_t llmpy_plan_generate(struct llmpy_plan* plan, const llmpy_chain* chain, int32_t* ids, int64_t n,
                                      int32_t most, const uint64_t* pages, uint64_t recurrent, uint64_t seed,
                                      uint64_t counter, int32_t threads);
}

#endif
