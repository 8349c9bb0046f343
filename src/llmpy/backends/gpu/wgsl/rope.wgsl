// Pairs of the first n_dims values of each head turned by the header's cosines and sines; the rest copied.

fn item(i: u32) {
    let half = p.n_dims / 2u;
    let each = p.d - half;
    let head = i / each;
    let j = i % each;
    let at = head * p.d;
    if (j >= half) {
        A[p.y + at + half + j] = A[p.x + at + half + j];
        return;
    }
    let row = token_row(i / p.items);
    let turn = H[14] + p.table * H[0] + row * p.n_dims + 2u * j;
    let c = bitcast<f32>(H[turn]);
    let s = bitcast<f32>(H[turn + 1u]);
    let first = at + select(2u * j, j, p.neox == 1u);
    let second = first + select(1u, half, p.neox == 1u);
    let a = A[p.x + first];
    let b = A[p.x + second];
    A[p.y + first] = fma(a, c, -(b * s));
    A[p.y + second] = fma(a, s, b * c);
}
