// linear_tiles: linear_int8 where one instruction multiplies 16 tokens with 16 rows. The integer sums are the same, and
// the same is done to them in the same order, so that the bits are those of the vectors' kernels.

#pragma once

#include "linear_int8.inl"
#include "llmpy/simd/amx.h"

namespace llmpy {
namespace {

// Adds a group's products of 16 tokens with tile `r`; the sums of the first `known` tokens stay.
template <class P>
LLMPY_NOINLINE void multiply_by_tile(const Panel& panel, int r, const Int8Tokens& x, float* sums, bool first,
                                     int known) {
    constexpr int inputs = 4 * P::quads;
    alignas(64) int32_t dots[2][tokens_of_tile * tile_rows];
    const auto multiply_block = [&](int j) LLMPY_LAMBDA {
        multiply_tile(x.q + inputs * j, group_width, panel.quads[r] + P::quads_at(j), dots[j % 2]);
    };
    const float* const rest = reinterpret_cast<const float*>(panel.rest[r]);
    F32x16 f[tokens_of_tile];
    LLMPY_EACH(t, tokens_of_tile) f[t] = set1(0.0f);
    multiply_block(0);
    for (int j = 0; j < panel.blocks; ++j) {
        if (j + 1 < panel.blocks) multiply_block(j + 1);  // meanwhile
        const F32x16 scale = load(rest + panel_scales_at / 4 + tile_rows * j);
        LLMPY_EACH(t, tokens_of_tile) {
            const I32x16 dot = load(dots[j % 2] + tile_rows * t) + offset_times<P>(panel, minus_sum_of<P>(x, t, j));
            f[t] = fma(to_f32(shift_left_by(dot, x.sides[t].shifts[block_of_32<P>(j)])), scale, f[t]);
        }
        if constexpr (P::minima == Minima::each) {
            const F32x16 added = load(rest + panel_added_at / 4 + tile_rows * j);
            LLMPY_EACH(t, tokens_of_tile) f[t] = fma(added, set1(x.sides[t].sums[j]), f[t]);
        }
    }
    if constexpr (minimum_pairs<P> > 0) {
        const uint8_t* const minima = panel.rest[r] + panel_minima_at;
        const F32x16 minus_dmin = load(reinterpret_cast<const float*>(minima + minimum_pairs<P> * quad_bytes));
        I32x16 sum[tokens_of_tile];
        LLMPY_EACH(t, tokens_of_tile) sum[t] = set1(0);
        LLMPY_NO_UNROLL for (int i = 0; i < minimum_pairs<P>; ++i) {
            const U8x64 pairs = load_bytes(minima + quad_bytes * i);
            LLMPY_EACH(t, tokens_of_tile) sum[t] = add_products_of_pairs(sum[t], pairs, sums_of_pair<P>(x, t, i));
        }
        LLMPY_EACH(t, tokens_of_tile) f[t] = fma(minus_dmin, to_f32(sum[t]), f[t]);
    }
    for (int t = known; t < tokens_of_tile; ++t) {
        float* const its = sums + tile_rows * (row_tiles * t + r);
        F32x16 y = fma(f[t], set1(x.sides[t].scale), first ? set1(0.0f) : load(its));
        const Int8Apart* entry = x.apart + most_apart * t;
        for (unsigned which = x.which[t]; which != 0; which >>= 1, ++entry) {
            y = fma(load(panel.columns + tile_rows * (row_tiles * entry->at + r)), set1(entry->x), y);
        }
        store(its, y);
    }
}

// The first call is for 16 tokens at least. Where fewer are left, some that were multiplied before join them.
template <class P>
void multiply_by_tiles(const void* panel, const void* tokens, float* sums, bool first, int64_t known) {
    for (int r = 0; r < row_tiles; ++r) {
        multiply_by_tile<P>(*static_cast<const Panel*>(panel), r, *static_cast<const Int8Tokens*>(tokens), sums, first,
                            static_cast<int>(known));
    }
}
template <class P>
constexpr PanelKernels tile_kernels = {tokens_of_tile, 1, 1, multiply_by_tiles<P>, nullptr};

template <class T>
void linear_by_tiles(const LinearCall& call) {
    const TileShapes shapes(4 * T::quads);
    const Tiles tiles(shapes);
    many_tokens_avx512(call, tile_kernels<decltype(panel_of<T>())>);
}

}  // namespace
}  // namespace llmpy
