// Rows of a file, row_bytes each, to tiles of 32 rows, word after word.

fn item(i: u32) {
    let j = (i / 32u) % p.words;
    let row = (i / 32u / p.words) * 32u + (i & 31u);
    var value = 0u;
    if (row < p.n_rows && 4u * j < p.row_bytes) {
        let at = p.start + row * p.row_bytes + 4u * j;
        let shift = (at & 3u) * 8u;
        value = raw[at >> 2u] >> shift;
        if (shift != 0u && (at >> 2u) + 1u < arrayLength(&raw)) { value |= raw[(at >> 2u) + 1u] << (32u - shift); }
        let left = p.row_bytes - 4u * j;
        if (left < 4u) { value &= (1u << (left * 8u)) - 1u; }
    }
    packed[p.to + i] = value;
}
