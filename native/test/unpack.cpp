// unpack: packed weights of any level back to float32, for tests.

#include "unpack.h"

#include "llmpy/simd/portable.h"

#include "kernels/linear/linear_all_types.inl"

namespace llmpy {
namespace {

// What a group of `n` blocks has for one of its 16 rows.
template <class T>
void unpack_group(const uint8_t* group, int n, int64_t row, int flip, float* values) {
    const typename T::Reader reader(group, n);
    constexpr int offset = T::offset_shift < 0 ? 0 : 1 << (T::offset_shift < 0 ? 0 : T::offset_shift);
    for (unsigned j = 0; j < static_cast<unsigned>(n); ++j) {
        float scales[16], minima[16] = {};
        store(scales, reader.scale_at(j));
        if constexpr (T::minima != Minima::none) store(minima, reader.added_at(j));
        for (unsigned q = 0; q < T::quads; ++q) {
            uint8_t bytes[quad_bytes];
            store_bytes(bytes, packed_quad<T>(reader, T::quads * j + q));
            for (int i = 0; i < 4; ++i, ++values) {
                const auto byte = static_cast<uint8_t>(bytes[4 * row + i] ^ (T::plain_bytes ? flip : 0));
                const int integer = (T::bits == 8 ? static_cast<int8_t>(byte) : byte) - offset;
                const float product = scales[row] * static_cast<float>(integer);
                *values = T::minima == Minima::none ? product : product + minima[row];
            }
        }
    }
}

void unpack_int8(const LinearCall& shape, int64_t row, int flip, int64_t block_inputs, float* values,
                 decltype(&unpack_group<Q4_0>) unpack_one) {
    const uint8_t* p = static_cast<const uint8_t*>(shape.packed);
    p += row / tile_rows * packed_tile_bytes(shape.type, shape.inputs);
    for (int64_t k = 0; k < shape.inputs; k += group_width) {
        const int64_t width = lesser(shape.inputs - k, group_width);
        unpack_one(p, static_cast<int>(width / block_inputs), row % tile_rows, flip, values + k);
        p += packed_group_bytes(shape.type, width);
    }
}

template <class T>
void unpack_int16(const LinearCall& shape, int64_t row, float* values) {
    const uint8_t* group =
        static_cast<const uint8_t*>(shape.packed) + row / tile_rows * packed_tile_bytes(shape.type, shape.inputs);
    const int64_t lane = row % tile_rows;
    for (int64_t k = 0; k < shape.inputs; k += group_width) {
        const int64_t width = lesser(shape.inputs - k, group_width);
        for (int64_t i = 0; i < width; ++i) {
            if (is_kept(group)) {
                float lanes[16];
                const uint8_t* from = group + quad_bytes + i * tile_rows * int64_t{sizeof(typename T::Stored)};
                store(lanes, T::load16(reinterpret_cast<const typename T::Stored*>(from)));
                values[k + i] = lanes[lane];
            } else {
                const int16_t q = read<int16_t>(group + quad_bytes * (1 + i / 2) + 4 * lane + 2 * (i % 2));
                values[k + i] = read<float>(group + 4 * lane) * static_cast<float>(q);
            }
        }
        group += packed_group_bytes(shape.type, width);
    }
}

template <class T>
void unpack_floats(const LinearCall& shape, int64_t row, float* values) {
    using Stored = typename T::Stored;
    const uint8_t* tile =
        static_cast<const uint8_t*>(shape.packed) + row / tile_rows * packed_tile_bytes(shape.type, shape.inputs);
    for (int64_t k = 0; k < shape.inputs; ++k) {
        float lanes[16];
        store(lanes, T::load16(reinterpret_cast<const Stored*>(tile) + tile_rows * k));
        values[k] = lanes[row % tile_rows];
    }
}

}  // namespace

void unpack_row(const LinearKernels& kernels, WeightType type, int64_t inputs, const void* packed, int64_t row,
                float* values) {
    LinearCall shape = {};
    shape.type = type;
    shape.inputs = inputs;
    shape.packed = packed;
    const int flip = kernels.offset ? 0x80 : 0;
    for_type(
        type,
        [&](auto t) {
            using T = decltype(t);
            unpack_int8(shape, row, flip, 4 * T::quads, values, unpack_group<T>);
        },
        [&](auto t) { unpack_int16<decltype(t)>(shape, row, values); },
        [&](auto t) { unpack_floats<decltype(t)>(shape, row, values); });
}

}  // namespace llmpy
