// The n_used largest of n weights of a token, largest first: their numbers, then they themselves.

fn item(row: u32) {
    let x = p.x + row * p.n;
    var value = 0.0;
    var index = 0u;
    for (var k = 0u; k < p.n_used; k += 1u) {
        var best = p.n;
        var top = 0.0;
        for (var j = 0u; j < p.n; j += 1u) {
            let v = A[x + j];
            let after = k == 0u || v < value || (v == value && j > index);
            if (after && (best == p.n || v > top)) { best = j; top = v; }
        }
        best = min(best, p.n - 1u);
        A[p.y + (row * 2u) * p.n_used + k] = f32(best);
        A[p.y + (row * 2u + 1u) * p.n_used + k] = A[x + best];
        value = A[x + best];
        index = best;
    }
}
