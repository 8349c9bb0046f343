// generate: steps of a plan and its sampler, one after the other, in one call; or samplers for all rows of a step.

#include "llmpy.h"
#include "llmpy/os.h"
#include "llmpy/sample.h"
#include "plan_state.h"

using namespace llmpy;

namespace {

constexpr uint64_t kTogether = 10000000;  // nanoseconds after which the caller looks who else waits

bool is_end(const llmpy_chain& chain, int32_t id) {
    for (int32_t i = 0; i < chain.n_ends; ++i) {
        if (chain.ends[i] == id) return true;
    }
    return false;
}

}  // namespace

extern "C" {

int32_t llmpy_plan_generate(llmpy_plan* plan, const llmpy_generation* generation) {
    const llmpy_generation& g = *generation;
    const llmpy_chain* const chain = g.chain;
    int32_t* const ids = g.ids;
    int64_t n = g.n;
    const uint64_t begin = g.most > 1 ? nanoseconds() : 0;
    const int32_t nothing = 0;
    int32_t position = 0, end = 0, done = 0, id = 0;
    const llmpy_batch before = plan->batch;
    float* const maxima = plan->maxima_of(0, chain->n_vocab);
    while (done < g.most) {
        position = static_cast<int32_t>(n - 1);
        end = static_cast<int32_t>(n);
        plan->batch = {ids + n - 1, &position, &nothing,  &nothing,     &end,
                       &nothing,    g.pages,   g.windows, &g.recurrent, before.logits};
        llmpy_plan_run(plan, 1, 1, static_cast<int32_t>(g.threads));
        const int64_t seen = chain->n_history < 0 || chain->n_history > n ? n : chain->n_history;
        id =
            sample(chain, before.logits, ids + n - seen, seen, g.seed, g.counter + static_cast<uint64_t>(done), maxima);
        if (id < 0) break;
        ids[n++] = id;
        ++done;
        if (is_end(*chain, id) || (done < g.most && nanoseconds() - begin > kTogether)) break;
    }
    plan->batch = before;
    return done > 0 ? done : id;
}

void llmpy_plan_draw(llmpy_plan* plan, const llmpy_draw* draws, int32_t n, int64_t n_vocab, int32_t* ids,
                     int32_t threads) {
    const auto draw = [&](int32_t row, int32_t) {
        const llmpy_draw& d = draws[row];
        ids[row] = LLMPY_SAMPLE_BAD_ARGUMENT;
        if (d.chain == nullptr || d.chain->n_vocab > n_vocab) return;
        ids[row] = sample(d.chain, plan->batch.logits + row * n_vocab, d.history, d.n_history, d.seed, d.counter,
                          plan->maxima_of(row, d.chain->n_vocab));
    };
    const ThreadQuota quota(n * n_vocab < 4 * kWorthSharing ? 1 : threads);
    parallel(quota.threads(), n, draw);
}
}
