// linear_float: products with F32 weights.
//
// One kernel: the sums of a few tokens and tiles stay in registers, weights are widened on the way (that costs nothing
// next to the multiplications). For one token several tiles run side by side, because each sum is one chain of
// additions.

#pragma once

#include "linear_all_types.inl"
#include "linear_int8.inl"

namespace llmpy {
namespace {

constexpr int float_sums = vectors_in_registers >= 32 ? 24 : 6;  // what the registers hold beside the operands
constexpr int float_row_tiles = vectors_in_registers >= 32 ? 2 : 1;
constexpr int float_few_tiles = 4;

// sums [token][tile][16] (+)= a group's products; weights of tile r start at w + r * tile_stride.
template <class T, int tokens, int tiles>
LLMPY_NOINLINE void multiply_floats(const typename T::Stored* w, int64_t tile_stride, const float* a, int64_t width,
                                    float* sums, bool first) {
    F32x16 f[tokens][tiles];
    LLMPY_EACH(t, tokens) LLMPY_EACH(r, tiles) f[t][r] = set1(0.0f);
    for (int64_t k = 0; k < width; ++k) {
        F32x16 weights[tiles];
        LLMPY_EACH(r, tiles) weights[r] = T::load16(w + r * tile_stride + tile_rows * k);
        LLMPY_EACH(t, tokens) {
            const F32x16 x = set1(a[group_width * t + k]);
            LLMPY_EACH(r, tiles) f[t][r] = fma(x, weights[r], f[t][r]);
        }
    }
    LLMPY_EACH(t, tokens) LLMPY_EACH(r, tiles) {
        float* sum = sums + tile_rows * (tiles * t + r);
        const F32x16 before = first ? set1(0.0f) : load(sum);
        store(sum, before + f[t][r]);
    }
}

// As many tokens as there is a kernel for, at most `rest`; returns how many.
template <class T, int tiles, int tokens = 12>
LLMPY_INLINE int64_t multiply_some_floats(int64_t rest, const typename T::Stored* w, int64_t tile_stride,
                                          const float* a, int64_t width, float* sums, bool first) {
    constexpr int fewer = tokens == 12 ? 8 : tokens == 8 ? 6 : tokens == 6 ? 4 : tokens / 2;
    if constexpr (tokens == 0) {
        return 0;
    } else if constexpr (tokens * tiles > float_sums) {
        return multiply_some_floats<T, tiles, fewer>(rest, w, tile_stride, a, width, sums, first);
    } else {
        if (rest < tokens) return multiply_some_floats<T, tiles, fewer>(rest, w, tile_stride, a, width, sums, first);
        multiply_floats<T, tokens, tiles>(w, tile_stride, a, width, sums, first);
        return tokens;
    }
}

template <class T, int tiles>
void float_tiles(const LinearCall& call, int64_t token, int64_t count, int64_t tile) {
    const int64_t groups = group_count(call.inputs);
    const int64_t tile_stride =
        packed_tile_bytes(call.type, call.inputs) / static_cast<int64_t>(sizeof(typename T::Stored));
    const typename T::Stored* w = static_cast<const typename T::Stored*>(call.packed) + tile * tile_stride;
    float* sums = static_cast<float*>(call.scratch);
    for (int64_t group = 0; group < groups; ++group) {
        const int64_t width = lesser(call.inputs - group * group_width, group_width);
        const float* a =
            static_cast<const float*>(call.input->data) + (group * call.input->tokens + token) * group_width;
        for (int64_t t = 0; t < count;) {
            t += multiply_some_floats<T, tiles>(count - t, w, tile_stride, a + t * group_width, width,
                                                sums + t * tiles * tile_rows, group == 0);
        }
        w += tile_rows * width;
    }
    for (int64_t t = 0; t < count; ++t) {
        for (int r = 0; r < tiles; ++r) {
            finish(call, token + t, (tile + r) * tile_rows, load(sums + tile_rows * (tiles * t + r)));
        }
    }
}

template <class T>
void linear_floats(const LinearCall& call) {
    for (int64_t token = call.token_begin; token < call.token_end; token += tokens_at_once) {
        const int64_t count = lesser(call.token_end - token, tokens_at_once);
        int64_t tile = call.tile_begin;
        if (count * float_few_tiles <= float_sums) {
            for (; tile + float_few_tiles <= call.tile_end; tile += float_few_tiles) {
                float_tiles<T, float_few_tiles>(call, token, count, tile);
            }
        }
        for (; tile + float_row_tiles <= call.tile_end; tile += float_row_tiles) {
            float_tiles<T, float_row_tiles>(call, token, count, tile);
        }
        for (; tile < call.tile_end; ++tile) float_tiles<T, 1>(call, token, count, tile);
    }
}

}  // namespace
}  // namespace llmpy
