#include "llmpy/simd/portable.h"

#include "llmpy/ops.h"

namespace llmpy {
namespace {
constexpr int kQueriesAtOnce = 1;  // in attend
constexpr int kAccumulators = 1;   // vectors of 16 that the registers hold beside the operands
}  // namespace
}  // namespace llmpy

#include "ops.inl"

#include "attend.inl"

#include "recurrent.inl"

#define LLMPY_LINEAR_KERNELS linear_portable
#include "linear.inl"

namespace llmpy {
namespace {
constexpr OpKernels op_kernels = {norm, total,      rope,         add,       mul,         scale,  clamp_all,  function,
                                  gate, add_scaled, block_maxima, store_key, store_value, attend, attend_join};
}
const Level level_portable = {"portable", &linear_portable, &op_kernels, &recurrent_kernels, quantize_portable};
}  // namespace llmpy
