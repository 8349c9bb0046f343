// AVX2 with the products of integers of AVX-VNNI: processors of Intel that have no AVX-512. What has none is as at the level
// avx2.

#define LLMPY_DOT_PRODUCTS
#include "llmpy/simd/avx2.h"

#include "llmpy/ops.h"

#define LLMPY_ATTEND_BASE attend_avx2
#include "kernels/attention/attend_integers.inl"

#define LLMPY_LINEAR_KERNELS linear_avx_vnni
#define LLMPY_LINEAR_BASE linear_avx2
#define LLMPY_PREPARE prepare_avx2
#define LLMPY_PACK pack_avx2
#include "kernels/linear/linear.inl"

namespace llmpy {
const Level level_avx_vnni = {"avx_vnni", &linear_avx_vnni, &attend_kernels, &ops_avx2, &recurrent_avx2, quantize_avx2};
}  // namespace llmpy
