#include "llmpy/simd/avx512.h"

#define LLMPY_QUANTIZE quantize_avx512
#include "kernels/quantize/quantize.inl"
