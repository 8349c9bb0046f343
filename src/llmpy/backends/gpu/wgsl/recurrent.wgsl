// Operations with a memory: an invocation goes through the tokens of a sequence in order.
// `starts` has where its rows begin in `order`; its state is `states(session) - 1`.

//#kernel previous
fn item(i: u32) {
    let session = i / p.items;
    let j = i % p.items;
    let at = (states(session) - 1u) * p.n + j;
    var last = state[at];
    for (var t = starts(session); t < starts(session + 1u); t += 1u) {
        let x = order(t) * p.n + j;
        A[p.y + x] = last;
        last = A[p.x + x];
    }
    state[at] = last;
}
//#kernel conv
fn item(i: u32) {
    let session = i / p.items;
    let j = i % p.items;
    let at = (states(session) - 1u) * (p.width - 1u) * p.n + j;
    for (var t = starts(session); t < starts(session + 1u); t += 1u) {
        let x = order(t) * p.n + j;
        var sum = 0.0;
        for (var k = 0u; k < p.width - 1u; k += 1u) {
            let v = state[at + k * p.n];
            sum = fma(v, weight[j * p.width + k], sum);
            if (k > 0u) { state[at + (k - 1u) * p.n] = v; }
        }
        let v = A[p.x + x];
        state[at + (p.width - 2u) * p.n] = v;
        sum = fma(v, weight[j * p.width + p.width - 1u], sum);
        if (p.has_bias == 1u) { sum += bias[j]; }
        A[p.y + x] = sum;
    }
}
//#kernel scan
fn item(i: u32) {
    let session = i / p.items;
    let j = i % p.items;
    let head = j / p.d;
    let g = head / (p.heads / p.groups);
    let at = ((states(session) - 1u) * p.items + j) * p.n;
    for (var t = starts(session); t < starts(session + 1u); t += 1u) {
        let row = order(t);
        let v = A[p.x + row * p.items + j];
        let dt = A[p.dt + row * p.heads + head];
        let shared_at = (row * p.groups + g) * p.n;
        var sum = 0.0;
        for (var k = 0u; k < p.n; k += 1u) {
            var rate = a[head * p.n_a];
            if (p.n_a > 1u) { rate = a[head * p.n_a + k]; }
            let s = fma(state[at + k], exp(dt * rate), dt * v * A[p.b + shared_at + k]);
            state[at + k] = s;
            sum = fma(s, A[p.c + shared_at + k], sum);
        }
        A[p.y + row * p.items + j] = fma(skip[head], v, sum);
    }
}
//#kernel delta_rule
fn item(i: u32) {
    let session = i / p.items;
    let j = i % p.items;
    let head = j / p.dv;
    let at = ((states(session) - 1u) * p.items + j) * p.dk;
    for (var t = starts(session); t < starts(session + 1u); t += 1u) {
        let row = order(t);
        let x = (row * p.heads + head) * p.dk;
        let v = A[p.v + row * p.items + j];
        var found = 0.0;
        for (var k = 0u; k < p.dk; k += 1u) { found = fma(state[at + k], A[p.a + x + k], found); }
        var sum = 0.0;
        for (var k = 0u; k < p.dk; k += 1u) {
            let decay = A[p.decay + (row * p.heads + head) * p.n_decay + select(0u, k, p.n_decay > 1u)];
            let s = fma(state[at + k], decay, fma(found, A[p.b + x + k], v * A[p.k + x + k]));
            state[at + k] = s;
            sum = fma(s, A[p.q + x + k], sum);
        }
        A[p.y + row * p.items + j] = sum;
    }
}
//#kernel wkv4
fn item(i: u32) {
    let session = i / p.items;
    let j = i % p.items;
    let at = (states(session) - 1u) * p.n + j;
    var above = total[at];
    var below = weight[at];
    var top = most[at];
    for (var t = starts(session); t < starts(session + 1u); t += 1u) {
        let x = order(t) * p.n + j;
        let k = A[p.k + x];
        let v = A[p.v + x];
        let now = max(top, first[j] + k);
        let old = exp(top - now);
        let fresh = exp(first[j] + k - now);
        A[p.y + x] = fma(old, above, fresh * v) / fma(old, below, fresh);
        let next = max(top + decay[j], k);
        let kept = exp(top + decay[j] - next);
        let added = exp(k - next);
        above = fma(kept, above, added * v);
        below = fma(kept, below, added);
        top = next;
    }
    total[at] = above;
    weight[at] = below;
    most[at] = top;
}
