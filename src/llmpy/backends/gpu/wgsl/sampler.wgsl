// What a sampler is told of its chain (see samplers.py), and the order and the weights of logits.
// A token is apart if a penalty or a bias may change its logit: `top` leaves it out, `draw` looks at it.

const ROOM = 64u;
const SEGMENT = 512u;
const WORDS = 8u + 2u * ROOM;  // of a segment

const N_STEPS = 0u;
const N_RECENT = 1u;
const MOST_RECENT = 2u;
const N_BIASES = 3u;
const HAS_MASK = 4u;
const SCALE = 5u;
const N_CHANGES = 6u;
const FUZZ = 7u;
const BIASES = 8u;
const MASK = 9u;
const UNIFORMS = 10u;
const STEPS = 26u;
const CHANGES = 42u;
const RECENT = 60u;

// How many of the latest tokens the chain looks at: those that the host knows, and those since.
fn n_recent(at: u32) -> u32 { return min(samplers[at + N_RECENT] + H[15], samplers[at + MOST_RECENT]); }

// The token `i` tokens before the last one.
fn recent(at: u32, i: u32) -> u32 {
    if (i < H[15]) { return ids[H[15] - 1u - i]; }
    return samplers[at + RECENT + samplers[at + N_RECENT] - 1u - (i - H[15])];
}

// Number `j` of the tokens that are apart; some are named twice.
fn apart(at: u32, j: u32) -> u32 {
    let n = n_recent(at);
    if (j < n) { return recent(at, j); }
    return samplers[at + samplers[at + BIASES] + 2u * (j - n)];
}

fn n_apart(at: u32) -> u32 { return n_recent(at) + samplers[at + N_BIASES]; }

fn may_come(at: u32, id: u32) -> bool {
    if (samplers[at + HAS_MASK] == 0u) { return true; }
    return ((samplers[at + samplers[at + MASK] + id / 32u] >> (id & 31u)) & 1u) == 1u;
}

// A number whose order is that of the values; 0 for -inf.
fn key_of(value: u32) -> u32 {
    let bits = select(value, 0u, value == 0x80000000u);
    if (bits == 0xff800000u) { return 0u; }
    return select(bits | 0x80000000u, ~bits, (bits >> 31u) == 1u);
}

fn value_of(key: u32) -> f32 {
    return bitcast<f32>(select(~key, key & 0x7fffffffu, (key >> 31u) == 1u));
}

// Whether it is NaN or +inf.
fn is_wrong(bits: u32) -> bool { return (bits & 0x7fffffffu) > 0x7f800000u || bits == 0x7f800000u; }

// exp(x) of x <= 0, to a few units of the last place on every device: the series of Cephes.
fn weight(x: f32) -> f32 {
    if (!(x > -80.0)) { return 0.0; }
    let k = round(x * 1.44269504);
    let rest = fma(k, 2.12194440e-4, fma(k, -0.693359375, x));
    var sum = fma(rest, 1.9875691500e-4, 1.3981999507e-3);
    sum = fma(sum, rest, 8.3334519073e-3);
    sum = fma(sum, rest, 4.1665795894e-2);
    sum = fma(sum, rest, 1.6666665459e-1);
    sum = fma(sum, rest, 5.0000001201e-1);
    sum = fma(sum * rest, rest, rest) + 1.0;
    return sum * bitcast<f32>(u32(i32(k) + 127) << 23u);
}

var<workgroup> bins: array<atomic<u32>, 16>;  // how many keys have each digit next

// The next digit of the last key that is among the `rest` largest, which becomes its place among its likes.
fn next_digit(rest: ptr<function, u32>) -> u32 {
    var digit = 15u;
    for (; digit > 0u; digit -= 1u) {
        let here = atomicLoad(&bins[digit]);
        if (here >= *rest) { break; }
        *rest -= here;
    }
    return digit;
}
