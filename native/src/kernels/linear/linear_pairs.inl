// linear_pairs: the products of linear_int8 where one instruction multiplies two tokens with two rows.

#pragma once

#include "linear_types.inl"

namespace llmpy {
namespace {

// Block j of a group, to a panel: eight inputs of a row beside those of the next.
template <class T, class J>
LLMPY_INLINE void store_pairs(uint8_t* to, const typename T::Reader& reader, J j) {
    unroll<T::quads / 2>([&](auto i) LLMPY_LAMBDA {
        constexpr int q = 2 * i.value;
        U8x64 first = reader.template quad<q>(j), second = reader.template quad<q + 1>(j);
        DotPair<T::bits>::pair_rows(first, second);
        store_bytes(to + quad_bytes * q, first);
        store_bytes(to + quad_bytes * (q + 1), second);
    });
}

// Adds the products of a block of each tile, whose weights lie `at` so many bytes into the panels: two tokens at a time,
// one that is alone beside itself.
template <class T, int tokens, int tiles>
LLMPY_INLINE void add_pairs(Dot<T::bits> (&dot)[tokens][tiles], const uint8_t* const* panels, int64_t at,
                            const int8_t* a) {
    unroll<(tokens + 1) / 2>([&](auto pair) LLMPY_LAMBDA {
        constexpr int t = 2 * pair.value, other = tokens > t + 1 ? t + 1 : t;
        LLMPY_EACH(r, tiles) {
            Dot<T::bits> copy = dot[t][r];
            DotPair<T::bits> both(dot[t][r], other == t ? copy : dot[other][r]);
            unroll<T::quads / 2>([&](auto i) LLMPY_LAMBDA {
                constexpr int q = 2 * i.value;
                const uint8_t* const weights = panels[r] + at + quad_bytes * q;
                both.template add<q>(load_bytes(weights), load_bytes(weights + quad_bytes), a + group_width * t,
                                     a + group_width * other);
            });
        }
    });
}

}  // namespace
}  // namespace llmpy
