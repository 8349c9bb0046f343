// linear_panel: the weights of a group of a tile unpacked to L1, a panel, and its products with tokens. See linear_int8.inl.

#pragma once

#include "linear_int8_parts.inl"
#include "linear_pairs.inl"

namespace llmpy {
namespace {

// Tokens and tiles whose sums fill the registers: each takes one integer and one float vector.
constexpr int int8_tokens = multiplies_pairs ? 2 : token_tile;
constexpr int row_tiles = vectors_in_registers >= 32 ? 2 : 1;

// A tile's group in L1: quads in order, then scales and what is added, [16][16] each, then vectors of pairs of minima and
// -dmin.
constexpr int64_t panel_scales_at = 64 * quad_bytes;
constexpr int64_t panel_added_at = panel_scales_at + 16 * quad_bytes;
constexpr int64_t panel_minima_at = panel_added_at + 16 * quad_bytes;
static_assert(panel_minima_at + 9 * quad_bytes == panel_tile_bytes, "as the scratch is laid out");

template <class T>
constexpr bool quads_need_no_unpacking = T::plain_bytes && !multiplies_pairs;

// What the multiplication of a panel depends on: types that are alike in it share its code.
template <int weight_bits, int quads_of_block, Minima minima_kind, bool offset>
struct Unpacked {
    static constexpr int bits = weight_bits, quads = quads_of_block, blocks = 64 / quads;
    static constexpr Minima minima = minima_kind;
    static constexpr bool has_offset = offset;

    static constexpr LLMPY_INLINE int64_t quads_at(int j) { return quad_bytes * quads * j; }
    static LLMPY_INLINE int64_t quad_at(unsigned at) { return quad_bytes * at; }
};

// The same of a type whose packed weights serve as a panel.
template <class T>
struct AsPacked {
    static constexpr int bits = T::bits, quads = T::quads, blocks = T::blocks;
    static constexpr Minima minima = T::minima;
    static constexpr bool has_offset = T::offset_shift >= 0;

