// What all kernels share; parameters `p`, header `H`, arena `A` and buffers are declared before this.
// A product feeds a sum only through fma(), so that no compiler decides how it is rounded.

fn n_rows() -> u32 {
    if (p.rows == 3u) { return 1u; }
    if (p.rows > 3u) { return H[p.rows - 4u] * H[16]; }
    return H[p.rows];
}

// The row of the batch that a row of this step is.
fn token_row(row: u32) -> u32 {
    if (p.rows == 1u || p.rows == 5u) { return output_rows(row); }
    return row;
}
