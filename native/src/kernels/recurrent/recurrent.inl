// recurrent.inl: the kernels of recurrent.h, in the vocabulary of simd/*.h; compiled once per level.

#include "../ops/maps.inl"

namespace llmpy {
namespace {

void conv(const float* x, const float* w, const float* bias, int64_t n, int64_t width, int64_t begin, int64_t end,
          float* before, float* y) {
    each_part(begin, end, [&](int64_t i, int rest) LLMPY_LAMBDA {
        F32x16 sum = bias != nullptr ? load_up_to(bias + i, rest) : set1(0.0f);
        for (int64_t j = 0; j + 1 < width; ++j) {
            const F32x16 z = load_up_to(before + j * n + i, rest);
            sum = fma(z, load_up_to(w + j * n + i, rest), sum);
            if (j > 0) store_up_to(before + (j - 1) * n + i, z, rest);
        }
        const F32x16 z = load_up_to(x + i, rest);
        sum = fma(z, load_up_to(w + (width - 1) * n + i, rest), sum);
        if (width > 1) store_up_to(before + (width - 2) * n + i, z, rest);
        store_up_to(y + i, sum, rest);
    });
}

void scan(const ScanCall& call, int64_t head_begin, int64_t head_end) {
    const int64_t n = call.n, group = call.n_heads / call.n_groups;
    for (int64_t h = head_begin; h < head_end; ++h) {
        const float *const b = call.b + h / group * n, *const c = call.c + h / group * n;
        const float* const a = call.a + h * call.a_width;
        const F32x16 dt = set1(call.dt[h]);
        const F32x16 same = exp(dt * set1(a[0]));  // for a_width 1
        for (int64_t i = h * call.d; i < (h + 1) * call.d; ++i) {
            float* const s = call.memory + i * n;
            const F32x16 written = dt * set1(call.x[i]);
            F32x16 total = set1(0.0f);
            each_part(0, n, [&](int64_t j, int rest) LLMPY_LAMBDA {
                const F32x16 decay = call.a_width == 1 ? same : exp(dt * load_up_to(a + j, rest));
                const F32x16 now = fma(written, load_up_to(b + j, rest), decay * load_up_to(s + j, rest));
                store_up_to(s + j, now, rest);
                total = fma(now, load_up_to(c + j, rest), total);
            });
            call.y[i] = sum(total) + call.skip[h] * call.x[i];
        }
    }
}

void delta_rule(const DeltaCall& call, int64_t begin, int64_t end) {
    const int64_t n = call.d_key;
    for (int64_t i = begin; i < end; ++i) {
        const int64_t h = i / call.d_value;
        float* const s = call.memory + i * n;
        const float *const a = call.a + h * n, *const b = call.b + h * n, *const k = call.k + h * n;
        const float *const q = call.q + h * n, *const decay = call.decay + h * call.decay_width;
        F32x16 found = set1(0.0f), total = set1(0.0f);
        each_part(0, n, [&](int64_t j, int rest) LLMPY_LAMBDA {
            found = fma(load_up_to(s + j, rest), load_up_to(a + j, rest), found);
        });
        const F32x16 corrected = set1(sum(found)), value = set1(call.v[i]), same = set1(decay[0]);
        each_part(0, n, [&](int64_t j, int rest) LLMPY_LAMBDA {
            const F32x16 kept = call.decay_width == 1 ? same : load_up_to(decay + j, rest);
            F32x16 now = fma(corrected, load_up_to(b + j, rest), kept * load_up_to(s + j, rest));
            now = fma(value, load_up_to(k + j, rest), now);
            store_up_to(s + j, now, rest);
            total = fma(now, load_up_to(q + j, rest), total);
        });
        call.y[i] = sum(total);
    }
}

void wkv4(const Wkv4Call& call, int64_t begin, int64_t end) {
    each_part(begin, end, [&](int64_t i, int rest) LLMPY_LAMBDA {
        const F32x16 k = load_up_to(call.k + i, rest), v = load_up_to(call.v + i, rest);
        const F32x16 total = load_up_to(call.total + i, rest), weight = load_up_to(call.weight + i, rest);
        const F32x16 most = load_up_to(call.most + i, rest), now = k + load_up_to(call.first + i, rest);
        F32x16 top = max(most, now);
        F32x16 old = exp(most - top), fresh = exp(now - top);
        store_up_to(call.y + i, (old * total + fresh * v) / (old * weight + fresh), rest);
        const F32x16 left = most + load_up_to(call.decay + i, rest);
        top = max(left, k);
        old = exp(left - top);
        fresh = exp(k - top);
        store_up_to(call.total + i, old * total + fresh * v, rest);
        store_up_to(call.weight + i, old * weight + fresh, rest);
        store_up_to(call.most + i, top, rest);
    });
}

constexpr RecurrentKernels recurrent_kernels = {conv, scan, delta_rule, wkv4};

}  // namespace
}  // namespace llmpy
