// AVX-512 without products of integers: the first processors that had it.

#include "llmpy/simd/avx512.h"

#include "llmpy/ops.h"

#include "kernels/tables.inl"

#define LLMPY_LINEAR_KERNELS linear_avx512bw
#include "kernels/linear/linear.inl"

namespace llmpy {
const Level level_avx512bw = {"avx512bw", &linear_avx512bw, &op_kernels, &recurrent_kernels, quantize_avx512};
}  // namespace llmpy
