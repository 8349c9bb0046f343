// Keys or values to their pages: a float32, two float16 of a head, or 32 values of a head as a scale and
// integers of 8 bits.

fn item(i: u32) {
    let row = i / p.items;
    let j = i % p.items;
    let session = sessions(row);
    let at = positions(row);
    var page = 0u;
    if (p.windowed == 1u) { page = windows(first_page(session) + at / 64u); } else { page = pages(first_page(session) + at / 64u); }
    if (page == 0u) { return; }
    let to = (page - 1u) * p.stride + (at & 63u) * p.words;
    if (p.kind == 0u) {
        cache[to + j] = bitcast<u32>(A[p.x + i]);
    } else if (p.kind == 1u) {
        let each = (p.d + 1u) / 2u;
        let k = 2u * (j % each);
        let x = p.x + (row * p.heads + j / each) * p.d + k;
        var second = 0.0;
        if (k + 1u < p.d) { second = A[x + 1u]; }
        cache[to + j] = pack2x16float(vec2<f32>(A[x], second));
    } else {
        let each = (p.d + 31u) / 32u;
        let k = 32u * (j % each);
        let x = p.x + (row * p.heads + j / each) * p.d + k;
        let n = min(32u, p.d - k);
        var most = 0.0;
        for (var m = 0u; m < n; m += 1u) { most = max(most, abs(A[x + m])); }
        let inverse = select(0.0, 127.0 / most, most > 0.0);
        cache[to + 9u * j] = bitcast<u32>(most * 0.007874016);
        for (var word = 0u; word < 8u; word += 1u) {
            var four = 0u;
            for (var m = 0u; m < min(4u, max(n, 4u * word) - 4u * word); m += 1u) {
                let q = clamp(i32(round(A[x + 4u * word + m] * inverse)), -127, 127);
                four |= (u32(q) & 255u) << (8u * m);
            }
            cache[to + 9u * j + 1u + word] = four;
        }
    }
}
