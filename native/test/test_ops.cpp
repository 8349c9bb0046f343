// The kernels of ops.h at every level that runs here, against plain loops in double, at every odd size.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
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

double silu_of(double x) {
    return x / (1.0 + exp(-x));
}

bool near(double a, double b, double scale = 1.0) {
    return fabs(a - b) <= 2e-6 * (scale + fabs(b));
}

void elementwise(const Level& level, int64_t n) {
    const OpKernels& k = *level.ops;
    const Values a(n), b(n);
    enum { adding, multiplying, scaling, gating, gated, accumulating, n_kinds };
    for (int kind = 0; kind < n_kinds; ++kind) {
        Values y(n);
        if (kind == accumulating) memcpy(y.data, b.data, sizeof(float) * static_cast<size_t>(n));
        if (kind == adding) k.add(a.data, b.data, n, y.data);
        if (kind == multiplying) k.mul(a.data, b.data, n, y.data);
        if (kind == scaling) k.scale(a.data, 0.3f, n, y.data);
        if (kind == gating) k.silu(a.data, n, y.data);
        if (kind == gated) k.silu_mul(a.data, b.data, n, y.data);
        if (kind == accumulating) k.add_scaled(a.data, 0.3f, n, y.data);
        for (int64_t i = 0; i < n; ++i) {
            const double p = a.data[i], q = b.data[i];
            const double expected[n_kinds] = {p + q, p * q, 0.3f * p, silu_of(p), silu_of(p) * q, q + 0.3f * p};
            CHECK(near(y.data[i], expected[kind]), "%s kind %d n %d", level.name, kind, static_cast<int>(n));
        }
    }
}

void norm(const Level& level, int64_t width) {
    constexpr int64_t rows = 3;
    const Values x(rows * width), w(width);
    Values y(rows * width);
    level.ops->rms_norm(x.data, w.data, 1e-5f, rows, width, y.data);
    for (int64_t r = 0; r < rows; ++r) {
        double sum = 0.0;
        for (int64_t i = 0; i < width; ++i) sum += double{x.data[r * width + i]} * x.data[r * width + i];
        const double factor = 1.0 / sqrt(sum / static_cast<double>(width) + 1e-5);
        for (int64_t i = 0; i < width; ++i) {
            const double expected = x.data[r * width + i] * factor * w.data[i];
            CHECK(near(y.data[r * width + i], expected), "%s width %d", level.name, static_cast<int>(width));
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

}  // namespace

int main() {
    for (int32_t i = 0; level_of(i) != nullptr; ++i) {
        if (!level_runs_here(i)) continue;
        const Level& level = *level_of(i);
        for (int64_t n = 0; n <= 70; ++n) elementwise(level, n);
        for (int64_t n = 1; n <= 140; ++n) norm(level, n);
        for (int64_t width = 2; width <= 40; ++width) {
            for (int64_t n_pairs = 1; 2 * n_pairs <= width; n_pairs += 3) {
                rope(level, width, n_pairs, false);
                rope(level, width, n_pairs, true);
            }
        }
    }
    return n_failures == 0 ? 0 : 1;
}
