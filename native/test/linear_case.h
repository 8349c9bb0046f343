// linear_case: one product of test_linear, made of random weights, and what it should be.

#ifndef LLMPY_LINEAR_CASE_H
#define LLMPY_LINEAR_CASE_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/linear/linear_layout.h"
#include "check.h"
#include "llmpy/blocks.h"
#include "llmpy/linear.h"
#include "unpack.h"

using namespace llmpy;

namespace {

const struct {
    WeightType type;
    const char* name;
} types[] = {
#define LLMPY_TYPE(name, Name, number, width, bytes, input, written) {type_##name, #Name},
    LLMPY_WEIGHT_TYPES(LLMPY_TYPE)
#undef LLMPY_TYPE
};

int failures = 0;
const char* level_name = "";
const char* type_name = "";

void check(bool good, const char* what, int64_t n, int64_t k, int64_t m) {
    if (good) return;
    if (++failures <= 40)
        printf("FAIL %s %s: %s (outputs %ld inputs %ld tokens %ld)\n", level_name, type_name, what,
               static_cast<long>(n), static_cast<long>(k), static_cast<long>(m));
}

Random random_state;
uint32_t random_bits() { return static_cast<uint32_t>(random_state.bits() >> 16); }
float random_float() {  // roughly Gaussian
    float sum = 0;
    for (int i = 0; i < 4; ++i) sum += static_cast<float>(random_bits() & 0xffff) / 65536.0f - 0.5f;
    return sum * 1.7f;
}

// Random bytes, with scales made sane: 16-bit floats of size 2^-8 to 2^-5 where the block has them.
void fill_rows(WeightType type, uint8_t* rows, int64_t bytes) {
    for (int64_t i = 0; i < bytes; ++i) rows[i] = static_cast<uint8_t>(random_bits());
    const int64_t size = block_bytes(type);
    for (int64_t at = 0; at + size <= bytes; at += size) {
        const uint16_t other = static_cast<uint16_t>(0x1c00u + (random_bits() & 0x0bffu));
        const uint16_t half = static_cast<uint16_t>(other + (random_bits() & 1u) * 0x8000u);
        const float value = random_float();
        uint32_t bits;
        memcpy(&bits, &value, 4);
        const uint16_t upper = static_cast<uint16_t>(bits >> 16);
        switch (type) {
            case type_f32:
                memcpy(rows + at, &value, 4);
                break;
            case type_bf16:
                memcpy(rows + at, &upper, 2);
                break;
            case type_mxfp4:
                rows[at] = static_cast<uint8_t>(118 + other % 8);
                break;
            case type_q2_k:
                memcpy(rows + at + 80, &half, 2);
                memcpy(rows + at + 82, &other, 2);
                break;
            case type_q3_k:
                memcpy(rows + at + 108, &half, 2);
                break;
            case type_q6_k:
                memcpy(rows + at + 208, &half, 2);
                break;
            case type_q4_1:
            case type_q5_1:
            case type_q4_k:
            case type_q5_k:
                memcpy(rows + at + 2, &other, 2);
                memcpy(rows + at, &half, 2);
                break;
            default:
                memcpy(rows + at, &half, 2);
        }
    }
}

struct Case {
    const LinearKernels* kernels;
    WeightType type;
    int64_t n, k, m;
    Buffer<uint8_t> rows, packed, input_data, scratch;
    Buffer<float> x, weights;
    LinearInput input;

