// quantize: sizes of blocks, and the work of a tensor in chunks that threads can take. See quantize.h.

#include "llmpy/quantize.h"

#include <math.h>

#include "llmpy/blocks.h"
#include "llmpy/ops.h"
#include "llmpy/pool.h"

namespace llmpy {
namespace {

// Level `number`, or the best that runs here where that is negative.
const Level* chosen_level(int32_t number) {
    if (number >= 0) return level_of(number);
    const Level* best = level_of(0);
    for (int32_t i = 1; level_of(i) != nullptr; ++i) {
        if (level_runs_here(i)) best = level_of(i);
    }
    return best;
}

}  // namespace

int64_t quantize_width(WeightType type) {
    switch (type) {
#define LLMPY_CASE(name, Name, number, width, bytes, input, written) \
    case type_##name:                                                \
        return !written ? 0 : width == 1 ? 32 : width;
        LLMPY_WEIGHT_TYPES(LLMPY_CASE)
#undef LLMPY_CASE
    }
    return 0;
}

int64_t quantize_bytes(WeightType type) { return block_width(type) == 1 ? 32 * block_bytes(type) : block_bytes(type); }

int floor_of_log2(float x) {
    if (!(x > 0.0f)) return -1000;
    return x > 3.4e38f ? 127 : static_cast<int>(floorf(static_cast<float>(log2(static_cast<double>(x)))));
}

}  // namespace llmpy

using namespace llmpy;

extern "C" {

int32_t llmpy_quantize(int32_t level, int32_t source, int32_t target, const void* values, int64_t n_values,
                       int64_t columns, const float* weights, void* out, double* sums, int32_t threads) {
    const QuantizeCall call = {
        static_cast<WeightType>(source), static_cast<WeightType>(target), values, weights, columns,
        static_cast<uint8_t*>(out)};
    const int64_t width = quantize_width(call.target);
    const bool readable = source == type_f32 || source == type_f16 || source == type_bf16;
    if (width == 0 || !readable || n_values < 0 || columns < 1 || columns % width != 0 || n_values % columns != 0) {
        return 1;
    }
    constexpr int64_t chunk_values = LLMPY_QUANTIZE_CHUNK;
    const int64_t blocks = n_values / width, step = chunk_values / width;
    const int64_t chunks = (blocks + step - 1) / step;
    if (chunks > INT32_MAX) return 1;
    const QuantizeKernel kernel = chosen_level(level)->quantize;
    const ThreadQuota quota(threads);
    parallel(quota.threads(), static_cast<int32_t>(chunks), [&](int32_t chunk, int32_t) {
        const int64_t begin = chunk * step, end = begin + step < blocks ? begin + step : blocks;
        const QuantizeSums found = kernel(call, begin, end);
        sums[2 * chunk] = found.lost;
        sums[2 * chunk + 1] = found.squares;
    });
    return 0;
}
}
