// os_posix: what Linux and macOS have in common: threads, locks, the clock, memory. Included once, by the file of either.

#ifndef LLMPY_OS_POSIX_H
#define LLMPY_OS_POSIX_H

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "llmpy/os.h"

namespace llmpy {

constexpr size_t kHuge = size_t{2} << 20;

struct Monitor {
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
};

void lock(Monitor& monitor) { pthread_mutex_lock(&monitor.mutex); }
void unlock(Monitor& monitor) { pthread_mutex_unlock(&monitor.mutex); }
void wait(Monitor& monitor) { pthread_cond_wait(&monitor.condition, &monitor.mutex); }
void wake_all(Monitor& monitor) { pthread_cond_broadcast(&monitor.condition); }

Monitor workers_monitor;
Monitor turns_monitor;

void reset(Monitor& monitor) { monitor = Monitor{}; }

namespace {

struct Start {
    void (*body)(void*);
    void* context;
};

void* thread_main(void* argument) {
    const Start start = *static_cast<Start*>(argument);
    free(argument);
    start.body(start.context);
    return nullptr;
}

}  // namespace

bool start_thread(void (*body)(void*), void* context) {
    auto* start = static_cast<Start*>(malloc(sizeof(Start)));
    if (start == nullptr) return false;
    *start = {body, context};
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, kThreadStack);
    // A new thread inherits the mask: signals stay with the threads of the program, but for those of a defect, which
    // would end the process without a word from who handles them.
    sigset_t others, before;
    sigfillset(&others);
    const int defects[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    for (int signal : defects) sigdelset(&others, signal);
    pthread_sigmask(SIG_SETMASK, &others, &before);
    pthread_t thread;
    const bool started = pthread_create(&thread, &attributes, thread_main, start) == 0;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    pthread_attr_destroy(&attributes);
    if (!started) free(start);
    return started;
}

void after_fork(void (*in_child)()) { pthread_atfork(nullptr, nullptr, in_child); }

uint64_t nanoseconds() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1000000000u + static_cast<uint64_t>(now.tv_nsec);
}

void yield_processor() { sched_yield(); }

#if defined(LLMPY_GUARD)

// For tests: nothing lies behind a block, nor before the page where it begins.
constexpr size_t kGuard = 65536;
static size_t guarded_bytes(size_t bytes) { return (bytes + kGuard - 1) / kGuard * kGuard + 2 * kGuard; }

void* allocate(size_t bytes) {
    const size_t all = guarded_bytes(bytes);
    if (all < bytes) return nullptr;
    void* const mapped = mmap(nullptr, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) return nullptr;
    unsigned char* const begin = static_cast<unsigned char*>(mapped) + kGuard;
    if (mprotect(begin, all - 2 * kGuard, PROT_READ | PROT_WRITE) != 0) return nullptr;
    return begin + (all - 2 * kGuard - (bytes + 63) / 64 * 64);
}

void release(void* memory, size_t bytes) {
    if (memory == nullptr) return;
    const size_t all = guarded_bytes(bytes);
    munmap(static_cast<unsigned char*>(memory) + (bytes + 63) / 64 * 64 + kGuard - all, all);
}

#else

// Of a block as it is mapped. Whole base pages, of any system: what is given back must be what was taken.
static size_t mapped_bytes(size_t bytes) {
    constexpr size_t page = 65536;
    return bytes >= kHuge ? (bytes + page - 1) / page * page : bytes;
}

void* allocate(size_t bytes) {
    // A large block begins at a huge page's boundary: without that the system cannot use one.
    const size_t size = mapped_bytes(bytes), slack = bytes >= kHuge ? kHuge : 0;
    if (size < bytes || size + slack < size) return nullptr;
    void* mapped = mmap(nullptr, size + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) return nullptr;
    if (slack == 0) return mapped;
    auto* const begin = static_cast<unsigned char*>(mapped);
    const size_t before = (kHuge - reinterpret_cast<uintptr_t>(begin) % kHuge) % kHuge;
    if (before > 0) munmap(begin, before);
    munmap(begin + before + size, slack - before);
#if defined(MADV_HUGEPAGE)
    madvise(begin + before, size, MADV_HUGEPAGE);
#endif
    return begin + before;
}

void release(void* memory, size_t bytes) {
    if (memory != nullptr) munmap(memory, mapped_bytes(bytes));
}

#endif  // LLMPY_GUARD

}  // namespace llmpy

#endif
