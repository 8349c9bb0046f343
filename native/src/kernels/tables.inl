// tables: elementwise and recurrent kernels of one level, in tables by name. Include after the level's simd header.

#include "ops/ops.inl"

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
    return k;
}
constexpr OpKernels op_kernels = by_name();

}  // namespace
}  // namespace llmpy
