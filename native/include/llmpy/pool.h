// pool: the threads of this process, one set for all models, so that several never use more than there are.
//
// A region is n chunks that any thread may take, the caller among them; it returns when all are done. Each thread
// begins with its share, neighbouring chunks, the same in every region of that size: weights that it reads once a token
// stay in its caches, which processors need not have in common. Then it helps others, from the end of theirs. A thread
// that was late, or lost its processor, finds the chunks taken and is not waited for. Idle workers spin for a moment
// and then sleep. What a chunk computes must not depend on who runs it.
//
//   p50 of an empty region, worker awake: about 0.2 us; worker asleep: 10 to 50 us for its share, the caller goes on.

#ifndef LLMPY_POOL_H
#define LLMPY_POOL_H

#include <stdint.h>

#include "llmpy.h"

namespace llmpy {

constexpr int kMaxThreads = LLMPY_MAX_THREADS;

// `worker` is 0 for the caller and below the region's number of threads for all: an index of scratch memory.
using ChunkBody = void (*)(void* context, int32_t chunk, int32_t worker);

// Runs body(context, 0 .. n_chunks-1), with n_threads 1 on this one alone. With more only as many as a ThreadQuota says, or
// between `take_time_slice` and `end_time_slice`. Not from a chunk.
void run_region(int32_t n_threads, int32_t n_chunks, ChunkBody body, void* context);

// One at a time has the workers, first come first served.
void take_time_slice();
void end_time_slice();

// How many threads a long computation such as a plan may use now, `wanted` at most, while others may run too. When as many
// run at once as there are threads, each has one and waits for nobody; fewer have all of them, in time slices.
class ThreadQuota {
  public:
    explicit ThreadQuota(int32_t wanted);
    ~ThreadQuota();
    ThreadQuota(const ThreadQuota&) = delete;
    ThreadQuota& operator=(const ThreadQuota&) = delete;

    int32_t threads() const { return threads_; }
    // Between regions: gives `threads` anew, and lets others have a time slice if this one has lasted for some
    // milliseconds.
    int32_t again();

  private:
    const int32_t wanted_;
    int32_t threads_;
};

// The same for anything that can be called with (chunk, worker).
template <class Body>
void parallel(int32_t n_threads, int32_t n_chunks, const Body& body) {
    const ChunkBody call = [](void* context, int32_t chunk, int32_t worker) {
        (*static_cast<const Body*>(context))(chunk, worker);
    };
    run_region(n_threads, n_chunks, call, const_cast<Body*>(&body));
}

}  // namespace llmpy

#endif
