// softmax(q k^T) v over pages of 64 positions. A workgroup goes through pages with a running maximum; an
// invocation is a position of the page, then a channel of the value. Chunks of 256 positions are summed
// apart and merged in order, one after another or each by a workgroup of its own. Pages and chunks begin
// at multiples of their size, so that the order of summation depends on a token's position alone.

const LOWEST = -1e30;
const CHUNK = 256u;
var<workgroup> query: array<f32, 1024>;
var<workgroup> out: array<f32, 1024>;  // of a chunk
var<workgroup> all: array<f32, 1024>;  // of the chunks so far
var<workgroup> share: array<f32, 64>;
var<workgroup> tree: array<f32, 64>;

struct Soft { most: f32, sum: f32 }
// The positions that a token sees, from `first` to `end`.
struct Seen { session: u32, at: u32, first: u32, end: u32 }

fn seen_by(row: u32) -> Seen {
    let session = sessions(row);
    let at = positions(row);
    var s = Seen(session, at, 0u, at + 1u);
    if (p.causal == 1u) {
        if (p.window > 0u && s.end > p.window) { s.first = s.end - p.window; }
    } else {
        s.end = ends(session);
        if (p.window > 0u) {
            let side = p.window / 2u;
            if (at > side) { s.first = at - side; }
            s.end = min(s.end, at + side + 1u);
        }
    }
    return s;
}

// The sum so far with that of the next chunk: of its channels an invocation has every 64th.
fn merged(lane: u32, before: Soft, next: Soft) -> Soft {
    let most = max(before.most, next.most);
    let x = exp(before.most - most);
    let z = exp(next.most - most);
    for (var j = lane; j < p.dv; j += 64u) { all[j] = fma(all[j], x, out[j] * z); }
    return Soft(most, fma(before.sum, x, next.sum * z));
}

//#kernel attend
fn group(i: u32, lane: u32) {
    if (i >= n_rows() * p.heads) { return; }
    let s = seen_by(token_row(i / p.heads));
    let head = i % p.heads;
    ask(lane, i);
    for (var j = lane; j < p.dv; j += 64u) { all[j] = 0.0; }
    var total = Soft(LOWEST, 0.0);
    for (var c = s.first / CHUNK; c * CHUNK < s.end; c += 1u) { total = merged(lane, total, chunk(lane, s, head, c)); }
    finish(lane, i, head, total);
}
//#kernel attend_part
fn group(i: u32, lane: u32) {
    let n_chunks = H[16];
    if (i >= n_rows() * p.heads) { return; }
    let c = i % n_chunks;
    let at = i / n_chunks;
    let s = seen_by(token_row(at / p.heads));
    if ((c + 1u) * CHUNK <= s.first || c * CHUNK >= s.end) { return; }
    ask(lane, at);
    let r = chunk(lane, s, at % p.heads, c);
    let to = i * (p.dv + 2u);
    if (lane == 0u) {
        parts[to] = r.most;
        parts[to + 1u] = r.sum;
    }
    for (var j = lane; j < p.dv; j += 64u) { parts[to + 2u + j] = out[j]; }
}
//#kernel attend_merge
fn group(i: u32, lane: u32) {
    if (i >= n_rows() * p.heads) { return; }
    let s = seen_by(token_row(i / p.heads));
    for (var j = lane; j < p.dv; j += 64u) { all[j] = 0.0; }
    var total = Soft(LOWEST, 0.0);
    for (var c = s.first / CHUNK; c * CHUNK < s.end; c += 1u) {
        let at = (i * H[16] + c) * (p.dv + 2u);
        for (var j = lane; j < p.dv; j += 64u) { out[j] = parts[at + 2u + j]; }
        total = merged(lane, total, Soft(parts[at], parts[at + 1u]));
    }
    finish(lane, i, i % p.heads, total);
}
//#end
