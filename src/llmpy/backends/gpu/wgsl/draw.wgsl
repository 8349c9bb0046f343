// The token that a chain draws, where that is sure: the same as from all logits, whatever the bits of
// these sums are. Else NONE. Tokens that may be drawn are kept in order, the largest first; a step of the
// chain leaves the first `n` of them. Where none leaves any out, all logits are looked at. What lies within the errors of this arithmetic beside a cut, or
// beside the place where the draw falls, is not sure.

const KEEP = 1024u;
const NONE = 0xffffffffu;
const ERROR = 4e-6;  // of a sum of weights, as a share of the total
var<workgroup> values: array<f32, 1024>;
var<workgroup> numbers: array<u32, 1024>;
var<workgroup> shares: array<f32, 1024>;  // the weights of the first `n`
var<workgroup> tree: array<f32, 256>;
var<workgroup> bins: array<atomic<u32>, 16>;
var<workgroup> best: atomic<u32>;    // the largest key
var<workgroup> limit: atomic<u32>;   // tokens that `top` left out have no larger key
var<workgroup> extent: atomic<u32>;  // the largest magnitude that was rounded, as bits
var<workgroup> n_kept: atomic<u32>;
var<workgroup> n_next: atomic<u32>;
var<workgroup> unsure: atomic<u32>;
var<workgroup> answer: atomic<u32>;
var<workgroup> segment: u32;
var<workgroup> in_front: f32;  // the weights before the segment

struct Decided { n: u32, scale: f32, leaves_all: bool }

fn group(i: u32, lane: u32) {
    if (i >= n_rows()) { return; }
    let at = samplers[i];
    if (lane == 0u) {
        atomicStore(&best, 0u);
        atomicStore(&limit, 0u);
        atomicStore(&extent, 0u);
        atomicStore(&n_kept, 0u);
        atomicStore(&unsure, 0u);
        atomicStore(&answer, NONE);
    }
    workgroupBarrier();
    change(i, at, lane);
    storageBarrier();
    workgroupBarrier();
    look(i, at, lane);
    workgroupBarrier();
    let bound = max(atomicLoad(&limit), key_of_last(i, at, lane));
    workgroupBarrier();
    let left = gather(i, at, lane, bound);
    sort_kept(lane);
    let decided = decide(at, lane, bound, left);
    if (decided.leaves_all) {
        draw_from_all(i, at, lane, decided.scale);
    } else {
        draw(at, lane, decided.n, decided.scale);
    }
    workgroupBarrier();
    if (lane == 0u) { ids[H[15] + i] = select(NONE, atomicLoad(&answer), atomicLoad(&unsure) == 0u); }
}

// The logits of the tokens that are apart, as penalties and biases make them, in `changed`.
fn change(i: u32, at: u32, lane: u32) {
    let n = n_recent(at);
    for (var j = lane; j < n_apart(at); j += 256u) {
        let id = apart(at, j);
        var is_first = id < p.n_seen && may_come(at, id);
        for (var k = 0u; is_first && k < j; k += 1u) { is_first = apart(at, k) != id; }
        var bits = 0xff800000u;  // -inf
        if (is_first) { bits = bitcast<u32>(A[p.x + i * p.n + id]); }
        if (is_wrong(bits)) { atomicStore(&unsure, 1u); }
        for (var k = 0u; k < samplers[at + N_CHANGES] && bits != 0xff800000u; k += 1u) {
            atomicMax(&extent, bits & 0x7fffffffu);
            bits = changed_by(at, at + CHANGES + 3u * k, id, bits);
        }
        if (is_wrong(bits)) { atomicStore(&unsure, 1u); }
        if (bits != 0xff800000u) { atomicMax(&extent, bits & 0x7fffffffu); }
        let to = (i * p.room + j) * 2u;
        changed[to] = key_of(bits);
        changed[to + 1u] = select(NONE, id, is_first);
    }
}

// A logit after one change of the chain: its kind, its window or its biases, its penalty.
fn changed_by(at: u32, change: u32, id: u32, bits: u32) -> u32 {
    let kind = samplers[change];
    let logit = bitcast<f32>(bits);
    if (kind == 8u) {
        let first = at + samplers[at + BIASES] + 2u * samplers[change + 1u];
        for (var k = 0u; k < samplers[change + 2u]; k += 1u) {
            if (samplers[first + 2u * k] == id) {
                let bias = samplers[first + 2u * k + 1u];
                return select(bitcast<u32>(logit + bitcast<f32>(bias)), bias, bias == 0xff800000u);
            }
        }
        return bits;
    }
    var count = 0u;
    for (var k = 0u; k < min(n_recent(at), samplers[change + 1u]); k += 1u) { count += u32(recent(at, k) == id); }
    let penalty = bitcast<f32>(samplers[change + 2u]);
    if (count == 0u) { return bits; }
    if (kind == 5u) { return bitcast<u32>(select(logit * penalty, logit / penalty, logit > 0.0)); }
    let times = select(1.0, f32(count), kind == 6u);
    return bitcast<u32>(fma(-times, penalty, logit));
}

