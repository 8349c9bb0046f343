// quantize_plain: types that leave no choice, and floats: block by block, bit for bit as in GGML. See quant/make.py.

namespace llmpy {
namespace {

// A block of 32 as two vectors.
struct Two {
    F32x16 a, b;
};

template <class Each>
LLMPY_INLINE Two each(const Two& x, const Each& f) {
    return {f(x.a), f(x.b)};
}

LLMPY_INLINE F32x16 whole(F32x16 x) {  // the largest integer not above it
    const F32x16 near = to_f32(to_i32(x));
    return near - select(less(x, near), set1(1.0f), set1(0.0f));
}

LLMPY_INLINE F32x16 round_half_away(F32x16 x) {
    const F32x16 size = absolute(x), near = to_f32(to_i32(size)), zero = set1(0.0f);
    const F32x16 up = select(less(size - near, set1(0.5f)), near, near + set1(1.0f));
    return select(less(x, zero), zero - up, up);
}

LLMPY_INLINE float inverse_of(float d) { return d == 0.0f ? 0.0f : 1.0f / d; }

// The value of largest size, with its sign; the first of several.
LLMPY_INLINE float extreme(const float* x, float most, float least) {
    const float size = greater(most, -least);
    if (size == 0.0f) return 0.0f;
    if (most != -least) return most == size ? most : least;
    for (int i = 0; i < 32; ++i) {
        if (x[i] == most || x[i] == least) return x[i];
    }
    return most;
}

LLMPY_INLINE void store_integers(const Two& q, uint8_t* out) {
    int32_t lanes[32];
    store(lanes, to_i32(q.a));
    store(lanes + 16, to_i32(q.b));
    for (int i = 0; i < 32; ++i) out[i] = static_cast<uint8_t>(lanes[i]);
}

// The squared differences of d * (q - offset) + m from x.
LLMPY_INLINE F32x16 squared_error(const Two& x, const Two& q, float d, float offset, float m) {
    const auto off = [&](F32x16 value, F32x16 integer) LLMPY_LAMBDA {
        const F32x16 e = set1(d) * (integer - set1(offset)) + set1(m) - value;
        return e * e;
    };
    return off(x.a, q.a) + off(x.b, q.b);
}

// Q4_0 and Q5_0: the value of largest size becomes the lowest integer.
LLMPY_INLINE F32x16 block_symmetric(const float* x, bool fifth, uint8_t* out) {
    const Two v = {load(x), load(x + 16)};
    const float half = fifth ? 16.0f : 8.0f;
    const float most = max_lane(max(v.a, v.b)), least = -max_lane(max(set1(0.0f) - v.a, set1(0.0f) - v.b));
    const float d = extreme(x, most, least) / -half, inverse = inverse_of(d);
    const Two q = each(v, [&](F32x16 lane) LLMPY_LAMBDA {
        return min(whole(lane * set1(inverse) + set1(half + 0.5f)), set1(2 * half - 1));
    });
    Found found;
    found.d = f16_from_f32(d);
    store_integers(q, found.q);
    pack_32(found, false, fifth, out);
    return squared_error(v, q, f32_from_f16(found.d), half, 0.0f);
}

// Q4_1 and Q5_1: the smallest value becomes 0.
LLMPY_INLINE F32x16 block_ranged(const float* x, bool fifth, uint8_t* out) {
    const Two v = {load(x), load(x + 16)};
    const float high = fifth ? 31.0f : 15.0f;
    const float most = max_lane(max(v.a, v.b));
    float least = 0.0f - max_lane(max(set1(0.0f) - v.a, set1(0.0f) - v.b));
    for (int i = 31; i >= 0 && least == 0.0f; --i) least = x[i] == 0.0f ? x[i] : least;  // with the sign of the first
    const float d = (most - least) / high, inverse = inverse_of(d);
    const Two q = each(v, [&](F32x16 lane) LLMPY_LAMBDA {
        return min(whole((lane - set1(least)) * set1(inverse) + set1(0.5f)), set1(high));
    });
    Found found;
    found.d = f16_from_f32(d);
    found.m = f16_from_f32(least);
    store_integers(q, found.q);
    pack_32(found, true, fifth, out);
    return squared_error(v, q, f32_from_f16(found.d), 0.0f, f32_from_f16(found.m));
}

LLMPY_INLINE F32x16 block_q8_0(const float* x, uint8_t* out) {
    const Two v = {load(x), load(x + 16)};
    const float d = max_lane(max(absolute(v.a), absolute(v.b))) / 127.0f, inverse = inverse_of(d);
    const Two q = each(v, [&](F32x16 lane) LLMPY_LAMBDA { return round_half_away(lane * set1(inverse)); });
    const uint16_t half = f16_from_f32(d);
    write(out, half);
    store_i8(reinterpret_cast<int8_t*>(out) + 2, to_i32(q.a));
    store_i8(reinterpret_cast<int8_t*>(out) + 18, to_i32(q.b));
    return squared_error(v, q, f32_from_f16(half), 0.0f, 0.0f);
}

// MXFP4: a power of two, so that the largest value is 4 to 8 of it, and 4-bit floats, kept here as their doubles.
LLMPY_INLINE F32x16 block_mxfp4(const float* x, uint8_t* out) {
    constexpr float levels[8] = {0, 1, 2, 3, 4, 6, 8, 12};
    const Two v = {load(x), load(x + 16)};
    const int exponent = floor_of_log2(max_lane(max(absolute(v.a), absolute(v.b))));
    const int code = exponent < -125 ? 0 : exponent + 125;
    const float d = float_from_bits(code < 2 ? 0x00200000u << code : static_cast<uint32_t>(code - 1) << 23);
    F32x16 error = set1(0.0f);
    const Two number = each(v, [&](F32x16 lane) LLMPY_LAMBDA {
        const F32x16 size = absolute(lane), zero = set1(0.0f);
        F32x16 level = zero, value = zero;
        unroll<7>([&](auto i) LLMPY_LAMBDA {  // half-way goes to the smaller one
            const Mask16 above = less(set1((levels[i] + levels[i + 1]) / 2.0f * d), size);
            level = select(above, set1(static_cast<float>(i + 1)), level);
            value = select(above, set1(levels[i + 1]), value);
        });
        const F32x16 off = value * set1(d) - size;
        error = error + off * off;
        const Mask16 negative = less(lane, zero), some = less(zero, level);
        return level + select(negative, select(some, set1(8.0f), zero), zero);
    });
    uint8_t q[32];
    store_integers(number, q);
    out[0] = static_cast<uint8_t>(code);
    join_nibbles(q, 16, out + 1);
    return error;
}

LLMPY_INLINE F32x16 block_float(WeightType target, const float* x, uint8_t* out) {
    F32x16 error = set1(0.0f);
    for (int i = 0; i < 32; i += 16) {
        const F32x16 v = load(x + i);
        F32x16 back = v;
        if (target == type_f32) {
            memcpy(out + 4 * i, x + i, 16 * sizeof *x);
        } else {
            uint16_t half[16];
            if (target == type_f16) {
                store_f16(half, v);
                back = load_f16(half);
            } else {
                for (int lane = 0; lane < 16; ++lane) half[lane] = bf16_from_f32(x[i + lane]);
                back = load_bf16(half);
            }
            memcpy(out + 2 * i, half, sizeof half);
        }
        error = error + (back - v) * (back - v);
    }
    return error;
}

LLMPY_INLINE bool is_plain(const QuantizeCall& call) {
    switch (call.target) {
        case type_f32:
        case type_f16:
        case type_bf16:
        case type_q8_0:
        case type_mxfp4:
            return true;
        case type_q4_0:
        case type_q4_1:
        case type_q5_0:
        case type_q5_1:
            return call.weights == nullptr;
        default:
            return false;
    }
}

template <class Block>
LLMPY_INLINE QuantizeSums all_blocks(const QuantizeCall& call, int64_t begin, int64_t end, const Block& block) {
    const int64_t size = quantize_bytes(call.target);
    QuantizeSums sums = {0, 0};
    float x[32 * 32];
    for (int64_t first = begin; first < end; first += 32) {
        const int64_t count = lesser<int64_t>(32, end - first);
        read_values(call, 32 * first, 32 * count, x);
        F32x16 off = set1(0.0f);
        for (int64_t i = 0; i < count; ++i) off = off + block(x + 32 * i, call.out + (first + i) * size);
        sums.lost += static_cast<double>(sum(off));
        sums.squares += static_cast<double>(sum(squares_of(x, static_cast<int>(32 * count))));
    }
    return sums;
}

LLMPY_NOINLINE QuantizeSums quantize_plain(const QuantizeCall& call, int64_t begin, int64_t end) {
    switch (call.target) {
        case type_q4_0:
        case type_q5_0:
            return all_blocks(call, begin, end, [&](const float* x, uint8_t* out) LLMPY_LAMBDA {
                return block_symmetric(x, call.target == type_q5_0, out);
            });
        case type_q4_1:
        case type_q5_1:
            return all_blocks(call, begin, end, [&](const float* x, uint8_t* out) LLMPY_LAMBDA {
                return block_ranged(x, call.target == type_q5_1, out);
            });
        case type_q8_0:
            return all_blocks(call, begin, end, block_q8_0);
        case type_mxfp4:
            return all_blocks(call, begin, end, block_mxfp4);
        default:
            return all_blocks(call, begin, end, [&](const float* x, uint8_t* out) LLMPY_LAMBDA {
                return block_float(call.target, x, out);
            });
    }
}

}  // namespace
}  // namespace llmpy
