// dequantize: sizes of blocks, and rows in the file's layout to float32, in plain C++. See blocks.h.

#include "llmpy/blocks.h"

namespace llmpy {

int64_t block_width(WeightType type) {
    switch (type) {
#define LLMPY_CASE(name, Name, number, width, bytes, input, written) \
    case type_##name:                                                \
        return width;
        LLMPY_WEIGHT_TYPES(LLMPY_CASE)
#undef LLMPY_CASE
    }
    return 0;
}

int64_t block_bytes(WeightType type) {
    switch (type) {
#define LLMPY_CASE(name, Name, number, width, bytes, input, written) \
    case type_##name:                                                \
        return bytes;
        LLMPY_WEIGHT_TYPES(LLMPY_CASE)
#undef LLMPY_CASE
    }
    return 0;
}

namespace {

template <class Block>
void values_of_row(const void* row, int64_t count, int64_t width, float* values) {
    const uint8_t* bytes = static_cast<const uint8_t*>(row);
    for (int64_t i = 0; i < count / width; ++i) {
        read<Block>(bytes + i * static_cast<int64_t>(sizeof(Block))).values(values + i * width);
    }
}

}  // namespace

bool dequantize_row(WeightType type, const void* row, int64_t count, float* values) {
    const int64_t width = block_width(type);
    if (width == 0 || count < 0 || count % width != 0) return false;
    switch (type) {
#define LLMPY_CASE(name, Name, number, width, bytes, input, written) \
    case type_##name:                                                \
        values_of_row<Block##Name>(row, count, width, values);       \
        break;
        LLMPY_WEIGHT_TYPES(LLMPY_CASE)
#undef LLMPY_CASE
    }
    return true;
}

}  // namespace llmpy
