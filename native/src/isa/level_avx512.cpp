// AVX-512 with the products of integers of AVX512-VNNI. What has none is as at the level avx512bw.

#define LLMPY_DOT_PRODUCTS
#include "llmpy/simd/avx512.h"

#include "llmpy/ops.h"

#include "kernels/attention/attend.inl"

#define LLMPY_LINEAR_KERNELS linear_avx512
#define LLMPY_PREPARE prepare_avx512bw
#define LLMPY_PACK pack_avx2
#include "kernels/linear/linear.inl"

namespace llmpy {
const AttendKernels attention_avx512 = attend_kernels;
const Level level_avx512 = {"avx512",      &linear_avx512,      &attention_avx512,
                            &ops_avx512bw, &recurrent_avx512bw, quantize_avx512};
}  // namespace llmpy
