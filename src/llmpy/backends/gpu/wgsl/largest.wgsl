// The number of the largest value of a row, the lower one of equal ones, for the sampler that takes it.

const NONE = 0xffffffffu;
var<workgroup> best: array<u32, 256>;
var<workgroup> wrong: array<u32, 256>;

fn group(i: u32, lane: u32) {
    if (i >= n_rows()) { return; }
    let x = p.x + i * p.n;
    var top = min(lane, p.n - 1u);
    var bad = 0u;
    for (var j = lane; j < p.n; j += 256u) {
        let bits = bitcast<u32>(A[x + j]);
        if ((bits & 0x7fffffffu) > 0x7f800000u || bits == 0x7f800000u) { bad = 1u; }
        if (A[x + j] > A[x + top]) { top = j; }
    }
    best[lane] = top;
    wrong[lane] = bad;
    workgroupBarrier();
    for (var s = 128u; s > 0u; s /= 2u) {
        if (lane < s) {
            let a = best[lane];
            let b = best[lane + s];
            if (A[x + b] > A[x + a] || (A[x + b] == A[x + a] && b < a)) { best[lane] = b; }
            wrong[lane] |= wrong[lane + s];
        }
        workgroupBarrier();
    }
    if (lane == 0u) { ids[H[15] + i] = select(best[0], NONE, wrong[0] == 1u); }
}