    static constexpr LLMPY_INLINE int64_t quads_at(int j) { return T::quads_at(j); }
    static LLMPY_INLINE int64_t quad_at(unsigned at) { return places<T>.low[at]; }
};

template <class T>
constexpr auto panel_of() {
    if constexpr (quads_need_no_unpacking<T>) {
        return AsPacked<T>{};
    } else {
        return Unpacked<dot_bits(T::bits), T::quads, T::minima, (T::offset_shift >= 0)>{};
    }
}

template <class T>
LLMPY_CALL void fill_panel(uint8_t* panel, const uint8_t* group, int n) {
    const typename T::Reader reader(group, n);
    float* scales = reinterpret_cast<float*>(panel + panel_scales_at);
    float* added = reinterpret_cast<float*>(panel + panel_added_at);
    each_block<T>(n, [&](auto j) LLMPY_LAMBDA {
        const int block = j;
        if constexpr (multiplies_pairs) {
            store_pairs<T>(panel + quad_bytes * T::quads * block, reader, j);
        } else if constexpr (!quads_need_no_unpacking<T>) {
            each_index<T::quads>([&](auto q) LLMPY_LAMBDA {
                store_bytes(panel + quad_bytes * (T::quads * block + q), quad_of<T>(reader, j, q));
            });
        }
        store(scales + 16 * block, scale_of<T>(reader, j));
        if constexpr (T::minima != Minima::none) store(added + 16 * block, added_of<T>(reader, j));
    });
    if constexpr (minimum_pairs<T> > 0) {
        float* minima = reinterpret_cast<float*>(panel + panel_minima_at);
        each_minimum_pair<T>(reader, [&](int i, U8x64 pairs) LLMPY_LAMBDA { store_bytes(minima + 16 * i, pairs); });
        store(minima + 16 * minimum_pairs<T>, reader.minus_dmin());
    }
}

// What `multiply` works on: n blocks of one group of row_tiles tiles. Where one is left, it is there twice.
struct Panel {
    const uint8_t* quads[2];
    const uint8_t* rest[2];
    const float* columns;  // [inputs][tile][16]
    int blocks;
    int32_t offset_shift;  // weights are too large by 2^offset_shift, where they are
};

template <class P>
LLMPY_INLINE I32x16 offset_times(const Panel& panel, int32_t minus_sum) {
    if constexpr (P::has_offset) {
        return shift_left_by(set1(minus_sum), panel.offset_shift);
    } else {
        return set1(0);
    }
}

// The next tokens' activations come to L1 while these are multiplied, some lines a block.
template <class T>
LLMPY_INLINE void fetch_values(const int8_t* next, int tokens, int j) {
    const int lines = (4 * tokens + T::blocks - 1) / T::blocks;
    LLMPY_EACH(i, lines) prefetch_l1(next + 64 * (lines * j + i));
}

template <class T>
LLMPY_INLINE void fetch_sides(const Int8Tokens& x, int next, int tokens) {
    LLMPY_EACH(t, tokens) {
        prefetch_l1(x.sides + next + t);
        prefetch_l1(reinterpret_cast<const char*>(x.sides + next + t) + 64);
    }
    if constexpr (T::quads == 4) LLMPY_EACH(t, tokens) prefetch_l1(x.of_16 + 16 * (next + t));
}

// Quad `at` of a panel.
template <class P>
LLMPY_INLINE U8x64 panel_quad(const uint8_t* quads, unsigned at) {
    if constexpr (multiplies_pairs) {
        const uint8_t* pair = quads + 2 * quad_bytes * (at / 2);
        return DotPair<P::bits>::row_quad(load_bytes(pair), load_bytes(pair + quad_bytes), at % 2);
    } else {
        return load_bytes(quads + P::quad_at(at));
    }
}

// Columns begin to end - 1, which activations that are kept apart need: an input's weight in each row of the tiles, as float32.
template <class P>
LLMPY_NOINLINE void fill_columns_between(const Panel& panel, int begin, int end, float* columns) {
    const int8_t of_four[4][16] = {{1}, {0, 1}, {0, 0, 1}, {0, 0, 0, 1}};  // NEON reads 16 of them
    const I32x16 start = offset_times<P>(panel, -1);
    while (begin < end) {
        const int j = begin / (4 * P::quads), last = static_cast<int>(lesser(end, 4 * P::quads * (j + 1)));
        for (int r = 0; r < row_tiles; ++r) {
            const float* const rest = reinterpret_cast<const float*>(panel.rest[r]);
            const F32x16 scale = load(rest + panel_scales_at / 4 + tile_rows * j);
            const F32x16 added = load(rest + panel_added_at / 4 + tile_rows * j);
            for (int at = begin; at < last; ++at) {
                const U8x64 quad = panel_quad<P>(panel.quads[r], static_cast<unsigned>(at) / 4);
                store(columns + tile_rows * (row_tiles * at + r),
                      weight_of<P>(start, quad, of_four[at % 4], scale, added));
            }
        }
        begin = last;
    }
}
using FillColumns = decltype(&fill_columns_between<Unpacked<8, 8, Minima::none, false>>);

// The weights of inputs that some token keeps apart; of all inputs where it would take longer to see which those are.
LLMPY_NOINLINE void fill_columns(const Panel& panel, FillColumns fill, int inputs, const Int8Tokens& x, int64_t tokens,
                                 float* columns) {
    constexpr int few = 128;
    for (int r = 0; r < row_tiles; ++r) {
        store(columns + tile_rows * (row_tiles * group_width + r), set1(0.0f));  // of what there is not
    }
    int n = 0;
    for (int64_t t = 0; t < tokens; t += 8) n += __builtin_popcountll(kept_apart(x.which + t, tokens - t));
    if (n >= few) return fill(panel, 0, inputs, columns);
    for (int64_t t = 0; t < tokens && n > 0; t += 8) {
        for_apart(x.apart + most_apart * t, kept_apart(x.which + t, tokens - t),
                  [&](unsigned, const Int8Apart& entry) LLMPY_LAMBDA {
                      fill(panel, static_cast<int>(entry.at), static_cast<int>(entry.at) + 1, columns);
                  });
    }
}

// What some tokens add to the sums [token][tile][16]. `known`, 0 or 1: that many of them were multiplied before, and their
// sums stay. The panel is a Panel and the tokens are Int8Tokens.
template <class P, int tokens>
LLMPY_NOINLINE void multiply(const void* its_panel, const void* its_tokens, float* sums, bool first, int64_t known) {
    constexpr int tiles = row_tiles;
    const Panel& panel = *static_cast<const Panel*>(its_panel);
    const Int8Tokens& x = *static_cast<const Int8Tokens*>(its_tokens);
    F32x16 f[tokens][tiles];
    fetch_sides<P>(x, tokens, tokens);
    const uint64_t which = kept_apart(x.which, tokens);
    if (which != 0)
        LLMPY_EACH(t, tokens) prefetch_l1(x.apart + most_apart * (tokens + t));  // the next may have some too
    LLMPY_EACH(t, tokens) LLMPY_EACH(r, tiles) f[t][r] = set1(0.0f);
    for (int j = 0; j < panel.blocks; ++j) {
        fetch_values<P>(x.q + group_width * tokens, tokens, j);
        Dot<P::bits> dot[tokens][tiles];
        LLMPY_EACH(t, tokens) {
            const I32x16 start = offset_times<P>(panel, minus_sum_of<P>(x, t, j));
            LLMPY_EACH(r, tiles) dot[t][r].start(start);
        }
        const int64_t at = P::quads_at(j);
        if constexpr (multiplies_pairs) {
            add_pairs<P>(dot, panel.quads, at, x.q + 4 * P::quads * j);
        } else {
            each_index<P::quads>([&](auto q) LLMPY_LAMBDA {
                LLMPY_EACH(r, tiles) {
                    const U8x64 weights = load_bytes(panel.quads[r] + at + quad_bytes * q);
                    LLMPY_EACH(t, tokens) {
                        add_quad<P>(dot[t][r], q, weights, x.q + group_width * t + 4 * P::quads * j);
                    }
                }
            });
        }
        LLMPY_EACH(r, tiles) {
            const F32x16 scale = load(reinterpret_cast<const float*>(panel.rest[r] + panel_scales_at) + 16 * j);
            LLMPY_EACH(t, tokens) f[t][r] = fma(in_scale<P>(dot[t][r], x, t, j), scale, f[t][r]);
            if constexpr (P::minima == Minima::each) {
                const F32x16 added = load(reinterpret_cast<const float*>(panel.rest[r] + panel_added_at) + 16 * j);
                LLMPY_EACH(t, tokens) f[t][r] = fma(added, set1(x.sides[t].sums[j]), f[t][r]);
            }
        }
    }
    if constexpr (P::minima == Minima::pairs) {
        LLMPY_EACH(r, tiles) {
            const uint8_t* const minima = panel.rest[r] + panel_minima_at;
            const F32x16 minus_dmin = load(reinterpret_cast<const float*>(minima + minimum_pairs<P> * quad_bytes));
            LLMPY_EACH(t, tokens) {
                I32x16 sum = set1(0);
                LLMPY_EACH(i, minimum_pairs<P>) {
                    sum = add_products_of_pairs(sum, load_bytes(minima + quad_bytes * i), sums_of_pair<P>(x, t, i));
                }
                f[t][r] = fma(minus_dmin, to_f32(sum), f[t][r]);
            }
        }
    } else if constexpr (minimum_pairs<P> > 0) {  // twice as many, of sums that take more: a loop is shorter
        I32x16 sum[tokens][tiles];
        LLMPY_EACH(t, tokens) LLMPY_EACH(r, tiles) sum[t][r] = set1(0);
        LLMPY_NO_UNROLL for (int i = 0; i < minimum_pairs<P>; ++i) {
            LLMPY_EACH(t, tokens) {
                const int32_t sums_of_two = sums_of_pair<P>(x, t, i);
                LLMPY_EACH(r, tiles) {
                    const U8x64 minima = load_bytes(panel.rest[r] + panel_minima_at + quad_bytes * i);
                    sum[t][r] = add_products_of_pairs(sum[t][r], minima, sums_of_two);
                }
            }
        }
        LLMPY_EACH(r, tiles) {
            const uint8_t* const factor = panel.rest[r] + panel_minima_at + minimum_pairs<P> * quad_bytes;
            const F32x16 minus_dmin = load(reinterpret_cast<const float*>(factor));
            LLMPY_EACH(t, tokens) f[t][r] = fma(minus_dmin, to_f32(sum[t][r]), f[t][r]);
        }
    }
    LLMPY_EACH(t, tokens) LLMPY_EACH(r, tiles) {
        const F32x16 before = first ? set1(0.0f) : load(sums + tile_rows * (tiles * t + r));
        f[t][r] = fma(f[t][r], set1(x.sides[t].scale), before);
    }
    const int rounds = most_apart_of_any(which);
    for (int i = 0; i < rounds; ++i) {
        LLMPY_EACH(t, tokens) {
            const Int8Apart& entry = x.apart[most_apart * t + i];
            const float* const column = panel.columns + tile_rows * tiles * entry.at;
            const F32x16 activation = set1(entry.x);
            LLMPY_EACH(r, tiles) f[t][r] = fma(load(column + tile_rows * r), activation, f[t][r]);
        }
    }
    LLMPY_EACH(t, tokens) {
        if (t == 0 && known > 0) continue;
        LLMPY_EACH(r, tiles) store(sums + tile_rows * (tiles * t + r), f[t][r]);
    }
}

}  // namespace
}  // namespace llmpy
