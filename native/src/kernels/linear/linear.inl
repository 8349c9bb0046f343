// linear: the table of linear kernels of one level. Include after the level's simd header, with LLMPY_LINEAR_KERNELS
// defined as the table's name and LLMPY_PACK as the function of linear_pack.inl; and with LLMPY_LINEAR_BASE as the table of a level
// with the same vectors and other products of integers, if there is one. See linear.h for what the functions do,
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
    LLMPY_PACK(type, outputs, inputs, weights_are_offset, rows, packed, tile_begin, tile_end);
}

template <class T>
void linear_or_base(const LinearCall& call) {
#if defined(LLMPY_LINEAR_BASE)
    LLMPY_LINEAR_BASE.linear(call);
#else
    linear_floats<T>(call);
#endif
}

void linear(const LinearCall& call) {
    for_type(
        call.type, [&](auto t) { linear_int8<decltype(t)>(call); },
        [&](auto t) { linear_int16(call, kept_kernels<decltype(t)>); },
        [&](auto t) { linear_or_base<decltype(t)>(call); });
}

}  // namespace

const LinearKernels LLMPY_LINEAR_KERNELS = {pack, LLMPY_PREPARE, linear, weights_are_offset};

}  // namespace llmpy
