// gpu_pass: dispatches into a compute pass of wgpu-native, whose functions come from Python by their addresses.

#include <stddef.h>
#include <stdint.h>

#include "llmpy.h"

namespace {

// As webgpu.h declares them; Python compares that with the header of the library at hand.
using SetPipeline = void (*)(void* pass, void* pipeline);
using SetBindGroup = void (*)(void* pass, uint32_t index, void* group, size_t n_offsets, const uint32_t* offsets);
using DispatchWorkgroups = void (*)(void* pass, uint32_t x, uint32_t y, uint32_t z);

}  // namespace

void llmpy_gpu_record(const llmpy_gpu_functions* functions, void* pass, const llmpy_gpu_dispatch* dispatches,
                      int64_t n) {
    const auto set_pipeline = reinterpret_cast<SetPipeline>(functions->set_pipeline);
    const auto set_bind_group = reinterpret_cast<SetBindGroup>(functions->set_bind_group);
    const auto dispatch_workgroups = reinterpret_cast<DispatchWorkgroups>(functions->dispatch_workgroups);
    const void* set = nullptr;
    for (const llmpy_gpu_dispatch* d = dispatches; d < dispatches + n; ++d) {
        if (d->x == 0) continue;
        if (d->pipeline != set) set_pipeline(pass, d->pipeline);
        set = d->pipeline;
        set_bind_group(pass, 0, d->bind_group, 0, nullptr);
        dispatch_workgroups(pass, static_cast<uint32_t>(d->x), static_cast<uint32_t>(d->y), 1);
    }
}
