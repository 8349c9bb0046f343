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

#include "llmpy/api.h"

namespace llmpy {

// The numbers that GGUF files use.
enum StorageType : int32_t {
    storage_f32 = 0,
    storage_f16 = 1,
    storage_q4_0 = 2,
    storage_q4_1 = 3,
    storage_q5_0 = 6,
    storage_q5_1 = 7,
    storage_q8_0 = 8,
    storage_q2_k = 10,
    storage_q3_k = 11,
    storage_q4_k = 12,
    storage_q5_k = 13,
    storage_q6_k = 14,
    storage_iq4_nl = 20,
    storage_iq4_xs = 23,
    storage_bf16 = 30,
    storage_mxfp4 = 39,
};

struct QuantizeCall {
    StorageType source, target;
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
int64_t quantize_width(StorageType type);
int64_t quantize_bytes(StorageType type);

// floor(log2(x)) as the float32 logarithm rounds it; -1000 for 0.
int floor_of_log2(float x);

}  // namespace llmpy

extern "C" {

// All blocks of n_values, on so many threads, with a level's kernels or (-1) the best that run here. `sums` gets two numbers for each chunk of 65536 values.
// Returns 0, or 1 where it cannot be done: an unknown type, or rows that are no whole blocks.
LLMPY_API int32_t llmpy_quantize(int32_t level, int32_t source, int32_t target, const void* values, int64_t n_values,
                                 int64_t columns, const float* weights, void* out, double* sums, int32_t threads);
}

#endif
