// tables: all kernels of one level but the linear ones, in tables by name. Include after the level's simd header and its
// constants.

#include "ops/ops.inl"

#include "attention/attend.inl"

#include "recurrent/recurrent.inl"

namespace llmpy {
namespace {

constexpr OpKernels by_name() {
    OpKernels k = {};
    k.norm = norm;
    k.total = total;
    k.rope = rope;
    k.add = add;
    k.mul = mul;
    k.scale = scale;
    k.clamp = clamp_all;
    k.function = function;
    k.gate = gate;
    k.add_scaled = add_scaled;
    k.block_maxima = block_maxima;
    k.store_key = store_key;
    k.store_value = store_value;
    k.attend = attend;
    k.attend_join = attend_join;
    return k;
}
constexpr OpKernels op_kernels = by_name();

}  // namespace
}  // namespace llmpy
