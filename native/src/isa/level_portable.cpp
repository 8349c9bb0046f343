#include "llmpy/simd/portable.h"

#include "llmpy/ops.h"

#include "kernels/tables.inl"

#define LLMPY_LINEAR_KERNELS linear_portable
#include "kernels/linear/linear.inl"

namespace llmpy {
const Level level_portable = {"portable", &linear_portable, &op_kernels, &recurrent_kernels, quantize_portable};
}  // namespace llmpy
