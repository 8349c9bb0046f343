#include "llmpy/simd/portable.h"

#define LLMPY_QUANTIZE quantize_portable
#include "quantize.inl"
