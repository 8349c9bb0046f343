// linear_all_types: types of plain numbers, and the choice among all types.

#pragma once

#include "linear_types.inl"
#include "linear_types_small.inl"

namespace llmpy {
namespace {

struct F32 {
    using Stored = float;
    static LLMPY_INLINE F32x16 load16(const float* p) { return load(p); }
};
struct F16 {
    using Stored = uint16_t;
    static LLMPY_INLINE F32x16 load16(const uint16_t* p) { return load_f16(p); }
};
struct BF16 {
    using Stored = uint16_t;
    static LLMPY_INLINE F32x16 load16(const uint16_t* p) { return load_bf16(p); }
};

// Instead of the first scale of a group of F16 or BF16: it has the file's numbers, not integers (see linear_int16.inl).
constexpr uint32_t kept_mark = 0x7fc00000;
LLMPY_INLINE bool is_kept(const uint8_t* group) { return read<uint32_t>(group) == kept_mark; }

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

}  // namespace
}  // namespace llmpy
