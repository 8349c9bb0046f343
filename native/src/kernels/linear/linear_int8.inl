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

#ifdef LLMPY_FEW_TOKENS
constexpr bool shares_few_tokens = true;
#else
constexpr bool shares_few_tokens = false;
#endif

// Beyond so many tokens it pays to unpack weights once for all. With blocks of 16 a weight takes more unpacking; for
// pairs one unpacks sooner.
template <class T>
constexpr int most_few_tokens = multiplies_pairs                                 ? 3
                                : vectors_in_registers < 32 || shares_few_tokens ? 2
                                : T::quads == 8                                  ? 32
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
    FillColumns fill_columns;
};
template <class T>
constexpr PanelSource panel_source = {T::quads, T::offset_shift, quads_need_no_unpacking<T>, fill_panel<T>,
                                      fill_columns_between<decltype(panel_of<T>())>};

// The kernels of a panel: for int8_tokens and for few, two where there are never less than that. Where one token less is left,
// one that was multiplied before joins, to no effect: kernels for each number of tokens would take much space for the little
// that they save.
constexpr int panel_few = vectors_in_registers >= 32 && !shares_few_tokens ? 2 : 1;
template <class P>
constexpr PanelKernels panel_kernels = {int8_tokens, int8_tokens > 2 ? int8_tokens - 1 : int8_tokens, panel_few,
                                        multiply<P, int8_tokens>, multiply<P, panel_few>};

// Where fewer are left; `after`: behind others. Returns how many were multiplied.
LLMPY_NOINLINE int64_t multiply_rest(const PanelKernels& kernels, const Panel& panel, const Int8Tokens& x, int64_t rest,
                                     bool after, float* sums, bool first) {
    const bool many = rest >= kernels.least && after;
    const int64_t at_once = many ? kernels.tokens : kernels.few, done = lesser(rest, at_once), known = at_once - done;
    const Int8Tokens from = x.earlier(known);
    (many ? kernels.multiply_many : kernels.multiply_few)(&panel, &from, sums - known * row_tiles * tile_rows, first,
                                                          known);
    return done;
}

// Tiles [tile, tile + tiles) for up to tokens_at_once tokens from `token` on.
LLMPY_NOINLINE void many_tokens(const LinearCall& call, const PanelSource& source, const PanelKernels& kernels,
                                const Int8Input& input, const TileBytes& bytes, int64_t token, int64_t count,
                                int64_t tile, int tiles) {
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
        for (int r = tiles; r < row_tiles; ++r) panel.rest[r] = panel.rest[0], panel.quads[r] = panel.quads[0];
        p += group_bytes;
        const uint8_t* next = last ? p + (tiles - 1) * bytes.tile : p;  // the next tiles begin where these end
        for (int r = 0; r < tiles && (!last || tile + tiles + r < call.tile_end); ++r) {
            for (int64_t i = 0; i < group_bytes; i += 64) prefetch_l2(next + r * bytes.tile + i);
        }
        fill_columns(panel, source.fill_columns, static_cast<int>(width), input.at(group, token), count, columns);
        for (int64_t t = 0; t < count;) {
            if (last) fetch_outputs(call, token + t, lesser(count - t, int64_t{int8_tokens}), tile, tiles);
            float* const its = sums + t * row_tiles * tile_rows;
            const Int8Tokens x = input.at(group, token + t);
            int64_t done = kernels.tokens;
            if (count - t >= done) {
                kernels.multiply_many(&panel, &x, its, group == 0, 0);
            } else {
                done = multiply_rest(kernels, panel, x, count - t, token + t > call.token_begin, its, group == 0);
            }
            // Stored while the next tokens are multiplied.
            for (int64_t i = 0; last && i < done; ++i) {
                for (int r = 0; r < tiles; ++r) {
                    finish(call, token + t + i, (tile + r) * tile_rows, load(its + tile_rows * (row_tiles * i + r)));
                }
            }
            t += done;
        }
    }
}

LLMPY_NOINLINE void all_many_tokens(const LinearCall& call, const PanelSource& source, const PanelKernels& kernels) {
    const Int8Input input(*call.input);
    const TileBytes bytes(call);
    for (int64_t token = call.token_begin; token < call.token_end; token += tokens_at_once) {
        const int64_t count = lesser(call.token_end - token, tokens_at_once);
        for (int64_t tile = call.tile_begin; tile < call.tile_end; tile += row_tiles) {
            const int tiles = static_cast<int>(lesser(call.tile_end - tile, int64_t{row_tiles}));
            many_tokens(call, source, kernels, input, bytes, token, count, tile, tiles);
        }
    }
}

template <class T>
void linear_int8(const LinearCall& call) {
    if (call.token_end - call.token_begin <= most_few_tokens<T>) {
#if defined(LLMPY_FEW_TOKENS)  // those of a level with the same packed weights
        return LLMPY_FEW_TOKENS.linear(call);
#else
        if constexpr (unrolls_blocks) return all_few_tokens(call, few_kernels<T>);
#endif
    }
    all_many_tokens(call, panel_source<T>, panel_kernels<decltype(panel_of<T>())>);
}

}  // namespace
}  // namespace llmpy
