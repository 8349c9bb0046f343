// sample_weigh: the exponentials of a block of logits as integers, by the widest vectors that this processor has. Each
// operation is one IEEE operation on a double, so that all widths, and NumPy, get the same bits.
#ifndef LLMPY_SAMPLE_WEIGH_H
#define LLMPY_SAMPLE_WEIGH_H

#include <stdint.h>
#include <string.h>

#include "llmpy/ops.h"
#include "llmpy/sample.h"

namespace {

constexpr int32_t kBlock = llmpy::kMaximaBlock;  // logits per block of the scan
constexpr int kFractionBits = 40;                // of a weight
constexpr double kOne = 0x1p40;                  // the weight of the most likely token
constexpr double kVanishing = -29.0;             // exp of it rounds to a weight of 0

// w[i] = exp(x[i] - max_logit) as an integer with 40 fraction bits, for one block; `_exponential` in sampling/weights.py.
// Range reduction by ln 2 in two parts, then the Taylor series. F64 and U64 are vectors of as many numbers as F32.
template <typename F32, typename F64, typename U64>
__attribute__((always_inline)) inline void weigh_lanes(const float* x, float max_logit, int64_t* w) {
    constexpr double kRound = 0x1.8p52;  // adding it leaves the nearest integer in the low bits
    constexpr double kInteger = 0x1p52;
    const F64 floor = F64{} + kVanishing;
    for (int i = 0; i < kBlock; i += sizeof(F64) / sizeof(double)) {
        F32 logits;
        memcpy(&logits, x + i, sizeof logits);
        F64 d = __builtin_convertvector(logits, F64) - (double)max_logit;
        d = d > floor ? d : floor;
        const F64 shifted = d * 0x1.71547652b82fep+0 + kRound;
        const F64 k = shifted - kRound;
        const F64 r = (d - k * 0x1.62e42feep-1) - k * 0x1.a39ef35793c76p-33;
        F64 p = r * (1.0 / 39916800.0) + 1.0 / 3628800.0;
        p = p * r + 1.0 / 362880.0;
        p = p * r + 1.0 / 40320.0;
        p = p * r + 1.0 / 5040.0;
        p = p * r + 1.0 / 720.0;
        p = p * r + 1.0 / 120.0;
        p = p * r + 1.0 / 24.0;
        p = p * r + 1.0 / 6.0;
        p = p * r + 0.5;
        p = p * r + 1.0;
        p = p * r + 1.0;
        // 2^(k + 40): the exponent field is built from the low bits, all above them are shifted out.
        const F64 fixed = p * (F64)(((U64)shifted + (uint64_t)(1023 + kFractionBits)) << 52) + kInteger;
        const U64 weight = (U64)fixed & (uint64_t)0xfffffffffffffu;
        memcpy(w + i, &weight, sizeof weight);
    }
}

typedef float WeighF32x2 __attribute__((vector_size(8)));
typedef double WeighF64x2 __attribute__((vector_size(16)));
typedef uint64_t WeighU64x2 __attribute__((vector_size(16)));

void weigh_block_2(const float* x, float max_logit, int64_t* w) {
    weigh_lanes<WeighF32x2, WeighF64x2, WeighU64x2>(x, max_logit, w);
}

typedef void (*WeighBlock)(const float*, float, int64_t*);

#if defined(__x86_64__)
typedef float WeighF32x4 __attribute__((vector_size(16)));
typedef double WeighF64x4 __attribute__((vector_size(32)));
typedef uint64_t WeighU64x4 __attribute__((vector_size(32)));
typedef float WeighF32x8 __attribute__((vector_size(32)));
typedef double WeighF64x8 __attribute__((vector_size(64)));
typedef uint64_t WeighU64x8 __attribute__((vector_size(64)));

__attribute__((target("avx2"))) void weigh_block_4(const float* x, float max_logit, int64_t* w) {
    weigh_lanes<WeighF32x4, WeighF64x4, WeighU64x4>(x, max_logit, w);
}

__attribute__((target("avx512f,avx512dq"))) void weigh_block_8(const float* x, float max_logit, int64_t* w) {
    weigh_lanes<WeighF32x8, WeighF64x8, WeighU64x8>(x, max_logit, w);
}

WeighBlock widest() {
    if (llmpy::x86_has_avx512bw()) return weigh_block_8;
    return llmpy::x86_has_avx2() ? weigh_block_4 : weigh_block_2;
}
#else
WeighBlock widest() { return weigh_block_2; }
#endif

const WeighBlock weigh_block = widest();

}  // namespace

#endif
