// linear_int8_few: products of weights in blocks with few tokens. See linear_int8.inl.

#pragma once

#include "linear_int8_parts.inl"

namespace llmpy {
namespace {

// The hardware reads ahead along ascending addresses; compilers that move loads of a later block up disturb it, and run
// out of registers besides.
LLMPY_INLINE void keep_loads_in_order() { __asm__ volatile("" ::: "memory"); }

// The weights that come to L1 while block j of a group is multiplied, where the hardware fetches too little by itself: some
// lines with each block, because many at once hold up all that follows.
template <class T>
LLMPY_INLINE void fetch_weights(const uint8_t* group, int j) {
    constexpr int64_t ahead = 8192;
    constexpr int lines = static_cast<int>(T::FileBlock::packed(T::file_blocks) / 64);
    LLMPY_EACH(i, (lines + T::blocks - 1) / T::blocks) prefetch_l1(group + ahead + 64 * (lines * j / T::blocks + i));
}

// The part of the next tile that comes to L2 while this one is multiplied; none if `parts` is 0.
struct NextTile {
    int64_t part, parts;
};

// What a group's activations that are kept apart add to the sums of one token, or some; its weights are in a cache by then.
template <class T, bool one>
LLMPY_NOINLINE void add_few_apart(const uint8_t* group, int blocks, const Int8Apart* apart, uint64_t which,
                                  float* sums) {
    const typename T::Reader reader(group, blocks);
    const auto weights_of = [&](const Int8Apart& entry) LLMPY_LAMBDA {
        const unsigned at = static_cast<unsigned>(entry.at), j = at / (4 * T::quads);
        F32x16 added = set1(0.0f);
        if constexpr (T::minima != Minima::none) added = reader.added_at(j);
        const U8x64 quad = packed_quad<T>(reader, at / 4);
        return weight_of<T>(offset_times<T>(-1), quad, entry.of_four, reader.scale_at(j), added);
    };
    if constexpr (one) {
        F32x16 y = load(sums);
        for (; which != 0; which >>= 1, ++apart) y = fma(weights_of(*apart), set1(apart->x), y);
        store(sums, y);
    } else {
        for_apart(apart, which, [&](unsigned t, const Int8Apart& entry) LLMPY_LAMBDA {
            float* const its = sums + tile_rows * t;
            store(its, fma(weights_of(entry), set1(entry.x), load(its)));
        });
    }
}

template <class T, int tokens>
LLMPY_NOINLINE void few_tokens(const LinearCall& call, const Int8Input& input, const TileBytes& bytes, int64_t token,
                               int64_t tile, NextTile next_tile) {
    const uint8_t* p = static_cast<const uint8_t*>(call.packed) + tile * bytes.tile;
    F32x16 y[tokens];
    LLMPY_EACH(t, tokens) y[t] = set1(0.0f);
    Int8Tokens x = input.at(0, token);
    const int64_t all_tokens = input.tokens;
    const bool fetches = call.fetch_ahead && next_tile.parts == 0 && next_tile.part == 0;
    for (int64_t group = 0; group < input.groups; ++group) {
        const int64_t width = lesser(call.inputs - group * group_width, group_width);
        const int64_t group_bytes = group + 1 < input.groups ? bytes.group : bytes.last;
        const int n = static_cast<int>(width) / (4 * T::quads);
        if (next_tile.parts > 0) {
            const int64_t share = group_bytes / next_tile.parts;
            const uint8_t* next = p + bytes.tile + next_tile.part * share;
            for (int64_t i = 0; i < share; i += 64) prefetch_l2(next + i);
        }
        typename T::Reader reader(p, n);
        F32x16 f[tokens];
        LLMPY_EACH(t, tokens) f[t] = set1(0.0f);
        // For one token the units of its blocks become part of the scales: with the same result, as they are powers of two.
        constexpr bool scales_have_units = T::one_factor && tokens == 1;
        [[maybe_unused]] float factors[most_shift + 1][16];
        if constexpr (scales_have_units) {
            LLMPY_EACH(i, most_shift + 1) store(factors[i], reader.d * set1(static_cast<float>(1 << i)));
        }
        each_block<T>(n, [&](auto j) LLMPY_LAMBDA {
            keep_loads_in_order();
            if (fetches) fetch_weights<T>(p, j);
            Dot<T::bits> dot[tokens];
            LLMPY_EACH(t, tokens) dot[t].start(offset_times<T>(minus_sum_of<T>(x, t, j)));
            each_index<T::quads>([&](auto q) LLMPY_LAMBDA {
                const U8x64 weights = quad_of<T>(reader, j, q);
                LLMPY_EACH(t, tokens) add_quad<T>(dot[t], q, weights, x.q + group_width * t + 4 * T::quads * j);
            });
            if constexpr (scales_have_units) {
                reader.d = load(factors[x.sides->shifts[block_of_32<T>(j)]]);
                f[0] = fma(to_f32(dot[0].result()), scale_of<T>(reader, j), f[0]);
            } else {
                const F32x16 scale = scale_of<T>(reader, j);
                LLMPY_EACH(t, tokens) f[t] = fma(in_scale<T>(dot[t], x, t, j), scale, f[t]);
            }
            if constexpr (T::minima == Minima::each) {
                const F32x16 added = added_of<T>(reader, j);
                LLMPY_EACH(t, tokens) f[t] = fma(added, set1(x.sides[t].sums[j]), f[t]);
            }
        });
        if constexpr (minimum_pairs<T> > 0) {
            const F32x16 minus_dmin = reader.minus_dmin();
            I32x16 sum[tokens];
            LLMPY_EACH(t, tokens) sum[t] = set1(0);
            each_minimum_pair<T>(reader, [&](int i, U8x64 pairs) LLMPY_LAMBDA {
                LLMPY_EACH(t, tokens) { sum[t] = add_products_of_pairs(sum[t], pairs, sums_of_pair<T>(x, t, i)); }
            });
            LLMPY_EACH(t, tokens) f[t] = fma(minus_dmin, to_f32(sum[t]), f[t]);
        }
        LLMPY_EACH(t, tokens) y[t] = fma(f[t], set1(x.sides[t].scale), y[t]);
        if (const uint64_t which = kept_apart(x.which, tokens); which != 0) {
            float sums[tokens][tile_rows];
            LLMPY_EACH(t, tokens) store(sums[t], y[t]);
            add_few_apart<T, tokens == 1>(p, n, x.apart, which, sums[0]);
            LLMPY_EACH(t, tokens) y[t] = load(sums[t]);
        }
        p += group_bytes;
        x = x.next_group(all_tokens);
    }
    LLMPY_EACH(t, tokens) finish(call, token + t, tile * tile_rows, y[t]);
}

// Kernels for 1, 2, 4, ... tokens.
constexpr int few_kinds = vectors_in_registers >= 32 ? 4 : 2;
struct FewKernels {
    decltype(&few_tokens<Q4_0, 1>) kernels[few_kinds];
    bool blocks_of_32;
};

template <class T, int kind = few_kinds - 1>
constexpr void list_few(FewKernels& few) {
    few.kernels[kind] = few_tokens<T, (1 << kind)>;
    if constexpr (kind > 0) list_few<T, kind - 1>(few);
}
template <class T>
constexpr FewKernels made_few_kernels() {
    FewKernels few = {{}, T::quads == 8};
    list_few<T>(few);
    return few;
}
template <class T>
constexpr FewKernels few_kernels = made_few_kernels<T>();

// 2^kind: how many tokens at most share weights that are in registers. The hardware fetches ahead best alone while a tile is
// read at the speed of memory; once products take longer, it stops too soon.
LLMPY_NOINLINE void few_tokens_at_once(const LinearCall& call, const FewKernels& few, int kind, const Int8Input& input,
                                       const TileBytes& bytes, bool fetch_next_tile) {
    const int64_t tokens = call.token_end - call.token_begin, at_once = int64_t{1} << kind;
    if (tokens == 1) {
        for (int64_t tile = call.tile_begin; tile < call.tile_end; ++tile)
            few.kernels[0](call, input, bytes, call.token_begin, tile, {0, 0});
        return;
    }
    const int64_t passes = tokens / at_once + __builtin_popcountll(static_cast<uint64_t>(tokens % at_once));
    for (int64_t tile = call.tile_begin; tile < call.tile_end; ++tile) {
        NextTile next_tile = {0, fetch_next_tile && tile + 1 < call.tile_end ? passes : 0};
        for (int64_t token = call.token_begin; token < call.token_end; ++next_tile.part) {
            int its_kind = kind;
            while (int64_t{1} << its_kind > call.token_end - token) --its_kind;
            few.kernels[its_kind](call, input, bytes, token, tile, next_tile);
            token += int64_t{1} << its_kind;
        }
    }
}

// Activations of one token come from the thread that rounded them: all of their lines at once, not one wait for each that
// is used.
LLMPY_INLINE void fetch_activations(const Int8Input& input) {
    const int64_t n = input.groups * (group_width + int64_t{sizeof(Int8Side)});
    for (int64_t i = 0; i < n; i += 64) prefetch_l1(input.data + i);
    prefetch_l1(input.at(0, 0).which);
}

LLMPY_NOINLINE void all_few_tokens(const LinearCall& call, const FewKernels& few) {
    const Int8Input input(*call.input);
    const TileBytes bytes(call);
    if (input.tokens == 1) fetch_activations(input);
    if constexpr (vectors_in_registers >= 32) {
        const int64_t tokens = call.token_end - call.token_begin;
        // With weights fetched ahead, a second pass over a tile is time in which none come.
        const bool fetches = call.fetch_ahead;
        const int64_t most = few.blocks_of_32 && !fetches ? 8 : 4;
        if (tokens > most) return few_tokens_at_once(call, few, 3, input, bytes, tokens > 8 || !fetches);
        return few_tokens_at_once(call, few, 2, input, bytes, false);
    } else {
        return few_tokens_at_once(call, few, 1, input, bytes, false);
    }
}

}  // namespace
}  // namespace llmpy
