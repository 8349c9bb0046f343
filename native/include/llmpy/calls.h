// calls: how kernels of one level call each other.

#ifndef LLMPY_CALLS_H
#define LLMPY_CALLS_H

// Functions of Windows on x86-64 give xmm6 to xmm15 back as they were: each kernel would save and restore them. By the other
// convention of this processor that is done once, where the level is called.
#if defined(_WIN32) && defined(__x86_64__)
#define LLMPY_CALL __attribute__((sysv_abi))
#else
#define LLMPY_CALL
#endif

#endif
