// Tests of linear: every type at every level that this processor has, on awkward shapes. Exit status 1 if one fails.
//
// The definition here is a plain loop in double precision over the weights as dequantize_row gives them and the
// activations as prepare rounded them, so that only the kernels' own error remains.

#include <initializer_list>

#include "levels.h"
#include "linear_case.h"
#include "llmpy/ops.h"

namespace {

bool same_bits(const float* a, const float* b, int64_t count) {
    return memcmp(a, b, static_cast<size_t>(count) * sizeof *a) == 0;
}

void test_unpacking(Case& c) {
    Buffer<float> row(c.k);
    bool same = true;
    for (int64_t o = 0; o < c.n; ++o) {
        unpack_row(*c.kernels, c.type, c.k, c.packed.data, o, row.data);
        for (int64_t first = 0; first < c.k; first += group_width) {
            const int64_t end = first + group_width < c.k ? first + group_width : c.k;
            double size = 0;  // the mean; a 1024th of it is what 16 bits may cost
            for (int64_t i = first; i < end; ++i) size += fabs(c.weights.data[o * c.k + i]) / (end - first);
            const double allowed = c.input.kind == InputKind::int16 ? size * 1.0001 / 1024 : 0;
            for (int64_t i = first; i < end; ++i) {
                same = same && fabs(row.data[i] - c.weights.data[o * c.k + i]) <= allowed;
            }
        }
    }
    check(same, "packed weights are not the file's", c.n, c.k, c.m);
}

// The sizes of up to 256 activations; with int8 those that are kept apart count as zero: those over ten times the mean, or
// over the size that comes behind the largest ones, one for each 64 inputs.
void sizes_to_round(const Case& c, const float* x, int64_t width, double* sizes) {
    double total = 0, sorted[group_width];
    for (int64_t i = 0; i < width; ++i) {
        sizes[i] = fabs(static_cast<double>(x[i]));
        total += sizes[i];
        int64_t at = i;
        for (; at > 0 && sorted[at - 1] < sizes[i]; --at) sorted[at] = sorted[at - 1];
        sorted[at] = sizes[i];
    }
    const int64_t most = (width + 63) / 64;
    if (c.input.kind != InputKind::int8 || most >= width) return;
    const double limit = fmax(10 * total / static_cast<double>(width), sorted[most]);
    for (int64_t i = 0; i < width; ++i) sizes[i] = sizes[i] > limit ? 0 : sizes[i];
}

double larger(double a, double b) { return a > b ? a : b; }  // fmax is a call

double largest_of(const double* sizes, int64_t begin, int64_t end) {
    double largest = 0;
    for (int64_t i = begin; i < end; ++i) largest = larger(sizes[i], largest);
    return largest;
}

// Each 32 have a step of their own: with 16 bits their largest size over 32767, with 8 that of the group over 127, halved
// up to three times while theirs fits.
void test_rounding(Case& c) {
    bool near = true;
    for (int64_t t = 0; t < c.m; ++t) {
        for (int64_t first = 0; first < c.k; first += group_width) {
            const int64_t width = c.k - first < group_width ? c.k - first : group_width;
            const float* x = c.x.data + t * (c.k + 3) + first;
            double sizes[group_width];
            sizes_to_round(c, x, width, sizes);
            const double whole = largest_of(sizes, 0, width);
            for (int64_t begin = 0; begin < width; begin += 32) {
                const int64_t end = begin + 32 < width ? begin + 32 : width;
                const double largest = largest_of(sizes, begin, end);
                double step = 0, size = whole;
                for (int halved = 0; halved < 3 && largest * 2 <= size; ++halved) size /= 2;
                if (c.input.kind == InputKind::int8) step = 0.51 * size / 127;
                if (c.input.kind == InputKind::int16) step = 0.506 * largest / 32767;  // quotients in float32
                for (int64_t i = begin; i < end; ++i) {
                    near = near && fabs(c.activation(t, first + i) - static_cast<double>(x[i])) <= step;
                }
            }
        }
    }
    check(near, "activations are not the nearest", c.n, c.k, c.m);
}

void test_value(Case& c, const float* y, int64_t stride) {
    Buffer<double> x(c.k);
    double worst = 0;
    for (int64_t t = 0; t < c.m; ++t) {
        double largest_x = 0;
        for (int64_t i = 0; i < c.k; ++i) {
            x.data[i] = c.activation(t, i);
            largest_x = larger(fabs(x.data[i]), largest_x);
        }
        for (int64_t o = 0; o < c.n; ++o) {
            double sum = 0, size = 0, largest_w = 0;
            for (int64_t i = 0; i < c.k; ++i) {
                const double w = static_cast<double>(c.weights.data[o * c.k + i]), product = x.data[i] * w;
                sum += product;
                size += fabs(product);
                largest_w = larger(fabs(w), largest_w);
            }
            const double error = fabs(static_cast<double>(y[t * stride + o]) - sum);
            // What a minimum takes away from an outlier's product.
            const double cancelled = 1e-6 * largest_x * largest_w;
            if (!(error <= 1e-5 * size / sqrt(static_cast<double>(c.k)) + 1e-6 * size + cancelled))
                worst = fmax(worst, error / size);
        }
    }
    check(worst == 0, "wrong product", c.n, c.k, c.m);
}

// One token at a time, tiles one at a time, ranges in the middle: all give the bits of the whole.
void test_pieces(Case& c, const float* whole, int64_t stride) {
    Buffer<float> y(c.m * stride);
    for (int64_t i = 0; i < y.count; ++i) y.data[i] = i % stride < c.n ? -7.0f : whole[i];
    for (int64_t tile = 0; tile < tile_count(c.n); tile += 1 + tile % 3) {
        for (int64_t t = 0; t < c.m;) {
            const int64_t step = 1 + static_cast<int64_t>(random_bits() % 9);
            LinearCall call = c.call(y.data, stride);
            call.tile_begin = tile;
            call.tile_end = tile + 1 + tile % 3 < tile_count(c.n) ? tile + 1 + tile % 3 : tile_count(c.n);
            call.token_begin = t;
            call.token_end = t + step < c.m ? t + step : c.m;
            c.kernels->linear(call);
            t = call.token_end;
        }
    }
    check(same_bits(y.data, whole, y.count), "pieces differ from the whole", c.n, c.k, c.m);
}

// Each token alone in an input of its own gives the bits that it gives among others.
void test_alone(Case& c, const float* whole, int64_t stride) {
    Buffer<uint8_t> data(linear_input_bytes(c.input.kind, 1, c.k));
    Buffer<float> y(c.n);
    const LinearInput input = {c.input.kind, 1, c.k, data.data};
    bool same = true;
    for (int64_t t = 0; t < c.m; t += 5) {
        c.kernels->prepare(input, c.x.data + t * (c.k + 3), 0, 0, 1);
        LinearCall call = c.call(y.data, c.n);
        call.input = &input;
        call.token_end = 1;
        c.kernels->linear(call);
        same = same && same_bits(y.data, whole + t * stride, c.n);
    }
    check(same, "a token alone differs from itself among others", c.n, c.k, c.m);
}

void test_epilogue(Case& c, const float* whole, int64_t stride) {
    Buffer<float> bias(c.n), y(c.m * stride);
    for (int64_t o = 0; o < c.n; ++o) bias.data[o] = random_float();
    for (int64_t i = 0; i < y.count; ++i) y.data[i] = static_cast<float>(i % 7);
    LinearCall call = c.call(y.data, stride);
    call.bias = bias.data;
    call.accumulate = true;
    c.kernels->linear(call);
    bool same = true;
    for (int64_t t = 0; t < c.m; ++t) {
        for (int64_t o = 0; o < stride; ++o) {
            const int64_t i = t * stride + o;
            const float before = static_cast<float>(i % 7);
            same = same && y.data[i] == (o < c.n ? whole[i] + bias.data[o] + before : before);
        }
    }
    check(same, "bias and accumulation", c.n, c.k, c.m);
}

void test_shape(const LinearKernels* kernels, WeightType type, int64_t n, int64_t k, int64_t m) {
    Case c(kernels, type, n, k, m);
    if ((n + k) % 3 == 0) c.make_outliers();
    c.pack();
    c.prepare();
    c.dequantize();
    const int64_t stride = n + 5;
    Buffer<float> y(m * stride);
    c.kernels->linear(c.call(y.data, stride));
    test_unpacking(c);
    test_rounding(c);
    c.unpack();
    test_value(c, y.data, stride);
    test_pieces(c, y.data, stride);
    test_alone(c, y.data, stride);
    test_epilogue(c, y.data, stride);
}

// Sums as large as 16-bit integers can make them: every weight and activation of one size and sign.
void test_largest_sums(const LinearKernels* kernels, WeightType type) {
    Case c(kernels, type, 40, 288, 9);
    for (int64_t i = 0; i < c.n * c.k; ++i) c.write_weight(i, i % c.k < 64 ? 0x3c00 : 0x3a00);
    for (int64_t i = 0; i < c.x.count; ++i) c.x.data[i] = -3.0f;
    c.pack();
    c.prepare();
    c.unpack();
    Buffer<float> y(c.m * c.n);
    c.kernels->linear(c.call(y.data, c.n));
    test_value(c, y.data, c.n);
}

// A weight that is infinite or NaN, one far above all others, and very small ones stay what they are.
void test_special_weights(const LinearKernels* kernels, WeightType type) {
    Case c(kernels, type, 33, 512, 3);
    const bool half = type == type_f16;
    c.write_weight(5, half ? 0x7c00 : 0x7f80);                          // infinity in row 0
    c.write_weight(17 * c.k + 300, half ? 0x7e01 : 0x7fc1);             // NaN in row 17
    for (int64_t i = 0; i < c.k; ++i) c.write_weight(32 * c.k + i, 1);  // the smallest number in row 32
    c.pack();
    c.prepare();
    c.dequantize();
    Buffer<float> y(c.m * c.n), row(c.k);
    c.kernels->linear(c.call(y.data, c.n));
    bool right = true;
    for (int64_t t = 0; t < c.m; ++t) {
        for (int64_t o = 0; o < c.n; ++o) right = right && isfinite(y.data[t * c.n + o]) == (o != 0 && o != 17);
    }
    for (int64_t o = 0; o <= 32; o += 32) {
        unpack_row(*c.kernels, type, c.k, c.packed.data, o, row.data);
        for (int64_t i = 0; i < 256; ++i) {
            const float size = c.weights.data[o * c.k + i];
            right = right && (row.data[i] == size || fabsf(row.data[i] - size) <= 1e-4f * size);
        }
    }
    check(right, "special weights", c.n, c.k, c.m);
}

// Any bytes as weights, any floats as activations: defined results, and NaN only in the token that has one.
void test_hostile(const LinearKernels* kernels, WeightType type) {
    const int64_t n = 33, k = 512, m = 9, stride = n;
    Case c(kernels, type, n, k, m);
    for (int64_t i = 0; i < c.rows.count; ++i) c.rows.data[i] = static_cast<uint8_t>(random_bits());
    c.x.data[2 * (k + 3) + 7] = NAN;
    c.x.data[4 * (k + 3) + 300] = INFINITY;
    c.x.data[5 * (k + 3) + 511] = -INFINITY;
    for (int64_t i = 0; i < k; ++i) {
        c.x.data[6 * (k + 3) + i] = (i % 2 ? 1.0f : -1.0f) * 3e38f;
        c.x.data[7 * (k + 3) + i] = 1e-40f;
        c.x.data[8 * (k + 3) + i] = 0.0f;
    }
    c.pack();
    c.prepare();
    Buffer<float> y(m * stride);
    c.kernels->linear(c.call(y.data, stride));
    // With sane weights, NaN stays where it came from.
    fill_rows(type, c.rows.data, c.rows.count);
    c.pack();
    c.kernels->linear(c.call(y.data, stride));
    bool right = true;
    for (int64_t t = 0; t < m; ++t) {
        for (int64_t o = 0; o < n; ++o) {
            const float value = y.data[t * stride + o];
            const bool bad = t == 2 || t == 4 || t == 5;
            if (type == type_f16) continue;  // random halves: some are infinite
            if (bad) right = right && !isfinite(value);
            if (!bad && t != 6) right = right && isfinite(value);
            if (t == 8) right = right && value == 0.0f;
        }
    }
    check(right, "NaN and infinity", n, k, m);
}

// The plainest level whose multiply-adds round once: the portable one of x86 rounds twice.
const LinearKernels* plainest() {
#if defined(__x86_64__) || defined(_M_X64)
    return level_of(1)->linear;
#else
    return level_of(0)->linear;
#endif
}

// Every level above gives its bits.
void test_levels_agree(const LinearKernels* kernels, WeightType type, int64_t m) {
    const int64_t n = 40, k = 512;
    Buffer<float> expected(m * n), y(m * n);
    const Random before = random_state;
    for (const bool plain : {true, false}) {
        random_state = before;
        Case c(plain ? plainest() : kernels, type, n, k, m);
        c.make_outliers();
        c.pack();
        c.prepare();
        c.kernels->linear(c.call(plain ? expected.data : y.data, n));
    }
    check(same_bits(y.data, expected.data, m * n), "levels differ", n, k, m);
}

void test_level(const LinearKernels* kernels, const char* name) {
    level_name = name;
    for (const auto& t : types) {
        type_name = t.name;
        const int64_t width = block_width(t.type);
        const int64_t inputs[] = {1, 5, 32, 96, 256, 288, 512, 1024};
        const int64_t outputs[] = {1, 7, 16, 17, 31, 33, 40, 100};
        const int64_t tokens[] = {0, 1, 2, 3, 4, 5, 6, 7, 11, 13, 25, 40};
        int pick = 0;
        for (const int64_t k : inputs) {
            if (k % width != 0) continue;
            for (const int64_t n : outputs) {
                for (int i = 0; i < 4; ++i) test_shape(kernels, t.type, n, k, tokens[pick++ % 12]);
            }
        }
        test_shape(kernels, t.type, 65, width < 32 ? 300 : 512, 521);
        for (const int64_t m : {1, 3, 5, 9, 14}) {
            if (kernels != &linear_portable) test_levels_agree(kernels, t.type, m);
        }
        test_hostile(kernels, t.type);
        if (linear_input_kind(t.type) == InputKind::int16) {
            test_largest_sums(kernels, t.type);
            test_special_weights(kernels, t.type);
        }
    }
    printf("%s: %s\n", name, failures ? "FAILED" : "passed");
}

}  // namespace

int main() {
    each_level([](const Level& level, const char* name) { test_level(level.linear, name); });
    return failures ? 1 : 0;
}
