// os: everything that differs between operating systems. os_linux.cpp, os_darwin.cpp and os_windows.cpp alone include
// their headers; a build has one of the three.

#ifndef LLMPY_OS_H
#define LLMPY_OS_H

#include <stddef.h>
#include <stdint.h>

namespace llmpy {

// A lock with one condition. `wait` gives the lock up while asleep and may return without cause.
struct Monitor;
extern Monitor workers_monitor;  // of the thread pool's sleepers
extern Monitor turns_monitor;    // of the plans that share the pool

void lock(Monitor& monitor);
void unlock(Monitor& monitor);
void wait(Monitor& monitor);
void wake_all(Monitor& monitor);
// As if new: for a forked child, whose parent may have been inside.
void reset(Monitor& monitor);

constexpr size_t kThreadStack = size_t{1} << 20;  // small defaults (musl: 128 kB) do not hold a kernel's tiles
// Starts `body(context)` on a thread of its own that receives no signals; false if the system refuses.
bool start_thread(void (*body)(void*), void* context);

// Calls `in_child` in each forked child (nothing where there is no fork).
void after_fork(void (*in_child)());

uint64_t nanoseconds();
void yield_processor();
// The processor that this thread runs on now; -1 where the system does not say.
int32_t current_processor();
// Goes on on another one than this, if there is one that the thread may use.
void leave_processor(int32_t processor);

// Memory of zeros at a 64-byte boundary, in huge pages where it is large; null when there is none.
void* allocate(size_t bytes);
void release(void* memory, size_t bytes);

// Arm only: whether the processor has the instructions that the level needs: dot products, and for the second also
// products of int8 matrices.
bool arm_has_dot_product();
bool arm_has_matrix_product();

// Linux on x86 only: whether this process may use registers of tiles (AMX): it asks the system for them, whose threads have
// more to save then.
bool x86_may_use_tiles();

}  // namespace llmpy

#endif