// The largest value, and what was left out.
fn look(i: u32, at: u32, lane: u32) {
    for (var s = lane; s < p.parts; s += 256u) {
        let part = (i * p.parts + s) * WORDS;
        atomicMax(&best, found[part + 4u]);
        if (found[part + 2u] != 0u) { atomicStore(&unsure, 1u); }
        if (found[part] >= ROOM) { atomicMax(&limit, found[part + 1u] - u32(found[part] == ROOM)); }
    }
    for (var j = lane; j < n_apart(at); j += 256u) { atomicMax(&best, changed[(i * p.room + j) * 2u]); }
}

// Key and number of a token that may be kept.
fn entry(i: u32, e: u32) -> vec2<u32> {
    if (e >= p.parts * ROOM) {
        let j = (i * p.room + e - p.parts * ROOM) * 2u;
        return vec2<u32>(changed[j], changed[j + 1u]);
    }
    let part = (i * p.parts + e / ROOM) * WORDS;
    if (e % ROOM >= found[part]) { return vec2<u32>(0u, 0u); }
    return vec2<u32>(key_of(found[part + 8u + ROOM + e % ROOM]), found[part + 8u + e % ROOM]);
}

// The key of the last one that there is room for, 0 where there is room for all.
fn key_of_last(i: u32, at: u32, lane: u32) -> u32 {
    let n = p.parts * ROOM + n_apart(at);
    var least = 0u;
    var rest = KEEP;
    for (var step = 0u; step < 8u; step += 1u) {
        let shift = 28u - 4u * step;
        if (lane < 16u) { atomicStore(&bins[lane], 0u); }
        workgroupBarrier();
        for (var e = lane; e < n; e += 256u) {
            let digits = entry(i, e).x >> shift;
            if ((digits >> 4u) == least) { atomicAdd(&bins[digits & 15u], 1u); }
        }
        workgroupBarrier();
        var digit = 15u;
        for (; digit > 0u; digit -= 1u) {
            let here = atomicLoad(&bins[digit]);
            if (here >= rest) { break; }
            rest -= here;
        }
        least = least * 16u + digit;
        workgroupBarrier();
    }
    return least;
}

// Keep what is above the bound, in no order; the weights of all else that may be drawn, in sum.
fn gather(i: u32, at: u32, lane: u32, bound: u32) -> f32 {
    let most = value_of(atomicLoad(&best));
    let scale = bitcast<f32>(samplers[at + SCALE]);
    var left = 0.0;
    for (var e = lane; e < p.parts * ROOM + n_apart(at); e += 256u) {
        let found_one = entry(i, e);
        if (found_one.x > bound) {
            let slot = atomicAdd(&n_kept, 1u);
            values[slot] = value_of(found_one.x);
            numbers[slot] = found_one.y;
        } else if (found_one.x > 0u && scale > 0.0) {
            left += weight((value_of(found_one.x) - most) * scale);
        }
    }
    for (var s = lane; s < p.parts && scale > 0.0; s += 256u) {
        let part = (i * p.parts + s) * WORDS;
        if (found[part + 4u] > 0u) {
            left = fma(bitcast<f32>(found[part + 3u]), weight((value_of(found[part + 4u]) - most) * scale), left);
        }
    }
    sum_before(lane, left);
    left = tree[255];
    workgroupBarrier();
    return left;
}

// Bring them in order: the larger ones first, of equal ones the lower number.
fn sort_kept(lane: u32) {
    let n = atomicLoad(&n_kept);
    var own: array<f32, 4>;
    var own_number: array<u32, 4>;
    var rank: array<u32, 4>;
    for (var q = 0u; q < 4u; q += 1u) {
        let j = 256u * q + lane;
        if (j < n) {
            own[q] = values[j];
            own_number[q] = numbers[j];
            for (var k = 0u; k < n; k += 1u) {
                rank[q] += u32(values[k] > own[q] || (values[k] == own[q] && numbers[k] < own_number[q]));
            }
        }
    }
    workgroupBarrier();
    for (var q = 0u; q < 4u; q += 1u) {
        if (256u * q + lane < n) {
            values[rank[q]] = own[q];
            numbers[rank[q]] = own_number[q];
        }
    }
    workgroupBarrier();
}

