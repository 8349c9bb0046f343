#include "llmpy/simd/portable.h"

#define LLMPY_PACK pack_portable
#include "kernels/linear/linear_pack.inl"
