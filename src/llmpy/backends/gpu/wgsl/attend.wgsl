// A workgroup: a head of a token. Pages one after another with a running maximum; an invocation is a
// position of the page, then a channel of the value. Pages begin at multiples of 64 positions, so the
// order of summation depends on the token's position alone.

const LOWEST = -1e30;
var<workgroup> query: array<f32, 1024>;
var<workgroup> out: array<f32, 1024>;
var<workgroup> share: array<f32, 64>;
var<workgroup> tree: array<f32, 64>;

fn reduced(lane: u32, value: f32, largest: bool) -> f32 {
    tree[lane] = value;
    workgroupBarrier();
    for (var s = 32u; s > 0u; s /= 2u) {
        if (lane < s) {
            tree[lane] = select(tree[lane] + tree[lane + s], max(tree[lane], tree[lane + s]), largest);
        }
        workgroupBarrier();
    }
    let all = tree[0];
    workgroupBarrier();
    return all;
}

fn page_of(session: u32, i: u32) -> u32 {
    if (p.windowed == 1u) { return windows(first_page(session) + i); }
    return pages(first_page(session) + i);
}

fn score(lane: u32, page: u32, head: u32) -> f32 {
    var sum = 0.0;
    if (p.half == 1u) {
        let each = (p.d + 1u) / 2u;
        let at = (page - 1u) * p.key_stride + (lane * p.kv + head) * each;
        for (var j = 0u; j < each; j += 1u) {
            let k = unpack2x16float(keys[at + j]);
            sum = fma(query[2u * j], k.x, sum);
            sum = fma(query[2u * j + 1u], k.y, sum);
        }
        return sum;
    }
    let at = (page - 1u) * p.key_stride + (lane * p.kv + head) * p.d;
    for (var j = 0u; j < p.d; j += 1u) { sum = fma(query[j], bitcast<f32>(keys[at + j]), sum); }
    return sum;
}

fn value(slot: u32, page: u32, head: u32, j: u32) -> f32 {
    if (p.half == 1u) {
        let each = (p.dv + 1u) / 2u;
        let two = unpack2x16float(values[(page - 1u) * p.value_stride + (slot * p.kv + head) * each + j / 2u]);
        return select(two.x, two.y, (j & 1u) == 1u);
    }
    return bitcast<f32>(values[(page - 1u) * p.value_stride + (slot * p.kv + head) * p.dv + j]);
}

fn group(i: u32, lane: u32) {
    if (i >= n_rows() * p.heads) { return; }
    let row = token_row(i / p.heads);
    let head = i % p.heads;
    let kv_head = head / (p.heads / p.kv);
    let session = sessions(row);
    let at = positions(row);
    var first = 0u;
    var end = at + 1u;
    if (p.causal == 1u) {
        if (p.window > 0u && end > p.window) { first = end - p.window; }
    } else {
        end = ends(session);
        if (p.window > 0u) {
            let side = p.window / 2u;
            if (at > side) { first = at - side; }
            end = min(end, at + side + 1u);
        }
    }
    for (var j = lane; j < 1024u; j += 64u) {
        query[j] = 0.0;
        if (j < p.d) { query[j] = A[p.q + i * p.d + j]; }
        out[j] = 0.0;
    }
    workgroupBarrier();
    var most = LOWEST;
    var sum = 0.0;
    for (var block = first / 64u; block * 64u < end; block += 1u) {
        let page = page_of(session, block);
        let position = block * 64u + lane;
        let seen = position >= first && position < end;
        var s = LOWEST;
        if (seen) {
            s = score(lane, page, kv_head) * p.factor;
            if (p.softcap > 0.0) { s = tangent(s / p.softcap) * p.softcap; }
            if (p.has_alibi == 1u) {
                let distance = f32(max(position, at) - min(position, at));
                s = fma(-slopes[head], distance, s);
            }
        }
        let before = most;
        most = max(most, reduced(lane, s, true));
        let fade = exp(before - most);
        share[lane] = select(0.0, exp(s - most), seen);
        sum = fma(sum, fade, reduced(lane, share[lane], false));
        let low = max(first, block * 64u) - block * 64u;
        let high = min(end, block * 64u + 64u) - block * 64u;
        for (var j = lane; j < p.dv; j += 64u) {
            var o = out[j] * fade;
            for (var slot = low; slot < high; slot += 1u) { o = fma(share[slot], value(slot, page, kv_head, j), o); }
            out[j] = o;
        }
        workgroupBarrier();
    }
    var fade = 1.0;
    if (p.has_sinks == 1u) {
        let top = max(most, sinks[head]);
        fade = exp(most - top);
        sum = fma(sum, fade, exp(sinks[head] - top));
    }
    for (var j = lane; j < p.dv; j += 64u) { A[p.y + i * p.dv + j] = out[j] * fade / sum; }
}
