// One chunk of attention, for the kernels that look at keys and values.

fn reduced(lane: u32, value: f32, largest: bool) -> f32 {
    tree[lane] = value;
    workgroupBarrier();
    for (var s = 32u; s > 0u; s /= 2u) {
        if (lane < s) {
            tree[lane] = select(tree[lane] + tree[lane + s], max(tree[lane], tree[lane + s]), largest);
        }
        workgroupBarrier();
    }
    let result = tree[0];
    workgroupBarrier();
    return result;
}

fn page_of(session: u32, i: u32) -> u32 {
    if (p.windowed == 1u) { return windows(first_page(session) + i); }
    return pages(first_page(session) + i);
}

fn ask(lane: u32, i: u32) {
    for (var j = lane; j < 1024u; j += 64u) {
        query[j] = 0.0;
        if (j < p.d) { query[j] = A[p.q + i * p.d + j]; }
    }
    workgroupBarrier();
}

fn score(lane: u32, page: u32, head: u32) -> f32 {
    var sum = 0.0;
    let row = lane * p.kv + head;
    let start = (page - 1u) * p.key_stride;
    if (p.kind == 0u) {
        for (var j = 0u; j < p.d; j += 1u) { sum = fma(query[j], bitcast<f32>(keys[start + row * p.d + j]), sum); }
    } else if (p.kind == 1u) {
        let each = (p.d + 1u) / 2u;
        for (var j = 0u; j < each; j += 1u) {
            let k = unpack2x16float(keys[start + row * each + j]);
            sum = fma(query[2u * j], k.x, sum);
            sum = fma(query[2u * j + 1u], k.y, sum);
        }
    } else {
        let each = (p.d + 31u) / 32u;
        for (var j = 0u; j < each; j += 1u) {
            let at = start + (row * each + j) * 9u;
            var part = 0.0;
            for (var word = 0u; word < 8u; word += 1u) {
                let four = keys[at + 1u + word];
                for (var m = 0u; m < 4u; m += 1u) {
                    part = fma(query[32u * j + 4u * word + m], integer(four, m), part);
                }
            }
            sum = fma(bitcast<f32>(keys[at]), part, sum);
        }
    }
    return sum;
}

// One of four integers of 8 bits.
fn integer(four: u32, m: u32) -> f32 { return f32(i32(four << (24u - 8u * m)) >> 24u); }

fn value(slot: u32, page: u32, head: u32, j: u32) -> f32 {
    let row = slot * p.kv + head;
    let start = (page - 1u) * p.value_stride;
    if (p.kind == 0u) { return bitcast<f32>(values[start + row * p.dv + j]); }
    if (p.kind == 1u) {
        let two = unpack2x16float(values[start + row * ((p.dv + 1u) / 2u) + j / 2u]);
        return select(two.x, two.y, (j & 1u) == 1u);
    }
    let at = start + (row * ((p.dv + 31u) / 32u) + j / 32u) * 9u;
    return bitcast<f32>(values[at]) * integer(values[at + 1u + (j & 31u) / 4u], j & 3u);
}

fn chunk(lane: u32, s: Seen, head: u32, c: u32) -> Soft {
    let kv_head = head / (p.heads / p.kv);
    let first = max(s.first, c * CHUNK);
    let end = min(s.end, (c + 1u) * CHUNK);
    var r = Soft(LOWEST, 0.0);
    for (var j = lane; j < p.dv; j += 64u) { out[j] = 0.0; }
    for (var block = first / 64u; block * 64u < end; block += 1u) {
        let page = page_of(s.session, block);
        let position = block * 64u + lane;
        let seen = position >= first && position < end;
        var v = LOWEST;
        if (seen) {
            v = score(lane, page, kv_head) * p.factor;
            if (p.softcap > 0.0) { v = tangent(v / p.softcap) * p.softcap; }
            if (p.has_alibi == 1u) {
                let distance = f32(max(position, s.at) - min(position, s.at));
                v = fma(-slopes[head], distance, v);
            }
        }
        let most = max(r.most, reduced(lane, v, true));
        let fade = exp(r.most - most);
        share[lane] = select(0.0, exp(v - most), seen);
        r = Soft(most, fma(r.sum, fade, reduced(lane, share[lane], false)));
        let low = max(first, block * 64u) - block * 64u;
        let high = min(end, block * 64u + 64u) - block * 64u;
        for (var j = lane; j < p.dv; j += 64u) {
            var o = out[j] * fade;
            for (var slot = low; slot < high; slot += 1u) { o = fma(share[slot], value(slot, page, kv_head, j), o); }
            out[j] = o;
        }
        workgroupBarrier();
    }
    return r;
}
