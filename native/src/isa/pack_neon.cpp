#include "llmpy/simd/neon.h"

#define LLMPY_PACK pack_neon
#include "kernels/linear/linear_pack.inl"
