#include "llmpy/simd/portable.h"

#define LLMPY_QUANTIZE quantize_portable
#include "kernels/quantize/quantize.inl"
