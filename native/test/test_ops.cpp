// The kernels of ops.h at every level that runs here, against plain loops in double, at every odd size.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "levels.h"
#include "llmpy/ops.h"
#include "llmpy/os.h"

using namespace llmpy;

namespace {

Random dice;

// Memory that ends exactly where a sanitizer watches.
struct Values {
    float* data;

    explicit Values(int64_t n) : data(static_cast<float*>(malloc(sizeof(float) * static_cast<size_t>(n)))) {
        for (int64_t i = 0; i < n; ++i) data[i] = 4.0f * dice.value();
    }
    ~Values() { free(data); }
    Values(const Values&) = delete;
    Values& operator=(const Values&) = delete;
};

bool near(double a, double b, double scale = 1.0) { return fabs(a - b) <= 2e-6 * (scale + fabs(b)); }

double function_of(Function f, double x) {
    switch (f) {
        case Function::silu:
            return x / (1.0 + exp(-x));
        case Function::gelu:
            return x / (1.0 + exp(-2.0 * sqrt(2.0 / acos(-1.0)) * (x + 0.044715 * x * x * x)));
        case Function::gelu_exact:
            return x / 2.0 * erfc(-x / sqrt(2.0));
        case Function::relu:
            return x > 0.0 ? x : 0.0;
        case Function::sigmoid:
            return 1.0 / (1.0 + exp(-x));
        case Function::tanh:
            return tanh(x);
        case Function::exp:
            return exp(x);
        default:
            return (x > 0.0 ? x : 0.0) + log1p(exp(-fabs(x)));
    }
}

constexpr int32_t n_functions = 8;

void elementwise(const Level& level, int64_t n) {
    const OpKernels& k = *level.ops;
    const Values a(n), b(n);
    enum { adding, multiplying, scaling, clamping, clamped_gate, accumulating, n_kinds };
    for (int kind = 0; kind < n_kinds; ++kind) {
        Values y(n);
        if (kind == accumulating) memcpy(y.data, b.data, sizeof(float) * static_cast<size_t>(n));
        if (kind == adding) k.add(a.data, b.data, n, y.data);
        if (kind == multiplying) k.mul(a.data, b.data, n, y.data);
        if (kind == scaling) k.scale(a.data, 0.3f, n, y.data);
        if (kind == clamping) k.clamp(a.data, -1.5f, 0.5f, n, y.data);
        if (kind == clamped_gate) k.gate(Function::swiglu_clamped, a.data, b.data, n, y.data);
        if (kind == accumulating) k.add_scaled(a.data, 0.3f, n, y.data);
        for (int64_t i = 0; i < n; ++i) {
            const double p = a.data[i], q = b.data[i], c = p < -1.5 ? -1.5 : p > 0.5 ? 0.5 : p;
            const double expected[n_kinds] = {p + q,       p * q, 0.3f * p, c, p / (1.0 + exp(-1.702 * p)) * (q + 1.0),
                                              q + 0.3f * p};
            CHECK(near(y.data[i], expected[kind], 4.0), "%s kind %d n %d", level.name, kind, static_cast<int>(n));
        }
    }
    for (int32_t f = 0; f < n_functions; ++f) {
        Values y(n), gated(n);
        k.function(static_cast<Function>(f), a.data, n, y.data);
        k.gate(static_cast<Function>(f), a.data, b.data, n, gated.data);
        for (int64_t i = 0; i < n; ++i) {
            const double expected = function_of(static_cast<Function>(f), a.data[i]);
            CHECK(near(y.data[i], expected, 1e-2), "%s function %d n %d", level.name, f, static_cast<int>(n));
            CHECK(gated.data[i] == y.data[i] * b.data[i], "%s gate %d n %d", level.name, f, static_cast<int>(n));
        }
    }
}

// Near to the function itself, relative to its own size, wherever that is a normal number.
void accuracy(const Level& level) {
    constexpr int64_t n = 20001;
    const Values x(n);
    Values y(n);
    for (int64_t i = 0; i < n; ++i) x.data[i] = static_cast<float>(i - 10000) * (i % 2 == 0 ? 1e-2f : 9e-4f);
    for (int32_t f = 0; f < n_functions; ++f) {
        level.ops->function(static_cast<Function>(f), x.data, n, y.data);
        for (int64_t i = 0; i < n; ++i) {
            const double right = function_of(static_cast<Function>(f), x.data[i]), size = fabs(right);
            if (size > 3e38 || (size < 1e-35 && y.data[i] < 1e-35f)) continue;
            // An exponential of x^2 or x^3 has the rounding of its argument in it.
            const double tolerance = size > 1e-6 ? 2e-6 : 1e-5;
            CHECK(fabs(y.data[i] - right) <= tolerance * size, "%s function %d of %g: %g, not %g", level.name, f,
                  static_cast<double>(x.data[i]), static_cast<double>(y.data[i]), right);
        }
    }
    const float extreme[8] = {-INFINITY, -1e30f, -200.0f, -0.0f, 1e-30f, 200.0f, 1e30f, NAN};
    const bool finite_below[n_functions] = {false, false, false, true, true, true, true, true};
    for (int32_t f = 0; f < n_functions; ++f) {
        level.ops->function(static_cast<Function>(f), extreme, 8, y.data);
        for (int i = finite_below[f] ? 0 : 1; i < 5; ++i) {
            CHECK(fabs(y.data[i] - function_of(static_cast<Function>(f), extreme[i])) < 1e-6, "%s function %d of %g",
                  level.name, f, static_cast<double>(extreme[i]));
        }
        CHECK(y.data[7] != y.data[7], "%s function %d of NaN", level.name, f);
    }
}

void norm(const Level& level, int64_t width, bool centered, bool with_weights, bool with_bias) {
    constexpr int64_t rows = 3;
    const Values x(rows * width), w(width), b(width);
    Values y(rows * width);
    level.ops->norm(x.data, with_weights ? w.data : nullptr, with_bias ? b.data : nullptr, 1e-5f, centered, rows, width,
                    y.data);
    for (int64_t r = 0; r < rows; ++r) {
        const float* const row = x.data + r * width;
        double mean = 0.0, sum = 0.0;
        for (int64_t i = 0; i < width && centered; ++i) mean += row[i] / static_cast<double>(width);
        for (int64_t i = 0; i < width; ++i) sum += (row[i] - mean) * (row[i] - mean);
        const double factor = 1.0 / sqrt(sum / static_cast<double>(width) + 1e-5);
        for (int64_t i = 0; i < width && (width > 1 || !centered); ++i) {  // of one value only rounding is left
            double expected = (row[i] - mean) * factor;
            if (with_weights) expected *= w.data[i];
            if (with_bias) expected += b.data[i];
            CHECK(near(y.data[r * width + i], expected, centered ? 16.0 : 1.0), "%s width %d", level.name,
                  static_cast<int>(width));
        }
    }
}

void rope(const Level& level, int64_t width, int64_t n_pairs, bool neox) {
    constexpr int64_t heads = 2;
    const Values before(heads * width), cosines(n_pairs), sines(n_pairs);
    Values x(heads * width);
    memcpy(x.data, before.data, sizeof(float) * heads * static_cast<size_t>(width));
    level.ops->rope(x.data, cosines.data, sines.data, heads, width, n_pairs, neox);
    for (int64_t h = 0; h < heads; ++h) {
        const float *const from = before.data + h * width, *const to = x.data + h * width;
        for (int64_t i = 0; i < n_pairs; ++i) {
            const int64_t p = neox ? i : 2 * i, q = neox ? i + n_pairs : 2 * i + 1;
            const double c = cosines.data[i], s = sines.data[i];
            CHECK(near(to[p], from[p] * c - from[q] * s, 16.0), "%s %d", level.name, static_cast<int>(i));
            CHECK(near(to[q], from[p] * s + from[q] * c, 16.0), "%s %d", level.name, static_cast<int>(i));
        }
        for (int64_t i = 2 * n_pairs; i < width; ++i) CHECK(to[i] == from[i], "%s %d", level.name, static_cast<int>(i));
    }
}

// `special` at place `at`, if there is such a place.
void block_maxima(const Level& level, int64_t n, int64_t at, float special) {
    Values x(n), y((n + 63) / 64);
    if (at < n) x.data[at] = special;
    level.ops->block_maxima(x.data, n, y.data);
    for (int64_t b = 0; 64 * b < n; ++b) {
        float expected = -INFINITY;
        for (int64_t i = 64 * b; i < n && i < 64 * (b + 1); ++i) expected = x.data[i] > expected ? x.data[i] : expected;
        if (at < n && special != special && b == 0) {
            CHECK(y.data[0] != y.data[0], "%s n %d, NaN at %d", level.name, static_cast<int>(n), static_cast<int>(at));
        } else if (at >= n || special == special || at / 64 != b) {
            CHECK(y.data[b] == expected, "%s n %d block %d", level.name, static_cast<int>(n), static_cast<int>(b));
        }
    }
}

}  // namespace

int main() {
    each_level([](const Level& level, const char*) {
        for (int64_t n = 0; n <= 70; ++n) elementwise(level, n);
        accuracy(level);
        for (int64_t n = 1; n <= 140; ++n) {
            for (int64_t at = 0; at <= n; at += 5) {
                const float specials[] = {NAN, -NAN, INFINITY, -INFINITY, 9.0f};
                for (const float special : specials) block_maxima(level, n, at, special);
            }
            norm(level, n, false, true, false);
            norm(level, n, false, false, false);
            norm(level, n, true, true, true);
            norm(level, n, true, false, false);
        }
        for (int64_t width = 2; width <= 40; ++width) {
            for (int64_t n_pairs = 1; 2 * n_pairs <= width; n_pairs += 3) {
                rope(level, width, n_pairs, false);
                rope(level, width, n_pairs, true);
            }
        }
    });
    return n_failures == 0 ? 0 : 1;
}
