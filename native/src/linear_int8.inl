// linear_int8: products of weights in blocks with activations rounded to int8.
//
// Two kernels that do the same float operations on each output in the same order (see linear.h):
//   few_tokens    unpacks a block of weights to registers and uses it for a few tokens at a time. Speed of memory.
//   many_tokens   unpacks a group of two tiles to L1 (the panel) and multiplies it with tiles of tokens whose sums all
//                 stay in registers. Speed of the dot product instruction.

#pragma once

#include "linear_types.inl"
#include "linear_types_small.inl"

namespace llmpy {
namespace {

// At least 0.
inline int32_t largest_lane(I32x16 a) {
    int32_t lanes[16];
    store(lanes, a);
    int32_t largest = 0;
    for (int i = 0; i < 16; ++i) largest = greater(largest, lanes[i]);
    return largest;
}

constexpr int most_few_tokens = 8;
constexpr int few_at_once = vectors_in_registers >= 32 ? 4 : 2;
// Tokens and tiles whose sums fill the registers: each takes one integer and one float vector.
constexpr int token_tile = vectors_in_registers >= 32 ? 6 : 4;
constexpr int row_tiles = vectors_in_registers >= 32 ? 2 : 1;

struct Int8Input {
    const uint8_t* data;
    int64_t tokens, groups;

    explicit LLMPY_INLINE Int8Input(const LinearInput& input)
        : data(static_cast<const uint8_t*>(input.data)), tokens(input.tokens), groups(group_count(input.inputs)) {}