    Case(const LinearKernels* kernels_, WeightType type_, int64_t n_, int64_t k_, int64_t m_)
        : kernels(kernels_),
          type(type_),
          n(n_),
          k(k_),
          m(m_),
          rows(n_ * row_bytes(type_, k_)),
          packed(packed_bytes(type_, n_, k_)),
          input_data(linear_input_bytes(linear_input_kind(type_), m_, k_)),
          scratch(linear_scratch_bytes()),
          x(m_ * (k_ + 3)),
          weights(n_ * k_) {
        fill_rows(type, rows.data, rows.count);
        for (int64_t i = 0; i < x.count; ++i) x.data[i] = random_float();
        // Activations have outliers: none in some groups, a few times and hundreds of times the rest in others.
        for (int64_t t = 0; t < m_; ++t) {
            for (int64_t first = 0; first < k_; first += group_width) {
                const uint32_t count = random_bits() % 12;
                for (uint32_t j = 0; j < count; ++j) {
                    const int64_t i = first + random_bits() % group_width;
                    const float times = static_cast<float>(1u << (random_bits() % 9));
                    if (i < k_) x.data[t * (k_ + 3) + i] *= times;
                }
            }
        }
        input = {linear_input_kind(type), m, k, input_data.data};
    }
    // Some weights thousands of times as large as the others, so that their groups are kept as they are.
    void make_outliers() {
        for (int64_t i = 3; i < n * k; i += 7 * k * tile_rows / 2 + 1) {
            if (type == type_f16) write_weight(i, 0x5555);
            if (type == type_bf16) write_weight(i, 0x4555);
        }
    }
    void write_weight(int64_t i, uint16_t bits) { memcpy(rows.data + 2 * i, &bits, 2); }
    // The weights as the kernels see them: those of 16 bits were rounded, the others are the file's.
    void unpack() {
        for (int64_t o = 0; o < n; ++o) unpack_row(*kernels, type, k, packed.data, o, weights.data + o * k);
    }
    void pack() {  // in two pieces, the second one first
        const int64_t tiles = tile_count(n), middle = tiles / 2;
        kernels->pack(type, n, k, rows.data, packed.data, middle, tiles);
        kernels->pack(type, n, k, rows.data, packed.data, 0, middle);
    }
    void prepare() {
        kernels->prepare(input, x.data, k + 3, m / 3, m);
        kernels->prepare(input, x.data, k + 3, 0, m / 3);
    }
    void dequantize() {
        for (int64_t o = 0; o < n; ++o) {
            dequantize_row(type, rows.data + o * row_bytes(type, k), k, weights.data + o * k);
        }
    }
    LinearCall call(float* y, int64_t stride) const {
        LinearCall c = {};
        c.type = type;
        c.outputs = n;
        c.inputs = k;
        c.packed = packed.data;
        c.input = &input;
        c.token_end = m;
        c.tile_end = tile_count(n);
        c.y = y;
        c.y_stride = stride;
        c.scratch = scratch.data;
        return c;
    }
    // Activation i of token t as the kernel sees it.
    double activation(int64_t t, int64_t i) const {
        const int64_t group = i / group_width, groups = group_count(k);
        const uint8_t* data = input_data.data;
        if (input.kind == InputKind::floats) {
            return reinterpret_cast<const float*>(data)[(group * m + t) * group_width + i % group_width];
        }
        if (input.kind == InputKind::int16) {
            const int16_t q = reinterpret_cast<const int16_t*>(data)[(group * m + t) * group_width + i % group_width];
            const float* scales = reinterpret_cast<const float*>(data + groups * m * group_width * 2);
            return q * static_cast<double>(scales[(group * m + t) * int16_blocks + i % group_width / 32]);
        }
        const int64_t at = i % group_width;
        for (int j = 0; which(group, t) >> j != 0; ++j) {
            if (apart(group, t)[j].at == at) return static_cast<double>(apart(group, t)[j].x);
        }
        const int q = static_cast<int8_t>(data[(group * m + t) * group_width + at]);
        return ldexp(q * static_cast<double>(side(group, t).scale), side(group, t).shifts[at / 32]);
    }
    const Int8Side& side(int64_t group, int64_t t) const {
        const uint8_t* sides = input_data.data + group_count(k) * m * group_width;
        return reinterpret_cast<const Int8Side*>(sides)[group * m + t];
    }
    const Int8Apart* apart(int64_t group, int64_t t) const {
        const int64_t before = group_width + int64_t{sizeof(Int8Side)} + 64;
        const uint8_t* all = input_data.data + group_count(k) * m * before;
        return reinterpret_cast<const Int8Apart*>(all) + (group * m + t) * most_apart;
    }
    unsigned which(int64_t group, int64_t t) const {
        return input_data.data[group_count(k) * m * (int8_group_bytes - 1) + group * m + t];
    }
};

}  // namespace

#endif
