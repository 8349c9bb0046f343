// The token that a chain draws, where that is sure: the same as from all logits, whatever the bits of
// these sums are. Else NONE. Tokens that may be drawn are kept in order, the largest first; a step of the
// chain leaves the first `n` of them. Where none leaves any out, all logits are looked at. Values are those
// of the host, to the bit; what lies within the errors of sums of weights beside a cut, or beside the place
// where the draw falls, is not sure. `ids` also gets the first words of the next step's header: it has a row,
// or none after a token that is not sure.

const KEEP = 1024u;
const NONE = 0xffffffffu;
const LOWEST = -3e38;
const ERROR = 2e-6;  // of a sum of weights, as a share of it
const ERROR_OF_ALL = 6e-6;  // of a sum over all logits
var<workgroup> values: array<f32, 1024>;
var<workgroup> numbers: array<u32, 1024>;
var<workgroup> shares: array<f32, 1024>;  // the weights of the first `n`
var<workgroup> tree: array<f32, 256>;
var<workgroup> best: atomic<u32>;    // the largest key
var<workgroup> limit: atomic<u32>;   // tokens that `top` left out have no larger key
var<workgroup> extent: atomic<u32>;  // by how much a changed value may be off, as bits
var<workgroup> n_kept: atomic<u32>;
var<workgroup> n_next: atomic<u32>;
var<workgroup> unsure: atomic<u32>;
var<workgroup> answer: atomic<u32>;
var<workgroup> segment: u32;
var<workgroup> in_front: f32;  // the weights before the segment

var<private> off: f32;  // by how much a value may be off

struct Decided { n: u32, leaves_all: bool }

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
    var bound = atomicLoad(&limit);
    var left = gather(i, at, lane, bound);
    if (atomicLoad(&n_kept) > KEEP) {
        bound = key_of_last(i, at, lane);
        if (lane == 0u) { atomicStore(&n_kept, 0u); }
        workgroupBarrier();
        left = gather(i, at, lane, bound);
    }
    sort_kept(lane);
    let decided = decide(at, lane, bound, left);
    if (decided.leaves_all) {
        draw_from_all(i, at, lane);
    } else {
        draw(at, lane, decided.n);
    }
    workgroupBarrier();
    if (lane == 0u) {
        let token = select(NONE, atomicLoad(&answer), atomicLoad(&unsure) == 0u);
        ids[H[15] + i] = token;
        for (var k = 0u; k < 3u && i == 0u; k += 1u) { ids[p.counts + 3u * H[15] + k] = u32(token != NONE); }
    }
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
        var is_exact = true;
        for (var k = 0u; k < samplers[at + N_CHANGES] && bits != 0xff800000u; k += 1u) {
            let step = at + CHANGES + 3u * k;
            let count = n_times(at, samplers[step + 1u], id);
            let logit = abs(bitcast<f32>(bits));
            bits = changed_by(at, step, id, count, bits);
            // A product is only exact where a driver may fuse it with what follows and where it may not.
            is_exact = is_exact && (samplers[step] != 6u || (count & (count - 1u)) == 0u);
            if (!is_exact && bits != 0xff800000u) {
                let larger = 2.0 * max(logit, abs(bitcast<f32>(bits)));
                atomicMax(&extent, bitcast<u32>(larger * 0.000001));
            }
        }
        if (is_wrong(bits)) { atomicStore(&unsure, 1u); }
        let to = (i * p.room + j) * 2u;
        changed[to] = key_of(bits);
        changed[to + 1u] = select(NONE, id, is_first);
    }
}

// How many of the latest tokens are this one.
fn n_times(at: u32, window: u32, id: u32) -> u32 {
    var count = 0u;
    for (var k = 0u; k < min(n_recent(at), window); k += 1u) { count += u32(recent(at, k) == id); }
    return count;
}

// A logit after one change of the chain: its kind, its window or its biases, its penalty.
fn changed_by(at: u32, change: u32, id: u32, count: u32, bits: u32) -> u32 {
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
    let penalty = bitcast<f32>(samplers[change + 2u]);
    if (count == 0u) { return bits; }
    if (kind == 5u && logit > 0.0) { return bitcast<u32>(divided(logit, penalty)); }
    if (kind == 5u) { return bitcast<u32>(logit * penalty); }
    let times = select(1.0, f32(count), kind == 6u);
    return bitcast<u32>(fma(-times, penalty, logit));
}

