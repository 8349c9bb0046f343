// check: the smallest thing that a native test needs.

#ifndef LLMPY_CHECK_H
#define LLMPY_CHECK_H

#if defined(_WIN32)
#include <malloc.h>
#endif
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

namespace llmpy {

inline int n_failures = 0;

// Says where and what, and goes on: one run shows all that is wrong.
#define CHECK(condition, ...)                                      \
    do {                                                           \
        if (!(condition)) {                                        \
            ++llmpy::n_failures;                                   \
            printf("%s:%d: %s: ", __FILE__, __LINE__, #condition); \
            printf(__VA_ARGS__);                                   \
            printf("\n");                                          \
        }                                                          \
    } while (0)

// The same numbers on every machine: an xorshift generator.
struct Random {
    uint64_t state = 88172645463325252u;

    uint64_t bits() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return state;
    }
    // From -1 to 1.
    float value() { return static_cast<float>(static_cast<int32_t>(bits() >> 40)) * 0x1p-23f - 1.0f; }
};

#if defined(_WIN32)
inline void* allocate_aligned(size_t bytes) { return _aligned_malloc(bytes, 64); }
inline void release_aligned(void* memory) { _aligned_free(memory); }
#else
inline void* allocate_aligned(size_t bytes) {
    void* memory = nullptr;
    return posix_memalign(&memory, 64, bytes) == 0 ? memory : nullptr;
}
inline void release_aligned(void* memory) { free(memory); }
#endif

// Memory of exactly the size asked for, so that the address sanitizer sees any step outside.
template <class T>
struct Buffer {
    T* data;
    int64_t count;
    explicit Buffer(int64_t n) : count(n) {
        data = static_cast<T*>(allocate_aligned(static_cast<size_t>(n > 0 ? n : 1) * sizeof(T)));
        if (data == nullptr) abort();
        memset(data, 0x5a, static_cast<size_t>(n) * sizeof(T));
    }
    ~Buffer() { release_aligned(data); }
    Buffer(const Buffer&) = delete;
};

}  // namespace llmpy

#endif
