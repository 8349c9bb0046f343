// weights: memory for weights and pages, and the packing of weights.

#include <initializer_list>

#include "llmpy.h"
#include "llmpy/linear.h"
#include "llmpy/ops.h"
#include "llmpy/os.h"
#include "llmpy/pool.h"

using namespace llmpy;

namespace {

constexpr int64_t kWorthSharing = 1 << 18;  // bytes

}  // namespace

extern "C" {

void* llmpy_allocate(int64_t bytes) { return bytes > 0 ? allocate(static_cast<size_t>(bytes)) : nullptr; }

void llmpy_release(void* memory, int64_t bytes) { release(memory, static_cast<size_t>(bytes)); }

int64_t llmpy_packed_bytes(int32_t type, int64_t outputs, int64_t inputs) {
    const auto weight_type = static_cast<WeightType>(type);
    return linear_supports(weight_type, inputs) ? packed_bytes(weight_type, outputs, inputs) : -1;
}

void llmpy_pack(int32_t level, llmpy_weights* weights, int32_t threads) {
    const LinearKernels& kernels = *level_of(level)->linear;
    const auto type = static_cast<WeightType>(weights->type);
    const int64_t tiles = tile_count(weights->outputs), step = tiles / (8 * int64_t{threads}) + 1;
    const bool small = packed_bytes(type, weights->outputs, weights->inputs) < kWorthSharing;
    ThreadQuota quota(threads);
    for (int64_t i = 0; i < weights->matrices; ++i) {
        const auto* const rows = static_cast<const unsigned char*>(weights->rows) + i * weights->rows_stride;
        auto* const packed = static_cast<unsigned char*>(weights->packed) + i * weights->packed_stride;
        const auto chunks = static_cast<int32_t>((tiles + step - 1) / step);
        parallel(small ? 1 : quota.threads(), chunks, [&](int32_t chunk, int32_t) {
            const int64_t begin = chunk * step, end = begin + step;
            kernels.pack(type, weights->outputs, weights->inputs, rows, packed, begin, end < tiles ? end : tiles);
        });
        quota.again();
    }
    __atomic_store_n(&weights->ready, 1, __ATOMIC_RELEASE);
}

void llmpy_touch(const void* memory, int64_t bytes) {
    // Linux maps 64 KB around a page that it meets: going from one of those to the next takes less than half of the
    // time.
    constexpr int64_t around = 64 << 10, page = 4096;
    const auto* const data = static_cast<const volatile unsigned char*>(memory);
    for (const int64_t step : {around, page}) {
        for (int64_t i = 0; i < bytes; i += step) static_cast<void>(data[i]);
    }
}

int32_t llmpy_input_kind(int32_t type) {
    return static_cast<int32_t>(linear_input_kind(static_cast<WeightType>(type)));
}

int64_t llmpy_input_bytes(int32_t kind, int64_t inputs) {
    return linear_input_bytes(static_cast<InputKind>(kind), 1, inputs);
}
}
