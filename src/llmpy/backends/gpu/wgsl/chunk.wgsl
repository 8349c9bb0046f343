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
