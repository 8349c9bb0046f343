// Speed of the linear kernels as shares of what this processor can do, measured in turns in the same run.
//
//   native_linear [level] [type] [outputs inputs]     e.g. native_linear avx512 Q4_0 8192 2048
//
// One thread. Many tokens: products per second against a loop of nothing but the product instruction. One to eight
// tokens: bytes of weights per second against a loop that only reads them. Each number is the best of many short turns,
// so a neighbour on the machine disturbs it little.

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <initializer_list>

#include "llmpy/blocks.h"
#include "llmpy/linear.h"
#include "llmpy/ops.h"

using namespace llmpy;

namespace {

double now() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

template <class T>
T* allocate(int64_t count) {
    void* p = nullptr;
    if (posix_memalign(&p, 1 << 21, static_cast<size_t>(count) * sizeof(T)) != 0) abort();
#if defined(__linux__)
    madvise(p, static_cast<size_t>(count) * sizeof(T), MADV_HUGEPAGE);  // as the runtime keeps weights
#endif
    memset(p, 1, static_cast<size_t>(count) * sizeof(T));
    return static_cast<T*>(p);
}

#if defined(__x86_64__)

// Each returns multiplications done; 16 independent chains hide the latency.
#define SIXTEEN(op) \
    op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13) op(14) op(15)
#define DOT512(i) "vpdpbusd %%zmm31, %%zmm30, %%zmm" #i "\n"
#define WORD512(i) "vpdpwssd %%zmm31, %%zmm30, %%zmm" #i "\n"
#define FMA512(i) "vfmadd231ps %%zmm31, %%zmm30, %%zmm" #i "\n"
#define MADD256(i) "vpmaddubsw %%ymm15, %%ymm14, %%ymm" #i "\n"
#define WORD256(i) "vpmaddwd %%ymm15, %%ymm14, %%ymm" #i "\n"
#define FMA256(i) "vfmadd231ps %%ymm15, %%ymm14, %%ymm" #i "\n"
#define TWELVE(op) op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11)

double dot_512(int64_t rounds) {
    for (int64_t i = 0; i < rounds; ++i) __asm__ volatile(SIXTEEN(DOT512)::: "xmm0", "memory");
    return static_cast<double>(rounds) * 16 * 64;
}
double words_512(int64_t rounds) {
    for (int64_t i = 0; i < rounds; ++i) __asm__ volatile(SIXTEEN(WORD512)::: "xmm0", "memory");
    return static_cast<double>(rounds) * 16 * 32;
}
double fma_512(int64_t rounds) {
    for (int64_t i = 0; i < rounds; ++i) __asm__ volatile(SIXTEEN(FMA512)::: "xmm0", "memory");
    return static_cast<double>(rounds) * 16 * 16;
}
double dot_256(int64_t rounds) {
    for (int64_t i = 0; i < rounds; ++i) __asm__ volatile(TWELVE(MADD256)::: "xmm0", "memory");
    return static_cast<double>(rounds) * 12 * 32;
}
double words_256(int64_t rounds) {
    for (int64_t i = 0; i < rounds; ++i) __asm__ volatile(TWELVE(WORD256)::: "xmm0", "memory");
    return static_cast<double>(rounds) * 12 * 16;
}
double fma_256(int64_t rounds) {
    for (int64_t i = 0; i < rounds; ++i) __asm__ volatile(TWELVE(FMA256)::: "xmm0", "memory");
    return static_cast<double>(rounds) * 12 * 8;
}

#endif

struct Best {
    double rate = 0;
    void add(double amount, double seconds) {
        const double r = amount / seconds;
        rate = r > rate ? r : rate;
    }
};

volatile uint64_t sink;

void read_all(const uint8_t* p, int64_t bytes) {
#if defined(__x86_64__)
    for (int64_t i = 0; i + 256 <= bytes; i += 256) {
        __asm__ volatile(
            "vmovups (%0), %%ymm0\nvmovups 32(%0), %%ymm1\nvmovups 64(%0), %%ymm2\nvmovups 96(%0), %%ymm3\n"
            "vmovups 128(%0), %%ymm4\nvmovups 160(%0), %%ymm5\nvmovups 192(%0), %%ymm6\nvmovups 224(%0), %%ymm7\n" ::
                "r"(p + i)
            : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "memory");
    }
#else
    uint64_t sum = 0;
    for (int64_t i = 0; i + 8 <= bytes; i += 8) sum += *reinterpret_cast<const uint64_t*>(p + i);
    sink = sum;
#endif
}

// How many bytes of weights few tokens go through: far more than any cache holds, unless LLMPY_BENCH_BYTES says
// otherwise.
int64_t footprint = 400000000;

struct Bench {
    const LinearKernels* kernels;
    bool wide;
    WeightType type;
    int64_t n, k;
    uint8_t *rows, *packed, *input, *scratch;
    float *x, *y;
    int64_t copies;  // of the weights, so that one token reads them from memory

    double peak(InputKind kind, int64_t rounds) const {
        const bool floats = kind == InputKind::floats;
#if defined(__x86_64__)
        if (kind == InputKind::int16) return wide ? words_512(rounds) : words_256(rounds);
        if (wide) return floats ? fma_512(rounds) : dot_512(rounds);
        return floats ? fma_256(rounds) : dot_256(rounds);
#else
        (void)floats;
        return static_cast<double>(rounds);
#endif
    }

