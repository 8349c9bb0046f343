// kernels: the types of weights, and the table of linear kernels that each instruction set provides.

#ifndef LLMPY_KERNELS_H
#define LLMPY_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "llmpy.h"
#include "llmpy/calls.h"

namespace llmpy {

// By the numbers that GGUF files use.
enum WeightType : int32_t {
#define LLMPY_ENUMERATOR(name, Name, number, width, bytes, input, written) type_##name = number,
    LLMPY_WEIGHT_TYPES(LLMPY_ENUMERATOR)
#undef LLMPY_ENUMERATOR
};

struct LinearInput;
struct LinearCall;

// What each function does: see linear.h.
struct LinearKernels {
    void (*pack)(WeightType type, int64_t outputs, int64_t inputs, const void* rows, void* packed, int64_t tile_begin,
                 int64_t tile_end);
    void (*prepare)(const LinearInput& input, const float* x, int64_t stride, int64_t token_begin, int64_t token_end);
    void (*linear)(const LinearCall& call);
    bool offset;  // whether packed 8-bit weights are unsigned numbers, 128 too large
};

// LinearKernels::pack, which levels share. `offset`: 8-bit weights are stored as unsigned numbers, 128 too large.
using Pack = void(WeightType type, int64_t outputs, int64_t inputs, bool offset, const void* rows, void* packed,
                  int64_t tile_begin, int64_t tile_end);
Pack pack_portable;
Pack pack_avx2;  // of all levels of x86 that have it
Pack pack_neon;

// Products of a panel of weights with `tokens` tokens, and with `few`; see linear_int8.inl, whose Panel and Int8Tokens they
// take. The first `known` ones were multiplied before: for `tokens` where `least` or more are left.
struct PanelKernels {
    using Kernel = void(LLMPY_CALL*)(const void* panel, const void* tokens, float* sums, bool first, int64_t known);

    int64_t tokens, least, few;
    Kernel multiply_many, multiply_few;
};
// The products of many tokens of the level avx512, by instructions of another one.
void many_tokens_avx512(const LinearCall& call, const PanelKernels& kernels);

// LinearKernels::prepare of levels that share it.
void prepare_avx2(const LinearInput& input, const float* x, int64_t stride, int64_t token_begin, int64_t token_end);
void prepare_avx512bw(const LinearInput& input, const float* x, int64_t stride, int64_t token_begin, int64_t token_end);
void prepare_neon(const LinearInput& input, const float* x, int64_t stride, int64_t token_begin, int64_t token_end);

// One per level that the build has; call none that the processor lacks.
extern const LinearKernels linear_portable;
extern const LinearKernels linear_avx2;
extern const LinearKernels linear_avx_vnni;
extern const LinearKernels linear_avx512bw;
extern const LinearKernels linear_avx512;
extern const LinearKernels linear_amx;
extern const LinearKernels linear_neon;
extern const LinearKernels linear_neon_i8mm;

}  // namespace llmpy

#endif
