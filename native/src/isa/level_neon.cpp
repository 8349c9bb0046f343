#include "llmpy/simd/neon.h"

#include "llmpy/ops.h"

#include "kernels/tables.inl"

#include "kernels/attention/attend.inl"

#define LLMPY_LINEAR_KERNELS linear_neon
#define LLMPY_PACK pack_neon
#include "kernels/linear/linear.inl"

namespace llmpy {
void prepare_neon(const LinearInput& input, const float* x, int64_t stride, int64_t token_begin, int64_t token_end) {
    prepare(input, x, stride, token_begin, token_end);
}
const OpKernels ops_neon = op_kernels;
const RecurrentKernels recurrent_neon = recurrent_kernels;
const AttendKernels attention_neon = attend_kernels;
const Level level_neon = {"neon", &linear_neon, &attention_neon, &ops_neon, &recurrent_neon, quantize_neon};
}  // namespace llmpy
