// bandwidth: how fast this machine can read memory, the limit of generating one token at a time.

#include "llmpy.h"
#include "llmpy/os.h"
#include "llmpy/pool.h"

#include <string.h>

namespace {

constexpr int64_t chunk_bytes = 1 << 20;

typedef uint64_t Words __attribute__((vector_size(16), may_alias));

// Eight sums side by side, so that additions never wait for one another.
uint64_t sum_chunk(const unsigned char* data) {
    Words sums[8] = {};
    const Words* words = reinterpret_cast<const Words*>(data);
    for (int64_t i = 0; i < chunk_bytes / 16; i += 8) {
        for (int j = 0; j < 8; ++j) sums[j] += words[i + j];
    }
    Words sum = {};
    for (const Words& s : sums) sum += s;
    return sum[0] + sum[1];
}

}  // namespace

double llmpy_read_bandwidth(int64_t bytes, int32_t n_threads, int32_t passes) {
    using namespace llmpy;
    const int64_t n_chunks = bytes / chunk_bytes;
    if (n_chunks < 1 || n_chunks > INT32_MAX || n_threads < 1 || n_threads > kMaxThreads) return 0;
    unsigned char* data = static_cast<unsigned char*>(allocate(static_cast<size_t>(n_chunks * chunk_bytes)));
    if (data == nullptr) return 0;
    memset(data, 1, static_cast<size_t>(n_chunks * chunk_bytes));
    double best = 0;
    take_time_slice();
    for (int32_t pass = 0; pass < passes; ++pass) {
        volatile uint64_t sink = 0;
        const uint64_t begin = nanoseconds();
        parallel(n_threads, static_cast<int32_t>(n_chunks),
                 [&](int32_t chunk, int32_t) { sink = sum_chunk(data + chunk * chunk_bytes); });
        const double rate =
            static_cast<double>(n_chunks * chunk_bytes) * 1e9 / static_cast<double>(nanoseconds() - begin + 1);
        if (rate > best) best = rate;
    }
    end_time_slice();
    release(data, static_cast<size_t>(n_chunks * chunk_bytes));
    return best;
}
