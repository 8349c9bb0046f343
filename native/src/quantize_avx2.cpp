#include "llmpy/simd/avx2.h"

#define LLMPY_QUANTIZE quantize_avx2
#include "quantize.inl"
