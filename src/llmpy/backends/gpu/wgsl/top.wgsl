// The largest values of 2048 of a row, at most ROOM, in no order: for samplers that drop the others.
// Of a segment: how many are at least as large as the least of them, that one as a key, whether some
// value is no finite number; then their numbers, and their values. Of equal ones some may be missing
// if that is more than ROOM.

const ROOM = 64u;
const SEGMENT = 2048u;
var<workgroup> bins: array<atomic<u32>, 16>;
var<workgroup> taken: atomic<u32>;
var<workgroup> equal: atomic<u32>;
var<workgroup> wrong: atomic<u32>;

// A number whose order is that of the values; 0 for -inf.
fn key_of(value: u32) -> u32 {
    let bits = select(value, 0u, value == 0x80000000u);
    if (bits == 0xff800000u) { return 0u; }
    return select(bits | 0x80000000u, ~bits, (bits >> 31u) == 1u);
}

fn group(i: u32, lane: u32) {
    let row = i / p.parts;
    if (row >= n_rows()) { return; }
    let first = (i % p.parts) * SEGMENT;
    let at = i * (4u + 2u * ROOM);
    if (lane == 0u) {
        atomicStore(&taken, 0u);
        atomicStore(&equal, 0u);
        atomicStore(&wrong, 0u);
    }
    workgroupBarrier();
    var keys: array<u32, 8>;
    for (var j = 0u; j < 8u; j += 1u) {
        let id = first + 256u * j + lane;
        keys[j] = 0u;
        if (id < p.n_seen && (p.has_mask == 0u || ((mask[row * p.words + id / 32u] >> (id & 31u)) & 1u) == 1u)) {
            let bits = bitcast<u32>(A[p.x + row * p.n + id]);
            if ((bits & 0x7fffffffu) > 0x7f800000u || bits == 0x7f800000u) { atomicStore(&wrong, 1u); }
            keys[j] = key_of(bits);
        }
    }
    var least = 0u;
    var rest = ROOM;
    for (var step = 0u; step < 8u; step += 1u) {
        let shift = 28u - 4u * step;
        if (lane < 16u) { atomicStore(&bins[lane], 0u); }
        workgroupBarrier();
        for (var j = 0u; j < 8u; j += 1u) {
            let digits = keys[j] >> shift;
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
    least = max(least, 1u);
    for (var j = 0u; j < 8u; j += 1u) {
        if (keys[j] > least) { keep(at, atomicAdd(&taken, 1u), row, first + 256u * j + lane); }
    }
    workgroupBarrier();
    let larger = atomicLoad(&taken);
    for (var j = 0u; j < 8u; j += 1u) {
        if (keys[j] == least) {
            let slot = larger + atomicAdd(&equal, 1u);
            if (slot < ROOM) { keep(at, slot, row, first + 256u * j + lane); }
        }
    }
    workgroupBarrier();
    if (lane == 0u) {
        found[at] = larger + atomicLoad(&equal);
        found[at + 1u] = least;
        found[at + 2u] = atomicLoad(&wrong);
    }
}

fn keep(at: u32, slot: u32, row: u32, id: u32) {
    found[at + 4u + slot] = id;
    found[at + 4u + ROOM + slot] = bitcast<u32>(A[p.x + row * p.n + id]);
}
