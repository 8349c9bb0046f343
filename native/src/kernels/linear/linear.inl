// linear: the table of linear kernels of one level. Include after the level's simd header, with LLMPY_LINEAR_KERNELS
// defined as the table's name and LLMPY_PACK as that of linear_pack.inl. See linear.h for what the functions do,
// linear_layout.h for where things lie.

#include "linear_all_types.inl"
#include "linear_float.inl"
#include "linear_int16.inl"
#include "linear_int8.inl"
#ifndef LLMPY_PREPARE  // that of a level with the same vectors
#include "linear_prepare.inl"
#define LLMPY_PREPARE prepare
#endif

namespace llmpy {
namespace {

void pack(WeightType type, int64_t outputs, int64_t inputs, const void* rows, void* packed, int64_t tile_begin,
          int64_t tile_end) {
    LLMPY_PACK.pack(type, outputs, inputs, weights_are_offset, rows, packed, tile_begin, tile_end);
}

void unpack(WeightType type, int64_t outputs, int64_t inputs, const void* packed, int64_t row, float* values) {
    LLMPY_PACK.unpack(type, outputs, inputs, weights_are_offset, packed, row, values);
}

void linear(const LinearCall& call) {
    for_type(
        call.type, [&](auto t) { linear_int8<decltype(t)>(call); }, [&](auto t) { linear_int16<decltype(t)>(call); },
        [&](auto t) { linear_floats<decltype(t)>(call); });
}

}  // namespace

const LinearKernels LLMPY_LINEAR_KERNELS = {pack, unpack, LLMPY_PREPARE, linear};

}  // namespace llmpy
