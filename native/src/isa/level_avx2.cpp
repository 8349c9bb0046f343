#include "llmpy/simd/avx2.h"

#include "llmpy/ops.h"

#include "kernels/tables.inl"

#define LLMPY_LINEAR_KERNELS linear_avx2
#include "kernels/linear/linear.inl"

namespace llmpy {
const Level level_avx2 = {"avx2", &linear_avx2, &op_kernels, &recurrent_kernels, quantize_avx2};
}  // namespace llmpy
