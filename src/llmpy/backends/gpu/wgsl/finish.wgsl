// The end of attention: a sink, and the division by the sum.

fn finish(lane: u32, i: u32, head: u32, total: Soft) {
    var fade = 1.0;
    var sum = total.sum;
    if (p.has_sinks == 1u) {
        let top = max(total.most, sinks[head]);
        fade = exp(total.most - top);
        sum = fma(sum, fade, exp(sinks[head] - top));
    }
    for (var j = lane; j < p.dv; j += 64u) { A[p.y + i * p.dv + j] = all[j] * fade / sum; }
}
