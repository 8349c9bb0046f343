// linear_int8_parts: what both kernels of linear_int8 share: rounded activations as they lie, what a sum starts with,
// where it is stored.

#pragma once

#include "linear_all_types.inl"

namespace llmpy {
namespace {

// A group of a token's activations, and behind each part that of the next token.
struct Int8Tokens {
    const int8_t* q;
    const Int8Side* sides;
    const int32_t* of_16;    // negated sums of 16 q, 16 for each token
    const Int8Apart* apart;  // most_apart for each token
    const uint8_t* which;    // of those there are

    LLMPY_INLINE Int8Tokens next_group(int64_t tokens) const {
        return {q + group_width * tokens, sides + tokens, of_16 + 16 * tokens, apart + most_apart * tokens,
                which + tokens};
    }
    LLMPY_INLINE Int8Tokens earlier(int64_t n) const {
        return {q - group_width * n, sides - n, of_16 - 16 * n, apart - most_apart * n, which - n};
    }
};

struct Int8Input {
    const uint8_t* data;
    int64_t tokens, groups;

    explicit LLMPY_INLINE Int8Input(const LinearInput& input)
        : data(static_cast<const uint8_t*>(input.data)), tokens(input.tokens), groups(group_count(input.inputs)) {}

    LLMPY_INLINE Int8Tokens at(int64_t group, int64_t token) const {
        const int64_t i = group * tokens + token, all = groups * tokens;
        const uint8_t* const sides = data + all * group_width;
        const uint8_t* const of_16 = sides + all * int64_t{sizeof(Int8Side)};
        const uint8_t* const apart = of_16 + all * 16 * int64_t{sizeof(int32_t)};
        const uint8_t* const which = apart + all * most_apart * int64_t{sizeof(Int8Apart)};
        return {reinterpret_cast<const int8_t*>(data) + i * group_width, reinterpret_cast<const Int8Side*>(sides) + i,
                reinterpret_cast<const int32_t*>(of_16) + i * 16,
                reinterpret_cast<const Int8Apart*>(apart) + i * most_apart, which + i};
    }
};

// What an integer sum starts with: the weights' offset times the sum of activations, negated.
template <class T>
LLMPY_INLINE I32x16 offset_times(int32_t minus_sum) {
    if constexpr (T::offset_shift < 0) {
        return set1(0);
    } else {
        return shift_left<(T::offset_shift < 0 ? 0 : T::offset_shift)>(set1(minus_sum));
    }
}

// The negated sum of the activations of block j.
template <class T>
LLMPY_INLINE int32_t minus_sum_of(const Int8Tokens& x, int t, int j) {
    return T::quads == 4 ? x.of_16[16 * t + j] : x.sides[t].minus_sums[j];
}

// ---- blocks and quads one after the other: unrolled, so that places and shifts are constants, or where those do not matter in
// a loop

template <int n, class Body>
LLMPY_INLINE void each_index(const Body& body) {
    if constexpr (unrolls_blocks) {
        unroll<n>(body);
    } else {
        for (int i = 0; i < n; ++i) body(i);
    }
}

template <class T, class Body>
LLMPY_INLINE void each_block(int n, const Body& body) {
    if constexpr (unrolls_blocks) {
        T::for_blocks(n, body);
    } else {
        for (int j = 0; j < n; ++j) body(j);
    }
}

template <class T, class J, class Q>
LLMPY_INLINE U8x64 quad_of(const typename T::Reader& reader, J j, [[maybe_unused]] Q q) {
    if constexpr (unrolls_blocks) {
        return reader.template quad<Q::value>(j);
    } else if constexpr (T::plain_bytes) {
        return load_bytes(reader.group + T::quads_at(j) + quad_bytes * q);
    } else {
        return packed_quad<T>(reader, static_cast<unsigned>(T::quads * j + q));
    }
}

template <class T, class J>
LLMPY_INLINE F32x16 scale_of(const typename T::Reader& reader, J j) {
    if constexpr (unrolls_blocks) {
        return reader.scale(j);
    } else {
        return reader.scale_at(static_cast<unsigned>(j));
    }
}

template <class T, class J>
LLMPY_INLINE F32x16 added_of(const typename T::Reader& reader, J j) {
    if constexpr (unrolls_blocks) {
        return reader.added(j);
    } else {
        return reader.added_at(static_cast<unsigned>(j));
    }
}

// Adds the products of quad q of a block, whose activations are at `a`.
template <class T, class Q>
LLMPY_INLINE void add_quad(Dot<T::bits>& dot, [[maybe_unused]] Q q, U8x64 weights, const int8_t* a) {
    if constexpr (unrolls_blocks) {
        dot.template add<Q::value, T::quads>(weights, a);
    } else {
        dot.template add<0, T::quads>(weights, a + 4 * q);
    }
}

// Which 32 inputs block j is of.
template <class T>
LLMPY_INLINE int block_of_32(int j) {
    return T::quads == 4 ? static_cast<int>(static_cast<unsigned>(j) / 2) : j;
}

// The integer sum of block j in units of the group's scale.
template <class T>
LLMPY_INLINE F32x16 in_scale(const Dot<T::bits>& dot, const Int8Tokens& x, int t, int j) {
    return to_f32(shift_left_by(dot.result(), x.sides[t].shifts[block_of_32<T>(j)]));
}

// Which activations up to 8 tokens keep apart, of more the first 8: bit 8 t + i for entry i of token t.
LLMPY_INLINE uint64_t kept_apart(const uint8_t* which, int64_t tokens) {
    const uint64_t all = ~uint64_t{0};
    return read<uint64_t>(which) & (tokens < 8 ? ~(all << 8 * tokens) : all);
}

// How many entries the token that has most of them has.
LLMPY_INLINE int most_apart_of_any(uint64_t which) {
    which |= which >> 32;
    which |= which >> 16;
    which |= which >> 8;
    return __builtin_popcount(static_cast<unsigned>(which & 255));
}

// body(t, entry) for each of them. One loop for the entries of all tokens, because processors guess wrong how often a loop
// goes round, and one for each token would be as many guesses.
template <class Body>
LLMPY_INLINE void for_apart(const Int8Apart* apart, uint64_t which, const Body& body) {
    for (; which != 0; which &= which - 1) {
        const unsigned bit = static_cast<unsigned>(__builtin_ctzll(which)), t = bit / 8;
        body(t, apart[most_apart * t + bit % 8]);
    }
}

// Sixteen weights of one input, in float32: `of_four` says which of a quad's, `start` what they are too large by, negated.
template <class T>
LLMPY_INLINE F32x16 weight_of(I32x16 start, U8x64 quad, const int8_t* of_four, F32x16 scale,
                              [[maybe_unused]] F32x16 added) {
    Dot<T::bits> dot;
    dot.start(start);
    dot.template add<0, 1>(quad, of_four);
    if constexpr (T::minima == Minima::none) {
        return to_f32(dot.result()) * scale;
    } else {
        return fma(to_f32(dot.result()), scale, added);
    }
}

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

// Two 16-bit integers in one.
LLMPY_INLINE int32_t pair_of(int32_t low, int32_t high) {
    return static_cast<int32_t>((static_cast<uint32_t>(low) & 0xffffu) | static_cast<uint32_t>(high) << 16);
}

// Minima that are integers times one factor of the group: pairs of them, and the sums of activations that each meets.
template <class T>
constexpr int minimum_pairs = T::minima == Minima::pairs         ? 4
                              : T::minima == Minima::pairs_of_16 ? 8
                                                                 : 0;

template <class T>
LLMPY_INLINE int32_t sums_of_pair(const Int8Tokens& x, int t, int i) {
    if constexpr (T::minima == Minima::pairs) return x.sides[t].pairs[i];
    const int first = 4 * (i / 2) + i % 2;
    const auto sum = [&](int j) LLMPY_LAMBDA { return -x.of_16[16 * t + j] * (1 << x.sides[t].shifts[j / 2]); };
    return pair_of(sum(first), sum(first + 2));
}

// body(i, pair i of the minima of a group).
template <class T, class Body>
LLMPY_INLINE void each_minimum_pair(const typename T::Reader& reader, const Body& body) {
    constexpr int parts = T::minima == Minima::pairs_of_16 ? 4 : 1, of_part = minimum_pairs<T> / parts;
    LLMPY_NO_UNROLL for (int part = 0; part < parts; ++part) {
        unroll<of_part>([&](auto i)
                            LLMPY_LAMBDA { body(of_part * part + i, reader.template minimum_pairs<i.value>(part)); });
    }
}

}  // namespace
}  // namespace llmpy
