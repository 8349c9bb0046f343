// What one thread of this processor can compute at most: loops of nothing but the product instruction, on registers.
//
// Built and called by ceilings.py, with one call a thread at once. Each gives multiplications per second over about so
// many seconds, the best of short pieces; 0 where the processor or the compiler has no such instruction.

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

namespace {

double now() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

template <class Loop>
double best(double seconds, double products_a_round, Loop loop) {
    const int rounds = 20000;
    double rate = 0;
    const double begin = now();
    for (double t = begin; t < begin + seconds;) {
        for (int i = 0; i < rounds; ++i) loop();
        const double end = now(), r = rounds * products_a_round / (end - t);
        rate = r > rate ? r : rate;
        t = end;
    }
    return rate;
}

#if defined(__x86_64__)

// Twelve or more independent chains hide the latency.
#define TWELVE(op) op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11)
#define SIXTEEN(op) TWELVE(op) op(12) op(13) op(14) op(15)
#define DOT512(i) "vpdpbusd %%zmm31, %%zmm30, %%zmm" #i "\n"
#define FMA512(i) "vfmadd231ps %%zmm31, %%zmm30, %%zmm" #i "\n"
#define BF512(i) "vdpbf16ps %%zmm31, %%zmm30, %%zmm" #i "\n"
#define DOT256(i) "vpmaddubsw %%ymm15, %%ymm14, %%ymm" #i "\n"
#define FMA256(i) "vfmadd231ps %%ymm15, %%ymm14, %%ymm" #i "\n"
// Zeros: numbers that are no numbers, or too small, would be slow. The compiler may not use the upper registers.
#define ZERO512 "vpxorq %%zmm30, %%zmm30, %%zmm30\nvpxorq %%zmm31, %%zmm31, %%zmm31\n"
#define LOW                                                                                                    \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", \
        "xmm13", "xmm14", "xmm15"

// Not where LLMPY_CPU keeps llmpy below that.
bool wide() {
    const char* level = getenv("LLMPY_CPU");
    if (level && *level && strcmp(level, "avx512") != 0) return false;
    return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512f");
}

#endif

}  // namespace

extern "C" double peak_int8(double seconds) {
#if defined(__x86_64__)
    if (wide()) return best(seconds, 16 * 64, [] { __asm__ volatile(ZERO512 SIXTEEN(DOT512)::: LOW); });
    if (__builtin_cpu_supports("avx2")) return best(seconds, 12 * 32, [] { __asm__ volatile(TWELVE(DOT256)::: LOW); });
#endif
    (void)seconds;
    return 0;
}

extern "C" double peak_float(double seconds) {
#if defined(__x86_64__)
    if (wide()) return best(seconds, 16 * 16, [] { __asm__ volatile(ZERO512 SIXTEEN(FMA512)::: LOW); });
    if (__builtin_cpu_supports("avx2")) return best(seconds, 12 * 8, [] { __asm__ volatile(TWELVE(FMA256)::: LOW); });
#endif
    (void)seconds;
    return 0;
}

extern "C" double peak_bf16(double seconds) {
#if defined(__x86_64__)
    if (wide() && __builtin_cpu_supports("avx512bf16"))
        return best(seconds, 16 * 32, [] { __asm__ volatile(ZERO512 SIXTEEN(BF512)::: LOW); });
#endif
    (void)seconds;
    return 0;
}
