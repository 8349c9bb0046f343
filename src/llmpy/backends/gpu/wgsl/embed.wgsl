// Sixteen values of a row of a table for each token.

fn item(i: u32) {
    let row = i / p.items;
    let k = (i % p.items) * 16u;
    let t = token_row(row);
    var index = p.offset;
    if (p.mode == 0u) { index = tokens(t); }
    if (p.mode == 1u) { index = positions(t) + p.offset; }
    if (index < p.first || index >= p.first + p.n_rows) { return; }
    let at = index - p.first;
    let w = sixteen((p.base + at / 32u) * p.words * 32u + (at & 31u), k);
    let values = array<f32, 16>(w.a.x, w.a.y, w.a.z, w.a.w, w.b.x, w.b.y, w.b.z, w.b.w,
                                w.c.x, w.c.y, w.c.z, w.c.w, w.d.x, w.d.y, w.d.z, w.d.w);
    var copy = values;
    for (var j = 0u; j < min(16u, p.n - k); j += 1u) { A[p.y + row * p.n + k + j] = copy[j]; }
}
