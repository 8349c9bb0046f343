// linear_pack: weights from the file's layout to packed tiles. Include after a simd header, with LLMPY_PACK defined as the
// name of the function.
//
// Levels share it: it waits for memory. Their packed weights differ in one thing, whether those of 8 bits have a sign.

#pragma once

#include "linear_all_types.inl"

namespace llmpy {
namespace {

// ---- weights in blocks

static_assert(!weights_are_offset, "the levels that have it so say so");
// What the bits of 8-bit weights differ by where they are offset.
constexpr int offset_bits(bool offset) { return offset ? 0x80 : 0; }

// One group of some rows, from block `first` of each on, which are `n` blocks of T.
template <class T>
LLMPY_CALL void pack_group(uint8_t* out, const uint8_t* rows, int64_t row_stride, int count, int flip, int64_t first,
                           int n) {
    T::pack(out, Rows<typename T::FileBlock>{rows, row_stride, count, flip}, first, n);
}

void pack_int8(const LinearCall& shape, const void* rows, void* packed, int flip, int64_t block_inputs,
               decltype(&pack_group<Q4_0>) pack_one) {
    const int64_t file_row = row_bytes(shape.type, shape.inputs);
    const int64_t tile_bytes = packed_tile_bytes(shape.type, shape.inputs);
    const int64_t file_width = block_width(shape.type);
    for (int64_t tile = shape.tile_begin; tile < shape.tile_end; ++tile) {
        const int64_t first = tile * tile_rows;
        const int count = static_cast<int>(lesser(shape.outputs - first, tile_rows));
        const uint8_t* const source = static_cast<const uint8_t*>(rows) + first * file_row;
        uint8_t* out = static_cast<uint8_t*>(packed) + tile * tile_bytes;
        // The next tile will be read at 16 places at once, which the hardware does not foresee.
        const uint8_t* next = source + tile_rows * file_row;
        const int64_t slice = file_row * tile_rows / group_count(shape.inputs);
        for (int64_t k = 0; k < shape.inputs; k += group_width) {
            if (tile + 1 < shape.tile_end) {
                for (int64_t i = 0; i < slice; i += 64) prefetch_l2(next + i);
                next += slice;
            }
            const int64_t width = lesser(shape.inputs - k, group_width);
            pack_one(out, source, file_row, count, flip, k / file_width, static_cast<int>(width / block_inputs));
            out += packed_group_bytes(shape.type, width);
        }
    }
}

// ---- F16 and BF16, as integers of 16 bits

// The step to which 256 weights of a row are rounded: zero if all are zero, NaN if they had better be kept. It is as
// small as a 16-bit integer and the sums allow: the sizes of 32 integers add up to at most 65500 + 16 (half a step for
// each), times activations of at most 32767: below 2^31. At most 1/512 of the weights' mean size, so that no weight is
// moved by more than a 1024th of it.
inline float int16_step(const float* row, int64_t width) {
    const float none = __builtin_nanf("");
    I32x16 most = set1(0);
    float largest_sum = 0.0f, total = 0.0f;
    for (int64_t k = 0; k < group_width; k += int16_block) {
        const F32x16 low = absolute(load(row + k)), high = absolute(load(row + k + 16));
        most = max(most, max(bits_of(low), bits_of(high)));
        const float of_block = sum(low + high);
        largest_sum = greater(largest_sum, of_block);
        total += of_block;
    }
    const int32_t largest = max_lane(most);
    if (largest == 0) return 0.0f;
    if (largest >= 0x7f800000) return none;
    const float step = greater(float_from_bits(static_cast<uint32_t>(largest)) / 32767.0f, largest_sum / 65500.0f);
    const bool fine = step <= total / static_cast<float>(width) * 0x1p-9f && step >= 0x1p-100f && total <= 0x1p120f;
    return fine ? step : none;
}

// One group of a tile: `values` [16][256] are the rows, zero beyond `width`.
template <class T>
void pack_pairs(const float* values, const typename T::Stored* stored, int64_t width, uint8_t* out) {
    float steps[tile_rows];
    bool kept = false;
    for (int r = 0; r < tile_rows; ++r) {
        steps[r] = int16_step(values + r * group_width, width);
        kept = kept || !(steps[r] >= 0.0f);
    }
    if (kept) {
        memset(out, 0, static_cast<size_t>(quad_bytes + int16_pairs(width) * quad_bytes));
        write(out, kept_mark);
        typename T::Stored* to = reinterpret_cast<typename T::Stored*>(out + quad_bytes);
        for (int64_t k = 0; k < width; ++k) {
            for (int64_t r = 0; r < tile_rows; ++r) to[tile_rows * k + r] = stored[r * group_width + k];
        }
        return;
    }
    memcpy(out, steps, sizeof steps);
    int16_t q[tile_rows * group_width];
    for (int64_t r = 0; r < tile_rows; ++r) {
        const F32x16 factor = set1(steps[r] > 0.0f ? 1.0f / steps[r] : 0.0f);
        for (int64_t k = r * group_width; k < r * group_width + 2 * int16_pairs(width); k += 16) {
            store_i16(q + k, to_i32(load(values + k) * factor));
        }
    }
    for (int64_t i = 0; i < int16_pairs(width); ++i) {
        for (int64_t r = 0; r < tile_rows; ++r) {
            memcpy(out + quad_bytes * (1 + i) + 4 * r, q + r * group_width + 2 * i, 4);
        }
    }
}

template <class T>
void pack_int16(const LinearCall& shape, const void* rows, void* packed) {
    using Stored = typename T::Stored;
    const int64_t row_stride = row_bytes(shape.type, shape.inputs);
    Stored stored[tile_rows * group_width];
    float values[tile_rows * group_width];
    for (int64_t tile = shape.tile_begin; tile < shape.tile_end; ++tile) {
        uint8_t* out = static_cast<uint8_t*>(packed) + tile * packed_tile_bytes(shape.type, shape.inputs);
        const int64_t first = tile * tile_rows, count = lesser(shape.outputs - first, tile_rows);
        for (int64_t k = 0; k < shape.inputs; k += group_width) {
            const int64_t width = lesser(shape.inputs - k, group_width);
            if (width < group_width || count < tile_rows) memset(stored, 0, sizeof stored);
            for (int64_t r = 0; r < count; ++r) {
                const uint8_t* from = static_cast<const uint8_t*>(rows) + (first + r) * row_stride;
                memcpy(stored + r * group_width, from + k * static_cast<int64_t>(sizeof(Stored)),
                       static_cast<size_t>(width) * sizeof(Stored));
            }
            for (int64_t i = 0; i < tile_rows * group_width; i += 16) store(values + i, T::load16(stored + i));
            pack_pairs<T>(values, stored, width, out);
            out += packed_group_bytes(shape.type, width);
        }
    }
}

// ---- F32

template <class T>
void pack_floats(const LinearCall& shape, const void* rows, void* packed) {
    using Stored = typename T::Stored;
    const int64_t row_stride = row_bytes(shape.type, shape.inputs);
    for (int64_t tile = shape.tile_begin; tile < shape.tile_end; ++tile) {
        Stored* out = reinterpret_cast<Stored*>(static_cast<uint8_t*>(packed) +
                                                tile * packed_tile_bytes(shape.type, shape.inputs));
        for (int64_t k = 0; k < shape.inputs; k += tile_rows) {
            const int64_t width = lesser(shape.inputs - k, tile_rows);
            for (int64_t r = 0; r < tile_rows; ++r) {
                const int64_t row = tile * tile_rows + r;
                const uint8_t* from = static_cast<const uint8_t*>(rows) + row * row_stride;
                for (int64_t i = 0; i < width; ++i) {
                    const bool exists = row < shape.outputs;
                    out[tile_rows * (k + i) + r] =
                        exists ? read<Stored>(from + (k + i) * static_cast<int64_t>(sizeof(Stored))) : Stored{0};
                }
            }
        }
    }
}

// ---- all types

template <class T>
constexpr int64_t inputs_of = 4 * T::quads;

}  // namespace

void LLMPY_PACK(WeightType type, int64_t outputs, int64_t inputs, bool offset, const void* rows, void* packed,
                int64_t tile_begin, int64_t tile_end) {
    LinearCall shape = {};
    shape.type = type;
    shape.outputs = outputs;
    shape.inputs = inputs;
    shape.tile_begin = tile_begin;
    shape.tile_end = tile_end;
    for_type(
        type,
        [&](auto t) {
            using T = decltype(t);
            pack_int8(shape, rows, packed, offset_bits(offset), inputs_of<T>, pack_group<T>);
        },
        [&](auto t) { pack_int16<decltype(t)>(shape, rows, packed); },
        [&](auto t) { pack_floats<decltype(t)>(shape, rows, packed); });
}

}  // namespace llmpy
