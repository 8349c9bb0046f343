// ops.inl: the kernels of ops.h but attend's, in the vocabulary of simd/*.h; compiled once per level.

#include "maps.inl"

namespace llmpy {
namespace {

void add(const float* a, const float* b, int64_t n, float* y) {
    map2(a, b, n, y, [](F32x16 p, F32x16 q) LLMPY_LAMBDA { return p + q; });
}

void mul(const float* a, const float* b, int64_t n, float* y) {
    map2(a, b, n, y, [](F32x16 p, F32x16 q) LLMPY_LAMBDA { return p * q; });
}

void scale(const float* a, float factor, int64_t n, float* y) {
    const F32x16 f = set1(factor);
    map1(a, n, y, [&](F32x16 p) LLMPY_LAMBDA { return p * f; });
}

void add_scaled(const float* a, float factor, int64_t n, float* y) {
    const F32x16 f = set1(factor);
    map2(a, y, n, y, [&](F32x16 p, F32x16 q) LLMPY_LAMBDA { return fma(p, f, q); });
}

void clamp_all(const float* a, float low, float high, int64_t n, float* y) {
    const F32x16 least = set1(low), most = set1(high);
    map1(a, n, y, [&](F32x16 p) LLMPY_LAMBDA { return clamp(p, least, most); });
}

void block_maxima(const float* a, int64_t n, float* y) {
    const I32x16 without_sign = set1(0x7fffffff);
    I32x16 size = set1(0);
    float rest = -__builtin_inff();
    float* to = y;
    int64_t i = 0;
    for (; i + 64 <= n; i += 64) {
        F32x16 x[4];
        LLMPY_EACH(v, 4) x[v] = load(a + i + 16 * v);
        LLMPY_EACH(v, 4) size = max(size, bits_of(x[v]) & without_sign);
        *to++ = max_lane(max(max(x[0], x[1]), max(x[2], x[3])));
    }
    bool nan = max_lane(size) > 0x7f800000;
    if (i < n) {
        for (; i < n; ++i) {
            rest = greater(rest, a[i]);
            nan = nan || a[i] != a[i];
        }
        *to = rest;
    }
    if (nan) *y = __builtin_nanf("");
}

// body(f) with the function of that number. Each becomes a loop of its own.
template <class Body>
LLMPY_INLINE void with_function(Function f, const Body& body) {
    switch (f) {
        case Function::silu:
            return body([](F32x16 x) LLMPY_LAMBDA { return silu(x); });
        case Function::gelu:
            return body([](F32x16 x) LLMPY_LAMBDA { return gelu(x); });
        case Function::gelu_exact:
            return body([](F32x16 x) LLMPY_LAMBDA { return gelu_exact(x); });
        case Function::relu:
            return body([](F32x16 x) LLMPY_LAMBDA { return relu(x); });
        case Function::sigmoid:
            return body([](F32x16 x) LLMPY_LAMBDA { return sigmoid(x); });
        case Function::tanh:
            return body([](F32x16 x) LLMPY_LAMBDA { return tanh(x); });
        case Function::exp:
            return body([](F32x16 x) LLMPY_LAMBDA { return exp(x); });
        case Function::softplus:
            return body([](F32x16 x) LLMPY_LAMBDA { return softplus(x); });
        case Function::swiglu_clamped:
            return;
    }
}

// y = f(a) times values of b, of which `mask` says where value i is.
void apply(Function f, const float* a, const float* b, int64_t mask, int64_t n, float* y) {
    const auto each = [&](const auto& of) LLMPY_LAMBDA {
        each_part(0, n, [&](int64_t i, int rest) LLMPY_LAMBDA {
            store_up_to(y + i, of(load_up_to(a + i, rest), load_up_to(b + (i & mask), rest)), rest);
        });
    };
    if (f == Function::swiglu_clamped) {
        const F32x16 most = set1(7.0f), least = set1(-7.0f), one = set1(1.0f), slope = set1(-1.702f);
        return each([&](F32x16 p, F32x16 q) LLMPY_LAMBDA {
            const F32x16 x = min(most, p);
            return x / (one + exp(slope * x)) * (clamp(q, least, most) + one);
        });
    }
    with_function(f, [&](auto of) { each([&](F32x16 p, F32x16 q) LLMPY_LAMBDA { return of(p) * q; }); });
}

void function(Function f, const float* a, int64_t n, float* y) {
    static const float ones[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    if (f != Function::swiglu_clamped) apply(f, a, ones, 0, n, y);
}

void gate(Function f, const float* a, const float* b, int64_t n, float* y) { apply(f, a, b, -1, n, y); }

// The sum of what step(x, sum so far) adds for each value, in a fixed order: four running sums over vectors 0, 4, 8 ..,
// 1, 5, 9 .., and so on. step(0, sum) must be the sum.
template <class Step>
LLMPY_INLINE float sum_in_order(const float* x, int64_t n, const Step& step) {
    F32x16 s[4] = {set1(0.0f), set1(0.0f), set1(0.0f), set1(0.0f)};
    int64_t i = 0;
    for (; i + 64 <= n; i += 64) {
        unroll<4>([&](auto j) LLMPY_LAMBDA { s[j.value] = step(load(x + i + 16 * j.value), s[j.value]); });
    }
    for (; i + 16 <= n; i += 16) s[0] = step(load(x + i), s[0]);
    if (i < n) s[1] = step(load_part(x + i, static_cast<int>(n - i)), s[1]);
    return sum((s[0] + s[1]) + (s[2] + s[3]));
}

float total(const float* x, int64_t n) {
    return sum_in_order(x, n, [](F32x16 v, F32x16 s) LLMPY_LAMBDA { return s + v; });
}

void norm(const float* x, const float* w, const float* b, float eps, bool centered, int64_t rows, int64_t width,
          float* y) {
    for (int64_t r = 0; r < rows; ++r, x += width, y += width) {
        const float* from = x;
        if (centered) {
            const F32x16 mean = set1(total(x, width) / static_cast<float>(width));
            map1(x, width, y, [&](F32x16 v) LLMPY_LAMBDA { return v - mean; });
            from = y;
        }
        const float mean = sum_in_order(from, width, [](F32x16 v, F32x16 s) LLMPY_LAMBDA { return fma(v, v, s); }) /
                           static_cast<float>(width);
        const F32x16 factor = set1(1.0f / __builtin_sqrtf(mean + eps));
        if (w == nullptr) {
            map1(from, width, y, [&](F32x16 p) LLMPY_LAMBDA { return p * factor; });
        } else {
            map2(from, w, width, y, [&](F32x16 p, F32x16 q) LLMPY_LAMBDA { return p * factor * q; });
        }
        if (b != nullptr) add(y, b, width, y);
    }
}

void rope(float* x, const float* cos, const float* sin, int64_t n_heads, int64_t width, int64_t n_pairs, bool neox) {
    int64_t i = 0;
    for (; neox && i + 16 <= n_pairs; i += 16) {
        const F32x16 c = load(cos + i), s = load(sin + i);
        float *first = x + i, *second = first + n_pairs;
        for (int64_t h = 0; h < n_heads; ++h, first += width, second += width) {
            const F32x16 a = load(first), b = load(second);
            store(first, a * c - b * s);
            store(second, a * s + b * c);
        }
    }
    for (; !neox && i + 8 <= n_pairs; i += 8) {
        float of_each[16], of_other[16];
        for (int j = 0; j < 16; ++j) {
            of_each[j] = cos[i + j / 2];
            of_other[j] = j % 2 == 0 ? -sin[i + j / 2] : sin[i + j / 2];
        }
        const F32x16 c = load(of_each), s = load(of_other);
        float* pairs = x + 2 * i;
        for (int64_t h = 0; h < n_heads; ++h, pairs += width) {
            const F32x16 a = load(pairs);
            store(pairs, a * c + swap_neighbours(a) * s);
        }
    }
    const int64_t apart = neox ? n_pairs : 1, step = neox ? 1 : 2;
    for (; i < n_pairs; ++i) {
        float* pair = x + i * step;
        for (int64_t h = 0; h < n_heads; ++h, pair += width) {
            const float a = pair[0], b = pair[apart];
            pair[0] = a * cos[i] - b * sin[i];
            pair[apart] = a * sin[i] + b * cos[i];
        }
    }
}

}  // namespace
}  // namespace llmpy
