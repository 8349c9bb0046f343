#include "llmpy/pool.h"

#include <atomic>

#include "llmpy/os.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace llmpy {
namespace {

constexpr uint64_t kSpin = 150000;    // nanoseconds a worker waits awake: a step's serial parts, and a sampler, fit in
constexpr uint64_t kSlice = 5000000;  // nanoseconds a plan may keep the workers while another waits
constexpr uint64_t kContention =
    5000000;  // nanoseconds for which contention is remembered: the callers will be back soon
// Rounds of 64 pauses, some microseconds, after which whoever waits offers its processor: on a busy machine the one it
// waits for may be next in line there. Without that, waking a worker could stop the caller for as long as the worker spins.
constexpr int kRoundsOfMyOwn = 4;

// The open region in one word: its number, the threads that may take part, its chunks.
constexpr int kNumberBits = 40, kChunkBits = 12;
constexpr uint64_t kMostChunks = (uint64_t{1} << kChunkBits) - 1;
static_assert(kMaxThreads <= kMostChunks && kNumberBits + 2 * kChunkBits == 64, "one word");
struct Region {
    uint64_t number;
    int32_t threads, chunks;

    explicit Region(uint64_t ticket)
        : number(ticket >> (64 - kNumberBits)),
          threads(static_cast<int32_t>(ticket >> kChunkBits & kMostChunks)),
          chunks(static_cast<int32_t>(ticket & kMostChunks)) {}
    int32_t first(int32_t worker) const { return static_cast<int32_t>(int64_t{worker} * chunks / threads); }
};
uint64_t ticket_of(uint64_t number, int32_t threads, int32_t chunks) {
    return number << (64 - kNumberBits) | static_cast<uint64_t>(threads) << kChunkBits | static_cast<uint64_t>(chunks);
}

// What is taken of a thread's share in one word, so that a claim is one compare-and-swap and can never mix two regions:
// the region's number, chunks taken from the front by the thread itself, and from the back by others. With the number
// of an earlier region: nothing yet. Now and then all slots get a late number, so that none is ever half of all numbers
// old.
constexpr uint64_t kNowAndThen = uint64_t{1} << 16;
struct alignas(64) Slot {
    std::atomic<uint64_t> taken{0};
};

struct Pool {
    alignas(64) std::atomic<uint64_t> ticket{0};
    std::atomic<ChunkBody> body{nullptr};
    std::atomic<void*> context{nullptr};
    alignas(64) std::atomic<int32_t> done{0};
    alignas(64) std::atomic<int32_t> sleepers{0};
    std::atomic<int32_t> waker{0};  // 1 + the processor of the caller that woke them; all of a pool is zero at first
    Slot slots[kMaxThreads];
    int32_t n_workers = 0;
    bool watches_forks = false;
};
Pool pool;

uint64_t next_number() {
    return (Region(pool.ticket.load(std::memory_order_relaxed)).number + 1) & ((uint64_t{1} << kNumberBits) - 1);
}

struct TimeSlices {
    std::atomic<uint32_t> next{0};
    std::atomic<uint32_t> serving{0};
    uint64_t since = 0;
};
TimeSlices time_slices;

// Those that hold a ThreadQuota now; and when there were several, with how many, in one word.
struct Contention {
    std::atomic<int32_t> now{0};
    std::atomic<uint64_t> last{0};
};
Contention contention;
constexpr int kCountBits = 10;
constexpr int32_t kMostCounted = (1 << kCountBits) - 1;

// Whether there are, or have been lately, as many as `wanted`.
bool contended(int32_t wanted) {
    const int32_t now = contention.now.load(std::memory_order_relaxed);
    const uint64_t last = contention.last.load(std::memory_order_relaxed);
    if (now < 2 && last == 0) return false;  // alone from the beginning: not even a look at the clock
    const uint64_t clock = nanoseconds();
    if (now >= 2) {
        const auto count = static_cast<uint64_t>(now < kMostCounted ? now : kMostCounted);
        contention.last.store(clock << kCountBits | count, std::memory_order_relaxed);
        return now >= wanted;
    }
    if (clock - (last >> kCountBits) < kContention) return static_cast<int32_t>(last & kMostCounted) >= wanted;
    contention.last.store(0, std::memory_order_relaxed);
    return false;
}

void pause() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

// Claims a chunk of what `owner` has in the region, or returns -1.
int32_t claim(const Region& region, int32_t owner, bool own) {
    const int32_t begin = region.first(owner), end = region.first(owner + 1);
    std::atomic<uint64_t>& slot = pool.slots[owner].taken;
    uint64_t taken = slot.load(std::memory_order_acquire);
    for (;;) {
        // Taken as ticket_of does, front and back in the place of threads and chunks.
        const Region found(taken);
        const uint64_t age = (region.number - found.number) & ((uint64_t{1} << kNumberBits) - 1);
        if (age >> (kNumberBits - 1) != 0) return -1;  // a later region: this one is over
        const int32_t front = age == 0 ? found.threads : 0, back = age == 0 ? found.chunks : 0;
        if (front + back >= end - begin) return -1;
        const uint64_t after = ticket_of(region.number, front + (own ? 1 : 0), back + (own ? 0 : 1));
        if (slot.compare_exchange_weak(taken, after, std::memory_order_acq_rel, std::memory_order_acquire)) {
            return own ? begin + front : end - 1 - back;
        }
    }
}

// Takes chunks of the region until none is left, its own first; returns how many.
int32_t work(const Region& region, int32_t worker) {
    int32_t n = 0;
    for (int32_t i = 0; i < region.threads; ++i) {
        const int32_t owner = worker + i < region.threads ? worker + i : worker + i - region.threads;
        for (int32_t chunk; (chunk = claim(region, owner, i == 0)) >= 0; ++n) {
            // The region cannot end while this chunk is unfinished: its body and context are the ones to read.
            const ChunkBody body = pool.body.load(std::memory_order_relaxed);
            body(pool.context.load(std::memory_order_relaxed), chunk, worker);
        }
    }
    return n;
}

// Until a region is open that this worker may take part in, and has not seen.
void sleep_until_open(int32_t worker, uint64_t seen) {
    const auto nothing_to_do = [&] {
        const uint64_t ticket = pool.ticket.load(std::memory_order_seq_cst);
        return ticket == seen || worker >= Region(ticket).threads;
    };
    lock(workers_monitor);
    pool.sleepers.fetch_add(1, std::memory_order_seq_cst);
    while (nothing_to_do()) wait(workers_monitor);
    pool.sleepers.fetch_sub(1, std::memory_order_relaxed);
    unlock(workers_monitor);
    // Linux often wakes a thread on the processor of the one that wakes it, which goes on there: for milliseconds both
    // would share one processor beside another that is idle.
    const int32_t here = current_processor();
    if (here >= 0 && here + 1 == pool.waker.load(std::memory_order_relaxed)) leave_processor(here);
}

void worker_main(void* argument) {
    const auto worker = static_cast<int32_t>(reinterpret_cast<intptr_t>(argument));
    uint64_t idle_since = nanoseconds(), seen = 0;
    for (int round = 0;; ++round) {
        const uint64_t ticket = pool.ticket.load(std::memory_order_acquire);
        if (ticket != seen) {
            seen = ticket;
            const Region region(ticket);
            const int32_t n = worker < region.threads ? work(region, worker) : 0;
            if (n > 0) {
                pool.done.fetch_add(n, std::memory_order_release);
                idle_since = nanoseconds();
            }
        }
        for (int i = 0; i < 64 && pool.ticket.load(std::memory_order_relaxed) == seen; ++i) pause();
        if (pool.ticket.load(std::memory_order_relaxed) != seen) continue;
        if (round % kRoundsOfMyOwn == 0) yield_processor();
        if (nanoseconds() - idle_since > kSpin) {
            sleep_until_open(worker, seen);
            idle_since = nanoseconds();
        }
    }
}

// A forked child has the calling thread only: it makes workers of its own when it needs them.
void forget_workers() {
    pool.ticket.store(ticket_of(next_number(), 0, 0), std::memory_order_relaxed);
    pool.sleepers.store(0, std::memory_order_relaxed);
    pool.n_workers = 0;
    time_slices.next.store(0, std::memory_order_relaxed);
    time_slices.serving.store(0, std::memory_order_relaxed);
    contention.now.store(0, std::memory_order_relaxed);
    reset(workers_monitor);
    reset(turns_monitor);
}

void want_workers(int32_t n) {
    if (!pool.watches_forks) {
        pool.watches_forks = true;
        after_fork(forget_workers);
    }
    while (pool.n_workers < n && pool.n_workers < kMaxThreads - 1) {
        if (!start_thread(worker_main, reinterpret_cast<void*>(static_cast<intptr_t>(pool.n_workers + 1)))) return;
        ++pool.n_workers;
    }
}

}  // namespace

