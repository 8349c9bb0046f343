// AVX-512 with the products of integers of AVX512-VNNI. What has none is as at the level avx512bw.

#define LLMPY_DOT_PRODUCTS
#include "llmpy/simd/avx512.h"

#include "llmpy/ops.h"

#define LLMPY_ATTEND_BASE attend_avx512bw
#include "kernels/attention/attend_integers.inl"

#define LLMPY_LINEAR_KERNELS linear_avx512
#define LLMPY_LINEAR_BASE linear_avx512bw
#define LLMPY_PREPARE prepare_avx512bw
#define LLMPY_PACK pack_avx2
#include "kernels/linear/linear.inl"

namespace llmpy {
void many_tokens_avx512(const LinearCall& call, const PanelKernels& kernels) {
    const auto no_blocks = [](auto) {};
    for_type(
        call.type, [&](auto t) { all_many_tokens(call, panel_source<decltype(t)>, kernels); }, no_blocks, no_blocks);
}
const AttendKernels attention_avx512 = attend_kernels;
const Level level_avx512 = {"avx512",      &linear_avx512,      &attention_avx512,
                            &ops_avx512bw, &recurrent_avx512bw, quantize_avx512};
}  // namespace llmpy