// A quotient, rounded as IEEE rounds it, which the division of a device need not be.
fn divided(value: f32, by: f32) -> f32 {
    let bits = bitcast<u32>(value);
    let divisor = bitcast<u32>(by) & 0x7fffffffu;
    if ((bits & 0x7fffffffu) == 0u) { return value; }
    var rest = (bits & 0x7fffffu) | 0x800000u;
    let whole = (divisor & 0x7fffffu) | 0x800000u;
    var exponent = i32((bits >> 23u) & 255u) - i32(divisor >> 23u) + 127;
    if (rest < whole) {
        rest *= 2u;
        exponent -= 1;
    }
    if (exponent < 1 || exponent > 254 || (bits & 0x7f800000u) == 0u || divisor < 0x800000u) {
        atomicStore(&unsure, 1u);
        return value;
    }
    var quotient = 0u;
    for (var k = 0u; k < 24u; k += 1u) {
        quotient *= 2u;
        if (rest >= whole) {
            rest -= whole;
            quotient += 1u;
        }
        rest *= 2u;
    }
    quotient += u32(rest > whole || (rest == whole && (quotient & 1u) == 1u));
    return bitcast<f32>((bits & 0x80000000u) | ((u32(exponent) << 23u) + quotient - 0x800000u));
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

// The key of the last one that there is room for.
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
        least = least * 16u + next_digit(&rest);
        workgroupBarrier();
    }
    return least;
}

// Keep what is above the bound, in no order; the weights of all else that may be drawn, in sum. There may
// be more than there is room for.
fn gather(i: u32, at: u32, lane: u32, bound: u32) -> f32 {
    let most = value_of(atomicLoad(&best));
    let scale = bitcast<f32>(samplers[at + SCALE]);
    var left = 0.0;
    for (var e = lane; e < p.parts * ROOM + n_apart(at); e += 256u) {
        let found_one = entry(i, e);
        if (found_one.x > bound) {
            let slot = atomicAdd(&n_kept, 1u);
            if (slot < KEEP) {
                values[slot] = value_of(found_one.x);
                numbers[slot] = found_one.y;
            }
        } else if (scale > 0.0) {
            left += weight_of(found_one.x, most, scale);
        }
    }
    for (var s = lane; s < p.parts && scale > 0.0; s += 256u) {
        let part = (i * p.parts + s) * WORDS;
        left = fma(bitcast<f32>(found[part + 3u]), weight_of(found[part + 4u], most, scale), left);
    }
    sum_before(lane, left);
    left = tree[255];
    workgroupBarrier();
    return left;
}

// Bring them in order, by a bitonic sort: the larger ones first, of equal ones the lower number.
fn sort_kept(lane: u32) {
    let n = atomicLoad(&n_kept);
    for (var j = n + lane; j < KEEP; j += 256u) {
        values[j] = LOWEST;
        numbers[j] = NONE;
    }
    for (var size = 2u; size < 2u * n; size *= 2u) {
        for (var s = size / 2u; s > 0u; s /= 2u) {
            workgroupBarrier();
            for (var pair = lane; pair < KEEP / 2u; pair += 256u) {
                let j = 2u * s * (pair / s) + pair % s;
                let other = j + s;
                let value = values[j];
                let number = numbers[j];
                let is_first = value > values[other] || (value == values[other] && number < numbers[other]);
                if (is_first != ((j & size) == 0u)) {
                    values[j] = values[other];
                    numbers[j] = numbers[other];
                    values[other] = value;
                    numbers[other] = number;
                }
            }
        }
    }
    workgroupBarrier();
}

