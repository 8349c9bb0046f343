// The largest values of 512 of a row, at most ROOM, in no order, without the tokens that are apart.
// Of a segment: how many are at least as large as the least of them, that one as a key, whether some
// value is no finite number, the sum of the others' weights beside the largest value, its key; then
// their numbers, and their values. Of equal ones some may be missing if that is more than ROOM.

var<workgroup> taken: atomic<u32>;
var<workgroup> equal: atomic<u32>;
var<workgroup> wrong: atomic<u32>;
var<workgroup> best: atomic<u32>;
var<workgroup> marked: array<atomic<u32>, 16>;
var<workgroup> tree: array<f32, 64>;

fn group(i: u32, lane: u32) {
    let row = i / p.parts;
    if (row >= n_rows()) { return; }
    let first = (i % p.parts) * SEGMENT;
    let at = i * WORDS;
    let sampler = samplers[row];
    if (lane == 0u) {
        atomicStore(&taken, 0u);
        atomicStore(&equal, 0u);
        atomicStore(&wrong, 0u);
        atomicStore(&best, 0u);
    }
    if (lane < 16u) { atomicStore(&marked[lane], 0u); }
    workgroupBarrier();
    for (var j = lane; j < n_apart(sampler); j += 64u) {
        let id = apart(sampler, j);
        if (id >= first && id < first + SEGMENT) { atomicOr(&marked[(id - first) / 32u], 1u << (id & 31u)); }
    }
    workgroupBarrier();
    var keys: array<u32, 8>;
    for (var j = 0u; j < 8u; j += 1u) {
        let id = first + 64u * j + lane;
        keys[j] = 0u;
        if (id < p.n_seen && may_come(sampler, id)
            && ((atomicLoad(&marked[2u * j + lane / 32u]) >> (id & 31u)) & 1u) == 0u) {
            let bits = bitcast<u32>(A[p.x + row * p.n + id]);
            if (is_wrong(bits)) { atomicStore(&wrong, 1u); }
            keys[j] = key_of(bits);
            atomicMax(&best, keys[j]);
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
        least = least * 16u + next_digit(&rest);
        workgroupBarrier();
    }
    least = max(least, 1u);
    for (var j = 0u; j < 8u; j += 1u) {
        if (keys[j] > least) { keep(at, atomicAdd(&taken, 1u), row, first + 64u * j + lane); }
    }
    workgroupBarrier();
    let larger = atomicLoad(&taken);
    let most = value_of(atomicLoad(&best));
    let scale = bitcast<f32>(samplers[sampler + SCALE]);
    tree[lane] = 0.0;
    for (var j = 0u; j < 8u; j += 1u) {
        var slot = select(ROOM, 0u, keys[j] > least || keys[j] == 0u);
        if (keys[j] == least) {
            slot = larger + atomicAdd(&equal, 1u);
            if (slot < ROOM) { keep(at, slot, row, first + 64u * j + lane); }
        }
        if (slot >= ROOM && scale > 0.0) { tree[lane] += weight((value_of(keys[j]) - most) * scale); }
    }
    for (var s = 32u; s > 0u; s /= 2u) {
        workgroupBarrier();
        if (lane < s) { tree[lane] += tree[lane + s]; }
    }
    workgroupBarrier();
    if (lane == 0u) {
        found[at] = larger + atomicLoad(&equal);
        found[at + 1u] = least;
        found[at + 2u] = atomicLoad(&wrong);
        found[at + 3u] = bitcast<u32>(tree[0]);
        found[at + 4u] = atomicLoad(&best);
    }
}

fn keep(at: u32, slot: u32, row: u32, id: u32) {
    found[at + 8u + slot] = id;
    found[at + 8u + ROOM + slot] = bitcast<u32>(A[p.x + row * p.n + id]);
}
