#include "llmpy/simd/avx2.h"

#define LLMPY_PACK pack_avx2
#include "kernels/linear/linear_pack.inl"
