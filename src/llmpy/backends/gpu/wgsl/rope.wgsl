// Pairs of the first n_dims values of each head turned by the header's cosines and sines; the rest copied.
// The heads of a second value follow those of the first.

fn item(i: u32) {
    let half = p.n_dims / 2u;
    let each = p.d - half;
    let row = i / p.items;
    let head = (i % p.items) / each;
    let j = i % each;
    var x = p.x + (row * p.heads + head) * p.d;
    var y = p.y + (row * p.heads + head) * p.d;
    if (head >= p.heads) {
        let at = (row * p.heads1 + head - p.heads) * p.d;
        x = p.x1 + at;
        y = p.y1 + at;
    }
    if (j >= half) {
        A[y + half + j] = A[x + half + j];
        return;
    }
    let turn = H[14] + p.table * H[0] + token_row(row) * p.n_dims + 2u * j;
    let c = bitcast<f32>(H[turn]);
    let s = bitcast<f32>(H[turn + 1u]);
    let first = select(2u * j, j, p.neox == 1u);
    let second = first + select(1u, half, p.neox == 1u);
    let a = A[x + first];
    let b = A[x + second];
    A[y + first] = fma(a, c, -(b * s));
    A[y + second] = fma(a, s, b * c);
}
