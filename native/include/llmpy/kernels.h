// kernels: the types of weights, and the table of linear kernels that each instruction set provides.

#ifndef LLMPY_KERNELS_H
#define LLMPY_KERNELS_H

#include <stddef.h>
#include <stdint.h>

namespace llmpy {

// The numbers that GGUF files use.
enum WeightType : int32_t {
    type_f32 = 0,
    type_f16 = 1,
    type_q4_0 = 2,
    type_q4_1 = 3,
    type_q5_0 = 6,
    type_q5_1 = 7,
    type_q8_0 = 8,
    type_q2_k = 10,
    type_q3_k = 11,
    type_q4_k = 12,
    type_q5_k = 13,
    type_q6_k = 14,
    type_iq4_nl = 20,
    type_iq4_xs = 23,
    type_bf16 = 30,
    type_mxfp4 = 39,
};

struct LinearInput;
struct LinearCall;

// What each function does: see linear.h.
struct LinearKernels {
    void (*pack)(WeightType type, int64_t outputs, int64_t inputs, const void* rows, void* packed, int64_t tile_begin,
                 int64_t tile_end);
    void (*unpack)(WeightType type, int64_t outputs, int64_t inputs, const void* packed, int64_t row, float* values);
    void (*prepare)(const LinearInput& input, const float* x, int64_t stride, int64_t token_begin, int64_t token_end);
    void (*linear)(const LinearCall& call);
};

// One per level that the build has; call none that the processor lacks.
extern const LinearKernels linear_portable;
extern const LinearKernels linear_avx2;
extern const LinearKernels linear_avx512;
extern const LinearKernels linear_neon;
extern const LinearKernels linear_neon_i8mm;

}  // namespace llmpy

#endif