// The weight of a value beside the largest one.
fn weight_of(key: u32, most: f32, scale: f32) -> f32 {
    if (key == 0u) { return 0.0; }
    return weight((value_of(key) - most) * scale);
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

// Leave the first `n` of `n_before`, if the order is sure there; what was left out is at most `bound`.
fn cut(lane: u32, n: u32, n_before: u32, has_bound: bool, bound: f32) {
    if (lane == 0u && n > 0u && (n < n_before || has_bound)) {
        var next = bound;
        if (n < n_before) { next = values[n]; }
        if ((off > 0.0 || n == n_before) && values[n - 1u] - next <= 2.0 * off) { atomicStore(&unsure, 1u); }
    }
    workgroupBarrier();
}

// The steps of the chain: how many are left.
fn decide(at: u32, lane: u32, all_bound: u32, left: f32) -> Decided {
    var n = atomicLoad(&n_kept);
    var has_bound = all_bound > 0u;  // else nothing else may be drawn
    var bound = value_of(all_bound);
    off = bitcast<f32>(atomicLoad(&extent));
    for (var k = 0u; k < samplers[at + N_STEPS]; k += 1u) {
        let kind = samplers[at + STEPS + 2u * k];
        let value = bitcast<f32>(samplers[at + STEPS + 2u * k + 1u]);
        if (kind == 1u) {
            for (var j = lane; j < n; j += 256u) { values[j] = divided(values[j], value); }
            if (has_bound) { bound = divided(bound, value); }
            off = 1.01 * off / value;
            workgroupBarrier();
            for (var j = lane + 1u; j < n; j += 256u) {  // they were different, and are no longer in order
                if (values[j - 1u] == values[j] && numbers[j - 1u] > numbers[j]) { atomicStore(&unsure, 1u); }
            }
            workgroupBarrier();
            continue;
        }
        var next = n;
        if (kind == 0u) {
            next = min(n, 1u);
        } else if (kind == 2u) {
            let wanted = samplers[at + STEPS + 2u * k + 1u];
            if (has_bound && wanted > n) { atomicStore(&unsure, 1u); }
            next = min(n, wanted);
        } else if (kind == 3u) {
            next = likeliest(at, lane, n, value, select(0.0, left, has_bound), has_bound);
        } else {
            next = near(lane, n, value, has_bound, bound);
        }
        cut(lane, next, n, has_bound, bound);
        n = next;
        has_bound = false;
    }
    return Decided(n, has_bound);
}

// Fill `shares`, and return the sum of those of the lanes before this one, which has four; that of all is
// in tree[255] then.
fn weigh(lane: u32, n: u32) -> f32 {
    var sum = 0.0;
    for (var j = 4u * lane; j < 4u * lane + 4u; j += 1u) {
        shares[j] = 0.0;
        if (j < n) { shares[j] = weight(values[j] - values[0]); }
        sum += shares[j];
    }
    return sum_before(lane, sum);
}

// By how much a sum of weights over all logits may be off, as a share of it: there, logits are multiplied
// in place of being divided.
fn error_of_all(at: u32) -> f32 {
    let most = abs(value_of(atomicLoad(&best)));
    return fma(bitcast<f32>(samplers[at + FUZZ]), most * bitcast<f32>(samplers[at + SCALE]), ERROR_OF_ALL);
}

// top-p: how many stay.
fn likeliest(at: u32, lane: u32, n: u32, share: f32, left: f32, has_left: bool) -> u32 {
    var above = weigh(lane, n);
    let known = tree[255];
    let total = known + left;
    let border = share * total;
    let error = fma(fma(2.0, off, ERROR), total, error_of_all(at) * left);
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
fn near(lane: u32, n: u32, below: f32, has_bound: bool, bound: f32) -> u32 {
    if (lane == 0u) { atomicStore(&n_next, 0u); }
    workgroupBarrier();
    let error = fma(abs(values[0]) + below, 2.5e-7, 2.0 * off);
    for (var j = lane; j < n; j += 256u) {
        let away = values[0] - values[j];
        let is_largest = away == 0.0 && (j == 0u || off == 0.0);
        if (is_largest || away <= below) { atomicAdd(&n_next, 1u); }
        if (!is_largest && abs(away - below) <= error) { atomicStore(&unsure, 1u); }
    }
    if (lane == 0u && has_bound && values[0] - bound <= below + error) { atomicStore(&unsure, 1u); }
    workgroupBarrier();
    return atomicLoad(&n_next);
}

// The draw from the first `n`: in the order of their numbers, where the sum of the weights passes a share.
fn draw(at: u32, lane: u32, n: u32) {
    if (n == 1u && lane == 0u) { atomicStore(&answer, numbers[0]); }
    if (n < 2u) { return; }
    weigh(lane, n);
    let total = tree[255];
    let place = bitcast<f32>(samplers[at + UNIFORMS + H[15]]) * total;
    let error = fma(f32(n), 5e-9, fma(2.0, off, ERROR)) * total;
    for (var j = lane; j < n; j += 256u) {
        var sum = 0.0;
        var n_lower = 0u;
        for (var first = 0u; first < n; first += 16u) {
            var part = 0.0;
            for (var k = first; k < min(first + 16u, n); k += 1u) {
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
fn draw_from_all(i: u32, at: u32, lane: u32) {
    let scale = bitcast<f32>(samplers[at + SCALE]);
    let most = value_of(atomicLoad(&best));
    let each = (p.parts + 255u) / 256u;
    var own = 0.0;
    for (var s = each * lane; s < min(each * lane + each, p.parts); s += 1u) { own += mass(i, at, s, most, scale); }
    var start = sum_before(lane, own);
    let total = tree[255];
    let place = bitcast<f32>(samplers[at + UNIFORMS + H[15]]) * total;
    let error = fma(2.0, off, error_of_all(at)) * total;
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
        values[j] = weight_of(key_of(bits), most, scale);
    }
    workgroupBarrier();
    for (var j = lane; j < n_apart(at); j += 256u) {
        let to = (i * p.room + j) * 2u;
        let id = changed[to + 1u];
        if (id >= first && id < first + SEGMENT) { values[id - first] = weight_of(changed[to], most, scale); }
    }
    workgroupBarrier();
    start = in_front + sum_before(lane, values[2u * lane] + values[2u * lane + 1u]);
    for (var j = 2u * lane; j < 2u * lane + 2u; j += 1u) {
        let next = start + values[j];
        if (start + error <= place && place + error <= next) { atomicStore(&answer, first + j); }
        start = next;
    }
}

// The weight of a segment.
fn mass(i: u32, at: u32, s: u32, most: f32, scale: f32) -> f32 {
    let part = (i * p.parts + s) * WORDS;
    var sum = bitcast<f32>(found[part + 3u]) * weight_of(found[part + 4u], most, scale);
    for (var k = 0u; k < min(found[part], ROOM); k += 1u) {
        sum += weight((bitcast<f32>(found[part + 8u + ROOM + k]) - most) * scale);
    }
    for (var j = 0u; j < n_apart(at); j += 1u) {
        let to = (i * p.room + j) * 2u;
        if (changed[to + 1u] / SEGMENT == s) { sum += weight_of(changed[to], most, scale); }
    }
    return sum;
}
