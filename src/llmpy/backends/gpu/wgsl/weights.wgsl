// Sixteen weights of a row from input k on, a multiple of 16. Rows lie in tiles of 32, word after word:
// word j of the row at `base` is weights[base + 32 j], and has bytes 4 j to 4 j + 3 of the row in the file.

struct W { a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32> }

fn word(base: u32, j: u32) -> u32 { return weights[base + 32u * j]; }
fn byte_at(base: u32, at: u32) -> u32 { return (word(base, at >> 2u) >> ((at & 3u) * 8u)) & 255u; }
fn half_bits(base: u32, at: u32) -> u32 { return (word(base, at >> 2u) >> ((at & 2u) * 8u)) & 65535u; }
fn half_at(base: u32, at: u32) -> f32 { return unpack2x16float(half_bits(base, at)).x; }
fn word_at(base: u32, at: u32) -> u32 {
    let low = word(base, at >> 2u);
    let shift = (at & 3u) * 8u;
    if (shift == 0u) { return low; }
    return (low >> shift) | (word(base, (at >> 2u) + 1u) << (32u - shift));
}
fn words_at(base: u32, at: u32) -> vec4<u32> {
    return vec4<u32>(word_at(base, at), word_at(base, at + 4u), word_at(base, at + 8u), word_at(base, at + 12u));
}
fn bytes_of(q: u32) -> vec4<u32> { return (vec4<u32>(q) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(255u); }
fn numbers(q: vec4<u32>, scale: f32, less: f32) -> W {
    let s = vec4<f32>(scale);
    let m = vec4<f32>(less);
    return W(fma(vec4<f32>(bytes_of(q.x)), s, m), fma(vec4<f32>(bytes_of(q.y)), s, m),
             fma(vec4<f32>(bytes_of(q.z)), s, m), fma(vec4<f32>(bytes_of(q.w)), s, m));
}
fn nibbles(q: vec4<u32>, high: bool) -> vec4<u32> {
    return select(q, q >> vec4<u32>(4u), high) & vec4<u32>(0x0f0f0f0fu);
}
// Bit i of a number becomes bit 4 of byte i.
fn fifth(bits: u32) -> u32 {
    return ((bits & 1u) << 4u) | ((bits & 2u) << 11u) | ((bits & 4u) << 18u) | ((bits & 8u) << 25u);
}
fn fifths(bits: u32) -> vec4<u32> {
    return vec4<u32>(fifth(bits), fifth(bits >> 4u), fifth(bits >> 8u), fifth(bits >> 12u));
}
fn signed(x: u32) -> f32 { return f32(i32(x << 24u) >> 24u); }
// Scale and minimum j of Q4_K and Q5_K, from twelve bytes at `at`.
fn six_bits(base: u32, at: u32, j: u32) -> vec2<f32> {
    if (j < 4u) {
        return vec2<f32>(f32(byte_at(base, at + j) & 63u), f32(byte_at(base, at + 4u + j) & 63u));
    }
    let low = byte_at(base, at + 4u + j);
    let s = (low & 15u) | ((byte_at(base, at + j - 4u) >> 6u) << 4u);
    let m = (low >> 4u) | ((byte_at(base, at + j) >> 6u) << 4u);
    return vec2<f32>(f32(s), f32(m));
}
// Numbers of four bits by a table of sixteen signed bytes.
fn levels(i: vec4<u32>, table: vec4<u32>) -> vec4<f32> {
    let odd = (i & vec4<u32>(4u)) != vec4<u32>(0u);
    let low = select(vec4<u32>(table.x), vec4<u32>(table.y), odd);
    let high = select(vec4<u32>(table.z), vec4<u32>(table.w), odd);
    let four = select(low, high, (i & vec4<u32>(8u)) != vec4<u32>(0u)) >> ((i & vec4<u32>(3u)) * 8u);
    return vec4<f32>(vec4<i32>(four << vec4<u32>(24u)) >> vec4<u32>(24u));
}
fn coded(q: vec4<u32>, scale: f32) -> W {
    return W(codes(q.x) * scale, codes(q.y) * scale, codes(q.z) * scale, codes(q.w) * scale);
}

//#type F32
fn codes(q: u32) -> vec4<f32> { return vec4<f32>(0.0); }
fn four(base: u32, j: u32) -> vec4<f32> {
    return vec4<f32>(bitcast<f32>(word(base, j)), bitcast<f32>(word(base, j + 1u)),
                     bitcast<f32>(word(base, j + 2u)), bitcast<f32>(word(base, j + 3u)));
}
fn sixteen(base: u32, k: u32) -> W {
    return W(four(base, k), four(base, k + 4u), four(base, k + 8u), four(base, k + 12u));
}
//#type F16
fn codes(q: u32) -> vec4<f32> { return vec4<f32>(0.0); }
fn four(base: u32, j: u32) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(word(base, j)), unpack2x16float(word(base, j + 1u)));
}
fn sixteen(base: u32, k: u32) -> W {
    let j = k >> 1u;
    return W(four(base, j), four(base, j + 2u), four(base, j + 4u), four(base, j + 6u));
}
//#type BF16
fn codes(q: u32) -> vec4<f32> { return vec4<f32>(0.0); }
fn two(q: u32) -> vec2<f32> { return vec2<f32>(bitcast<f32>(q << 16u), bitcast<f32>(q & 0xffff0000u)); }
fn four(base: u32, j: u32) -> vec4<f32> { return vec4<f32>(two(word(base, j)), two(word(base, j + 1u))); }
fn sixteen(base: u32, k: u32) -> W {
    let j = k >> 1u;
    return W(four(base, j), four(base, j + 2u), four(base, j + 4u), four(base, j + 6u));
}
//#type Q4_0
fn codes(q: u32) -> vec4<f32> { return vec4<f32>(0.0); }
fn sixteen(base: u32, k: u32) -> W {
    let at = (k >> 5u) * 18u;
    let d = half_at(base, at);
    return numbers(nibbles(words_at(base, at + 2u), (k & 16u) != 0u), d, -8.0 * d);
}
//#type Q4_1
fn codes(q: u32) -> vec4<f32> { return vec4<f32>(0.0); }
fn sixteen(base: u32, k: u32) -> W {
    let at = (k >> 5u) * 20u;
    return numbers(nibbles(words_at(base, at + 4u), (k & 16u) != 0u), half_at(base, at), half_at(base, at + 2u));
}
//#type Q5_0
fn codes(q: u32) -> vec4<f32> { return vec4<f32>(0.0); }
fn sixteen(base: u32, k: u32) -> W {
    let at = (k >> 5u) * 22u;
    let d = half_at(base, at);
    let bits = fifths(word_at(base, at + 2u) >> (k & 16u));
    return numbers(nibbles(words_at(base, at + 6u), (k & 16u) != 0u) | bits, d, -16.0 * d);
}
//#type Q5_1
fn codes(q: u32) -> vec4<f32> { return vec4<f32>(0.0); }
fn sixteen(base: u32, k: u32) -> W {
    let at = (k >> 5u) * 24u;
    let bits = fifths(word_at(base, at + 4u) >> (k & 16u));
    let q = nibbles(words_at(base, at + 8u), (k & 16u) != 0u) | bits;
    return numbers(q, half_at(base, at), half_at(base, at + 2u));
}
//#type Q8_0
fn codes(q: u32) -> vec4<f32> { return vec4<f32>(vec4<i32>(bytes_of(q) << vec4<u32>(24u)) >> vec4<u32>(24u)); }
fn sixteen(base: u32, k: u32) -> W {
    let at = (k >> 5u) * 34u;
    return coded(words_at(base, at + 2u + (k & 16u)), half_at(base, at));
}
//#type Q2_K
fn codes(q: u32) -> vec4<f32> { return vec4<f32>(0.0); }
fn sixteen(base: u32, k: u32) -> W {
    let at = (k >> 8u) * 84u;
    let e = k & 255u;
    let q = words_at(base, at + 16u + 32u * (e >> 7u) + (e & 16u));
    let s = byte_at(base, at + (e >> 4u));
    let shift = vec4<u32>(2u * ((e & 127u) >> 5u));
    let scale = half_at(base, at + 80u) * f32(s & 15u);
    return numbers((q >> shift) & vec4<u32>(0x03030303u), scale, -half_at(base, at + 82u) * f32(s >> 4u));
}
//#type Q3_K
fn codes(q: u32) -> vec4<f32> { return vec4<f32>(0.0); }
fn sixteen(base: u32, k: u32) -> W {
    let at = (k >> 8u) * 110u;
    let e = k & 255u;
    let q = words_at(base, at + 32u + 32u * (e >> 7u) + (e & 16u)) >> vec4<u32>(2u * ((e & 127u) >> 5u));
    let high = words_at(base, at + (e & 16u)) >> vec4<u32>(e >> 5u);
    let j = e >> 4u;
    let low = (byte_at(base, at + 96u + (j & 7u)) >> ((j >> 3u) * 4u)) & 15u;
    let top = (byte_at(base, at + 104u + (j & 3u)) >> (2u * (j >> 2u))) & 3u;
    let scale = half_at(base, at + 108u) * (f32(low | (top << 4u)) - 32.0);
    let all = (q & vec4<u32>(0x03030303u)) | ((high & vec4<u32>(0x01010101u)) << vec4<u32>(2u));
    return numbers(all, scale, -4.0 * scale);
}
//#type Q4_K
fn codes(q: u32) -> vec4<f32> { return vec4<f32>(0.0); }
fn sixteen(base: u32, k: u32) -> W {
    let at = (k >> 8u) * 144u;
    let e = k & 255u;
    let q = nibbles(words_at(base, at + 16u + 32u * (e >> 6u) + (e & 16u)), (e & 32u) != 0u);
    let d = unpack2x16float(word(base, at >> 2u)) * six_bits(base, at + 4u, e >> 5u);
    return numbers(q, d.x, -d.y);
}
//#type Q5_K
fn codes(q: u32) -> vec4<f32> { return vec4<f32>(0.0); }
fn sixteen(base: u32, k: u32) -> W {
    let at = (k >> 8u) * 176u;
    let e = k & 255u;
    let q = nibbles(words_at(base, at + 48u + 32u * (e >> 6u) + (e & 16u)), (e & 32u) != 0u);
    let high = (words_at(base, at + 16u + (e & 16u)) >> vec4<u32>(e >> 5u)) & vec4<u32>(0x01010101u);
    let d = unpack2x16float(word(base, at >> 2u)) * six_bits(base, at + 4u, e >> 5u);
    return numbers(q | (high << vec4<u32>(4u)), d.x, -d.y);
}
//#type Q6_K
fn codes(q: u32) -> vec4<f32> { return vec4<f32>(0.0); }
fn sixteen(base: u32, k: u32) -> W {
    let at = (k >> 8u) * 210u;
    let e = k & 255u;
    let part = e >> 7u;
    let low = nibbles(words_at(base, at + 64u * part + (e & 48u)), (e & 64u) != 0u);
    let high = words_at(base, at + 128u + 32u * part + (e & 16u)) >> vec4<u32>(2u * ((e & 127u) >> 5u));
    let scale = half_at(base, at + 208u) * signed(byte_at(base, at + 192u + (e >> 4u)));
    return numbers(low | ((high & vec4<u32>(0x03030303u)) << vec4<u32>(4u)), scale, -32.0 * scale);
}
//#type IQ4_NL
fn codes(q: u32) -> vec4<f32> { return levels(bytes_of(q), vec4<u32>(0xbfad9881u, 0xf6eaddcfu, 0x26190d01u, 0x71594535u)); }
fn sixteen(base: u32, k: u32) -> W {
    let at = (k >> 5u) * 18u;
    return coded(nibbles(words_at(base, at + 2u), (k & 16u) != 0u), half_at(base, at));
}
//#type IQ4_XS
fn codes(q: u32) -> vec4<f32> { return levels(bytes_of(q), vec4<u32>(0xbfad9881u, 0xf6eaddcfu, 0x26190d01u, 0x71594535u)); }
fn sixteen(base: u32, k: u32) -> W {
    let at = (k >> 8u) * 136u;
    let j = (k & 255u) >> 5u;
    let low = (byte_at(base, at + 4u + (j >> 1u)) >> ((j & 1u) * 4u)) & 15u;
    let high = (half_bits(base, at + 2u) >> (2u * j)) & 3u;
    let scale = half_at(base, at) * (f32(low | (high << 4u)) - 32.0);
    return coded(nibbles(words_at(base, at + 8u + 16u * j), (k & 16u) != 0u), scale);
}
//#type MXFP4
fn codes(q: u32) -> vec4<f32> { return levels(bytes_of(q), vec4<u32>(0x03020100u, 0x0c080604u, 0xfdfeff00u, 0xf4f8fafcu)); }
fn sixteen(base: u32, k: u32) -> W {
    let at = (k >> 5u) * 17u;
    let e = byte_at(base, at);
    // half of 2^(e - 127), which is not a normal number below e = 2
    let scale = select(bitcast<f32>((e - 1u) << 23u), bitcast<f32>(0x00200000u << e), e < 2u);
    return coded(nibbles(words_at(base, at + 1u), (k & 16u) != 0u), scale);
}
