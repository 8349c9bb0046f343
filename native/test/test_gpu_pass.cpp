// Compute passes: which functions are called, in which order, and with what.
#include "check.h"
#include "llmpy.h"

namespace {

using namespace llmpy;

struct Call {
    char what;
    const void* pass;
    const void* handle;
    uint32_t numbers[3];
};

Call calls[16];
int n_calls = 0;

void set_pipeline(void* pass, void* pipeline) { calls[n_calls++] = {'p', pass, pipeline, {}}; }

void set_bind_group(void* pass, uint32_t index, void* group, size_t n_offsets, const uint32_t* offsets) {
    calls[n_calls++] = {'g', pass, group, {index, static_cast<uint32_t>(n_offsets), offsets == nullptr}};
}

void dispatch_workgroups(void* pass, uint32_t x, uint32_t y, uint32_t z) {
    calls[n_calls++] = {'d', pass, nullptr, {x, y, z}};
}

void what_has_workgroups_is_recorded_in_order() {
    char pass, a, b, group;
    const llmpy_gpu_functions functions = {reinterpret_cast<void*>(set_pipeline),
                                           reinterpret_cast<void*>(set_bind_group),
                                           reinterpret_cast<void*>(dispatch_workgroups)};
    const llmpy_gpu_dispatch dispatches[] = {
        {&a, &group, 7, 1}, {&b, &group, 0, 0}, {&a, &group, 32768, 3}, {&b, &group, 1, 1}};
    llmpy_gpu_record(&functions, &pass, dispatches, 4);
    const Call expected[] = {{'p', &pass, &a, {}},
                             {'g', &pass, &group, {0, 0, 1}},
                             {'d', &pass, nullptr, {7, 1, 1}},
                             {'g', &pass, &group, {0, 0, 1}},
                             {'d', &pass, nullptr, {32768, 3, 1}},  // the pipeline is still set
                             {'p', &pass, &b, {}},
                             {'g', &pass, &group, {0, 0, 1}},
                             {'d', &pass, nullptr, {1, 1, 1}}};
    CHECK(n_calls == 8, "%d calls", n_calls);
    for (int i = 0; i < 8; ++i) {
        const Call &found = calls[i], &e = expected[i];
        CHECK(found.what == e.what && found.pass == e.pass && found.handle == e.handle, "call %d", i);
        for (int j = 0; j < 3; ++j) CHECK(found.numbers[j] == e.numbers[j], "call %d, number %d", i, j);
    }
    llmpy_gpu_record(&functions, &pass, dispatches, 0);
    CHECK(n_calls == 8, "none is none");
}

}  // namespace

int main() {
    what_has_workgroups_is_recorded_in_order();
    return n_failures == 0 ? 0 : 1;
}
