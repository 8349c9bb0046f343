#define LLMPY_DOT_PRODUCTS
#include "llmpy/simd/avx512.h"

#include "llmpy/ops.h"

#include "kernels/tables.inl"

#define LLMPY_LINEAR_KERNELS linear_avx512
#include "kernels/linear/linear.inl"

namespace llmpy {
const OpKernels ops_avx512 = op_kernels;
const RecurrentKernels recurrent_avx512 = recurrent_kernels;
const Level level_avx512 = {"avx512", &linear_avx512, &ops_avx512, &recurrent_avx512, quantize_avx512};
}  // namespace llmpy
