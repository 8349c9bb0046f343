// linear_pack: weights in blocks from the file's layout to packed tiles, and back to floats.

#pragma once

#include "linear_types.inl"

namespace llmpy {
namespace {

template <class T>
void pack_int8(const LinearCall& shape, const void* rows, void* packed) {
    const int64_t file_row = row_bytes(shape.type, shape.inputs);
    const int64_t tile_bytes = packed_tile_bytes(shape.type, shape.inputs);
    const int64_t file_width = block_width(shape.type);
    for (int64_t tile = shape.tile_begin; tile < shape.tile_end; ++tile) {
        const int64_t first = tile * tile_rows;
        const int count = static_cast<int>(lesser(shape.outputs - first, tile_rows));
        const Rows<typename T::FileBlock> source{static_cast<const uint8_t*>(rows) + first * file_row, file_row, count};
        uint8_t* out = static_cast<uint8_t*>(packed) + tile * tile_bytes;
        // The next tile will be read at 16 places at once, which the hardware does not foresee.
        const uint8_t* next = source.first + tile_rows * file_row;
        const int64_t slice = file_row * tile_rows / group_count(shape.inputs);
        for (int64_t k = 0; k < shape.inputs; k += group_width) {
            if (tile + 1 < shape.tile_end) {
                for (int64_t i = 0; i < slice; i += 64) prefetch_l2(next + i);
                next += slice;
            }
            const int64_t width = lesser(shape.inputs - k, group_width);
            T::pack(out, source, k / file_width, static_cast<int>(width / (4 * T::quads)));
            out += packed_group_bytes(shape.type, width);
        }
    }
}

template <class T>
void unpack_int8(const LinearCall& shape, int64_t row, float* values) {
    const uint8_t* p = static_cast<const uint8_t*>(shape.packed);
    p += row / tile_rows * packed_tile_bytes(shape.type, shape.inputs);
    const int64_t lane = row % tile_rows;
    const int offset = T::offset_shift < 0 ? 0 : 1 << (T::offset_shift < 0 ? 0 : T::offset_shift);
    for (int64_t k = 0; k < shape.inputs; k += group_width) {
        const int64_t width = lesser(shape.inputs - k, group_width);
        const int n = static_cast<int>(width / (4 * T::quads));
        const typename T::Reader reader(p, n);
        T::for_blocks(n, [&](auto j) {
            uint8_t bytes[quad_bytes * T::quads];
            float scales[16], minima[16] = {};
            unroll<T::quads>(
                [&](auto q) { store_bytes(bytes + quad_bytes * q.value, reader.template quad<q.value>(j)); });
            store(scales, reader.scale(j));
            if constexpr (T::minima != Minima::none) store(minima, reader.added(j));
            for (int i = 0; i < 4 * T::quads; ++i) {
                const uint8_t byte = bytes[quad_bytes * (i / 4) + 4 * lane + i % 4];
                const bool is_signed = T::bits == 8 && !weights_are_offset;
                const int q = (is_signed ? static_cast<int8_t>(byte) : byte) - offset;
                const float product = scales[lane] * static_cast<float>(q);
                values[k + 4 * T::quads * j + i] = T::minima == Minima::none ? product : product + minima[lane];
            }
        });
        p += packed_group_bytes(shape.type, width);
    }
}

}  // namespace
}  // namespace llmpy