void run_region(int32_t n_threads, int32_t n_chunks, ChunkBody body, void* context) {
    constexpr auto most = static_cast<int32_t>(kMostChunks);
    if (n_chunks > most) {
        run_region(n_threads, most, body, context);
        const auto rest = [&](int32_t chunk, int32_t worker) { body(context, most + chunk, worker); };
        return parallel(n_threads, n_chunks - most, rest);
    }
    if (n_threads > kMaxThreads) n_threads = kMaxThreads;
    if (n_threads > n_chunks) n_threads = n_chunks;
    if (n_threads <= 1) {
        for (int32_t i = 0; i < n_chunks; ++i) body(context, i, 0);
        return;
    }
    if (pool.n_workers < n_threads - 1) want_workers(n_threads - 1);
    pool.body.store(body, std::memory_order_relaxed);
    pool.context.store(context, std::memory_order_relaxed);
    pool.done.store(0, std::memory_order_relaxed);
    const uint64_t number = next_number(), ticket = ticket_of(number, n_threads, n_chunks);
    for (int32_t i = 0; number % kNowAndThen == 0 && i < kMaxThreads; ++i) {
        pool.slots[i].taken.store(ticket_of(number - 1, most, 0), std::memory_order_relaxed);
    }
    pool.ticket.store(ticket, std::memory_order_seq_cst);
    if (pool.sleepers.load(std::memory_order_seq_cst) > 0) {
        pool.waker.store(current_processor() + 1, std::memory_order_relaxed);
        lock(workers_monitor);
        wake_all(workers_monitor);
        unlock(workers_monitor);
        yield_processor();  // to a worker that wakes here, so that it can go elsewhere
    }
    const int32_t others = n_chunks - work(Region(ticket), 0);
    if (pool.done.load(std::memory_order_acquire) == others) return;
    // A worker holds the last chunk. It may share this processor: then let it have that.
    for (int round = 1;; ++round) {
        for (int i = 0; i < 64; ++i) {
            if (pool.done.load(std::memory_order_acquire) == others) return;
            pause();
        }
        if (round % kRoundsOfMyOwn == 0) yield_processor();
    }
}

