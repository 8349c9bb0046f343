// linear_int8: products of weights in blocks with activations rounded to int8.
//
// Two kernels that do the same float operations on each output in the same order (see linear.h):
//   few_tokens    unpacks a block of weights to registers and uses it for a few tokens at a time. Speed of memory.
//   many_tokens   unpacks a group of two tiles to L1 (the panel) and multiplies it with tiles of tokens whose sums all
//                 stay in registers. Speed of the dot product instruction.

#pragma once

#include "linear_int8_few.inl"
#include "linear_pairs.inl"

namespace llmpy {
namespace {

// Beyond so many tokens it pays to unpack weights once for all. With blocks of 16 a weight takes more unpacking; for
// pairs one unpacks sooner.
template <class T>
constexpr int most_few_tokens = multiplies_pairs            ? 3
                                : vectors_in_registers < 32 ? 2
                                : T::quads == 8             ? 32
                                                            : 8;
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
    float* added = reinterpret_cast<float*>(panel + panel_added_at);
    T::for_blocks(n, [&](auto j) LLMPY_LAMBDA {
        const int block = j;
        if constexpr (multiplies_pairs) {
            store_pairs<T>(panel + quad_bytes * T::quads * block, reader, j);
        } else if constexpr (!quads_need_no_unpacking<T>) {
            unroll<T::quads>([&](auto q) LLMPY_LAMBDA {
                store_bytes(panel + quad_bytes * (T::quads * block + q.value), reader.template quad<q.value>(j));
            });
        }
        store(scales + 16 * block, reader.scale(j));
        if constexpr (T::minima != Minima::none) store(added + 16 * block, reader.added(j));
    });
    if constexpr (minimum_pairs<T> > 0) {
        float* minima = reinterpret_cast<float*>(panel + panel_minima_at);
        unroll<minimum_pairs<T>>(
            [&](auto i) LLMPY_LAMBDA { store_bytes(minima + 16 * i.value, reader.template minimum_pairs<i.value>()); });
        store(minima + 16 * minimum_pairs<T>, reader.minus_dmin());
    }
}

// What `multiply` works on: n blocks of one group of up to two tiles, and the sums [token][tile][16] to add to.
struct Panel {
    const uint8_t* quads[2];
    const uint8_t* rest[2];
    const float* columns;  // [inputs][tile][16]
    int blocks;
};

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

// Rows of y lie far apart: a store to a line that is not in the cache waits for it, and the next ones with it.
template <int tiles>
LLMPY_INLINE void fetch_outputs(const LinearCall& call, int64_t token, int64_t tokens, int64_t tile) {
    for (int64_t t = token; t < token + tokens; ++t) {
        LLMPY_EACH(r, tiles) prefetch_l1(call.y + t * call.y_stride + (tile + r) * tile_rows);
    }
}

// Quad `at` of a panel.
template <class T>
LLMPY_INLINE U8x64 panel_quad(const uint8_t* quads, unsigned at) {
    if constexpr (multiplies_pairs) {
        const uint8_t* pair = quads + 2 * quad_bytes * (at / 2);
        return DotPair<T::bits>::row_quad(load_bytes(pair), load_bytes(pair + quad_bytes), at % 2);
    } else {
        return load_bytes(quads + (quads_need_no_unpacking<T> ? places<T>.low[at] : quad_bytes * at));
    }
}

// One row of columns: an input's weight in each row of the tiles, as float32.
template <class T, int tiles>
LLMPY_INLINE void fill_column(const Panel& panel, unsigned at, const int8_t* of_four, float* columns) {
    const unsigned j = at / (4 * T::quads);
    LLMPY_EACH(r, tiles) {
        const float* const rest = reinterpret_cast<const float*>(panel.rest[r]);
        const F32x16 scale = load(rest + panel_scales_at / 4 + tile_rows * j);
        const F32x16 added = load(rest + panel_added_at / 4 + tile_rows * j);
        const F32x16 weight = weight_of<T>(panel_quad<T>(panel.quads[r], at / 4), of_four, scale, added);
        store(columns + tile_rows * (tiles * at + r), weight);
    }
}

// The weights of inputs that some token keeps apart; of all inputs where it would take longer to see which those are.
template <class T, int tiles>
void fill_columns(const Panel& panel, const Int8Tokens& x, int64_t tokens, float* columns) {
    constexpr int few = 128;
    LLMPY_EACH(r, tiles) store(columns + tile_rows * (tiles * group_width + r), set1(0.0f));  // of what there is not
    int n = 0;
    for (int64_t t = 0; t < tokens; t += 8) n += __builtin_popcountll(kept_apart(x.which + t, tokens - t));
    if (n < few) {
        for (int64_t t = 0; t < tokens && n > 0; t += 8) {
            for_apart(x.apart + most_apart * t, kept_apart(x.which + t, tokens - t),
                      [&](unsigned, const Int8Apart& entry) LLMPY_LAMBDA {
                          fill_column<T, tiles>(panel, static_cast<unsigned>(entry.at), entry.of_four, columns);
                      });
        }
        return;
    }
    const int8_t of_four[4][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}};
    for (int at = 0; at < 4 * T::quads * panel.blocks; at += 4) {
        LLMPY_EACH(i, 4) fill_column<T, tiles>(panel, static_cast<unsigned>(at + i), of_four[i], columns);
    }
}