// The sum of the values of the lanes before this one; that of all is in tree[255] then.
fn sum_before(lane: u32, value: f32) -> f32 {
    tree[lane] = value;
    workgroupBarrier();
    for (var s = 1u; s < 256u; s *= 2u) {
        var more = 0.0;
        if (lane >= s) { more = tree[lane - s]; }
        workgroupBarrier();
        tree[lane] += more;
        workgroupBarrier();
    }
    if (lane == 0u) { return 0.0; }
    return tree[lane - 1u];
}

// By how much a value may be off, where it was divided or penalised.
fn off(at: u32, value: f32) -> f32 {
    return bitcast<f32>(samplers[at + FUZZ]) * max(abs(value), bitcast<f32>(atomicLoad(&extent)));
}

// Leave the first `n` of `n_before`, if the order is sure there.
fn cut(at: u32, lane: u32, n: u32, n_before: u32, bound: u32) {
    if (lane == 0u && n > 0u && (n < n_before || bound > 0u)) {
        let last = values[n - 1u];
        var next = value_of(bound);
        if (n < n_before) { next = values[n]; }
        let gap = off(at, last) + off(at, next);
        if (gap > 0.0 && last - next <= gap) { atomicStore(&unsure, 1u); }
    }
    workgroupBarrier();
    if (lane == 0u) { atomicStore(&n_next, n); }
    workgroupBarrier();
}

// The steps of the chain: how many are left, and what logits are multiplied with.
fn decide(at: u32, lane: u32, all_bound: u32, left: f32) -> Decided {
    var n = atomicLoad(&n_kept);
    var scale = 1.0;
    var bound = all_bound;  // 0: nothing else may be drawn
    for (var k = 0u; k < samplers[at + N_STEPS]; k += 1u) {
        let kind = samplers[at + STEPS + 2u * k];
        let value = bitcast<f32>(samplers[at + STEPS + 2u * k + 1u]);
        if (kind == 1u) {
            scale *= value;
            continue;
        }
        var next = n;
        if (kind == 0u) {
            next = min(n, 1u);
        } else if (kind == 2u) {
            let wanted = samplers[at + STEPS + 2u * k + 1u];
            if (bound > 0u && wanted > n) { atomicStore(&unsure, 1u); }
            next = min(n, wanted);
        } else if (kind == 3u) {
            next = likeliest(at, lane, n, scale, value, select(0.0, left, bound > 0u), bound > 0u);
        } else {
            next = near(at, lane, n, scale, value, bound);
        }
        cut(at, lane, next, n, bound);
        n = next;
        bound = 0u;
    }
    return Decided(n, scale, bound > 0u);
}

// Fill `shares`, and return the sum of those of the lanes before this one, which has four; that of all is
// in tree[255] then.
fn weigh(lane: u32, n: u32, scale: f32) -> f32 {
    var sum = 0.0;
    for (var j = 4u * lane; j < 4u * lane + 4u; j += 1u) {
        shares[j] = 0.0;
        if (j < n) { shares[j] = weight((values[j] - values[0]) * scale); }
        sum += shares[j];
    }
    return sum_before(lane, sum);
}

// How far off a sum of weights may be, as a share of the total.
fn error_of(at: u32, scale: f32) -> f32 {
    return fma(2.0 * off(at, value_of(atomicLoad(&best))), scale, ERROR);
}

// top-p: how many stay.
fn likeliest(at: u32, lane: u32, n: u32, scale: f32, share: f32, left: f32, has_left: bool) -> u32 {
    var above = weigh(lane, n, scale);
    let known = tree[255];
    let total = known + left;
    let border = share * total;
    let error = error_of(at, scale) * total;
    if (lane == 0u) {
        atomicStore(&n_next, 0u);
        if (has_left && known - error < border) { atomicStore(&unsure, 1u); }
    }
    workgroupBarrier();
    for (var j = 4u * lane; j < min(4u * lane + 4u, n); j += 1u) {
        if (j == 0u || above < border) { atomicAdd(&n_next, 1u); }
        if (j > 0u && abs(above - border) <= error) { atomicStore(&unsure, 1u); }
        above += shares[j];
    }
    workgroupBarrier();
    return atomicLoad(&n_next);
}

// min-p: how many stay; `below` is how far below the largest logit the bound lies.
fn near(at: u32, lane: u32, n: u32, scale: f32, below: f32, bound: u32) -> u32 {
    if (lane == 0u) { atomicStore(&n_next, 0u); }
    workgroupBarrier();
    let rounded = off(at, values[0]) * scale;
    let error = fma(fma(abs(values[0]), scale, below), 5e-7, 2.0 * rounded);
    for (var j = lane; j < n; j += 256u) {
        let away = (values[0] - values[j]) * scale;
        let is_largest = values[0] == values[j] && (j == 0u || rounded == 0.0);
        if (is_largest || away <= below) { atomicAdd(&n_next, 1u); }
        if (!is_largest && abs(away - below) <= error) { atomicStore(&unsure, 1u); }
    }
    if (lane == 0u && bound > 0u && (values[0] - value_of(bound)) * scale <= below + error) {
        atomicStore(&unsure, 1u);
    }
    workgroupBarrier();
    return atomicLoad(&n_next);
}

