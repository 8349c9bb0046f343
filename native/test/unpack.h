// unpack: packed weights of any level back to float32.

#ifndef LLMPY_TEST_UNPACK_H
#define LLMPY_TEST_UNPACK_H

#include "llmpy/linear.h"

namespace llmpy {

// One row of `inputs` weights that `kernels` packed: the numbers that dequantize_row gives, of F16 and BF16 as rounded.
void unpack_row(const LinearKernels& kernels, WeightType type, int64_t inputs, const void* packed, int64_t row,
                float* values);

}  // namespace llmpy

#endif
