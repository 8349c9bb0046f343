#include "llmpy/simd/avx2.h"

#define LLMPY_QUANTIZE quantize_avx2
#include "kernels/quantize/quantize.inl"