// The draw from the first `n`: in the order of their numbers, where the sum of the weights passes a share.
fn draw(at: u32, lane: u32, n: u32, scale: f32) {
    if (n == 1u && lane == 0u) { atomicStore(&answer, numbers[0]); }
    if (n < 2u) { return; }
    weigh(lane, n, scale);
    let total = tree[255];
    let place = bitcast<f32>(samplers[at + UNIFORMS + H[15]]) * total;
    let error = error_of(at, scale) * total;
    for (var j = lane; j < n; j += 256u) {
        var sum = 0.0;
        var n_lower = 0u;
        for (var first = 0u; first < n; first += 32u) {
            var part = 0.0;
            for (var k = first; k < min(first + 32u, n); k += 1u) {
                if (numbers[k] < numbers[j]) {
                    part += shares[k];
                    n_lower += 1u;
                }
            }
            sum += part;
        }
        if ((n_lower == 0u || sum + error <= place) && (n_lower == n - 1u || place + error <= sum + shares[j])) {
            atomicStore(&answer, numbers[j]);
        }
    }
}

// The draw from all that may come: first the segment, then the place in it.
fn draw_from_all(i: u32, at: u32, lane: u32, scale: f32) {
    let most = value_of(atomicLoad(&best));
    let each = (p.parts + 255u) / 256u;
    var own = 0.0;
    for (var s = each * lane; s < min(each * lane + each, p.parts); s += 1u) { own += mass(i, at, s, most, scale); }
    var start = sum_before(lane, own);
    let total = tree[255];
    let place = bitcast<f32>(samplers[at + UNIFORMS + H[15]]) * total;
    let error = error_of(at, scale) * total;
    if (lane == 0u) { segment = p.parts; }
    workgroupBarrier();
    if (start <= place && place < tree[lane]) {
        for (var s = each * lane; s < min(each * lane + each, p.parts); s += 1u) {
            let next = start + mass(i, at, s, most, scale);
            if (start <= place) {
                segment = s;
                in_front = start;
            }
            start = next;
        }
    }
    workgroupBarrier();
    let first = segment * SEGMENT;
    if (segment >= p.parts) { return; }
    for (var j = lane; j < SEGMENT; j += 256u) {
        let id = first + j;
        var bits = 0xff800000u;
        if (id < p.n_seen && may_come(at, id)) { bits = bitcast<u32>(A[p.x + i * p.n + id]); }
        set_weight(j, key_of(bits), most, scale);
    }
    workgroupBarrier();
    for (var j = lane; j < n_apart(at); j += 256u) {
        let to = (i * p.room + j) * 2u;
        let id = changed[to + 1u];
        if (id >= first && id < first + SEGMENT) { set_weight(id - first, changed[to], most, scale); }
    }
    workgroupBarrier();
    own = 0.0;
    for (var q = 0u; q < 8u; q += 1u) { own += weight_at(8u * lane + q); }
    start = in_front + sum_before(lane, own);
    for (var q = 0u; q < 8u; q += 1u) {
        let next = start + weight_at(8u * lane + q);
        if (start + error <= place && place + error <= next) { atomicStore(&answer, first + 8u * lane + q); }
        start = next;
    }
}

// The weight of a segment.
fn mass(i: u32, at: u32, s: u32, most: f32, scale: f32) -> f32 {
    let part = (i * p.parts + s) * WORDS;
    var sum = 0.0;
    if (found[part + 4u] > 0u) {
        sum = bitcast<f32>(found[part + 3u]) * weight((value_of(found[part + 4u]) - most) * scale);
    }
    for (var k = 0u; k < min(found[part], ROOM); k += 1u) {
        sum += weight((bitcast<f32>(found[part + 8u + ROOM + k]) - most) * scale);
    }
    for (var j = 0u; j < n_apart(at); j += 1u) {
        let to = (i * p.room + j) * 2u;
        if (changed[to] > 0u && changed[to + 1u] / SEGMENT == s) {
            sum += weight((value_of(changed[to]) - most) * scale);
        }
    }
    return sum;
}

// The weights of a segment lie in `values` and `shares`.
fn set_weight(j: u32, key: u32, most: f32, scale: f32) {
    var found_weight = 0.0;
    if (key > 0u) { found_weight = weight((value_of(key) - most) * scale); }
    if (j < 1024u) { values[j] = found_weight; } else { shares[j - 1024u] = found_weight; }
}

fn weight_at(j: u32) -> f32 {
    if (j < 1024u) { return values[j]; }
    return shares[j - 1024u];
}
