// attend_integers: attention of a level whose products of integers are not those of the level LLMPY_ATTEND_BASE, which has
// all else. See attend.h.

#include "attend_cache.inl"
#include "attend_products.inl"

namespace llmpy {
namespace {

// Keys of q8_0 are kept as `Dot` wants them.
void store_key_for_dot(const float* x, int64_t d, CacheType type, void* head, int64_t slot) {
    if (type == CacheType::q8_0) return store_rounded_key(x, d, static_cast<uint8_t*>(head), slot);
    LLMPY_ATTEND_BASE.kernels.store_key(x, d, type, head, slot);
}

void store_value_as_base(const float* x, int64_t d, CacheType type, void* head, int64_t slot) {
    LLMPY_ATTEND_BASE.kernels.store_value(x, d, type, head, slot);
}

void attend(const AttendCall& call) {
    switch (call.shape->type) {
        case CacheType::int14:
            return LLMPY_ATTEND_BASE.attend_with(call, score_kernels<int16_t>, weigh_kernels<int16_t>);
        case CacheType::q8_0:
            return LLMPY_ATTEND_BASE.attend_with(call, score_kernels<int8_t>, LLMPY_ATTEND_BASE.weigh_q8_0);
        case CacheType::q4_0:
            return LLMPY_ATTEND_BASE.attend_with(call, score_kernels<TwoNibbles>, LLMPY_ATTEND_BASE.weigh_q4_0);
        case CacheType::f32:
        case CacheType::f16:
            return LLMPY_ATTEND_BASE.kernels.attend(call);
    }
}

void attend_join(const AttendCall& call, const float* partials, int64_t stride, int32_t n_segments) {
    LLMPY_ATTEND_BASE.kernels.join(call, partials, stride, n_segments);
}

constexpr AttendKernels attend_kernels = {store_key_for_dot, store_value_as_base, attend, attend_join};

}  // namespace
}  // namespace llmpy
