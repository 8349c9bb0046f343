#include "llmpy/simd/avx2.h"

#include "llmpy/ops.h"

#include "kernels/tables.inl"

#include "kernels/attention/attend.inl"

#define LLMPY_LINEAR_KERNELS linear_avx2
#define LLMPY_PACK pack_avx2
#include "kernels/linear/linear.inl"

namespace llmpy {
void prepare_avx2(const LinearInput& input, const float* x, int64_t stride, int64_t token_begin, int64_t token_end) {
    prepare(input, x, stride, token_begin, token_end);
}
const OpKernels ops_avx2 = op_kernels;
const RecurrentKernels recurrent_avx2 = recurrent_kernels;
const AttendParts attend_avx2 = attend_parts;
const Level level_avx2 = {"avx2", &linear_avx2, &attend_kernels, &ops_avx2, &recurrent_avx2, quantize_avx2};
}  // namespace llmpy
