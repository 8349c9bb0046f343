// Functions of values, by number: see MAPS and GATES in lowering.py.

fn item(i: u32) {
    let a = A[p.x + i];
    var y = 0.0;
    switch (p.op) {
        case 0u: { y = a + A[p.b + i]; }
        case 1u: { y = a * A[p.b + i]; }
        case 2u: { y = a * A[p.b + i / p.last]; }
        case 3u: { y = a + weight[i % p.n_weight]; }
        case 4u: { y = a * weight[i % p.n_weight]; }
        case 5u: { y = a * p.factor; }
        case 6u: { y = clamp(a, p.low, p.high); }
        case 7u: {
            let g = min(a, 7.0);
            y = g * sigmoid(1.702 * g) * (clamp(A[p.b + i], -7.0, 7.0) + 1.0);
        }
        default: {
            if (p.op < 32u) { y = function_of(p.op - 16u, a); } else { y = function_of(p.op - 32u, a) * A[p.b + i]; }
        }
    }
    A[p.y + i] = y;
}
