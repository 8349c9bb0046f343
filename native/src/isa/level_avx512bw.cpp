// AVX-512 without products of integers: the first processors that had it.

#include "llmpy/simd/avx512.h"

#include "llmpy/ops.h"

#include "kernels/tables.inl"

#include "kernels/attention/attend.inl"

#define LLMPY_LINEAR_KERNELS linear_avx512bw
#define LLMPY_FEW_TOKENS linear_avx2
#define LLMPY_PACK pack_avx2
#include "kernels/linear/linear.inl"

namespace llmpy {
void prepare_avx512bw(const LinearInput& input, const float* x, int64_t stride, int64_t token_begin,
                      int64_t token_end) {
    prepare(input, x, stride, token_begin, token_end);
}
const OpKernels ops_avx512bw = op_kernels;
const RecurrentKernels recurrent_avx512bw = recurrent_kernels;
const AttendParts attend_avx512bw = attend_parts;
const Level level_avx512bw = {"avx512bw",    &linear_avx512bw,    &attend_kernels,
                              &ops_avx512bw, &recurrent_avx512bw, quantize_avx512};
}  // namespace llmpy
