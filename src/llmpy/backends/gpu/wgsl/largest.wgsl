// The number of the largest value of a row, the lower one of equal ones, for the sampler that takes it:
// that of each 2048 values, then that of these.

const NONE = 0xffffffffu;
const SEGMENT = 2048u;
var<workgroup> best: array<u32, 256>;
var<workgroup> wrong: array<u32, 256>;

// Bring the best of all invocations to the first one.
fn reduce(x: u32, lane: u32) {
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
}

//#kernel largest_part
fn group(i: u32, lane: u32) {
    let row = i / p.parts;
    if (row >= n_rows()) { return; }
    let x = p.x + row * p.n;
    let first = (i % p.parts) * SEGMENT;
    var top = min(first + lane, p.n - 1u);
    var bad = 0u;
    for (var j = first + lane; j < min(first + SEGMENT, p.n); j += 256u) {
        let bits = bitcast<u32>(A[x + j]);
        if ((bits & 0x7fffffffu) > 0x7f800000u || bits == 0x7f800000u) { bad = 1u; }
        if (A[x + j] > A[x + top]) { top = j; }
    }
    best[lane] = top;
    wrong[lane] = bad;
    reduce(x, lane);
    if (lane == 0u) {
        found[2u * i] = best[0];
        found[2u * i + 1u] = wrong[0];
    }
}
//#kernel largest
fn group(i: u32, lane: u32) {
    if (i >= n_rows()) { return; }
    let x = p.x + i * p.n;
    let at = i * p.parts;
    var top = found[2u * (at + min(lane, p.parts - 1u))];
    var bad = 0u;
    for (var j = lane; j < p.parts; j += 256u) {
        let next = found[2u * (at + j)];
        bad |= found[2u * (at + j) + 1u];
        if (A[x + next] > A[x + top]) { top = next; }
    }
    best[lane] = top;
    wrong[lane] = bad;
    reduce(x, lane);
    if (lane == 0u) { ids[H[15] + i] = select(best[0], NONE, wrong[0] == 1u); }
}
//#end
