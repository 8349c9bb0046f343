// Routing of one token by one invocation: 0 for all but the experts chosen; ties: the lower index first.

const LOWEST = -3.0e38;

// The best after a value and its index: the largest that is smaller, or as large with a higher index.
fn next_best(at: u32, n: u32, value: f32, index: u32, begin: bool) -> u32 {
    var best = n;
    var top = 0.0;
    for (var j = 0u; j < n; j += 1u) {
        let v = A[at + j];
        let after = begin || v < value || (v == value && j > index);
        if (after && (best == n || v > top)) { best = j; top = v; }
    }
    return min(best, n - 1u);
}

fn softmax_of(x: u32, y: u32, n: u32) {
    var top = A[x];
    for (var j = 1u; j < n; j += 1u) { top = max(top, A[x + j]); }
    var sum = 0.0;
    for (var j = 0u; j < n; j += 1u) { let e = exp(A[x + j] - top); A[y + j] = e; sum += e; }
    for (var j = 0u; j < n; j += 1u) { A[y + j] = A[y + j] / sum; }
}

fn sparsemixer(x: u32, y: u32, n: u32) {
    var value = 0.0;
    var index = 0u;
    for (var k = 0u; k < p.n_used; k += 1u) {
        let best = next_best(x, n, value, index, k == 0u);
        let top = A[x + best];
        var sum = 0.0;
        for (var j = 0u; j < n; j += 1u) {
            let v = A[x + j];
            // of those that are left, the ones near the best
            let left = k == 0u || v < value || (v == value && j > index);
            if (left && !((top - v) / max(abs(v), top) > 0.02)) { sum += exp(v - top); }
        }
        A[y + best] = 1.0 / sum * p.factor;
        value = top;
        index = best;
    }
}

fn item(row: u32) {
    let n = p.n;
    let x = p.x + row * n;
    let y = p.y + row * n;
    for (var j = 0u; j < n; j += 1u) { A[y + j] = 0.0; }
    if (p.gating == 2u) { sparsemixer(x, y, n); return; }
    let share = p.scratch + row * 3u * n;
    let judged = share + n;
    let merits = judged + n;
    if (p.gating == 0u) { softmax_of(x, share, n); } else {
        for (var j = 0u; j < n; j += 1u) { A[share + j] = sigmoid(A[x + j]); }
    }
    for (var j = 0u; j < n; j += 1u) {
        var v = A[share + j];
        if (p.has_bias == 1u) { v += bias[j]; } else if (p.gating == 0u) { v = A[x + j]; }
        A[judged + j] = v;
    }
    if (p.n_group_used < p.n_group) {
        let size = n / p.n_group;
        for (var g = 0u; g < p.n_group; g += 1u) {
            var first = LOWEST;
            var second = LOWEST;
            for (var j = 0u; j < size; j += 1u) {
                let v = A[judged + g * size + j];
                if (v > first) { second = first; first = v; } else if (v > second) { second = v; }
            }
            A[merits + g] = select(first, first + second, p.has_bias == 1u && size > 1u);
        }
        var value = 0.0;
        var index = 0u;
        for (var k = 0u; k < p.n_group; k += 1u) {
            index = next_best(merits, p.n_group, value, index, k == 0u);
            value = A[merits + index];
            if (k >= p.n_group_used) {
                for (var j = 0u; j < size; j += 1u) { A[judged + index * size + j] = LOWEST; }
            }
        }
    }
    var value = 0.0;
    var index = 0u;
    var sum = 0.0;
    for (var k = 0u; k < p.n_used; k += 1u) {
        index = next_best(judged, n, value, index, k == 0u);
        value = A[judged + index];
        A[y + index] = A[share + index];
        sum += A[share + index];
    }
    for (var j = 0u; j < n; j += 1u) {
        if (p.normalize == 1u) { A[y + j] = A[y + j] / max(sum, 1e-20) * p.factor; } else { A[y + j] = A[y + j] * p.factor; }
    }
}
