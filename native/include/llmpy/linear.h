// linear: y[t,o] = sum over i of x[t,i] * w[o,i]  (+ bias[o])  (+ what y[t,o] held)
//
// Where inference spends its time. One token reads every weight once, so memory bandwidth is the limit; a prompt of
// many tokens reuses each weight, so arithmetic is. Both live behind this one function: the caller never chooses.
//
//   x   f32   [tokens, inputs]    rows `stride` apart; `prepare` turns it into a LinearInput, once for all linears of x
//   w   any   [outputs, inputs]   as `pack` left it: tiles of 16 outputs, the last one filled up with zeros
//   y   f32   [tokens, outputs]   rows `y_stride` apart, must not overlap x
//
// How it is summed, in every path, so that the same input gives the same bits: inputs are taken in groups of 256 in
// ascending order, y = fma(f, activation scale, y) for each group. With weights of blocks, the activations of a group are
// rounded to int8: each 32 to multiples of a unit of their own, the group's scale times a power of two from 1 to 8. Few
// that are so large that the others would lose by it are not rounded but kept apart. First f = fma(integer dot product times
// the power, weight scale, f) over the blocks of the group in ascending order, minima by fma with the sums of what was
// multiplied; then, after y = fma(f, activation scale, y), y = fma(weight, activation, y) for those kept apart in
// ascending order, all in float32. With F16 and
// BF16 weights the activations of each 32 inputs are rounded to int16 with one scale, weights of each 256 likewise (when
// they are packed; unless that would move one by more than a 1024th of their mean size: then the group of this tile
// keeps them exact), f = fma(integer dot product of 32, activation scale, f), y = fma(f, weight scale, y). With F32
// weights nothing is rounded, f = fma(x, w, f) in ascending order, and the scale is 1.
//
// Threads: no function here starts any. Different ranges of tiles or tokens may run at once, on the same input.
// Means the same as `linear` in backends/reference/ops.py: within 1e-5 relative for F32 weights, within the rounding
// (relative RMS for Gaussian values) for the others: about 1.4e-4 for F16 and BF16, 7e-3 for blocks, and not much more
// where some activations are hundreds of times as large as the rest. docs/accuracy.md has what models lose.
// An activation that is not finite makes outputs of its token that are not: unless weights are F32, all of them NaN.

#ifndef LLMPY_LINEAR_H
#define LLMPY_LINEAR_H

#include "llmpy/kernels.h"

namespace llmpy {

constexpr int64_t tile_rows = 16;     // outputs in a tile
constexpr int64_t group_width = 256;  // inputs that share an activation scale, and the width of a K block
constexpr int64_t linear_alignment = LLMPY_ALIGNMENT;

// Whether linear can read weights of this type: a known one, and rows of whole blocks.
bool linear_supports(WeightType type, int64_t inputs);

// Bytes of one row in the file's layout.
int64_t row_bytes(WeightType type, int64_t inputs);

int64_t tile_count(int64_t outputs);
int64_t packed_tile_bytes(WeightType type, int64_t inputs);
static inline int64_t packed_bytes(WeightType type, int64_t outputs, int64_t inputs) {
    return tile_count(outputs) * packed_tile_bytes(type, inputs);
}

// Activations as linear wants them. `int8` for weights of blocks, `int16` for F16 and BF16, `floats` for F32.
enum class InputKind : int32_t { floats = LLMPY_INPUT_FLOATS, int8 = LLMPY_INPUT_INT8, int16 = LLMPY_INPUT_INT16 };
constexpr int input_kinds = 3;
InputKind linear_input_kind(WeightType type);
int64_t linear_input_bytes(InputKind kind, int64_t tokens, int64_t inputs);

struct LinearInput {
    InputKind kind;
    int64_t tokens;
    int64_t inputs;
    void* data;  // linear_input_bytes(...), aligned to linear_alignment
};

struct LinearCall {
    WeightType type;
    int64_t outputs;
    int64_t inputs;
    const void* packed;   // packed_bytes(...), aligned to linear_alignment
    const void* rows;     // for the caller's use: weights that are not packed yet
    int64_t piece_tiles;  // for the caller's use: tiles that a thread takes at a time
    int32_t pieces;       // for the caller's use: how often that is
    float* block_maxima;  // for the caller's use: where the largest of each 64 outputs go, or null
    const LinearInput* input;
    int64_t token_begin, token_end;  // rows of the input and of y
    int64_t tile_begin, tile_end;
    float* y;
    int64_t y_stride;
    const float* bias;  // f32 [outputs], or null
    bool accumulate;    // y = (sum (+ bias)) + y
    bool fetch_ahead;   // for few tokens: whether weights had better be fetched by instructions, see levels.cpp
    void* scratch;      // linear_scratch_bytes(), aligned to linear_alignment, one per thread
};

int64_t linear_scratch_bytes();

// How many tiles a thread should take at a time so that the work is shared evenly and a piece is worth its start.
int64_t linear_chunk_tiles(WeightType type, int64_t outputs, int64_t inputs, int64_t tokens, int64_t threads);

// LinearKernels::pack     `rows` in the file's layout -> tiles [tile_begin, tile_end) of `packed`
// LinearKernels::prepare  rows [token_begin, token_end) of x, `stride` floats apart -> `input`
// LinearKernels::linear   as above

}  // namespace llmpy

#endif
