// quantize_groups: blocks whose groups share a scale, sixteen at a time. The same steps as quant/make_k.py.

namespace llmpy {
namespace {

// Values from `first` on as float32; count is a multiple of 16.
LLMPY_INLINE void read_values(const QuantizeCall& call, int64_t first, int64_t count, float* x) {
    if (call.source == type_f32) {
        memcpy(x, static_cast<const float*>(call.values) + first, static_cast<size_t>(count) * sizeof *x);
        return;
    }
    const uint16_t* half = static_cast<const uint16_t*>(call.values) + first;
    for (int64_t i = 0; i < count; i += 16) {
        store(x + i, call.source == type_f16 ? load_f16(half + i) : load_bf16(half + i));
    }
}

LLMPY_INLINE F32x16 squares_of(const float* x, int n) {
    F32x16 sum = set1(0.0f);
    for (int i = 0; i < n; i += 16) sum = sum + load(x + i) * load(x + i);
    return sum;
}

// Sixteen blocks of up to 256 values, value i of block `lane` at [i][lane].
struct alignas(64) Batch {
    float x[256 * 16];
    float w[256 * 16];
    float q[256 * 16];
    Found found[16];
};

// Blocks first .. first + count - 1; the lanes beyond are zeros.
LLMPY_NOINLINE void gather(const QuantizeCall& call, int64_t first, int count, int n, Batch& batch) {
    float row[256];
    for (int lane = 0; lane < 16; ++lane) {
        if (lane < count) {
            read_values(call, (first + lane) * n, n, row);
        } else {
            memset(row, 0, sizeof row);
        }
        for (int i = 0; i < n; ++i) batch.x[16 * i + lane] = row[i];
        if (call.weights == nullptr) continue;
        const float* w = call.weights + (lane < count ? (first + lane) * n % call.columns : 0);
        for (int i = 0; i < n; ++i) batch.w[16 * i + lane] = w[i];
    }
}

// Integers of group g, from float lanes into the blocks, `offset` larger.
LLMPY_NOINLINE void spread(Batch& batch, int first, int n, int offset) {
    int32_t lanes[16];
    for (int i = first; i < first + n; ++i) {
        store(lanes, to_i32(load(batch.q + 16 * i)) + set1(offset));
        for (int lane = 0; lane < 16; ++lane) batch.found[lane].q[i] = static_cast<uint8_t>(lanes[lane]);
    }
}

// Values of the table of IQ4 as their numbers.
LLMPY_INLINE void number_codes(Batch& batch, int n) {
    for (int i = 0; i < n; ++i) {
        const F32x16 code = load(batch.q + 16 * i);
        F32x16 number = set1(0.0f);
        unroll<15>([&](auto k) LLMPY_LAMBDA {
            number = select(less(code, set1(kNonlinear[k + 1])), number, set1(static_cast<float>(k + 1)));
        });
        store(batch.q + 16 * i, number);
    }
    spread(batch, 0, n, 0);
}

LLMPY_INLINE void spread_small(Batch& batch, int g, F32x16 k, int offset, bool minimum) {
    int32_t lanes[16];
    store(lanes, to_i32(k) + set1(offset));
    for (int lane = 0; lane < 16; ++lane) {
        Found& found = batch.found[lane];
        (minimum ? found.minimum : found.scale)[g] = static_cast<uint8_t>(lanes[lane]);
    }
}

LLMPY_INLINE void spread_half(Batch& batch, F32x16 d, bool minimum) {
    uint16_t lanes[16];
    store_f16(lanes, d);
    for (int lane = 0; lane < 16; ++lane) (minimum ? batch.found[lane].m : batch.found[lane].d) = lanes[lane];
}

// Rounds group g to what its step and offset allow; the sum of the squared differences is added to `error`.
template <class Code>
LLMPY_NOINLINE void round_group(Batch& batch, int g, int n, F32x16 step, F32x16 shift, const Code& code,
                                F32x16& error) {
    const F32x16 inverse = reciprocal(step);
    for (int i = n * g; i < n * (g + 1); ++i) {
        const F32x16 x = load(batch.x + 16 * i);
        const F32x16 q = code((x + shift) * inverse);
        store(batch.q + 16 * i, q);
        const F32x16 off = step * q - shift - x;
        error = error + off * off;
    }
}

// d * scale * code(x), with scales of 6 or 8 bits if there are several groups.
struct Coded {
    int groups, n, half;       // scales are -half .. half - 1
    int scale_offset, offset;  // what is added when scales and integers are stored
};

template <class Code>
LLMPY_NOINLINE F32x16 coded(Batch& batch, bool weighted, const Coded& spec, const Ends& ends, const Code code) {
    const auto fit = weighted ? fit_codes<true, Code> : fit_codes<false, Code>;
    float each[16 * 16] = {}, weight[16 * 16] = {};
    F32x16 d = set1(0.0f), error = d;
    const F32x16 zero = d;
    if (spec.groups > 1) {
        for (int g = 0; g < spec.groups; ++g) {
            const int at = 16 * spec.n * g;
            const Scale scale = fit(batch.x + at, batch.w + at, spec.n, false, ends, code);
            store(each + 16 * g, scale.d);
            store(weight + 16 * g, scale.weight);
        }
        const Rounded small = rounded(-spec.half, spec.half - 1);
        d = fit_scale(each, weight, spec.groups, signed_ends(-spec.half), small);
        const F32x16 inverse = reciprocal(d);
        for (int g = 0; g < spec.groups; ++g) {
            const F32x16 k = small(load(each + 16 * g) * inverse);
            spread_small(batch, g, k, spec.scale_offset, false);
            round_group(batch, g, spec.n, d * k, zero, code, error);
        }
    } else {
        d = fit(batch.x, batch.w, spec.n, true, ends, code).d;
        round_group(batch, 0, spec.n, d, zero, code, error);
    }
    spread_half(batch, d, false);
    return error;
}

// Of what groups want, the block's scale, and the integers in their place.
LLMPY_NOINLINE F32x16 stored(Batch& batch, float* each, const float* weight, int groups, int high, bool minimum) {
    Ends ends;
    ends.around(high, 1, 1.0f);
    const Rounded small = rounded(0, high);
    const F32x16 d = fit_scale(each, weight, groups, ends, small), inverse = reciprocal(d);
    for (int g = 0; g < groups; ++g) {
        const F32x16 k = small(load(each + 16 * g) * inverse);
        spread_small(batch, g, k, 0, minimum);
        store(each + 16 * g, d * k);
    }
    spread_half(batch, d, minimum);
    return d;
}

// What to take off d * q, now that the step is rounded; `least` or above.
LLMPY_NOINLINE F32x16 best_offset(const float* x, const float* w, int n, F32x16 step, F32x16 m, F32x16 sw, F32x16 least,
                                  const Rounded& code) {
    const F32x16 zero = set1(0.0f), inverse = reciprocal(step);
    for (int round = 0; round < 2; ++round) {
        F32x16 wx = zero, wq = zero;
        for (int i = 0; i < n; ++i) {
            const F32x16 v = load(x + 16 * i);
            const F32x16 q = code((v + m) * inverse);
            if (w != nullptr) {
                const F32x16 u = load(w + 16 * i);
                wx = wx + u * v;
                wq = wq + u * q;
            } else {
                wx = wx + v;
                wq = wq + q;
            }
        }
        m = max((step * wq - wx) / sw, least);
    }
    return m;
}

// d * scale * q - dmin * minimum, or d * q + m where there is one group.
LLMPY_NOINLINE F32x16 ranged(Batch& batch, bool weighted, int groups, int n, int scale_high, int high) {
    const auto weights_at = [&](int at) LLMPY_LAMBDA { return weighted ? batch.w + at : nullptr; };
    const F32x16 zero = set1(0.0f);
    const Rounded code = rounded(0, high);
    F32x16 error = zero;
    if (groups == 1) {
        const Range range = fit_ranged(batch.x, weights_at(0), n, high, true);
        const F32x16 d = as_half(range.d), any = set1(-3e38f);
        const F32x16 off = best_offset(batch.x, weights_at(0), n, d, zero - range.m, range.all, any, code);
        const F32x16 m = as_half(zero - off);
        round_group(batch, 0, n, d, zero - m, code, error);
        spread_half(batch, d, false);
        spread_half(batch, m, true);
        return error;
    }
    float steps[16 * 16] = {}, offsets[16 * 16] = {}, step_weights[16 * 16] = {}, offset_weights[16 * 16] = {};
    for (int g = 0; g < groups; ++g) {
        const int at = 16 * n * g;
        const Range range = fit_ranged(batch.x + at, weights_at(at), n, high, false);
        store(steps + 16 * g, range.d);
        store(offsets + 16 * g, zero - range.m);
        store(step_weights + 16 * g, range.weight);
        store(offset_weights + 16 * g, range.all);
    }
    stored(batch, steps, step_weights, groups, scale_high, false);
    for (int g = 0; g < groups; ++g) {
        const int at = 16 * n * g;
        const F32x16 step = load(steps + 16 * g), m = load(offsets + 16 * g), sw = load(offset_weights + 16 * g);
        store(offsets + 16 * g, best_offset(batch.x + at, weights_at(at), n, step, m, sw, zero, code));
    }
    stored(batch, offsets, offset_weights, groups, scale_high, true);
    for (int g = 0; g < groups; ++g) {
        round_group(batch, g, n, load(steps + 16 * g), load(offsets + 16 * g), code, error);
    }
    return error;
}

}  // namespace
}  // namespace llmpy
