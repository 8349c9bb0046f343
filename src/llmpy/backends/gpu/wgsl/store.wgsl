// Keys or values to their pages: a float32, or two float16 of a head.

fn item(i: u32) {
    let row = i / p.items;
    let j = i % p.items;
    let session = sessions(row);
    let at = positions(row);
    var page = 0u;
    if (p.windowed == 1u) { page = windows(first_page(session) + at / 64u); } else { page = pages(first_page(session) + at / 64u); }
    if (page == 0u) { return; }
    let to = (page - 1u) * p.stride + (at & 63u) * p.items + j;
    if (p.half == 0u) {
        cache[to] = bitcast<u32>(A[p.x + i]);
        return;
    }
    let each = (p.d + 1u) / 2u;
    let k = 2u * (j % each);
    let x = p.x + (row * p.heads + j / each) * p.d + k;
    var second = 0.0;
    if (k + 1u < p.d) { second = A[x + 1u]; }
    cache[to] = pack2x16float(vec2<f32>(A[x], second));
}
