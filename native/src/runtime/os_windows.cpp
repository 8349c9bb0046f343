// os_windows: the system calls of Windows.

#ifndef NOMINMAX
#define NOMINMAX
#endif
#define WIN32_LEAN_AND_MEAN
#include <stdlib.h>
#include <windows.h>

#include "llmpy/os.h"

namespace llmpy {

struct Monitor {
    SRWLOCK mutex = SRWLOCK_INIT;
    CONDITION_VARIABLE condition = CONDITION_VARIABLE_INIT;
};

void lock(Monitor& monitor) { AcquireSRWLockExclusive(&monitor.mutex); }
void unlock(Monitor& monitor) { ReleaseSRWLockExclusive(&monitor.mutex); }
void wait(Monitor& monitor) { SleepConditionVariableSRW(&monitor.condition, &monitor.mutex, INFINITE, 0); }
void wake_all(Monitor& monitor) { WakeAllConditionVariable(&monitor.condition); }

Monitor workers_monitor;
Monitor turns_monitor;

void reset(Monitor& monitor) { monitor = Monitor{}; }

namespace {

struct Start {
    void (*body)(void*);
    void* context;
};

DWORD WINAPI thread_main(void* argument) {
    const Start start = *static_cast<Start*>(argument);
    free(argument);
    start.body(start.context);
    return 0;
}

}  // namespace

bool start_thread(void (*body)(void*), void* context) {
    auto* start = static_cast<Start*>(malloc(sizeof(Start)));
    if (start == nullptr) return false;
    *start = {body, context};
    const HANDLE thread =
        CreateThread(nullptr, kThreadStack, thread_main, start, STACK_SIZE_PARAM_IS_A_RESERVATION, nullptr);
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

bool arm_has_dot_product() {
    constexpr DWORD dot_product = 43;  // PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE
    return IsProcessorFeaturePresent(dot_product) != 0;
}
bool arm_has_matrix_product() {
    constexpr DWORD matrix_product = 66;  // PF_ARM_V82_I8MM_INSTRUCTIONS_AVAILABLE
    return IsProcessorFeaturePresent(matrix_product) != 0;
}

}  // namespace llmpy

#if defined(__x86_64__)
// What compilers call where a function begins whose variables take more than a page, of rax bytes: it touches one page after
// the other, for Windows adds to a stack only by the page below it. All registers stay. Compilers' own libraries have it too,
// among much that is not needed here.
__asm__(R"(
    .globl ___chkstk_ms
___chkstk_ms:
    pushq %rcx
    pushq %rax
    leaq 24(%rsp), %rcx
1:  cmpq $4096, %rax
    jbe 2f
    subq $4096, %rcx
    testb $0, (%rcx)
    subq $4096, %rax
    jmp 1b
2:  subq %rax, %rcx
    testb $0, (%rcx)
    popq %rax
    popq %rcx
    ret
)");
#endif