    LinearCall call(const LinearInput* in, int64_t tokens, int64_t copy) const {
        LinearCall c = {};
        c.type = type;
        c.outputs = n;
        c.inputs = k;
        c.packed = packed + copy * packed_bytes(type, n, k);
        c.input = in;
        c.token_end = tokens;
        c.tile_end = tile_count(n);
        c.y = y;
        c.y_stride = n;
        c.scratch = scratch;
        c.fetch_ahead = fetches_too_little();
        return c;
    }

    void many(const char* name, int64_t tokens) {
        const InputKind kind = linear_input_kind(type);
        const LinearInput in = {kind, tokens, k, input};
        Best product, top, preparing;
        const double start = now();
        for (int turn = 0; turn < 200 && (turn < 5 || now() - start < 1.5); ++turn) {
            double t = now();
            const double done = peak(kind, 200000);
            top.add(done, now() - t);
            t = now();
            kernels->prepare(in, x, k, 0, tokens);
            preparing.add(static_cast<double>(tokens * k), now() - t);
            // pieces, so that one interruption does not spoil a whole turn
            for (int64_t tile = 0; tile + 32 <= tile_count(n); tile += 32) {
                LinearCall c = call(&in, tokens, 0);
                c.tile_begin = tile;
                c.tile_end = tile + 32;
                t = now();
                kernels->linear(c);
                product.add(static_cast<double>(tokens) * 512 * static_cast<double>(k), now() - t);
            }
        }
        printf("%-5s M=%-4ld %8.1f GMAC/s  %5.1f %% of the product loop (%.1f)   prepare %.2f G/s\n", name,
               static_cast<long>(tokens), product.rate * 1e-9, 100 * product.rate / top.rate, top.rate * 1e-9,
               preparing.rate * 1e-9);
    }

    void few(const char* name, int64_t tokens) {
        const LinearInput in = {linear_input_kind(type), tokens, k, input};
        const int64_t bytes = packed_bytes(type, n, k);
        Best product, reading;
        kernels->prepare(in, x, k, 0, tokens);
        const double start = now();
        for (int turn = 0; turn < 400 && (turn < 10 || now() - start < 1.0); ++turn) {
            const int64_t copy = turn % copies, other = (turn + copies / 2) % copies;
            double t = now();
            read_all(packed + other * bytes, bytes);
            reading.add(static_cast<double>(bytes), now() - t);
            t = now();
            kernels->linear(call(&in, tokens, copy));
            product.add(static_cast<double>(bytes), now() - t);
        }
        printf("%-5s M=%-4ld %8.1f GB/s    %5.1f %% of the read loop (%.1f)\n", name, static_cast<long>(tokens),
               product.rate * 1e-9, 100 * product.rate / reading.rate, reading.rate * 1e-9);
    }

    void run(const char* name) {
        const int64_t bytes = packed_bytes(type, n, k), most = 512;
        copies = 1 + footprint / bytes;
        rows = allocate<uint8_t>(n * row_bytes(type, k));
        packed = allocate<uint8_t>(bytes * copies);
        input = allocate<uint8_t>(linear_input_bytes(linear_input_kind(type), most, k));
        scratch = allocate<uint8_t>(linear_scratch_bytes());
        x = allocate<float>(most * k);
        y = allocate<float>(most * n);
        for (int64_t i = 0; i < most * k; ++i) x[i] = sinf(static_cast<float>(i % 100003));
        Best packing;
        for (int64_t c = 0; c < copies; ++c) {
            const double t = now();
            kernels->pack(type, n, k, rows, packed + c * bytes, 0, tile_count(n));
            packing.add(static_cast<double>(bytes), now() - t);
        }
        printf("%-5s pack   %8.1f GB/s\n", name, packing.rate * 1e-9);
        for (const int64_t m : {1, 2, 4, 8}) few(name, m);
        for (const int64_t m : {16, 64, 512}) many(name, m);
        free(rows), free(packed), free(input), free(scratch), free(x), free(y);
    }
};

}  // namespace

int main(int count, char** words) {
    const char* level = count > 1 ? words[1] : "avx512";
    const char* wanted = count > 2 ? words[2] : "all";
    if (const char* bytes = getenv("LLMPY_BENCH_BYTES")) footprint = atol(bytes);
    Bench bench = {};
    bench.kernels = &linear_portable;
#if defined(__x86_64__)
    bench.wide = strcmp(level, "avx512") == 0;
    if (strcmp(level, "avx2") == 0) bench.kernels = &linear_avx2;
    if (bench.wide) bench.kernels = &linear_avx512;
#endif
    bench.n = count > 4 ? atol(words[3]) : 8192;
    bench.k = count > 4 ? atol(words[4]) : 2048;
    const struct {
        const char* name;
        WeightType type;
    } types[] = {{"Q4_0", type_q4_0}, {"Q8_0", type_q8_0}, {"Q4_K", type_q4_k}, {"Q6_K", type_q6_k},
                 {"Q5_K", type_q5_k}, {"Q4_1", type_q4_1}, {"Q5_0", type_q5_0}, {"Q5_1", type_q5_1},
                 {"F16", type_f16},   {"BF16", type_bf16}, {"F32", type_f32}};
    for (const auto& t : types) {
        if (strcmp(wanted, "all") != 0 && strcmp(wanted, t.name) != 0) continue;
        bench.type = t.type;
        bench.run(t.name);
    }
    return 0;
}
