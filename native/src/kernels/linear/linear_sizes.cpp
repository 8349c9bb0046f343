// linear_sizes: what linear.h says about sizes; the same for every instruction set.

#include "linear_layout.h"
#include "llmpy/blocks.h"
#include "llmpy/linear.h"

namespace llmpy {

bool linear_supports(WeightType type, int64_t inputs) {
    const int64_t width = block_width(type);
    return width > 0 && inputs > 0 && inputs % width == 0;
}

int64_t row_bytes(WeightType type, int64_t inputs) {
    const int64_t width = block_width(type);
    return width > 0 ? inputs / width * block_bytes(type) : 0;
}

int64_t tile_count(int64_t outputs) { return (outputs + tile_rows - 1) / tile_rows; }

int64_t packed_group_bytes(WeightType type, int64_t inputs) {
    int64_t bytes = 0;
    switch (type) {
#define LLMPY_CASE(name, Name, number, width, block, input, written) \
    case type_##name:                                                \
        bytes = Block##Name::packed(inputs / width);                 \
        break;
        LLMPY_WEIGHT_TYPES(LLMPY_CASE)
#undef LLMPY_CASE
    }
    return (bytes + linear_alignment - 1) / linear_alignment * linear_alignment;
}

int64_t packed_tile_bytes(WeightType type, int64_t inputs) {
    const int64_t rest = inputs % group_width;
    return inputs / group_width * packed_group_bytes(type, group_width) + packed_group_bytes(type, rest);
}

InputKind linear_input_kind(WeightType type) {
    switch (type) {
#define LLMPY_CASE(name, Name, number, width, bytes, input, written) \
    case type_##name:                                                \
        return InputKind::input;
        LLMPY_WEIGHT_TYPES(LLMPY_CASE)
#undef LLMPY_CASE
    }
    return InputKind::int8;
}

int64_t linear_input_bytes(InputKind kind, int64_t tokens, int64_t inputs) {
    const int64_t n = group_count(inputs) * tokens;
    if (kind == InputKind::floats) return n * group_width * int64_t{sizeof(float)};
    if (kind == InputKind::int16) return n * int16_group_bytes;
    constexpr int64_t read_at_once = 8;  // bytes that say what is kept apart
    return (n * int8_group_bytes + read_at_once + linear_alignment - 1) / linear_alignment * linear_alignment;
}

int64_t linear_scratch_bytes() { return scratch_bytes; }

int64_t linear_chunk_tiles(WeightType type, int64_t outputs, int64_t inputs, int64_t tokens, int64_t threads) {
    const int64_t tiles = tile_count(outputs);
    if (threads <= 1) return tiles;
    // A piece should last some ten microseconds, many times what it costs to take one: as many bytes as memory gives in
    // that time or, with many tokens, as many products.
    const int64_t least_bytes = 256 * 1024;
    const int64_t work = packed_tile_bytes(type, inputs) * (1 + tokens / 8);
    const int64_t worth = (least_bytes + work - 1) / work;
    // Pieces for each thread, to even out a slow one: of one token as few as do, for memory is read fastest in long runs.
    const int64_t pieces = (tokens < 64 ? 8 : 16) * threads;
    const int64_t fair = (tiles + pieces - 1) / pieces;
    int64_t chunk = worth > fair ? worth : fair;
    const int64_t share = (tiles + threads - 1) / threads;
    if (chunk > share) chunk = share;
    chunk += chunk % 2;  // kernels for many tokens take tiles in pairs
    return chunk < 1 ? 1 : chunk;
}

}  // namespace llmpy
