// The thread pool: every chunk once, whoever runs it; time slices; forks.

#include <atomic>
#include <initializer_list>

#include "check.h"
#include "llmpy/os.h"
#include "llmpy/pool.h"

#if !defined(_WIN32)
#include <sys/wait.h>
#include <unistd.h>
#endif

using namespace llmpy;

namespace {

constexpr int32_t kChunks = 1000;

void every_chunk_runs_once(int32_t threads, int32_t chunks) {
    static std::atomic<int32_t> runs[kChunks];
    for (auto& n : runs) n.store(0);
    std::atomic<bool> known_worker{true};
    parallel(threads, chunks, [&](int32_t chunk, int32_t worker) {
        runs[chunk].fetch_add(1);
        if (worker < 0 || worker >= threads) known_worker.store(false);
    });
    int32_t wrong = 0;
    for (int32_t i = 0; i < kChunks; ++i) wrong += runs[i].load() != (i < chunks ? 1 : 0);
    CHECK(wrong == 0, "%d of %d chunks on %d threads", wrong, chunks, threads);
    CHECK(known_worker.load(), "on %d threads", threads);
}

void a_region_may_have_any_number_of_chunks() {
    constexpr int32_t chunks = (1 << 14) + 5;
    std::atomic<int64_t> sum{0};
    parallel(2, chunks, [&](int32_t chunk, int32_t) { sum.fetch_add(chunk, std::memory_order_relaxed); });
    CHECK(sum.load() == int64_t{chunks} * (chunks - 1) / 2, "%lld", static_cast<long long>(sum.load()));
}

void a_slot_may_stay_unused_for_long() {
    std::atomic<int32_t> n{0};
    for (int32_t region = 0; region < 140000; ++region) parallel(2, 2, [&](int32_t, int32_t) { n.fetch_add(1); });
    CHECK(n.load() == 280000, "%d", n.load());
    every_chunk_runs_once(7, 64);
}

// Waits until both threads have begun: then each has its own half.
void a_share_is_the_same_in_every_region() {
    std::atomic<int32_t> begun{0}, wrong{0};
    for (int32_t region = 0; region < 100; ++region) {
        begun.store(0);
        parallel(2, 2, [&](int32_t chunk, int32_t worker) {
            begun.fetch_add(1);
            while (begun.load() < 2) yield_processor();
            if (chunk != worker) wrong.fetch_add(1);
        });
    }
    CHECK(wrong.load() == 0, "%d", wrong.load());
}

void results_are_seen_by_the_caller() {
    static int64_t results[64];
    int32_t wrong = 0;
    for (int32_t round = 0; round < 20000; ++round) {
        parallel(3, 8, [&](int32_t chunk, int32_t) { results[8 * chunk] = round + chunk; });
        for (int32_t i = 0; i < 8; ++i) wrong += results[8 * i] != round + i;
    }
    CHECK(wrong == 0, "%d", wrong);
}

void sleeping_workers_wake() {
    for (int32_t i = 0; i < 20; ++i) {
        const uint64_t begin = nanoseconds();
        while (nanoseconds() - begin < 1000000) yield_processor();  // longer than a worker stays awake
        every_chunk_runs_once(2, 10);
    }
}

// Two threads that each run regions, as two models would. With two threads wanted they are contention, with three not.
struct Caller {
    int32_t wanted = 2;
    std::atomic<int32_t> done{0};
    int32_t wrong = 0;
};

void call_regions(void* context) {
    auto* const caller = static_cast<Caller*>(context);
    for (int32_t i = 0; i < 300; ++i) {
        ThreadQuota quota(caller->wanted);
        for (int32_t region = 0; region < 20; ++region) {
            std::atomic<int32_t> sum{0};
            parallel(quota.threads(), 16, [&](int32_t chunk, int32_t) { sum.fetch_add(chunk); });
            caller->wrong += sum.load() != 120 || (quota.threads() != 1 && quota.threads() != caller->wanted);
            quota.again();
        }
    }
    caller->done.store(1);
}

void callers_take_time_slices(int32_t wanted) {
    static Caller callers[2];
    for (Caller& caller : callers) {
        caller.wanted = wanted;
        caller.done.store(0);
    }
    CHECK(start_thread(call_regions, &callers[0]), "no thread to be had");
    call_regions(&callers[1]);
    while (callers[0].done.load() == 0) yield_processor();
    CHECK(callers[0].wrong == 0 && callers[1].wrong == 0, "%d and %d", callers[0].wrong, callers[1].wrong);
}

void as_many_as_threads_have_one_each() {
    const uint64_t begin = nanoseconds();
    while (nanoseconds() - begin < 10000000) yield_processor();  // longer than contention is remembered
    ThreadQuota first(2);
    CHECK(first.threads() == 2, "%d", first.threads());
    {
        const ThreadQuota second(2);
        CHECK(second.threads() == 1 && first.again() == 1, "%d and %d", second.threads(), first.threads());
    }
    CHECK(first.again() == 1, "%d: it was forgotten at once", first.threads());
    const uint64_t end = nanoseconds();
    while (nanoseconds() - end < 10000000) yield_processor();
    CHECK(first.again() == 2, "%d", first.threads());
}

#if !defined(_WIN32) && !defined(__SANITIZE_THREAD__)
void a_forked_child_makes_its_own_workers() {
    every_chunk_runs_once(2, 100);
    const pid_t child = fork();
    if (child == 0) {
        take_time_slice();
        every_chunk_runs_once(2, 100);
        end_time_slice();
        _exit(n_failures);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %d", status);
}
#endif

}  // namespace

int main() {
    for (const int32_t threads : {1, 2, 3, 7}) {
        for (const int32_t chunks : {0, 1, 2, 3, 64, kChunks}) every_chunk_runs_once(threads, chunks);
    }
    a_region_may_have_any_number_of_chunks();
    a_share_is_the_same_in_every_region();
    a_slot_may_stay_unused_for_long();
    results_are_seen_by_the_caller();
    sleeping_workers_wake();
    for (const int32_t wanted : {1, 2, 3}) callers_take_time_slices(wanted);
    as_many_as_threads_have_one_each();
#if !defined(_WIN32) && !defined(__SANITIZE_THREAD__)
    a_forked_child_makes_its_own_workers();
#endif
    return n_failures == 0 ? 0 : 1;
}
