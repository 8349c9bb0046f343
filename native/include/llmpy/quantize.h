// quantize: values to the blocks of a storage type.
//
// Scales are found by search, where a type leaves any choice: for some candidates all values of a group are rounded, and
// the best scale for those integers follows in closed form. The cost is arithmetic, candidates times values, so sixteen
// blocks are done at once, one in each lane.
//
//   values   F32, F16 or BF16 [rows, columns]    rows of whole blocks
//   weights  f32 [columns]                       what an error in each column costs, or null: all the same
//   out      blocks, one after another           must not overlap the values
//
// Means the same as llmpy.quant.quantize, bit for bit at every level: no fused products, sums in order. A block depends
// on nothing but its values, so neither threads nor chunks can change it.

#ifndef LLMPY_QUANTIZE_H
#define LLMPY_QUANTIZE_H

#include <stdint.h>

#include "llmpy/kernels.h"

namespace llmpy {

struct QuantizeCall {
    WeightType source, target;
    const void* values;
    const float* weights;
    int64_t columns;
    uint8_t* out;
};

// Sums over values: of squares of what was lost, and of squares.
struct QuantizeSums {
    double lost, squares;
};

// Blocks begin .. end-1 of the tensor.
using QuantizeKernel = QuantizeSums (*)(const QuantizeCall& call, int64_t begin, int64_t end);

// One per level that the build has.
QuantizeSums quantize_portable(const QuantizeCall& call, int64_t begin, int64_t end);
QuantizeSums quantize_avx2(const QuantizeCall& call, int64_t begin, int64_t end);
QuantizeSums quantize_avx512(const QuantizeCall& call, int64_t begin, int64_t end);
QuantizeSums quantize_neon(const QuantizeCall& call, int64_t begin, int64_t end);

// Values in a block of a type that can be written, and its bytes; 0 for others. F32, F16 and BF16 count as blocks of 32.
int64_t quantize_width(WeightType type);
int64_t quantize_bytes(WeightType type);

// floor(log2(x)) as the float32 logarithm rounds it; -1000 for 0.
int floor_of_log2(float x);

}  // namespace llmpy

#endif
