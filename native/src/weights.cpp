// weights: memory for weights and pages, and the packing of weights; the last part of plan.h.

#include "llmpy/linear.h"
#include "llmpy/ops.h"
#include "llmpy/os.h"
#include "llmpy/plan.h"
#include "llmpy/pool.h"

using namespace llmpy;

namespace {

constexpr int64_t kWorthSharing = 1 << 18;  // bytes

}  // namespace

extern "C" {

void* llmpy_allocate(int64_t bytes) {
    return bytes > 0 ? allocate(static_cast<size_t>(bytes)) : nullptr;
}

void llmpy_release(void* memory, int64_t bytes) {
    release(memory, static_cast<size_t>(bytes));
}

int64_t llmpy_packed_bytes(int32_t type, int64_t outputs, int64_t inputs) {
    const auto weight_type = static_cast<WeightType>(type);
    return linear_supports(weight_type, inputs) ? packed_bytes(weight_type, outputs, inputs) : -1;
}

void llmpy_pack(int32_t level, const llmpy_pack_job* jobs, int64_t n, int32_t threads, int64_t* done,
                const int32_t* stop) {
    const LinearKernels& kernels = *level_of(level)->linear;
    if (threads > 1) take_turn();
    for (int64_t i = 0; i < n && __atomic_load_n(stop, __ATOMIC_RELAXED) == 0; ++i) {
        const llmpy_pack_job& job = jobs[i];
        const auto type = static_cast<WeightType>(job.type);
        const int64_t tiles = tile_count(job.outputs), step = tiles / (8 * int64_t{threads}) + 1;
        const bool small = packed_bytes(type, job.outputs, job.inputs) < kWorthSharing;
        parallel(small ? 1 : threads, static_cast<int32_t>((tiles + step - 1) / step), [&](int32_t chunk, int32_t) {
            const int64_t begin = chunk * step;
            kernels.pack(type, job.outputs, job.inputs, job.rows, job.packed, begin,
                         begin + step < tiles ? begin + step : tiles);
        });
        __atomic_store_n(done, i + 1, __ATOMIC_RELEASE);
        if (threads > 1) share_turn();
    }
    if (threads > 1) end_turn();
}

int32_t llmpy_input_kind(int32_t type) {
    return static_cast<int32_t>(linear_input_kind(static_cast<WeightType>(type)));
}

int64_t llmpy_input_bytes(int32_t kind, int64_t inputs) {
    return linear_input_bytes(static_cast<InputKind>(kind), 1, inputs);
}
}
