// Slices, concatenations, repeated heads, and rows whose logits are asked for.

fn item(i: u32) {
    let row = i / p.items;
    let o = (i % p.items) / p.inner;
    let j = i % p.inner;
    var from_row = row;
    if (p.gather == 1u) { from_row = output_rows(row); }
    let x = p.x + from_row * p.x_row + (o / p.repeat) * p.x_stride + p.x_start + j;
    A[p.y + row * p.y_row + o * p.y_stride + p.y_start + j] = A[x];
}
