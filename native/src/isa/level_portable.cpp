#include "llmpy/simd/portable.h"

#include "llmpy/ops.h"

#include "kernels/tables.inl"

#include "kernels/attention/attend.inl"

#define LLMPY_LINEAR_KERNELS linear_portable
#define LLMPY_PACK pack_portable
#include "kernels/linear/linear.inl"

namespace llmpy {
const Level level_portable = {"portable",  &linear_portable,   &attend_kernels,
                              &op_kernels, &recurrent_kernels, quantize_portable};
}  // namespace llmpy
