#include "llmpy/simd/neon.h"

#define LLMPY_QUANTIZE quantize_neon
#include "kernels/quantize/quantize.inl"
