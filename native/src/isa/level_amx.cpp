// Products of many tokens with weights in blocks by tiles (AMX-INT8). All else is as at the level avx512, and so are the
// packed weights and all bits.

#define LLMPY_DOT_PRODUCTS
#include "llmpy/simd/amx.h"

#include "llmpy/ops.h"

#include "kernels/linear/linear_all_types.inl"
#include "kernels/linear/linear_tiles.inl"

namespace llmpy {
namespace {

void pack(WeightType type, int64_t outputs, int64_t inputs, const void* rows, void* packed, int64_t tile_begin,
          int64_t tile_end) {
    linear_avx512.pack(type, outputs, inputs, rows, packed, tile_begin, tile_end);
}
void prepare(const LinearInput& input, const float* x, int64_t stride, int64_t token_begin, int64_t token_end) {
    linear_avx512.prepare(input, x, stride, token_begin, token_end);
}

// Tiles need 16 tokens at least: of each tokens_at_once, and so of the last ones.
void linear(const LinearCall& call) {
    const int64_t left = (call.token_end - call.token_begin) % tokens_at_once;
    LinearCall by_tiles = call, rest = call;
    if (call.input->kind != InputKind::int8) {
        by_tiles.token_end = call.token_begin;
    } else if (left < tokens_of_tile) {
        by_tiles.token_end = call.token_end - left;
    }
    rest.token_begin = by_tiles.token_end;
    if (by_tiles.token_begin < by_tiles.token_end) {
        const auto no_blocks = [](auto) {};
        for_type(call.type, [&](auto t) { linear_by_tiles<decltype(t)>(by_tiles); }, no_blocks, no_blocks);
    }
    if (rest.token_begin < rest.token_end) linear_avx512.linear(rest);
}

}  // namespace

const LinearKernels linear_amx = {pack, prepare, linear, weights_are_offset};
const Level level_amx = {"amx", &linear_amx, &attention_avx512, &ops_avx512bw, &recurrent_avx512bw, quantize_avx512};
}  // namespace llmpy
