// linear_tiles: linear_int8 where one instruction multiplies 16 tokens with 16 rows. The integer sums are the same, and
// the same is done to them in the same order, so that the bits are those of the vectors' kernels.

#pragma once

#include "linear_int8.inl"
#include "llmpy/simd/amx.h"

namespace llmpy {
namespace {

// Adds a group's products of 16 tokens with tile `r` of `tiles`; the sums of the first `known` tokens stay.
template <class P, int tiles>
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
        LLMPY_EACH(t, tokens_of_tile) {
            I32x16 sum = set1(0);
            LLMPY_EACH(i, minimum_pairs<P>) {
                const int32_t sums_of_two = sums_of_pair<P>(x, t, i);
                sum = add_products_of_pairs(sum, load_bytes(minima + quad_bytes * i), sums_of_two);
            }
            f[t] = fma(minus_dmin, to_f32(sum), f[t]);
        }
    }
    for (int t = known; t < tokens_of_tile; ++t) {
        float* const its = sums + tile_rows * (tiles * t + r);
        F32x16 y = fma(f[t], set1(x.sides[t].scale), first ? set1(0.0f) : load(its));
        const Int8Apart* entry = x.apart + most_apart * t;
        for (unsigned which = x.which[t]; which != 0; which >>= 1, ++entry) {
            y = fma(load(panel.columns + tile_rows * (tiles * entry->at + r)), set1(entry->x), y);
        }
        store(its, y);
    }
}

// See ByVectors; the first call is for 16 tokens at least. Where fewer are left, some that were multiplied before are
// multiplied once more, to no effect.
struct ByTiles {
    decltype(&multiply_by_tile<Unpacked<8, 8, Minima::none, false>, 1>) kernels[row_tiles];

    int64_t operator()(int64_t rest, const Panel& panel, int tiles, const Int8Tokens& x, float* sums,
                       bool first) const {
        const int64_t n = lesser(rest, int64_t{tokens_of_tile}), known = tokens_of_tile - n;
        for (int r = 0; r < tiles; ++r) {
            kernels[tiles - 1](panel, r, x.earlier(known), sums - known * tiles * tile_rows, first,
                               static_cast<int>(known));
        }
        return n;
    }
};
template <class P>
constexpr ByTiles by_tiles = {{multiply_by_tile<P, 1>, multiply_by_tile<P, 2>}};

template <class T>
void linear_by_tiles(const LinearCall& call) {
    const TileShapes shapes(4 * T::quads);
    const Tiles tiles(shapes);
    all_many_tokens(call, panel_source<T>, by_tiles<decltype(panel_of<T>())>);
}

}  // namespace
}  // namespace llmpy
