// Functions of one number, where those of WGSL are not exact enough or overflow.

fn tangent(x: f32) -> f32 {
    let a = abs(x);
    if (a < 0.2) {
        let q = x * x;
        return fma(x * q, fma(q, fma(q, fma(q, 0.021869488, -0.053968254), 0.13333333), -0.33333333), x);
    }
    return sign(x) * (1.0 - 2.0 / (exp(2.0 * min(a, 20.0)) + 1.0));
}
fn sigmoid(x: f32) -> f32 {
    let e = exp(-abs(x));
    return select(1.0, e, x < 0.0) / (1.0 + e);
}
// log(1 + e) for e from 0 to 1
fn log_of_more(e: f32) -> f32 {
    if (e < 0.06) { return e * fma(e, fma(e, fma(e, fma(e, 0.2, -0.25), 0.33333333), -0.5), 1.0); }
    return log(1.0 + e);
}
fn gelu(x: f32) -> f32 {
    let inner = 0.7978845608 * fma(0.044715 * x * x, x, x);
    return 0.5 * x * (1.0 + tangent(inner));
}
// By Abramowitz and Stegun 7.1.26: erf to 1.5e-7.
fn gelu_exact(x: f32) -> f32 {
    let size = abs(x) * 0.70710678;
    let u = 1.0 / fma(0.3275911, size, 1.0);
    let series = u * fma(u, fma(u, fma(u, fma(u, 1.061405429, -1.453152027), 1.421413741), -0.284496736), 0.254829592);
    let tail = series * exp(-size * size);
    return 0.5 * x * select(2.0 - tail, tail, x < 0.0);
}
fn function_of(number: u32, x: f32) -> f32 {
    switch (number) {
        case 0u: { return x * sigmoid(x); }
        case 1u: { return gelu(x); }
        case 2u: { return gelu_exact(x); }
        case 3u: { return max(x, 0.0); }
        case 4u: { return sigmoid(x); }
        case 5u: { return tangent(x); }
        case 6u: { return exp(x); }
        default: { return max(x, 0.0) + log_of_more(exp(-abs(x))); }
    }
}