void take_time_slice() {
    lock(turns_monitor);
    const uint32_t mine = time_slices.next.fetch_add(1, std::memory_order_relaxed);
    while (time_slices.serving.load(std::memory_order_relaxed) != mine) wait(turns_monitor);
    time_slices.since = 0;
    unlock(turns_monitor);
}

void end_time_slice() {
    lock(turns_monitor);
    time_slices.serving.fetch_add(1, std::memory_order_relaxed);
    wake_all(turns_monitor);
    unlock(turns_monitor);
}

ThreadQuota::ThreadQuota(int32_t wanted) : wanted_(wanted), threads_(1) {
    contention.now.fetch_add(1, std::memory_order_relaxed);
    if (wanted_ < 2 || contended(wanted_)) return;
    take_time_slice();
    threads_ = wanted_;
}

ThreadQuota::~ThreadQuota() {
    if (threads_ > 1) end_time_slice();
    contention.now.fetch_sub(1, std::memory_order_relaxed);
}

int32_t ThreadQuota::again() {
    if (wanted_ < 2) return 1;
    const bool alone = contended(wanted_);
    if (threads_ == 1) {
        if (alone) return 1;
        take_time_slice();
        return threads_ = wanted_;
    }
    if (alone) {
        end_time_slice();
        return threads_ = 1;
    }
    if (time_slices.next.load(std::memory_order_relaxed) - time_slices.serving.load(std::memory_order_relaxed) < 2)
        return threads_;
    const uint64_t now = nanoseconds();
    if (time_slices.since == 0) time_slices.since = now;  // the other came just now
    if (now - time_slices.since >= kSlice) {
        end_time_slice();
        take_time_slice();
    }
    return threads_;
}

}  // namespace llmpy
