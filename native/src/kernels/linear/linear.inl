// linear: the table of linear kernels of one level. Include after the level's simd header, with LLMPY_LINEAR_KERNELS
// defined as the table's name. See linear.h for what the functions do, linear_layout.h for where things lie.

#include "linear_float.inl"
#include "linear_int16.inl"
#include "linear_int8.inl"
#include "linear_pack.inl"
#include "linear_prepare.inl"
#include "linear_types.inl"

namespace llmpy {
namespace {

// Calls the function of the type's input kind with a value of the struct that describes the type.
template <class Int8, class Int16, class Floats>
void for_type(WeightType type, const Int8& int8, const Int16& int16, const Floats& floats) {
    switch (type) {
#define LLMPY_CASE(name, Name, number, width, bytes, input, written) \
    case type_##name:                                                \
        return input(Name{});
        LLMPY_WEIGHT_TYPES(LLMPY_CASE)
#undef LLMPY_CASE
    }
}

LinearCall shape_of(WeightType type, int64_t outputs, int64_t inputs) {
    LinearCall shape = {};
    shape.type = type;
    shape.outputs = outputs;
    shape.inputs = inputs;
    return shape;
}

void pack(WeightType type, int64_t outputs, int64_t inputs, const void* rows, void* packed, int64_t tile_begin,
          int64_t tile_end) {
    LinearCall shape = shape_of(type, outputs, inputs);
    shape.tile_begin = tile_begin;
    shape.tile_end = tile_end;
    for_type(
        type, [&](auto t) { pack_int8<decltype(t)>(shape, rows, packed); },
        [&](auto t) { pack_int16<decltype(t)>(shape, rows, packed); },
        [&](auto t) { pack_floats<decltype(t)>(shape, rows, packed); });
}

void unpack(WeightType type, int64_t outputs, int64_t inputs, const void* packed, int64_t row, float* values) {
    LinearCall shape = shape_of(type, outputs, inputs);
    shape.packed = packed;
    for_type(
        type, [&](auto t) { unpack_int8<decltype(t)>(shape, row, values); },
        [&](auto t) { unpack_int16<decltype(t)>(shape, row, values); },
        [&](auto t) { unpack_floats<decltype(t)>(shape, row, values); });
}

void linear(const LinearCall& call) {
    for_type(
        call.type, [&](auto t) { linear_int8<decltype(t)>(call); }, [&](auto t) { linear_int16<decltype(t)>(call); },
        [&](auto t) { linear_floats<decltype(t)>(call); });
}

}  // namespace

const LinearKernels LLMPY_LINEAR_KERNELS = {pack, unpack, prepare, linear};

}  // namespace llmpy
