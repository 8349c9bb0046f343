// Products with matrices once more, where one instruction multiplies two tokens with two rows. All else is as at the
// level neon, and so are the packed weights.

#include "llmpy/simd/neon.h"

#include "llmpy/ops.h"

#define LLMPY_LINEAR_KERNELS linear_neon_i8mm
#define LLMPY_LINEAR_BASE linear_neon
#define LLMPY_PREPARE prepare_neon
#define LLMPY_PACK pack_neon
#include "kernels/linear/linear.inl"

namespace llmpy {
const Level level_neon_i8mm = {"neon_i8mm", &linear_neon_i8mm, &attention_neon,
                               &ops_neon,   &recurrent_neon,   quantize_neon};
}  // namespace llmpy