    LLMPY_INLINE const int8_t* values(int64_t group, int64_t token) const {
        return reinterpret_cast<const int8_t*>(data) + (group * tokens + token) * group_width;
    }
    LLMPY_INLINE const Int8Side* sides(int64_t group, int64_t token) const {
        const uint8_t* base = data + groups * tokens * group_width;
        return reinterpret_cast<const Int8Side*>(base) + group * tokens + token;
    }
    // Negated sums of 16 activations: 16 for each token.
    LLMPY_INLINE const int32_t* minus_sums_of_16(int64_t group, int64_t token) const {
        const uint8_t* base = data + groups * tokens * (group_width + static_cast<int64_t>(sizeof(Int8Side)));
        return reinterpret_cast<const int32_t*>(base) + (group * tokens + token) * 16;
    }
};

// Adds the bias and what was there, if wanted, and stores 16 outputs of a token, or as many as there are.
LLMPY_INLINE void finish(const LinearCall& call, int64_t token, int64_t row, F32x16 value) {
    float* y = call.y + token * call.y_stride + row;
    const int64_t rows = call.outputs - row;
    if (rows >= tile_rows) {
        if (call.bias) value = value + load(call.bias + row);
        if (call.accumulate) value = value + load(y);
        store(y, value);
    } else {
        const int part = static_cast<int>(rows);
        if (call.bias) value = value + load_part(call.bias + row, part);
        if (call.accumulate) value = value + load_part(y, part);
        store_part(y, value, part);
    }
}

// What a block's integer sum starts with: the weights' offset times the sum of activations, negated.
template <class T>
LLMPY_INLINE I32x16 start_of(const Int8Side* side, const int32_t* of_16, int j) {
    if constexpr (T::offset_shift < 0) {
        return set1(0);
    } else {
        return shift_left<(T::offset_shift < 0 ? 0 : T::offset_shift)>(
            set1(T::quads == 4 ? of_16[j] : side->minus_sums[j]));
    }
}

// Minima that are integers times one factor of the group: pairs of them, and the sums of activations that each meets.
template <class T>
constexpr int minimum_pairs = T::minima == Minima::pairs ? 4 : T::minima == Minima::pairs_of_16 ? 8 : 0;

template <class T>
LLMPY_INLINE int32_t sums_of_pair(const Int8Side* side, const int32_t* of_16, int i) {
    if constexpr (T::minima == Minima::pairs) return side->pairs[i];
    const int first = 4 * (i / 2) + i % 2;
    const uint32_t low = static_cast<uint32_t>(-of_16[first]) & 0xffffu;
    return static_cast<int32_t>(low | static_cast<uint32_t>(-of_16[first + 2]) << 16);
}

// ---- few tokens

// The hardware reads ahead along ascending addresses; compilers that move loads of a later block up disturb it, and run
// out of registers besides.
LLMPY_INLINE void keep_loads_in_order() { __asm__ volatile("" ::: "memory"); }

template <class T, int tokens>
LLMPY_NOINLINE void few_tokens(const LinearCall& call, const Int8Input& input, int64_t token, int64_t tile) {
    const uint8_t* p = static_cast<const uint8_t*>(call.packed) + tile * packed_tile_bytes(call.type, call.inputs);
    F32x16 y[tokens];
    LLMPY_EACH(t, tokens) y[t] = set1(0.0f);
    for (int64_t group = 0; group < input.groups; ++group) {
        const int64_t width = lesser(call.inputs - group * group_width, group_width);
        const int n = static_cast<int>(width) / (4 * T::quads);
        const int8_t* a = input.values(group, token);
        const Int8Side* sides = input.sides(group, token);
        const int32_t* of_16 = input.minus_sums_of_16(group, token);
        const typename T::Reader reader(p, n);
        F32x16 f[tokens];
        LLMPY_EACH(t, tokens) f[t] = set1(0.0f);
        T::for_blocks(n, [&](auto j) LLMPY_LAMBDA {
            keep_loads_in_order();
            Dot<T::bits> dot[tokens];
            LLMPY_EACH(t, tokens) dot[t].start(start_of<T>(sides + t, of_16 + 16 * t, j));
            unroll<T::quads>([&](auto q) LLMPY_LAMBDA {
                const U8x64 weights = reader.template quad<q.value>(j);
                LLMPY_EACH(t, tokens) {
                    dot[t].template add<q.value, T::quads>(weights, a + group_width * t + 4 * T::quads * j);
                }
            });
            const F32x16 scale = reader.scale(j);
            LLMPY_EACH(t, tokens) f[t] = fma(to_f32(dot[t].result()), scale, f[t]);
            if constexpr (T::minima == Minima::each) {
                const F32x16 minimum = reader.subtracted(j);
                LLMPY_EACH(t, tokens) f[t] = fma(minimum, to_f32(set1(sides[t].minus_sums[j])), f[t]);
            }
        });
        if constexpr (minimum_pairs<T> > 0) {
            const F32x16 minus_dmin = reader.minus_dmin();
            I32x16 sum[tokens];
            LLMPY_EACH(t, tokens) sum[t] = set1(0);
            unroll<minimum_pairs<T>>([&](auto i) LLMPY_LAMBDA {
                const U8x64 pairs = reader.template minimum_pairs<i.value>();
                LLMPY_EACH(t, tokens) {
                    sum[t] = add_products_of_pairs(sum[t], pairs, sums_of_pair<T>(sides + t, of_16 + 16 * t, i.value));
                }
            });
            LLMPY_EACH(t, tokens) f[t] = fma(minus_dmin, to_f32(sum[t]), f[t]);
        }
        LLMPY_EACH(t, tokens) y[t] = fma(f[t], set1(sides[t].scale), y[t]);
        p += packed_group_bytes(call.type, width);
    }
    LLMPY_EACH(t, tokens) finish(call, token + t, tile * tile_rows, y[t]);
}

template <class T>
void all_few_tokens(const LinearCall& call, const Int8Input& input) {
    for (int64_t tile = call.tile_begin; tile < call.tile_end; ++tile) {
        int64_t token = call.token_begin;
        for (; token + few_at_once <= call.token_end; token += few_at_once) {
            few_tokens<T, few_at_once>(call, input, token, tile);
        }
        if (token + 2 <= call.token_end) {
            few_tokens<T, 2>(call, input, token, tile);
            token += 2;
        }
        if (token < call.token_end) few_tokens<T, 1>(call, input, token, tile);
    }
}

// ---- many tokens

// A tile's group in L1: quads in order, then scales [16][16], then minima: [8][16], or vectors of pairs and -dmin.
constexpr int64_t panel_scales_at = 64 * quad_bytes;
constexpr int64_t panel_minima_at = panel_scales_at + 16 * quad_bytes;
static_assert(panel_minima_at + 9 * quad_bytes == panel_tile_bytes, "as the scratch is laid out");

template <class T>
constexpr bool quads_need_no_unpacking = T::plain_bytes;

// Where the quads of block j begin, in the panel or in packed weights that serve as one.
template <class T>
LLMPY_INLINE int64_t block_at(int j) {
    if constexpr (quads_need_no_unpacking<T>) {
        return T::quads_at(j);
    } else {
        return quad_bytes * T::quads * j;
    }
}

template <class T>
void fill_panel(uint8_t* panel, const uint8_t* group, int n) {
    const typename T::Reader reader(group, n);
    float* scales = reinterpret_cast<float*>(panel + panel_scales_at);
    float* minima = reinterpret_cast<float*>(panel + panel_minima_at);
    T::for_blocks(n, [&](auto j) LLMPY_LAMBDA {
        const int block = j;
        if constexpr (!quads_need_no_unpacking<T>) {
            unroll<T::quads>([&](auto q) LLMPY_LAMBDA {
                store_bytes(panel + quad_bytes * (T::quads * block + q.value), reader.template quad<q.value>(j));
            });
        }
        store(scales + 16 * block, reader.scale(j));
        if constexpr (T::minima == Minima::each) store(minima + 16 * block, reader.subtracted(j));
    });
    if constexpr (minimum_pairs<T> > 0) {
        unroll<minimum_pairs<T>>(
            [&](auto i) LLMPY_LAMBDA { store_bytes(minima + 16 * i.value, reader.template minimum_pairs<i.value>()); });
        store(minima + 16 * minimum_pairs<T>, reader.minus_dmin());
    }
}

// What `multiply` works on: n blocks of one group of up to two tiles, and the sums [token][tile][16] to add to.
struct Panel {
    const uint8_t* quads[2];
    const uint8_t* rest[2];
    int blocks;
};

// The next tokens' activations come to L1 while these are multiplied, some lines a block.
template <class T>
LLMPY_INLINE void fetch_values(const int8_t* next, int tokens, int j) {
    const int lines = (4 * tokens + T::blocks - 1) / T::blocks;
    LLMPY_EACH(i, lines) prefetch_l1(next + 64 * (lines * j + i));
}

template <class T>
LLMPY_INLINE void fetch_sides(const Int8Side* next, const int32_t* of_16, int tokens) {
    LLMPY_EACH(t, tokens) prefetch_l1(next + t);
    if constexpr (T::quads == 4) LLMPY_EACH(t, tokens) prefetch_l1(of_16 + 16 * t);
}

template <class T, int tokens, int tiles>
LLMPY_NOINLINE void multiply(const Panel& panel, const int8_t* a, const Int8Side* sides, const int32_t* of_16,
                             float* sums, bool first) {
    F32x16 f[tokens][tiles];
    LLMPY_EACH(t, tokens) LLMPY_EACH(r, tiles) f[t][r] = set1(0.0f);
    fetch_sides<T>(sides + tokens, of_16 + 16 * tokens, tokens);
    for (int j = 0; j < panel.blocks; ++j) {
        fetch_values<T>(a + group_width * tokens, tokens, j);
        Dot<T::bits> dot[tokens][tiles];
        LLMPY_EACH(t, tokens) {
            const I32x16 start = start_of<T>(sides + t, of_16 + 16 * t, j);
            LLMPY_EACH(r, tiles) dot[t][r].start(start);
        }
        const int64_t at = block_at<T>(j);
        unroll<T::quads>([&](auto q) LLMPY_LAMBDA {
            LLMPY_EACH(r, tiles) {
                const U8x64 weights = load_bytes(panel.quads[r] + at + quad_bytes * q);
                LLMPY_EACH(t, tokens) {
                    dot[t][r].template add<q.value, T::quads>(weights, a + group_width * t + 4 * T::quads * j);
                }
            }
        });
        LLMPY_EACH(r, tiles) {
            const F32x16 scale = load(reinterpret_cast<const float*>(panel.rest[r] + panel_scales_at) + 16 * j);
            LLMPY_EACH(t, tokens) f[t][r] = fma(to_f32(dot[t][r].result()), scale, f[t][r]);
            if constexpr (T::minima == Minima::each) {
                const F32x16 minimum = load(reinterpret_cast<const float*>(panel.rest[r] + panel_minima_at) + 16 * j);
                LLMPY_EACH(t, tokens) f[t][r] = fma(minimum, to_f32(set1(sides[t].minus_sums[j])), f[t][r]);
            }
        }
    }
    if constexpr (minimum_pairs<T> > 0) {
        LLMPY_EACH(r, tiles) {
            const uint8_t* minima = panel.rest[r] + panel_minima_at;
            const F32x16 minus_dmin = load(reinterpret_cast<const float*>(minima + minimum_pairs<T> * quad_bytes));
            LLMPY_EACH(t, tokens) {
                I32x16 sum = set1(0);
                LLMPY_EACH(i, minimum_pairs<T>) {
                    const int32_t sums_of_two = sums_of_pair<T>(sides + t, of_16 + 16 * t, i);
                    sum = add_products_of_pairs(sum, load_bytes(minima + quad_bytes * i), sums_of_two);
                }
                f[t][r] = fma(minus_dmin, to_f32(sum), f[t][r]);
            }
        }
    }
    LLMPY_EACH(t, tokens) LLMPY_EACH(r, tiles) {
        float* sum = sums + tile_rows * (tiles * t + r);
        const F32x16 before = first ? set1(0.0f) : load(sum);
        store(sum, fma(f[t][r], set1(sides[t].scale), before));
    }
}

// As many tokens as there is a kernel for, at most `rest`; returns how many.
template <class T, int tiles>
LLMPY_INLINE int64_t multiply_some(int64_t rest, const Panel& panel, const int8_t* a, const Int8Side* sides,
                                   const int32_t* of_16, float* sums, bool first) {
    if (rest >= token_tile) {
        multiply<T, token_tile, tiles>(panel, a, sides, of_16, sums, first);
        return token_tile;
    }
    if (rest >= token_tile - 2) {
        multiply<T, token_tile - 2, tiles>(panel, a, sides, of_16, sums, first);
        return token_tile - 2;
    }
    if (rest >= 2) {
        multiply<T, 2, tiles>(panel, a, sides, of_16, sums, first);
        return 2;
    }
    multiply<T, 1, tiles>(panel, a, sides, of_16, sums, first);
    return 1;
}

// Tiles [tile, tile + tiles) for up to tokens_at_once tokens from `token` on.
template <class T, int tiles>
void many_tokens(const LinearCall& call, const Int8Input& input, int64_t token, int64_t count, int64_t tile) {
    const int64_t tile_bytes = packed_tile_bytes(call.type, call.inputs);
    const uint8_t* p = static_cast<const uint8_t*>(call.packed) + tile * tile_bytes;
    uint8_t* panels = static_cast<uint8_t*>(call.scratch);
    float* sums = reinterpret_cast<float*>(panels + 2 * panel_tile_bytes);
    for (int64_t group = 0; group < input.groups; ++group) {
        const int64_t width = lesser(call.inputs - group * group_width, group_width);
        const int64_t group_bytes = packed_group_bytes(call.type, width);
        Panel panel;
        panel.blocks = static_cast<int>(width) / (4 * T::quads);
        for (int r = 0; r < tiles; ++r) {
            panel.rest[r] = panels + r * panel_tile_bytes;
            panel.quads[r] = quads_need_no_unpacking<T> ? p + r * tile_bytes : panel.rest[r];
            fill_panel<T>(panels + r * panel_tile_bytes, p + r * tile_bytes, panel.blocks);
        }
        p += group_bytes;
        const bool last = group + 1 == input.groups;
        const uint8_t* next = last ? p + (tiles - 1) * tile_bytes : p;  // the next tiles begin where these end
        for (int r = 0; r < tiles && (!last || tile + tiles + r < call.tile_end); ++r) {
            for (int64_t i = 0; i < group_bytes; i += 64) prefetch_l2(next + r * tile_bytes + i);
        }
        for (int64_t t = 0; t < count;) {
            t += multiply_some<T, tiles>(count - t, panel, input.values(group, token + t),
                                         input.sides(group, token + t), input.minus_sums_of_16(group, token + t),
                                         sums + t * tiles * tile_rows, group == 0);
        }
    }
    for (int64_t t = 0; t < count; ++t) {
        for (int r = 0; r < tiles; ++r) {
            finish(call, token + t, (tile + r) * tile_rows, load(sums + tile_rows * (tiles * t + r)));
        }
    }
}

template <class T>
void linear_int8(const LinearCall& call) {
    const Int8Input input(*call.input);
    if (call.token_end - call.token_begin <= most_few_tokens) return all_few_tokens<T>(call, input);
    for (int64_t token = call.token_begin; token < call.token_end; token += tokens_at_once) {
        const int64_t count = lesser(call.token_end - token, tokens_at_once);
        int64_t tile = call.tile_begin;
        for (; tile + row_tiles <= call.tile_end; tile += row_tiles)
            many_tokens<T, row_tiles>(call, input, token, count, tile);
        if (tile < call.tile_end) many_tokens<T, 1>(call, input, token, count, tile);
    }
}

}  // namespace
}  // namespace llmpy
