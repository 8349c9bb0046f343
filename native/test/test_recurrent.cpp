// The kernels of recurrent.h at every level that runs here, against plain loops in double, at every odd size, in memory
// that ends where a sanitizer watches; and split in two, where every bit must stay.

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "levels.h"
#include "llmpy/ops.h"

using namespace llmpy;

namespace {

Random dice;

struct Values {
    int64_t n;
    float* data;

    explicit Values(int64_t count, float scale = 1.0f)
        : n(count), data(static_cast<float*>(malloc(sizeof(float) * static_cast<size_t>(count)))) {
        for (int64_t i = 0; i < n; ++i) data[i] = scale * dice.value();
    }
    Values(const Values& other) : Values(other.n) { memcpy(data, other.data, sizeof(float) * static_cast<size_t>(n)); }
    ~Values() { free(data); }
    Values& operator=(const Values&) = delete;

    bool operator==(const Values& other) const {
        return memcmp(data, other.data, sizeof(float) * static_cast<size_t>(n)) == 0;
    }
};

bool near(double a, double b) { return fabs(a - b) <= 1e-5 * (1.0 + fabs(b)); }

void conv(const Level& level, int64_t n, int64_t width) {
    const Values x(n), w(width * n), bias(n), before((width - 1) * n);
    Values y(n), memory(before), again(n), split(before);
    level.recurrent->conv(x.data, w.data, bias.data, n, width, 0, n, memory.data, y.data);
    for (int64_t i = 0; i < n; ++i) {
        double sum = bias.data[i];
        for (int64_t j = 0; j < width; ++j) {
            const float z = j + 1 < width ? before.data[j * n + i] : x.data[i];
            sum += static_cast<double>(z) * w.data[j * n + i];
            if (j > 0) CHECK(memory.data[(j - 1) * n + i] == z, "%s conv memory %d", level.name, static_cast<int>(n));
        }
        CHECK(near(y.data[i], sum), "%s conv %d %d", level.name, static_cast<int>(n), static_cast<int>(width));
    }
    const int64_t half = n / 32 * 16;
    level.recurrent->conv(x.data, w.data, bias.data, n, width, half, n, split.data, again.data);
    level.recurrent->conv(x.data, w.data, bias.data, n, width, 0, half, split.data, again.data);
    CHECK(again == y && split == memory, "%s conv in two %d", level.name, static_cast<int>(n));
}

void scan(const Level& level, int64_t heads, int64_t d, int64_t n, int64_t groups, int64_t a_width) {
    const Values x(heads * d), dt(heads), b(groups * n), c(groups * n), a(heads * a_width), skip(heads);
    const Values before(heads * d * n);
    Values y(heads * d), memory(before), again(heads * d), split(before);
    ScanCall call = {heads,  d,      n,      groups,    a_width,     x.data, dt.data,
                     b.data, c.data, a.data, skip.data, memory.data, y.data};
    level.recurrent->scan(call, 0, heads);
    for (int64_t i = 0; i < heads * d; ++i) {
        const int64_t h = i / d, g = h / (heads / groups);
        double sum = static_cast<double>(skip.data[h]) * x.data[i];
        for (int64_t j = 0; j < n; ++j) {
            const double decay = exp(static_cast<double>(dt.data[h]) * a.data[h * a_width + j % a_width]);
            const double written = static_cast<double>(dt.data[h]) * x.data[i] * b.data[g * n + j];
            const double s = decay * before.data[i * n + j] + written;
            CHECK(near(memory.data[i * n + j], s), "%s scan memory %d", level.name, static_cast<int>(n));
            sum += s * c.data[g * n + j];
        }
        CHECK(near(y.data[i], sum), "%s scan %d %d", level.name, static_cast<int>(n), static_cast<int>(a_width));
    }
    call.memory = split.data;
    call.y = again.data;
    level.recurrent->scan(call, heads / 2, heads);
    level.recurrent->scan(call, 0, heads / 2);
    CHECK(again == y && split == memory, "%s scan in two %d", level.name, static_cast<int>(n));
}

void delta_rule(const Level& level, int64_t heads, int64_t d_value, int64_t d_key, int64_t decay_width) {
    const int64_t rows = heads * d_value;
    const Values q(heads * d_key), k(heads * d_key), a(heads * d_key), b(heads * d_key);
    const Values decay(heads * decay_width), v(rows), before(rows * d_key);
    Values y(rows), memory(before), again(rows), split(before);
    DeltaCall call = {heads,  d_value, d_key,      decay_width, q.data,      k.data,
                      a.data, b.data,  decay.data, v.data,      memory.data, y.data};
    level.recurrent->delta_rule(call, 0, rows);
    for (int64_t i = 0; i < rows; ++i) {
        const int64_t h = i / d_value;
        const float* const s = before.data + i * d_key;
        double found = 0.0, sum = 0.0;
        for (int64_t j = 0; j < d_key; ++j) found += static_cast<double>(s[j]) * a.data[h * d_key + j];
        for (int64_t j = 0; j < d_key; ++j) {
            const double now = static_cast<double>(s[j]) * decay.data[h * decay_width + j % decay_width] +
                               found * b.data[h * d_key + j] + static_cast<double>(v.data[i]) * k.data[h * d_key + j];
            CHECK(near(memory.data[i * d_key + j], now), "%s delta memory %d", level.name, static_cast<int>(d_key));
            sum += now * q.data[h * d_key + j];
        }
        CHECK(near(y.data[i], sum), "%s delta %d", level.name, static_cast<int>(d_key));
    }
    call.memory = split.data;
    call.y = again.data;
    level.recurrent->delta_rule(call, rows / 2, rows);
    level.recurrent->delta_rule(call, 0, rows / 2);
    CHECK(again == y && split == memory, "%s delta in two %d", level.name, static_cast<int>(d_key));
}

// Keys so large that e^key overflows: only differences count.
void wkv4(const Level& level, int64_t n, float size) {
    const Values k(n, size), v(n), decay(n), first(n), before(n);
    Values total(before), weight(n), most(n), y(n);
    for (int64_t i = 0; i < n; ++i) {
        weight.data[i] = 1.0f;
        most.data[i] = size / 2;
    }
    const Wkv4Call call = {k.data, v.data, decay.data, first.data, total.data, weight.data, most.data, y.data};
    level.recurrent->wkv4(call, 0, n);
    for (int64_t i = 0; i < n; ++i) {
        const double past = exp(static_cast<double>(size / 2) - k.data[i] - first.data[i]);  // in units of this token
        const double expected = isinf(past) ? before.data[i] : (past * before.data[i] + v.data[i]) / (past + 1.0);
        CHECK(near(y.data[i], expected), "%s wkv4 %d", level.name, static_cast<int>(n));
        const double left = static_cast<double>(size / 2) + decay.data[i];
        CHECK(near(most.data[i], left > k.data[i] ? left : k.data[i]), "%s wkv4 most", level.name);
    }
}

}  // namespace

int main() {
    const int64_t sizes[] = {1, 2, 3, 15, 16, 17, 31, 32, 33, 47, 64, 100};
    each_level([&](const Level& level, const char*) {
        for (const int64_t n : sizes) {
            for (int64_t width = 2; width < 6; ++width) conv(level, n, width);
            scan(level, n, 1, 16, 1, 16);
            scan(level, 6, 3, n, 2, 1);
            scan(level, 2, 2, n, 1, n);
            delta_rule(level, 2, 5, n, n);
            delta_rule(level, 3, 4, n, 1);
            wkv4(level, n, 1.0f);
            wkv4(level, n, 500.0f);
        }
    });
    if (n_failures == 0) printf("recurrent: all levels agree\n");
    return n_failures == 0 ? 0 : 1;
}
