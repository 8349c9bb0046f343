// A workgroup: 32 rows of a matrix, of which 8 invocations each take every eighth 64 inputs, and MANY
// rows of the batch. The order of summation is the same for any MANY: inputs of an invocation one after
// another, then the sums of the eight in order. Matrices of one input may lie one behind another: the
// second begins at tile p.tile1, the third at p.tile2, and their results are y1 and y2.

var<workgroup> parts: array<f32, PARTS>;

fn group(i: u32, lane: u32) {
    let items = n_rows() * p.per;
    let tile = i % p.tiles;
    let first = (i / p.tiles) * MANY;
    if (first >= items) { return; }
    let r = lane & 31u;
    var y = p.y;
    var n_out = p.n_out;
    var n_rows = p.n_rows;
    var before = 0u;  // tiles of the matrices in front
    var of_bias = 0u;
    if (tile >= p.tile1) { y = p.y1; n_out = p.n1; n_rows = p.n1; before = p.tile1; of_bias = p.n_out; }
    if (tile >= p.tile2) { y = p.y2; n_out = p.n2; n_rows = p.n2; before = p.tile2; of_bias = p.n_out + p.n1; }
    let row = (tile - before) * 32u + r;
    var matrix = 0u;
    if (p.mode == 1u) { matrix = first % p.per; }
    if (p.mode == 2u) { matrix = u32(A[p.chosen + (first / p.per) * 2u * p.per + first % p.per]); }
    let here = matrix >= p.first_matrix && matrix < p.first_matrix + p.n_matrices;
    let base = select(0u, (p.base + (matrix - p.first_matrix) * p.tiles + tile) * p.words * 32u, here) + r;
    let n = select(0u, p.n_in, here);
    let whole = n & ~15u;
    $let x{t} = p.x + select(min(first + {t}u, items - 1u), min(first + {t}u, items - 1u) / p.per, p.same_x == 1u) * p.n_in;
    $var sum{t} = 0.0;
    for (var segment = (lane >> 5u) * 64u; segment < whole; segment += 512u) {
        for (var k = segment; k < min(segment + 64u, whole); k += 16u) {
            let w = sixteen(base, k);
            $sum{t} = along(w, x{t} + k, sum{t});
        }
    }
    if (whole < n && (lane >> 5u) == (whole / 64u) % 8u) {
        let w = sixteen(base, whole);
        $sum{t} = along_some(w, x{t} + whole, n - whole, sum{t});
    }
    $parts[{t}u * 256u + lane] = sum{t};
    workgroupBarrier();
    if (lane < 32u && row < n_rows && here) {
        for (var t = 0u; t < min(MANY, items - first); t += 1u) {
            var total = parts[t * 256u + r];
            for (var s = 1u; s < 8u; s += 1u) { total += parts[t * 256u + s * 32u + r]; }
            if (p.has_bias == 1u) { total += bias[of_bias + matrix * n_out + p.first_row + row]; }
            let at = (first + t) * n_out + p.first_row + row;
            if (p.has_residual == 1u) { total += A[p.residual + at]; }
            A[y + at] = total;
        }
    }
}

fn dot4(w: vec4<f32>, at: u32, sum: f32) -> f32 {
    return fma(w.w, A[at + 3u], fma(w.z, A[at + 2u], fma(w.y, A[at + 1u], fma(w.x, A[at], sum))));
}
fn along(w: W, at: u32, sum: f32) -> f32 {
    return dot4(w.d, at + 12u, dot4(w.c, at + 8u, dot4(w.b, at + 4u, dot4(w.a, at, sum))));
}
fn along_some(w: W, at: u32, n: u32, sum: f32) -> f32 {
    var values = array<f32, 16>(w.a.x, w.a.y, w.a.z, w.a.w, w.b.x, w.b.y, w.b.z, w.b.w,
                                w.c.x, w.c.y, w.c.z, w.c.w, w.d.x, w.d.y, w.d.z, w.d.w);
    var total = sum;
    for (var i = 0u; i < n; i += 1u) { total = fma(values[i], A[at + i], total); }
    return total;
}