template <class T, int tokens, int tiles>
LLMPY_NOINLINE void multiply(const Panel& panel, const Int8Tokens& x, float* sums, bool first) {
    F32x16 f[tokens][tiles];
    fetch_sides<T>(x, tokens, tokens);
    const uint64_t which = kept_apart(x.which, tokens);
    if (which != 0)
        LLMPY_EACH(t, tokens) prefetch_l1(x.apart + most_apart * (tokens + t));  // the next may have some too
    LLMPY_EACH(t, tokens) LLMPY_EACH(r, tiles) f[t][r] = set1(0.0f);
    for (int j = 0; j < panel.blocks; ++j) {
        fetch_values<T>(x.q + group_width * tokens, tokens, j);
        Dot<T::bits> dot[tokens][tiles];
        LLMPY_EACH(t, tokens) {
            const I32x16 start = start_of<T>(x, t, j);
            LLMPY_EACH(r, tiles) dot[t][r].start(start);
        }
        const int64_t at = block_at<T>(j);
        if constexpr (multiplies_pairs) {
            add_pairs<T>(dot, panel.quads, at, x.q + 4 * T::quads * j);
        } else {
            unroll<T::quads>([&](auto q) LLMPY_LAMBDA {
                LLMPY_EACH(r, tiles) {
                    const U8x64 weights = load_bytes(panel.quads[r] + at + quad_bytes * q);
                    LLMPY_EACH(t, tokens) {
                        dot[t][r].template add<q.value, T::quads>(weights, x.q + group_width * t + 4 * T::quads * j);
                    }
                }
            });
        }
        LLMPY_EACH(r, tiles) {
            const F32x16 scale = load(reinterpret_cast<const float*>(panel.rest[r] + panel_scales_at) + 16 * j);
            LLMPY_EACH(t, tokens) f[t][r] = fma(in_scale<T>(dot[t][r], x, t, j), scale, f[t][r]);
            if constexpr (T::minima == Minima::each) {
                const F32x16 added = load(reinterpret_cast<const float*>(panel.rest[r] + panel_added_at) + 16 * j);
                LLMPY_EACH(t, tokens) f[t][r] = fma(added, set1(x.sides[t].sums[j]), f[t][r]);
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
                    const int32_t sums_of_two = sums_of_pair<T>(x, t, i);
                    sum = add_products_of_pairs(sum, load_bytes(minima + quad_bytes * i), sums_of_two);
                }
                f[t][r] = fma(minus_dmin, to_f32(sum), f[t][r]);
            }
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
    LLMPY_EACH(t, tokens) LLMPY_EACH(r, tiles) store(sums + tile_rows * (tiles * t + r), f[t][r]);
}

struct ByVectors {
    // Multiplies as many tokens as there is a kernel for, at most `rest`, and returns how many.
    template <class T, int tiles>
    static LLMPY_INLINE int64_t multiply(int64_t rest, const Panel& panel, const Int8Tokens& x, float* sums,
                                         bool first) {
        if (rest >= int8_tokens) {
            llmpy::multiply<T, int8_tokens, tiles>(panel, x, sums, first);
            return int8_tokens;
        }
        if (rest >= fewer(int8_tokens)) {
            llmpy::multiply<T, fewer(int8_tokens), tiles>(panel, x, sums, first);
            return fewer(int8_tokens);
        }
        if (rest >= 2) {
            llmpy::multiply<T, 2, tiles>(panel, x, sums, first);
            return 2;
        }
        llmpy::multiply<T, 1, tiles>(panel, x, sums, first);
        return 1;
    }
};

// Tiles [tile, tile + tiles) for up to tokens_at_once tokens from `token` on.
template <class T, int tiles, class By>
void many_tokens(const LinearCall& call, const Int8Input& input, const TileBytes& bytes, int64_t token, int64_t count,
                 int64_t tile) {
    const uint8_t* p = static_cast<const uint8_t*>(call.packed) + tile * bytes.tile;
    uint8_t* panels = static_cast<uint8_t*>(call.scratch);
    float* const columns = reinterpret_cast<float*>(panels + 2 * panel_tile_bytes);
    float* const sums = columns + column_bytes / int64_t{sizeof(float)};
    for (int64_t group = 0; group < input.groups; ++group) {
        const int64_t width = lesser(call.inputs - group * group_width, group_width);
        const bool last = group + 1 == input.groups;
        const int64_t group_bytes = last ? bytes.last : bytes.group;
        Panel panel = {};
        panel.columns = columns;
        panel.blocks = static_cast<int>(width) / (4 * T::quads);
        for (int r = 0; r < tiles; ++r) {
            panel.rest[r] = panels + r * panel_tile_bytes;
            panel.quads[r] = quads_need_no_unpacking<T> ? p + r * bytes.tile : panel.rest[r];
            fill_panel<T>(panels + r * panel_tile_bytes, p + r * bytes.tile, panel.blocks);
        }
        p += group_bytes;
        const uint8_t* next = last ? p + (tiles - 1) * bytes.tile : p;  // the next tiles begin where these end
        for (int r = 0; r < tiles && (!last || tile + tiles + r < call.tile_end); ++r) {
            for (int64_t i = 0; i < group_bytes; i += 64) prefetch_l2(next + r * bytes.tile + i);
        }
        fill_columns<T, tiles>(panel, input.at(group, token), count, columns);
        for (int64_t t = 0; t < count;) {
            if (last) fetch_outputs<tiles>(call, token + t, lesser(count - t, int64_t{int8_tokens}), tile);
            float* its = sums + t * tiles * tile_rows;
            const Int8Tokens x = input.at(group, token + t);
            const int64_t done = By::template multiply<T, tiles>(count - t, panel, x, its, group == 0);
            // Stored while the next tokens are multiplied.
            for (int64_t i = 0; last && i < done; ++i) {
                for (int r = 0; r < tiles; ++r) {
                    finish(call, token + t + i, (tile + r) * tile_rows, load(its + tile_rows * (tiles * i + r)));
                }
            }
            t += done;
        }
    }
}

template <class T, class By>
void all_many_tokens(const LinearCall& call, const Int8Input& input, const TileBytes& bytes) {
    for (int64_t token = call.token_begin; token < call.token_end; token += tokens_at_once) {
        const int64_t count = lesser(call.token_end - token, tokens_at_once);
        int64_t tile = call.tile_begin;
        for (; tile + row_tiles <= call.tile_end; tile += row_tiles)
            many_tokens<T, row_tiles, By>(call, input, bytes, token, count, tile);
        if (tile < call.tile_end) many_tokens<T, 1, By>(call, input, bytes, token, count, tile);
    }
}

template <class T>
void linear_int8(const LinearCall& call) {
    const Int8Input input(*call.input);
    const TileBytes bytes(call);
    if (call.token_end - call.token_begin <= most_few_tokens<T>) return all_few_tokens<T>(call, input, bytes);
    all_many_tokens<T, ByVectors>(call, input, bytes);
}

}  // namespace
}  // namespace llmpy
