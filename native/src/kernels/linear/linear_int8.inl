// linear_int8: products of weights in blocks with activations rounded to int8.
//
// Two kernels that do the same float operations on each output in the same order (see linear.h):
//   few_tokens    unpacks a block of weights to registers and uses it for a few tokens at a time. Speed of memory.
//   many_tokens   unpacks a group of two tiles to L1 (the panel) and multiplies it with tiles of tokens whose sums all
//                 stay in registers. Speed of the dot product instruction.

#pragma once

#include "linear_int8_few.inl"
#include "linear_panel.inl"

namespace llmpy {
namespace {

// Beyond so many tokens it pays to unpack weights once for all. With blocks of 16 a weight takes more unpacking; for
// pairs one unpacks sooner.
template <class T>
constexpr int most_few_tokens = multiplies_pairs            ? 3
                                : vectors_in_registers < 32 ? 2
                                : T::quads == 8             ? 32
                                                            : 8;

// Rows of y lie far apart: a store to a line that is not in the cache waits for it, and the next ones with it.
LLMPY_INLINE void fetch_outputs(const LinearCall& call, int64_t token, int64_t tokens, int64_t tile, int tiles) {
    for (int64_t t = token; t < token + tokens; ++t) {
        for (int r = 0; r < tiles; ++r) prefetch_l1(call.y + t * call.y_stride + (tile + r) * tile_rows);
    }
}

// How a type's weights become a panel.
struct PanelSource {
    int quads;
    int32_t offset_shift;
    bool as_packed;
    decltype(&fill_panel<Q4_0>) fill;
    decltype(&fill_columns<Unpacked<8, 8, Minima::none, false>, 1>) columns[row_tiles];
};

template <class T, int tiles = row_tiles>
constexpr void list_columns(PanelSource& source) {
    if constexpr (tiles > 0) {
        source.columns[tiles - 1] = fill_columns<decltype(panel_of<T>()), tiles>;
        list_columns<T, tiles - 1>(source);
    }
}
template <class T>
constexpr PanelSource made_panel_source() {
    PanelSource source = {T::quads, T::offset_shift, quads_need_no_unpacking<T>, fill_panel<T>, {}};
    list_columns<T>(source);
    return source;
}
template <class T>
constexpr PanelSource panel_source = made_panel_source<T>();

// The kernels of a panel by numbers of tiles and tokens.
struct ByVectors {
    decltype(&multiply<Unpacked<8, 8, Minima::none, false>, 1, 1>) kernels[row_tiles][4];

    // Multiplies as many tokens as there is a kernel for, at most `rest`, and returns how many.
    int64_t operator()(int64_t rest, const Panel& panel, int tiles, const Int8Tokens& x, float* sums, bool first) const;
};
constexpr int64_t panel_tokens[4] = {int8_tokens, fewer(int8_tokens), 2, 1};

LLMPY_INLINE int64_t ByVectors::operator()(int64_t rest, const Panel& panel, int tiles, const Int8Tokens& x,
                                           float* sums, bool first) const {
    int which = 0;
    while (panel_tokens[which] > rest) ++which;
    kernels[tiles - 1][which](panel, x, sums, first);
    return panel_tokens[which];
}

template <class P, int tiles = row_tiles>
constexpr void list_panels(ByVectors& by) {
    if constexpr (tiles > 0) {
        by.kernels[tiles - 1][0] = multiply<P, panel_tokens[0], tiles>;
        by.kernels[tiles - 1][1] = multiply<P, panel_tokens[1], tiles>;
        by.kernels[tiles - 1][2] = multiply<P, 2, tiles>;
        by.kernels[tiles - 1][3] = multiply<P, 1, tiles>;
        list_panels<P, tiles - 1>(by);
    }
}
template <class P>
constexpr ByVectors made_by_vectors() {
    ByVectors by = {};
    list_panels<P>(by);
    return by;
}
template <class P>
constexpr ByVectors by_vectors = made_by_vectors<P>();

// Tiles [tile, tile + tiles) for up to tokens_at_once tokens from `token` on.
template <class By>
void many_tokens(const LinearCall& call, const PanelSource& source, const By& by, const Int8Input& input,
                 const TileBytes& bytes, int64_t token, int64_t count, int64_t tile, int tiles) {
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
        panel.blocks = static_cast<int>(width) / (4 * source.quads);
        panel.offset_shift = source.offset_shift;
        for (int r = 0; r < tiles; ++r) {
            panel.rest[r] = panels + r * panel_tile_bytes;
            panel.quads[r] = source.as_packed ? p + r * bytes.tile : panel.rest[r];
            source.fill(panels + r * panel_tile_bytes, p + r * bytes.tile, panel.blocks);
        }
        p += group_bytes;
        const uint8_t* next = last ? p + (tiles - 1) * bytes.tile : p;  // the next tiles begin where these end
        for (int r = 0; r < tiles && (!last || tile + tiles + r < call.tile_end); ++r) {
            for (int64_t i = 0; i < group_bytes; i += 64) prefetch_l2(next + r * bytes.tile + i);
        }
        source.columns[tiles - 1](panel, input.at(group, token), count, columns);
        for (int64_t t = 0; t < count;) {
            if (last) fetch_outputs(call, token + t, lesser(count - t, int64_t{int8_tokens}), tile, tiles);
            float* its = sums + t * tiles * tile_rows;
            const int64_t done = by(count - t, panel, tiles, input.at(group, token + t), its, group == 0);
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

template <class By>
void all_many_tokens(const LinearCall& call, const PanelSource& source, const By& by) {
    const Int8Input input(*call.input);
    const TileBytes bytes(call);
    for (int64_t token = call.token_begin; token < call.token_end; token += tokens_at_once) {
        const int64_t count = lesser(call.token_end - token, tokens_at_once);
        for (int64_t tile = call.tile_begin; tile < call.tile_end; tile += row_tiles) {
            const int tiles = static_cast<int>(lesser(call.tile_end - tile, int64_t{row_tiles}));
            many_tokens(call, source, by, input, bytes, token, count, tile, tiles);
        }
    }
}

template <class T>
void linear_int8(const LinearCall& call) {
    if (call.token_end - call.token_begin <= most_few_tokens<T>) return all_few_tokens(call, few_kernels<T>);
    all_many_tokens(call, panel_source<T>, by_vectors<decltype(panel_of<T>())>);
}

}  // namespace
}  // namespace llmpy
