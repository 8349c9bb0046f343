// quantize: the kernel of quantize.h for one level, from its parts; LLMPY_QUANTIZE is its name.

#include "llmpy/quantize.h"
#include "quantize_blocks.h"

#include "quantize_search.inl"

#include "quantize_groups.inl"

#include "quantize_plain.inl"

namespace llmpy {
namespace {

LLMPY_INLINE F32x16 search(WeightType target, bool weighted, Batch& batch) {
    const auto integers = [&](int groups, int n, int half, int scale_offset, int low) LLMPY_LAMBDA {
        const Coded spec = {groups, n, half, scale_offset, -low};
        const F32x16 error = coded(batch, weighted, spec, signed_ends(low), rounded(low, -low - 1));
        spread(batch, 0, groups * n, -low);
        return error;
    };
    const auto table = [&](int groups) LLMPY_LAMBDA {
        Ends ends;
        ends.around(-127, 30, 1.0f);
        ends.around(113, 30, 1.0f);
        const Coded spec = {groups, 32, 32, 32, 0};
        const F32x16 error = coded(batch, weighted, spec, ends, Nonlinear{});
        number_codes(batch, groups * 32);
        return error;
    };
    const auto range = [&](int groups, int n, int scale_high, int high) LLMPY_LAMBDA {
        const F32x16 error = ranged(batch, weighted, groups, n, scale_high, high);
        spread(batch, 0, groups * n, 0);
        return error;
    };
    switch (target) {
        case type_q2_k:
            return range(16, 16, 15, 3);
        case type_q3_k:
            return integers(16, 16, 32, 32, -4);
        case type_q4_k:
            return range(8, 32, 63, 15);
        case type_q5_k:
            return range(8, 32, 63, 31);
        case type_q6_k:
            return integers(16, 16, 128, 0, -32);
        case type_iq4_nl:
            return table(1);
        case type_iq4_xs:
            return table(8);
        case type_q4_0:
            return integers(1, 32, 0, 0, -8);
        case type_q4_1:
            return range(1, 32, 0, 15);
        case type_q5_0:
            return integers(1, 32, 0, 0, -16);
        case type_q5_1:
            return range(1, 32, 0, 31);
        default:
            return set1(0.0f);
    }
}

LLMPY_INLINE void pack(WeightType target, const Found& found, uint8_t* out) {
    switch (target) {
        case type_q4_0:
        case type_iq4_nl:
        case type_mxfp4:
            return pack_32(found, false, false, out);
        case type_q4_1:
            return pack_32(found, true, false, out);
        case type_q5_0:
            return pack_32(found, false, true, out);
        case type_q5_1:
            return pack_32(found, true, true, out);
        case type_q2_k:
            return pack_q2_k(found, out);
        case type_q3_k:
            return pack_q3_k(found, out);
        case type_q4_k:
            return pack_q4_k(found, out);
        case type_q5_k:
            return pack_q5_k(found, out);
        case type_q6_k:
            return pack_q6_k(found, out);
        case type_iq4_xs:
            return pack_iq4_xs(found, out);
        default:
            return;
    }
}

}  // namespace

QuantizeSums LLMPY_QUANTIZE(const QuantizeCall& call, int64_t begin, int64_t end) {
    if (is_plain(call)) return quantize_plain(call, begin, end);
    const int n = static_cast<int>(quantize_width(call.target));
    const int64_t size = quantize_bytes(call.target);
    Batch batch;
    QuantizeSums sums = {0, 0};
    for (int64_t first = begin; first < end; first += 16) {
        const int count = static_cast<int>(lesser<int64_t>(16, end - first));
        gather(call, first, count, n, batch);
        const F32x16 off = search(call.target, call.weights != nullptr, batch);
        sums.lost += static_cast<double>(sum(off));
        sums.squares += static_cast<double>(sum(squares_of(batch.x, 16 * n)));
        for (int lane = 0; lane < count; ++lane) pack(call.target, batch.found[lane], call.out + (first + lane) * size);
    }
    return sums;
}

}  // namespace llmpy
