#include "llmpy/os.h"

#if defined(_WIN32)
#ifndef NOMINMAX
#define NOMINMAX
#endif
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>
#endif

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#include <stdlib.h>

namespace llmpy {

namespace {

struct Start {
    void (*body)(void*);
    void* context;
};

constexpr size_t kStack = size_t{1} << 20;  // small defaults (musl: 128 kB) do not hold a kernel's tiles
constexpr size_t kHuge = size_t{2} << 20;

}  // namespace

#if defined(_WIN32)

struct Monitor {
    SRWLOCK mutex = SRWLOCK_INIT;
    CONDITION_VARIABLE condition = CONDITION_VARIABLE_INIT;
};

void lock(Monitor& monitor) { AcquireSRWLockExclusive(&monitor.mutex); }
void unlock(Monitor& monitor) { ReleaseSRWLockExclusive(&monitor.mutex); }
void wait(Monitor& monitor) { SleepConditionVariableSRW(&monitor.condition, &monitor.mutex, INFINITE, 0); }
void wake_all(Monitor& monitor) { WakeAllConditionVariable(&monitor.condition); }

static DWORD WINAPI thread_main(void* argument) {
    const Start start = *static_cast<Start*>(argument);
    free(argument);
    start.body(start.context);
    return 0;
}

bool start_thread(void (*body)(void*), void* context) {
    auto* start = static_cast<Start*>(malloc(sizeof(Start)));
    if (start == nullptr) return false;
    *start = {body, context};
    const HANDLE thread = CreateThread(nullptr, kStack, thread_main, start, STACK_SIZE_PARAM_IS_A_RESERVATION, nullptr);
    if (thread == nullptr) {
        free(start);
        return false;
    }
    CloseHandle(thread);
    return true;
}

void after_fork(void (*)()) {}

uint64_t nanoseconds() {
    LARGE_INTEGER count, frequency;
    QueryPerformanceCounter(&count);
    QueryPerformanceFrequency(&frequency);
    return static_cast<uint64_t>(static_cast<double>(count.QuadPart) * 1e9 / static_cast<double>(frequency.QuadPart));
}

void yield_processor() { SwitchToThread(); }

int32_t current_processor() { return -1; }
void leave_processor(int32_t) {}

void* allocate(size_t bytes) { return VirtualAlloc(nullptr, bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE); }

void release(void* memory, size_t) {
    if (memory != nullptr) VirtualFree(memory, 0, MEM_RELEASE);
}

#else

struct Monitor {
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
};

void lock(Monitor& monitor) { pthread_mutex_lock(&monitor.mutex); }
void unlock(Monitor& monitor) { pthread_mutex_unlock(&monitor.mutex); }
void wait(Monitor& monitor) { pthread_cond_wait(&monitor.condition, &monitor.mutex); }
void wake_all(Monitor& monitor) { pthread_cond_broadcast(&monitor.condition); }

static void* thread_main(void* argument) {
    const Start start = *static_cast<Start*>(argument);
    free(argument);
    start.body(start.context);
    return nullptr;
}

bool start_thread(void (*body)(void*), void* context) {
    auto* start = static_cast<Start*>(malloc(sizeof(Start)));
    if (start == nullptr) return false;
    *start = {body, context};
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, kStack);
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

#if defined(__linux__)
int32_t current_processor() { return sched_getcpu(); }
void leave_processor(int32_t processor) {
    cpu_set_t allowed, others;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;  // more processors than the set has room for
    others = allowed;
    CPU_CLR(static_cast<size_t>(processor), &others);
    if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof others, &others) != 0) return;
    sched_setaffinity(0, sizeof allowed, &allowed);
}
#else
int32_t current_processor() { return -1; }
void leave_processor(int32_t) {}
#endif

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
#endif  // _WIN32

Monitor workers_monitor;
Monitor turns_monitor;

void reset(Monitor& monitor) { monitor = Monitor{}; }

#if defined(__aarch64__) && defined(__linux__)
bool arm_has_dot_product() {
    constexpr unsigned long dot_product = 1ul << 20;  // HWCAP_ASIMDDP
    return (getauxval(AT_HWCAP) & dot_product) != 0;
}
bool arm_has_matrix_product() {
    constexpr unsigned long matrix_product = 1ul << 13;  // HWCAP2_I8MM
    return (getauxval(AT_HWCAP2) & matrix_product) != 0;
}
#elif defined(__aarch64__) && defined(__APPLE__)
static bool has_feature(const char* name) {
    int found = 0;
    size_t size = sizeof found;
    return sysctlbyname(name, &found, &size, nullptr, 0) == 0 && found != 0;
}
bool arm_has_dot_product() { return has_feature("hw.optional.arm.FEAT_DotProd"); }
bool arm_has_matrix_product() { return has_feature("hw.optional.arm.FEAT_I8MM"); }
#elif defined(__aarch64__) && defined(_WIN32)
bool arm_has_dot_product() {
    constexpr DWORD dot_product = 43;  // PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE
    return IsProcessorFeaturePresent(dot_product) != 0;
}
bool arm_has_matrix_product() {
    constexpr DWORD matrix_product = 66;  // PF_ARM_V82_I8MM_INSTRUCTIONS_AVAILABLE
    return IsProcessorFeaturePresent(matrix_product) != 0;
}
#else
bool arm_has_dot_product() { return false; }
bool arm_has_matrix_product() { return false; }
#endif

}  // namespace llmpy
