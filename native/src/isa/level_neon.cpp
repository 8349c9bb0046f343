#include "llmpy/simd/neon.h"

#include "llmpy/ops.h"

#include "kernels/tables.inl"

#define LLMPY_LINEAR_KERNELS linear_neon
#include "kernels/linear/linear.inl"

namespace llmpy {
const OpKernels ops_neon = op_kernels;
const RecurrentKernels recurrent_neon = recurrent_kernels;
const Level level_neon = {"neon", &linear_neon, &ops_neon, &recurrent_neon, quantize_neon};
}  // namespace llmpy
