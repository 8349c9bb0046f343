// ops: the tables of all kernels but the linear ones, which each instruction set provides.
//
// Every one is a plain loop on the calling thread; who calls splits the work by rows, heads or ranges. What an element of a
// result is computed from, and in which order, never depends on the split.

#ifndef LLMPY_OPS_H
#define LLMPY_OPS_H

#include <stddef.h>
#include <stdint.h>

#include "llmpy/attend.h"
#include "llmpy/kernels.h"
#include "llmpy/recurrent.h"
#include "llmpy/quantize.h"

namespace llmpy {

// Functions of one number, within 2e-6 of themselves. The last, of gpt-oss, is only there as the first factor of a gate:
// min(a, 7) sigmoid(1.702 a), times clamp(b, -7, 7) + 1.
enum class Function : int32_t {
    silu = LLMPY_FUNCTION_SILU,
    gelu = LLMPY_FUNCTION_GELU,
    gelu_exact = LLMPY_FUNCTION_GELU_EXACT,
    relu = LLMPY_FUNCTION_RELU,
    sigmoid = LLMPY_FUNCTION_SIGMOID,
    tanh = LLMPY_FUNCTION_TANH,
    exp = LLMPY_FUNCTION_EXP,
    softplus = LLMPY_FUNCTION_SOFTPLUS,
    swiglu_clamped = LLMPY_FUNCTION_SWIGLU_CLAMPED,
};

struct OpKernels {
    // y[r,i] = x[r,i] / sqrt(mean of x[r]^2 + eps) * w[i] + b[i], of x less its mean if `centered`; no w or b where they
    // are null; y may be x
    void (*norm)(const float* x, const float* w, const float* b, float eps, bool centered, int64_t rows, int64_t width,
                 float* y);
    // The sum of n values.
    float (*total)(const float* x, int64_t n);
    // In place, the first 2 * n_pairs values of each of `n_heads` vectors of `width`, by cos[i] and sin[i];
    // neox: pairs are i and i + n_pairs, else 2i and 2i + 1.
    void (*rope)(float* x, const float* cos, const float* sin, int64_t n_heads, int64_t width, int64_t n_pairs,
                 bool neox);
    // Elementwise over n values; y may be a or b.
    void (*add)(const float* a, const float* b, int64_t n, float* y);
    void (*mul)(const float* a, const float* b, int64_t n, float* y);
    void (*scale)(const float* a, float factor, int64_t n, float* y);
    void (*clamp)(const float* a, float low, float high, int64_t n, float* y);
    void (*function)(Function f, const float* a, int64_t n, float* y);
    void (*gate)(Function f, const float* a, const float* b, int64_t n, float* y);  // f(a) * b
    void (*add_scaled)(const float* a, float factor, int64_t n, float* y);          // y += factor * a
    // y[b] = the largest of values 64 b .. 64 b + 63, of the last ones of what is left; y[0] = NaN where any is NaN.
    void (*block_maxima)(const float* a, int64_t n, float* y);
};

struct AttendKernels {
    // One head's values x [d] of a token into its slot of a page: keys [d, 64], values [64, d].
    void (*store_key)(const float* x, int64_t d, CacheType type, void* head, int64_t slot);
    void (*store_value)(const float* x, int64_t d, CacheType type, void* head, int64_t slot);
    // See attend.h; `join` writes y from the partial results of segments 0 .. n-1, `stride` floats apart.
    void (*attend)(const AttendCall& call);
    void (*join)(const AttendCall& call, const float* partials, int64_t stride, int32_t n_segments);
};

// The same, and what other levels take of it.
struct AttendParts {
    AttendKernels kernels;
    void (*attend_with)(const AttendCall& call, const ScoreKernels& scoring, const WeighKernels& weighing);
    WeighKernels weigh_q8_0, weigh_q4_0;
};

// One instruction set: all its kernels.
struct Level {
    const char* name;
    const LinearKernels* linear;
    const AttendKernels* attention;
    const OpKernels* ops;
    const RecurrentKernels* recurrent;
    QuantizeKernel quantize;
};

extern const Level level_portable;
extern const Level level_avx2;
extern const Level level_avx_vnni;
extern const Level level_avx512bw;
extern const Level level_avx512;
extern const Level level_amx;
extern const Level level_neon;
extern const Level level_neon_i8mm;
// Shared with levels that have the same vectors and more products of integers.
extern const OpKernels ops_avx2, ops_avx512bw, ops_neon;
extern const AttendKernels attention_avx512, attention_neon;
extern const AttendParts attend_avx2, attend_avx512bw;
extern const RecurrentKernels recurrent_avx2, recurrent_avx512bw, recurrent_neon;

// By number, best last; null beyond the last one that this build has.
const Level* level_of(int32_t number);
// Whether this processor and operating system can run it.
bool level_runs_here(int32_t number);

// x86 only, for code beside the levels: whether processor and operating system have AVX2 with FMA and F16C, and AVX-512 with
// F, BW, DQ and VL.
bool x86_has_avx2();
bool x86_has_avx512bw();

// Whether this processor fetches a long run of weights ahead too late, if it is left alone, to read at the speed of memory.
bool fetches_too_little();

}  // namespace llmpy

#endif
