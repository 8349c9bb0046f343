// linear_int16: products of F16 and BF16 weights as 16-bit integers, with activations rounded to 16 bits.
//
// Twice as many products an instruction as in float32. One kernel for any number of tokens: sums over 32 inputs stay
// in integer registers, and cannot overflow (see linear_pack.inl); those of a group in float registers. A group that would
// lose too much by rounding is kept in the file's type and multiplied in float32.

#pragma once

#include "linear_float.inl"

namespace llmpy {
namespace {

constexpr int int16_few_tokens = 4;  // so few are bound by memory, and read one tile after the other

struct Int16Input {
    const uint8_t* data;
    int64_t tokens, groups;

    explicit LLMPY_INLINE Int16Input(const LinearInput& input)
        : data(static_cast<const uint8_t*>(input.data)), tokens(input.tokens), groups(group_count(input.inputs)) {}

    LLMPY_INLINE const int16_t* values(int64_t group, int64_t token) const {
        return reinterpret_cast<const int16_t*>(data) + (group * tokens + token) * group_width;
    }
    LLMPY_INLINE const float* scales(int64_t group, int64_t token) const {
        const uint8_t* base = data + groups * tokens * group_width * int64_t{sizeof(int16_t)};
        return reinterpret_cast<const float*>(base) + (group * tokens + token) * int16_blocks;
    }
};

// ---- a group of some tokens and tiles: sums [token][tile][16] = fma(products, weight scales, sums)

// What a thread works on: a group of one tile or more, and a token's activations and those of the tokens after it.
struct Int16Group {
    const uint8_t* tile[2];
    const int16_t* values;  // [token][256]
    const float* scales;    // [token][8]
    int width;
    bool first;
};

// The next tokens' activations come to L1 while these are multiplied, a line of each for a block.
template <int tokens, int tiles>
LLMPY_NOINLINE void multiply_pairs(const Int16Group& group, float* sums, int64_t stride) {
    F32x16 f[tokens][tiles];
    LLMPY_EACH(t, tokens) LLMPY_EACH(r, tiles) f[t][r] = set1(0.0f);
    LLMPY_EACH(i, (tokens + 1) / 2) prefetch_l1(group.scales + int16_blocks * tokens + 16 * i);
    const int blocks = (group.width + int16_block - 1) / int16_block;
    for (int block = 0; block < blocks; ++block) {
        const int16_t* a = group.values + int16_block * block;
        LLMPY_EACH(i, tokens) prefetch_l1(group.values + group_width * tokens + int16_block * (tokens * block + i));
        I32x16 dot[tokens][tiles];
        LLMPY_EACH(t, tokens) LLMPY_EACH(r, tiles) dot[t][r] = set1(0);
        each_index<int16_block / 2>([&](auto i) LLMPY_LAMBDA {
            const int64_t at = quad_bytes * (1 + int16_block / 2 * block + i);
            U8x64 weights[tiles];
            LLMPY_EACH(r, tiles) weights[r] = load_bytes(group.tile[r] + at);
            LLMPY_EACH(t, tokens) {
                const int32_t pair = read<int32_t>(a + group_width * t + 2 * i);
                LLMPY_EACH(r, tiles) dot[t][r] = add_products_of_pairs(dot[t][r], weights[r], pair);
            }
        });
        LLMPY_EACH(t, tokens) {
            const F32x16 scale = set1(group.scales[int16_blocks * t + block]);
            LLMPY_EACH(r, tiles) f[t][r] = fma(to_f32(dot[t][r]), scale, f[t][r]);
        }
    }
    LLMPY_EACH(r, tiles) {
        const F32x16 scale = load(reinterpret_cast<const float*>(group.tile[r]));
        LLMPY_EACH(t, tokens) {
            float* sum = sums + stride * t + tile_rows * r;
            store(sum, fma(f[t][r], scale, group.first ? set1(0.0f) : load(sum)));
        }
    }
}

// One tile whose numbers were kept.
template <class T, int tokens>
LLMPY_NOINLINE void multiply_kept(const Int16Group& group, float* sums, int64_t stride) {
    const typename T::Stored* w = reinterpret_cast<const typename T::Stored*>(group.tile[0] + quad_bytes);
    F32x16 f[tokens];
    LLMPY_EACH(t, tokens) f[t] = set1(0.0f);
    for (int begin = 0, block = 0; begin < group.width; begin += int16_block, ++block) {
        float a[tokens][int16_block];
        for (int t = 0; t < tokens; ++t) {
            for (int i = 0; i < int16_block; ++i) a[t][i] = group.values[group_width * t + begin + i];
        }
        F32x16 g[tokens];
        LLMPY_EACH(t, tokens) g[t] = set1(0.0f);
        const int end = lesser(begin + int16_block, group.width);
        for (int i = begin; i < end; ++i) {
            const F32x16 weights = T::load16(w + tile_rows * i);
            LLMPY_EACH(t, tokens) g[t] = fma(weights, set1(a[t][i - begin]), g[t]);
        }
        LLMPY_EACH(t, tokens) f[t] = fma(g[t], set1(group.scales[int16_blocks * t + block]), f[t]);
    }
    LLMPY_EACH(t, tokens) {
        float* sum = sums + stride * t;
        store(sum, f[t] + (group.first ? set1(0.0f) : load(sum)));
    }
}

// As many tokens as are multiplied at a time with one tile: int16_tokens, two or one; with more tiles up to token_tile.
constexpr int int16_tokens = token_tile < 4 ? token_tile : 4;
using MultiplyKept = decltype(&multiply_kept<F16, 1>);
struct KeptKernels {
    MultiplyKept many, two, one;
};
template <class T>
constexpr KeptKernels kept_kernels = {multiply_kept<T, int16_tokens>, multiply_kept<T, 2>, multiply_kept<T, 1>};

// As many tokens as there is a kernel for, at most `rest`, and one tile; returns how many.
LLMPY_INLINE int64_t multiply_one_tile(int64_t rest, const KeptKernels& kept, const Int16Group& group, float* sums,
                                       int64_t stride) {
    const bool many = rest >= int16_tokens, two = rest >= 2;
    // Branches, which are guessed: a call of what the group's first bytes choose would wait for them.
    if (is_kept(group.tile[0])) {
        (many ? kept.many : two ? kept.two : kept.one)(group, sums, stride);
    } else if (many) {
        multiply_pairs<int16_tokens, 1>(group, sums, stride);
    } else if (two) {
        multiply_pairs<2, 1>(group, sums, stride);
    } else {
        multiply_pairs<1, 1>(group, sums, stride);
    }
    return many ? int16_tokens : two ? 2 : 1;
}

// The same for some tiles.
template <int tiles>
LLMPY_INLINE int64_t multiply_some_groups(int64_t rest, const KeptKernels& kept, const Int16Group& group, float* sums,
                                          int64_t stride) {
    if constexpr (tiles == 1) return multiply_one_tile(rest, kept, group, sums, stride);
    bool any_kept = false;
    for (int r = 0; r < tiles; ++r) any_kept = any_kept || is_kept(group.tile[r]);
    if (!any_kept) {
        const bool many = rest >= token_tile, two = rest >= 2;
        const auto pairs = many  ? multiply_pairs<token_tile, tiles>
                           : two ? multiply_pairs<2, tiles>
                                 : multiply_pairs<1, tiles>;
        pairs(group, sums, stride);
        return many ? token_tile : two ? 2 : 1;
    }
    int64_t done = 0;
    for (int r = 0; r < tiles; ++r) {
        Int16Group one = group;
        one.tile[0] = group.tile[r];
        done = multiply_one_tile(rest, kept, one, sums + tile_rows * r, stride);
    }
    return done;
}

// Tiles [tile, tile + tiles) for up to tokens_at_once tokens from `token` on.
template <int tiles>
LLMPY_CALL void int16_tiles(const LinearCall& call, const KeptKernels& kept, const Int16Input& input,
                            const TileBytes& bytes, int64_t token, int64_t count, int64_t tile) {
    constexpr int64_t stride = tiles * tile_rows;
    const uint8_t* p = static_cast<const uint8_t*>(call.packed) + tile * bytes.tile;
    float* sums = static_cast<float*>(call.scratch);
    for (int64_t g = 0; g < input.groups; ++g) {
        const int64_t width = lesser(call.inputs - g * group_width, group_width);
        const bool last = g + 1 == input.groups;
        const int64_t group_bytes = last ? bytes.last : bytes.group;
        Int16Group group = {};
        for (int r = 0; r < tiles; ++r) group.tile[r] = p + r * bytes.tile;
        group.width = static_cast<int>(width);
        group.first = g == 0;
        p += group_bytes;
        const uint8_t* next = last ? p + (tiles - 1) * bytes.tile : p;  // the next tiles begin where these end
        for (int r = 0; count > int16_few_tokens && r < tiles && (!last || tile + tiles + r < call.tile_end); ++r) {
            for (int64_t i = 0; i < group_bytes; i += 64) prefetch_l2(next + r * bytes.tile + i);
        }
        for (int64_t t = 0; last && count > int16_few_tokens && t < count; ++t) {
            for (int r = 0; r < tiles; ++r) prefetch_l2(call.y + (token + t) * call.y_stride + (tile + r) * tile_rows);
        }
        for (int64_t t = 0; t < count;) {
            group.values = input.values(g, token + t);
            group.scales = input.scales(g, token + t);
            t += multiply_some_groups<tiles>(count - t, kept, group, sums + t * stride, stride);
        }
    }
    for (int64_t t = 0; t < count; ++t) {
        for (int r = 0; r < tiles; ++r) {
            finish(call, token + t, (tile + r) * tile_rows, load(sums + stride * t + tile_rows * r));
        }
    }
}

LLMPY_NOINLINE void linear_int16(const LinearCall& call, const KeptKernels& kept) {
    const Int16Input input(*call.input);
    const TileBytes bytes(call);
    for (int64_t token = call.token_begin; token < call.token_end; token += tokens_at_once) {
        const int64_t count = lesser(call.token_end - token, tokens_at_once);
        int64_t tile = call.tile_begin;
        for (; count > int16_few_tokens && tile + row_tiles <= call.tile_end; tile += row_tiles) {
            int16_tiles<row_tiles>(call, kept, input, bytes, token, count, tile);
        }
        for (; tile < call.tile_end; ++tile) int16_tiles<1>(call, kept, input, bytes, token, count, tile);
    }
}

// ---- activations

// `width` activations of one group: each 32 with a scale of their own. See linear_prepare.inl for what the limits mean.
inline void round_group_to_int16(const float* x, int64_t width, int16_t* q, float* scales) {
    memset(q, 0, group_width * sizeof *q);
    memset(scales, 0, int16_blocks * sizeof *scales);
    for (int64_t begin = 0; begin < width; begin += int16_block) {
        const int n = static_cast<int>(lesser(width - begin, int64_t{int16_block}));
        const float* const high_half = x + begin + 16;
        const F32x16 low = n >= 16 ? load(x + begin) : load_part(x + begin, n);
        const F32x16 high = n == int16_block ? load(high_half) : n > 16 ? load_part(high_half, n - 16) : set1(0.0f);
        const int32_t largest = max_lane(max(bits_of(absolute(low)), bits_of(absolute(high))));
        const float size = float_from_bits(static_cast<uint32_t>(largest));
        float* scale = scales + begin / int16_block;
        if (largest >= 0x7f800000) {
            *scale = __builtin_nanf("");
        } else if (size >= 0x1p-100f) {
            const F32x16 factor = set1(32767.0f / size);
            store_i16(q + begin, to_i32(low * factor));
            store_i16(q + begin + 16, to_i32(high * factor));
            *scale = size / 32767.0f;
        }
    }
}

}  // namespace
}  // namespace llmpy
