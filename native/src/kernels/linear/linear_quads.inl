// linear_quads: quads of weights: copied from the file's blocks, and found in packed weights when it is not known at
// compile time which one (those that large activations meet).

#pragma once

#include "linear_layout.h"

namespace llmpy {
namespace {

constexpr int64_t quad_bytes = 64;

// The file's blocks of 16 rows.
template <class Block>
struct Rows {
    const uint8_t* first;
    int64_t stride;
    int count;  // rows from here on do not exist, and read as zeros
    int flip;   // bits of 8-bit weights that are turned round

    LLMPY_INLINE const uint8_t* block(int row, int64_t index) const {
        static const uint8_t zeros[sizeof(Block)] = {};
        return row < count ? first + row * stride + index * static_cast<int64_t>(sizeof(Block)) : zeros;
    }
    LLMPY_INLINE void blocks(int64_t index, const uint8_t* (&of_rows)[tile_rows]) const {
        LLMPY_EACH(row, tile_rows) of_rows[row] = block(row, index);
    }
};

// `n` bytes of each row's block, a multiple of 16, from `at` on, to quads `stride` vectors apart, with the bits of
// `flip` in each byte turned round.
LLMPY_INLINE void copy_quads(uint8_t* to, const uint8_t* const* blocks, int64_t at, int n, int64_t stride = 1,
                             int flip = 0) {
    for (int i = 0; i < n; i += 16) {
        U8x64 quads[4];
        load_quads(blocks, at + i, quads);
        LLMPY_EACH(q, 4) store_bytes(to + quad_bytes * stride * (i / 4 + q), quads[q] ^ set1_byte(flip));
    }
}

// Four bytes of a block to a lane of a vector.
LLMPY_INLINE void copy_quad(uint8_t* to, const uint8_t* from) { write<uint32_t>(to, read<uint32_t>(from)); }
LLMPY_INLINE void copy_half(uint8_t* to, const uint8_t* from) { write<uint16_t>(to, read<uint16_t>(from)); }

// Of each lane the bits i, i + 4, i + 8, ..., brought together in its byte i.
template <int i>
LLMPY_INLINE U8x64 every_fourth_bit(U8x64 lanes) {
    U8x64 x = shift_right<i>(lanes) & set1_bytes_of_lane(0x11111111);
    x = (x | shift_right<3>(x)) & set1_bytes_of_lane(0x03030303);
    x = (x | shift_right<6>(x)) & set1_bytes_of_lane(0x000f000f);
    return shift_left<8 * i>((x | shift_right<12>(x)) & set1_bytes_of_lane(0xff));
}

// The lower bits of a quad, `low` bytes into a group and shifted by `shift`, and the bits above them.
struct Place {
    int64_t low;
    int shift;
    int64_t high;
    int high_shift;
};

// Those of all quads.
template <class T>
struct Places {
    static constexpr int n = static_cast<int>(group_width) / 4;
    uint16_t low[n] = {}, high[n] = {};
    uint8_t shift[n] = {}, high_shift[n] = {};

    constexpr Places() {
        for (int at = 0; at < n; ++at) {
            const Place place = T::place(at);
            low[at] = static_cast<uint16_t>(place.low);
            high[at] = static_cast<uint16_t>(place.high);
            shift[at] = static_cast<uint8_t>(place.shift);
            high_shift[at] = static_cast<uint8_t>(place.high_shift);
        }
    }
};
template <class T>
constexpr Places<T> places;

// Byte i of each lane.
LLMPY_INLINE I32x16 any_byte_of_lane(U8x64 x, unsigned i) {
    return as_i32(shift_right_by(x, static_cast<int32_t>(8 * i)) & set1_bytes_of_lane(255));
}

// A quad that is not known when this is compiled, as Reader::quad gives it.
template <class T>
LLMPY_INLINE U8x64 packed_quad(const typename T::Reader& reader, unsigned at) {
    U8x64 x = load_bytes(reader.group + places<T>.low[at]);
    if constexpr (T::low_bits < 8) x = shift_right_by(x, places<T>.shift[at]) & set1_byte((1 << T::low_bits) - 1);
    if constexpr (T::high_bits > 0) {
        const U8x64 high = shift_right_by(load_bytes(reader.group + places<T>.high[at]), places<T>.high_shift[at]);
        x = x | shift_left<T::low_bits>(high & set1_byte((1 << T::high_bits) - 1));
    }
    if constexpr (T::looks_up) return look_up(reader.table, x);
    return x;
}

}  // namespace
}  // namespace llmpy
