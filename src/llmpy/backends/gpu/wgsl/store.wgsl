// Keys or values to their pages: a float32, two float16 of a head, or 32 values of a head as a scale and
// integers of 8 bits. What a second cache gets follows.

fn item(i: u32) {
    let row = i / p.items;
    let session = sessions(row);
    let at = positions(row);
    var page = 0u;
    if (p.windowed == 1u) { page = windows(first_page(session) + at / 64u); } else { page = pages(first_page(session) + at / 64u); }
    if (page == 0u) { return; }
    let j = i % p.items;
    let n = p.items - p.items1;
    if (j < n) {
        put(false, (page - 1u) * p.stride + (at & 63u) * p.words, p.x + row * p.heads * p.d, p.d, j);
    } else {
        put(true, (page - 1u) * p.stride1 + (at & 63u) * p.words1, p.x1 + row * p.heads1 * p.d1, p.d1, j - n);
    }
}

fn put_word(second: bool, at: u32, word: u32) {
    if (second) { cache1[at] = word; } else { cache[at] = word; }
}

// Word or block `j` of the heads of `d` values at `x`.
fn put(second: bool, to: u32, x: u32, d: u32, j: u32) {
    if (p.kind == 0u) {
        put_word(second, to + j, bitcast<u32>(A[x + j]));
    } else if (p.kind == 1u) {
        let each = (d + 1u) / 2u;
        let k = 2u * (j % each);
        let from_at = x + (j / each) * d + k;
        var other = 0.0;
        if (k + 1u < d) { other = A[from_at + 1u]; }
        put_word(second, to + j, pack2x16float(vec2<f32>(A[from_at], other)));
    } else {
        let each = (d + 31u) / 32u;
        let k = 32u * (j % each);
        let from_at = x + (j / each) * d + k;
        let n = min(32u, d - k);
        var most = 0.0;
        for (var m = 0u; m < n; m += 1u) { most = max(most, abs(A[from_at + m])); }
        let inverse = select(0.0, 127.0 / most, most > 0.0);
        put_word(second, to + 9u * j, bitcast<u32>(most * 0.007874016));
        for (var word = 0u; word < 8u; word += 1u) {
            var four = 0u;
            for (var m = 0u; m < min(4u, max(n, 4u * word) - 4u * word); m += 1u) {
                let q = clamp(i32(round(A[from_at + 4u * word + m] * inverse)), -127, 127);
                four |= (u32(q) & 255u) << (8u * m);
            }
            put_word(second, to + 9u * j + 1u + word, four);
        }
    }
}
