// Kind 0: x / sqrt(mean(x^2) + eps), 1: the same of x less its mean, 2: the sum. One fixed tree a row.

var<workgroup> tree: array<f32, 64>;

fn total(lane: u32, value: f32) -> f32 {
    tree[lane] = value;
    workgroupBarrier();
    for (var s = 32u; s > 0u; s /= 2u) {
        if (lane < s) { tree[lane] += tree[lane + s]; }
        workgroupBarrier();
    }
    let all = tree[0];
    workgroupBarrier();
    return all;
}

fn group(i: u32, lane: u32) {
    if (i >= n_rows() * p.items) { return; }
    let x = p.x + i * p.width;
    var mean = 0.0;
    if (p.kind != 0u) {
        var sum = 0.0;
        for (var j = lane; j < p.width; j += 64u) { sum += A[x + j]; }
        sum = total(lane, sum);
        if (p.kind == 2u) {
            if (lane == 0u) { A[p.y + i] = sum; }
            return;
        }
        mean = sum / f32(p.width);
    }
    var squares = 0.0;
    for (var j = lane; j < p.width; j += 64u) {
        let v = A[x + j] - mean;
        squares = fma(v, v, squares);
    }
    let scale = 1.0 / sqrt(total(lane, squares) / f32(p.width) + p.eps);
    for (var j = lane; j < p.width; j += 64u) {
        let at = i * p.width + j;
        var v = (A[x + j] - mean) * scale;
        if (p.n_weight > 0u) { v *= weight[at % p.n_weight]; }
        if (p.n_bias > 0u) { v += bias[at % p.n_bias]; }
        A[p.y + at] = v;
    }
}
