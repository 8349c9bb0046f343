// The sum of the results of a token's experts, each times its weight, in their order.

fn item(i: u32) {
    let row = i / p.n;
    var sum = 0.0;
    for (var k = 0u; k < p.n_used; k += 1u) {
        let weight = A[p.chosen + (row * 2u + 1u) * p.n_used + k];
        sum = fma(weight, A[p.x + (row * p.n_used + k) * p.n + i % p.n], sum);
    }
    A[p.y + i] = sum;
}
