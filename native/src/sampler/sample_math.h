// sample_math: logarithm and exponential by single IEEE operations, so that Python gets the same bits; `ln` and
// `exponential` in sampling/weights.py.
#ifndef LLMPY_SAMPLE_MATH_H
#define LLMPY_SAMPLE_MATH_H

#include <math.h>
#include <stdint.h>

namespace {

constexpr double kLn2 = 0x1.62e42fefa39efp-1;
constexpr double kLn2High = 0x1.62e42feep-1;  // so short that k * kLn2High is exact
constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
constexpr double kLog2E = 0x1.71547652b82fep+0;
constexpr double kSqrtHalf = 0x1.6a09e667f3bcdp-1;

// The natural logarithm of x > 0.
inline double ln(double x) {
    int e = 0;
    double m = frexp(x, &e);
    if (m < kSqrtHalf) {
        m = m * 2.0;
        e = e - 1;
    }
    const double s = (m - 1.0) / (m + 1.0);
    const double z = s * s;
    double p = 1.0 / 21.0;
    for (int n = 19; n > 0; n -= 2) {
        p = p * z + 1.0 / n;
    }
    return e * kLn2High + ((s + s) * p + e * kLn2Low);
}

// exp(x), 0 below -700 and that of 700 above it.
inline double exponential(double x) {
    if (!(x >= -700.0)) {
        return 0.0;
    }
    x = x < 700.0 ? x : 700.0;
    const double k = rint(x * kLog2E);
    const double r = (x - k * kLn2High) - k * kLn2Low;
    double factorial = 39916800.0;
    double p = 1.0 / factorial;
    for (int n = 11; n > 0; n--) {
        factorial = factorial / n;
        p = p * r + 1.0 / factorial;
    }
    return ldexp(p, (int)k);
}

// base^n by repeated squaring.
inline double power(double base, int64_t n) {
    double result = 1.0;
    for (; n > 0; n >>= 1) {
        if (n & 1) {
            result *= base;
        }
        base *= base;
    }
    return result;
}

}  // namespace

#endif
