// AVX2 with the products of integers of AVX-VNNI: processors of Intel that have no AVX-512.

#define LLMPY_DOT_PRODUCTS
#include "llmpy/simd/avx2.h"

#include "llmpy/ops.h"

#include "kernels/tables.inl"

#define LLMPY_LINEAR_KERNELS linear_avx_vnni
#include "kernels/linear/linear.inl"

namespace llmpy {
const Level level_avx_vnni = {"avx_vnni", &linear_avx_vnni, &op_kernels, &recurrent_kernels, quantize_avx2};
}  // namespace llmpy
