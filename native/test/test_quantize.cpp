// The quantizers: every level writes the same bytes, into buffers of exactly the size, from values of any kind.

#include <string.h>

#include "check.h"
#include "llmpy/ops.h"
#include "llmpy/quantize.h"

using namespace llmpy;

namespace {

constexpr WeightType types[] = {
#define LLMPY_TYPE(name, Name, number, width, bytes, input, written) type_##name,
    LLMPY_WEIGHT_TYPES(LLMPY_TYPE)
#undef LLMPY_TYPE
};

// Random values; every third row is zero, huge or tiny, the last not even finite.
void fill(float* x, int64_t rows, int64_t columns) {
    Random random;
    for (int64_t r = 0; r < rows; ++r) {
        const float scale = r % 3 != 2 ? 0.1f : r % 4 == 0 ? 0.0f : r % 4 == 1 ? 1e30f : 1e-30f;
        for (int64_t i = 0; i < columns; ++i) x[r * columns + i] = scale * random.value();
    }
    const float zero = 0.0f * x[0];
    x[rows * columns - 3] = zero / zero;
    x[rows * columns - 7] = 1.0f / zero;
}

// The same memory as halves of either kind: finite ones, but for the last row.
void make_halves(float* x, int64_t n, int64_t columns) {
    for (int64_t i = 0; i < n - columns; ++i) {
        uint16_t half;
        memcpy(&half, reinterpret_cast<char*>(x) + 2 * i, sizeof half);
        half &= 0xbbff;
        memcpy(reinterpret_cast<char*>(x) + 2 * i, &half, sizeof half);
    }
}

void test_levels_agree(WeightType type, WeightType source, bool weighted) {
    const int64_t rows = 19, columns = 512, n = rows * columns;
    const int64_t size = n / quantize_width(type) * quantize_bytes(type);
    const Buffer<float> values(n), weights(columns);
    float* const x = values.data;
    float* const w = weights.data;
    fill(x, rows, columns);
    if (source != type_f32) make_halves(x, n, columns);
    for (int64_t i = 0; i < columns; ++i) w[i] = 1e-5f + static_cast<float>(i % 7);
    const Buffer<uint8_t> first(size);
    for (int32_t level = 0; level_of(level) != nullptr; ++level) {
        if (!level_runs_here(level)) continue;
        const Buffer<uint8_t> buffer(size);
        uint8_t* const out = buffer.data;
        double sums[2] = {-1, -1};
        const int32_t status =
            llmpy_quantize(level, source, type, x, n, columns, weighted ? w : nullptr, out, sums, 1 + level % 2);
        CHECK(status == 0, "type %d", type);
        CHECK(sums[1] != -1, "type %d: no sums", type);
        const int64_t finite = size / rows * (rows - 1);  // how NaN is rounded is each processor's affair
        if (level == 0) memcpy(first.data, out, static_cast<size_t>(size));
        CHECK(memcmp(first.data, out, static_cast<size_t>(finite)) == 0, "type %d level %d source %d", type, level,
              source);
    }
}

void test_refusals() {
    float x[64] = {};
    uint8_t out[512];
    double sums[2];
    CHECK(llmpy_quantize(0, type_f32, type_q4_k, x, 64, 64, nullptr, out, sums, 1) == 1, "no whole blocks");
    CHECK(llmpy_quantize(0, type_f32, type_q8_0, x, 64, 48, nullptr, out, sums, 1) == 1, "no whole rows");
    CHECK(llmpy_quantize(0, type_q8_0, type_q4_0, x, 64, 64, nullptr, out, sums, 1) == 1, "an unknown source");
    CHECK(llmpy_quantize(0, type_f32, 16, x, 64, 64, nullptr, out, sums, 1) == 1, "an unknown type");
    CHECK(llmpy_quantize(0, type_f32, type_q4_0, x, 0, 64, nullptr, out, sums, 1) == 0, "nothing to do");
}

}  // namespace

int main() {
    for (const WeightType type : types) {
        test_levels_agree(type, type_f32, false);
        test_levels_agree(type, type_f32, true);
        test_levels_agree(type, type_f16, false);
        test_levels_agree(type, type_bf16, false);
    }
    test_refusals();
    return n_failures == 0 ? 0 : 1;
}
