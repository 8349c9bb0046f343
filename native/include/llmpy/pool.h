// pool: the threads of this process, one set for all models, so that several never use more than there are.
//
// A region is n chunks that any thread may take, the caller among them; it returns when all are done. A thread that was
// late, or lost its processor, finds the chunks taken and is not waited for. Idle workers spin for a moment and then
// sleep. What a chunk computes must not depend on who runs it.
//
//   p50 of an empty region, worker awake: about 0.2 us; worker asleep: 10 to 50 us for its share, the caller goes on.

#ifndef LLMPY_POOL_H
#define LLMPY_POOL_H

#include <stdint.h>

namespace llmpy {

constexpr int kMaxThreads = 256;

// `worker` is 0 for the caller and below the region's number of threads for all: an index of scratch memory.
using ChunkBody = void (*)(void* context, int32_t chunk, int32_t worker);

// Runs body(context, 0 .. n_chunks-1). Between `take_turn` and `end_turn` only, or with n_threads 1. Not from a chunk.
void run_region(int32_t n_threads, int32_t n_chunks, ChunkBody body, void* context);

// One plan at a time has the workers, first come first served.
void take_turn();
void end_turn();
// To be called between regions: lets others have their turn if one waits and this one has lasted for some milliseconds.
void share_turn();

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
