// simd/avx2: the vocabulary on AVX2 with F16C and FMA: every vector is a pair. See simd/common.h. With LLMPY_DOT_PRODUCTS
// defined, products of integers are those of AVX-VNNI.

#ifndef LLMPY_SIMD_LEVEL
#define LLMPY_SIMD_LEVEL avx2

#include <immintrin.h>

#include "llmpy/simd/common.h"

namespace llmpy {
namespace {

struct F32x16 {
    __m256 a, b;
};
struct I32x16 {
    __m256i a, b;
};
struct U8x64 {
    __m256i a, b;
};
struct Mask16 {
    __m256 a, b;
};

LLMPY_INLINE __m256i load_256(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
LLMPY_INLINE void store_256(void* p, __m256i v) { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }
// Eight lanes from `first`: all bits set where the lane's number is below n.
LLMPY_INLINE __m256i lanes_below(int n, int first) {
    const __m256i number = _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(first));
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), number);
}
LLMPY_INLINE Mask16 first_lanes(int n) {
    return {_mm256_castsi256_ps(lanes_below(n, 0)), _mm256_castsi256_ps(lanes_below(n, 8))};
}

// ---- floats

LLMPY_INLINE F32x16 set1(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
LLMPY_INLINE F32x16 load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
LLMPY_INLINE F32x16 load_part(const float* p, int n) {
    return {_mm256_maskload_ps(p, lanes_below(n, 0)), _mm256_maskload_ps(p + 8, lanes_below(n, 8))};
}
LLMPY_INLINE void store(float* p, F32x16 x) {
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
}
LLMPY_INLINE void store_part(float* p, F32x16 x, int n) {
    _mm256_maskstore_ps(p, lanes_below(n, 0), x.a);
    _mm256_maskstore_ps(p + 8, lanes_below(n, 8), x.b);
}
LLMPY_INLINE F32x16 operator+(F32x16 x, F32x16 y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
LLMPY_INLINE F32x16 operator-(F32x16 x, F32x16 y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
LLMPY_INLINE F32x16 operator*(F32x16 x, F32x16 y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
LLMPY_INLINE F32x16 operator/(F32x16 x, F32x16 y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
// x * y + z
LLMPY_INLINE F32x16 fma(F32x16 x, F32x16 y, F32x16 z) {
    return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
// The second operand where either is NaN.
LLMPY_INLINE F32x16 max(F32x16 x, F32x16 y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
LLMPY_INLINE F32x16 min(F32x16 x, F32x16 y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
LLMPY_INLINE Mask16 less(F32x16 x, F32x16 y) {
    return {_mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ), _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ)};
}
// Bit i: lane i.
LLMPY_INLINE unsigned bits_of(Mask16 m) {
    return static_cast<unsigned>(_mm256_movemask_ps(m.a) | _mm256_movemask_ps(m.b) << 8);
}
LLMPY_INLINE F32x16 select(Mask16 m, F32x16 yes, F32x16 no) {
    return {_mm256_blendv_ps(no.a, yes.a, m.a), _mm256_blendv_ps(no.b, yes.b, m.b)};
}
// Lanes 2 i and 2 i + 1 exchanged.
LLMPY_INLINE F32x16 swap_neighbours(F32x16 x) { return {_mm256_permute_ps(x.a, 0xb1), _mm256_permute_ps(x.b, 0xb1)}; }

// ---- integers

LLMPY_INLINE I32x16 set1(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
LLMPY_INLINE I32x16 load(const int32_t* p) { return {load_256(p), load_256(p + 8)}; }
LLMPY_INLINE void store(int32_t* p, I32x16 x) {
    store_256(p, x.a);
    store_256(p + 8, x.b);
}
LLMPY_INLINE I32x16 operator+(I32x16 x, I32x16 y) { return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)}; }
LLMPY_INLINE I32x16 operator-(I32x16 x, I32x16 y) { return {_mm256_sub_epi32(x.a, y.a), _mm256_sub_epi32(x.b, y.b)}; }
LLMPY_INLINE I32x16 operator&(I32x16 x, I32x16 y) { return {_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)}; }
LLMPY_INLINE I32x16 max(I32x16 x, I32x16 y) { return {_mm256_max_epi32(x.a, y.a), _mm256_max_epi32(x.b, y.b)}; }
template <int n>
LLMPY_INLINE I32x16 shift_left(I32x16 x) {
    return {_mm256_slli_epi32(x.a, n), _mm256_slli_epi32(x.b, n)};
}
LLMPY_INLINE I32x16 shift_left_by(I32x16 x, int32_t n) {
    const __m256i count = _mm256_set1_epi32(n);
    return {_mm256_sllv_epi32(x.a, count), _mm256_sllv_epi32(x.b, count)};
}
template <int n>
LLMPY_INLINE I32x16 shift_right_signed(I32x16 x) {
    return {_mm256_srai_epi32(x.a, n), _mm256_srai_epi32(x.b, n)};
}
// 16 bytes, one per lane
LLMPY_INLINE I32x16 load_i8(const void* p) {
    const __m128i bytes = _mm_loadu_si128(static_cast<const __m128i*>(p));
    return {_mm256_cvtepi8_epi32(bytes), _mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8))};
}
LLMPY_INLINE I32x16 load_u8(const void* p) {
    const __m128i bytes = _mm_loadu_si128(static_cast<const __m128i*>(p));
    return {_mm256_cvtepu8_epi32(bytes), _mm256_cvtepu8_epi32(_mm_srli_si128(bytes, 8))};
}
// Each lane, which must lie in -128..127.
LLMPY_INLINE void store_i8(int8_t* p, I32x16 x) {
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(x.a, x.b), 0xd8);
    const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
}
// Each lane, which must lie in -32768..32767.
LLMPY_INLINE void store_i16(int16_t* p, I32x16 x) {
    store_256(p, _mm256_permute4x64_epi64(_mm256_packs_epi32(x.a, x.b), 0xd8));
}

// ---- between them

LLMPY_INLINE F32x16 to_f32(I32x16 x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
// To the nearest integer, ties to even; of NaN and what does not fit: some integer.
LLMPY_INLINE I32x16 to_i32(F32x16 x) { return {_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)}; }
LLMPY_INLINE I32x16 bits_of(F32x16 x) { return {_mm256_castps_si256(x.a), _mm256_castps_si256(x.b)}; }
LLMPY_INLINE F32x16 as_f32(I32x16 x) { return {_mm256_castsi256_ps(x.a), _mm256_castsi256_ps(x.b)}; }
LLMPY_INLINE I32x16 as_i32(U8x64 x) { return {x.a, x.b}; }
LLMPY_INLINE F32x16 absolute(F32x16 x) { return as_f32(bits_of(x) & set1(0x7fffffff)); }

// ---- half precision in memory

LLMPY_INLINE F32x16 load_f16(const uint16_t* p) {
    return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
            _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
}
LLMPY_INLINE void store_f16(uint16_t* p, F32x16 x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8), _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT));
}
LLMPY_INLINE F32x16 load_bf16(const uint16_t* p) {
    const __m256i a = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    const __m256i b = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(a, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(b, 16))};
}

// ---- one number from sixteen, always in this order: lanes i and i + 8, then i + 4, i + 2, i + 1

LLMPY_INLINE float sum(F32x16 x) {
    const __m256 by8 = _mm256_add_ps(x.a, x.b);
    const __m128 by4 = _mm_add_ps(_mm256_castps256_ps128(by8), _mm256_extractf128_ps(by8, 1));
    const __m128 by2 = _mm_add_ps(by4, _mm_movehl_ps(by4, by4));
    return _mm_cvtss_f32(_mm_add_ss(by2, _mm_shuffle_ps(by2, by2, 1)));
}
LLMPY_INLINE float max_lane(F32x16 x) {
    const __m256 by8 = _mm256_max_ps(x.a, x.b);
    const __m128 by4 = _mm_max_ps(_mm256_castps256_ps128(by8), _mm256_extractf128_ps(by8, 1));
    const __m128 by2 = _mm_max_ps(by4, _mm_movehl_ps(by4, by4));
    return _mm_cvtss_f32(_mm_max_ss(by2, _mm_shuffle_ps(by2, by2, 1)));
}
LLMPY_INLINE int32_t max_lane(I32x16 x) {
    const __m256i by8 = _mm256_max_epi32(x.a, x.b);
    const __m128i by4 = _mm_max_epi32(_mm256_castsi256_si128(by8), _mm256_extracti128_si256(by8, 1));
    const __m128i by2 = _mm_max_epi32(by4, _mm_shuffle_epi32(by4, 0x4e));
    return _mm_cvtsi128_si32(_mm_max_epi32(by2, _mm_shuffle_epi32(by2, 0xb1)));
}
// ---- bytes

LLMPY_INLINE U8x64 load_bytes(const void* p) { return {load_256(p), load_256(static_cast<const uint8_t*>(p) + 32)}; }
LLMPY_INLINE void store_bytes(void* p, U8x64 x) {
    store_256(p, x.a);
    store_256(static_cast<uint8_t*>(p) + 32, x.b);
}
// 16 bytes of each of 16 rows, from `at` on, turned: quads[i] has the bytes 4 i .. 4 i + 3 of row r in lane r.
LLMPY_INLINE void load_quads(const uint8_t* const* rows, int64_t at, U8x64 (&quads)[4]) {
    LLMPY_EACH(half, 2) {
        __m256i x[4];  // rows i and i + 4
        LLMPY_EACH(i, 4) {
            const auto row = [&](int r) LLMPY_LAMBDA {
                return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[8 * half + r] + at));
            };
            x[i] = _mm256_inserti128_si256(_mm256_castsi128_si256(row(i)), row(i + 4), 1);
        }
        const __m256i a = _mm256_unpacklo_epi32(x[0], x[1]), b = _mm256_unpackhi_epi32(x[0], x[1]);
        const __m256i c = _mm256_unpacklo_epi32(x[2], x[3]), d = _mm256_unpackhi_epi32(x[2], x[3]);
        const auto put = [&](U8x64& quad, __m256i value) LLMPY_LAMBDA { (half == 0 ? quad.a : quad.b) = value; };
        put(quads[0], _mm256_unpacklo_epi64(a, c));
        put(quads[1], _mm256_unpackhi_epi64(a, c));
        put(quads[2], _mm256_unpacklo_epi64(b, d));
        put(quads[3], _mm256_unpackhi_epi64(b, d));
    }
}
LLMPY_INLINE U8x64 set1_byte(int x) {
    return {_mm256_set1_epi8(static_cast<char>(x)), _mm256_set1_epi8(static_cast<char>(x))};
}
// The same four bytes in every lane, the lowest first.
LLMPY_INLINE U8x64 set1_bytes_of_lane(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
LLMPY_INLINE U8x64 operator&(U8x64 x, U8x64 y) { return {_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)}; }
LLMPY_INLINE U8x64 operator|(U8x64 x, U8x64 y) { return {_mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)}; }
LLMPY_INLINE U8x64 operator^(U8x64 x, U8x64 y) { return {_mm256_xor_si256(x.a, y.a), _mm256_xor_si256(x.b, y.b)}; }
// (x & mask) | y
LLMPY_INLINE U8x64 masked_or(U8x64 x, U8x64 mask, U8x64 y) { return (x & mask) | y; }
// The four bytes of a lane shifted as one number, first byte lowest.
template <int n>
LLMPY_INLINE U8x64 shift_right(U8x64 x) {
    if constexpr (n == 0) return x;
    return {_mm256_srli_epi32(x.a, n), _mm256_srli_epi32(x.b, n)};
}
LLMPY_INLINE U8x64 shift_right_by(U8x64 x, int32_t n) {
    const __m256i count = _mm256_set1_epi32(n);
    return {_mm256_srlv_epi32(x.a, count), _mm256_srlv_epi32(x.b, count)};
}
template <int n>
LLMPY_INLINE U8x64 shift_left(U8x64 x) {
    if constexpr (n == 0) return x;
    return {_mm256_slli_epi32(x.a, n), _mm256_slli_epi32(x.b, n)};
}
// The same sixteen bytes four times, a table; and its entry for each byte, which must be below 16.
LLMPY_INLINE U8x64 load_table(const uint8_t* p) {
    const __m256i both = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return {both, both};
}
LLMPY_INLINE U8x64 look_up(U8x64 table, U8x64 at) {
    return {_mm256_shuffle_epi8(table.a, at.a), _mm256_shuffle_epi8(table.b, at.b)};
}
// Byte i of each lane as a number from 0 to 255.
template <int i>
LLMPY_INLINE I32x16 byte_of_lane(U8x64 x) {
    const __m256i low = _mm256_set1_epi32(255);
    const U8x64 moved = shift_right<8 * i>(x);
    return {_mm256_and_si256(moved.a, low), _mm256_and_si256(moved.b, low)};
}

// ---- lanes from one vector to another

// Lane i: the largest lane of a[i]; zeros behind them, and none may be less.
LLMPY_INLINE I32x16 largest_of_each(const I32x16 (&x)[8]) {
    __m256i by4[4], by2[2];  // of two, then of four of them, half of their lanes in each half
    LLMPY_EACH(i, 4) {
        const __m256i a = _mm256_max_epi32(x[2 * i].a, x[2 * i].b);
        const __m256i b = _mm256_max_epi32(x[2 * i + 1].a, x[2 * i + 1].b);
        by4[i] = _mm256_max_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    }
    LLMPY_EACH(i, 2) {
        const __m256i a = by4[2 * i], b = by4[2 * i + 1];
        by2[i] = _mm256_max_epi32(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
    }
    return {_mm256_max_epi32(_mm256_permute2x128_si256(by2[0], by2[1], 0x20),
                             _mm256_permute2x128_si256(by2[0], by2[1], 0x31)),
            _mm256_setzero_si256()};
}
// One lane in all of them; the even lanes before the odd ones.
LLMPY_INLINE F32x16 lane_everywhere(F32x16 x, int i) {
    const __m256 all = _mm256_permutevar8x32_ps(i < 8 ? x.a : x.b, _mm256_set1_epi32(i % 8));
    return {all, all};
}
LLMPY_INLINE I32x16 even_lanes(I32x16 x) {
    const __m256 a = _mm256_castsi256_ps(x.a), b = _mm256_castsi256_ps(x.b);
    const auto in_order = [](__m256 v) LLMPY_LAMBDA { return _mm256_permute4x64_epi64(_mm256_castps_si256(v), 0xd8); };
    return {in_order(_mm256_shuffle_ps(a, b, 0x88)), in_order(_mm256_shuffle_ps(a, b, 0xdd))};
}
// The low bytes of all lanes, which must lie in -128..127 unless it does not matter what they become.
LLMPY_INLINE U8x64 narrow(const I32x16 (&x)[4]) {
    const auto half = [&](int i) LLMPY_LAMBDA {
        const __m256i a = _mm256_packs_epi32(x[i].a, x[i].b), b = _mm256_packs_epi32(x[i + 1].a, x[i + 1].b);
        return _mm256_permutevar8x32_epi32(_mm256_packs_epi16(a, b), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    };
    return {half(0), half(2)};
}
// Zeros instead of the bytes whose bits are set.
LLMPY_INLINE U8x64 without(U8x64 x, uint64_t bits) {
    const auto half = [](__m256i v, uint64_t its) LLMPY_LAMBDA {
        const __m256i all = _mm256_set1_epi32(static_cast<int32_t>(its)),
                      eight = _mm256_set1_epi64x(0x8040201008040201);
        const __m256i of_byte = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
        const __m256i bit = _mm256_and_si256(_mm256_shuffle_epi8(all, of_byte), eight);
        return _mm256_andnot_si256(_mm256_cmpeq_epi8(bit, eight), v);
    };
    return {half(x.a, bits & 0xffffffffu), half(x.b, bits >> 32)};
}
// The sums of sixteen signed bytes each.
LLMPY_INLINE I32x16 sums_of_16(const U8x64 (&x)[4]) {
    const auto of_eight = [](__m256i v) LLMPY_LAMBDA {
        return _mm256_sad_epu8(_mm256_xor_si256(v, _mm256_set1_epi8(-128)), _mm256_setzero_si256());
    };
    __m256 four[4];  // in even lanes, those of the first 32 bytes around those of the second
    LLMPY_EACH(i, 4) {
        const __m256i a = of_eight(x[i].a), b = of_eight(x[i].b);
        const __m256i both = _mm256_add_epi64(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
        four[i] = _mm256_castsi256_ps(_mm256_permute4x64_epi64(both, 0xd8));
    }
    const auto eight = [&](int i) LLMPY_LAMBDA {
        const __m256i even = _mm256_castps_si256(_mm256_shuffle_ps(four[i], four[i + 1], 0x88));
        return _mm256_sub_epi32(_mm256_permute4x64_epi64(even, 0xd8), _mm256_set1_epi32(16 * 128));
    };
    return {eight(0), eight(2)};
}

// ---- products of weights with 8-bit activations

// Compilers sum integers in trees, which takes a register for every product: a sum is made as it is written.
LLMPY_INLINE void keep_order(__m256i& sum) { __asm__("" : "+x"(sum)); }

// Whether there is a DotPair, for two tokens with two rows in one instruction; see simd/neon.h.
constexpr bool multiplies_pairs = false;

#if defined(LLMPY_DOT_PRODUCTS)

// Whether 8-bit weights are kept as unsigned numbers, 128 too large, or as they are.
constexpr bool weights_are_offset = true;
// Weights of how many bits have the same Dot.
constexpr int dot_bits(int) { return 8; }

// One lane's sum over k of weight * activation, from `start` on; see simd/avx512.h.
template <int bits>
struct Dot {
    I32x16 total;

    LLMPY_INLINE void start(I32x16 first) { total = first; }
    template <int q, int quads>
    LLMPY_INLINE void add(U8x64 weights, const int8_t* x) {
        const __m256i quad = _mm256_set1_epi32(read<int32_t>(x + 4 * q));
        total.a = _mm256_dpbusd_avx_epi32(total.a, weights.a, quad);
        total.b = _mm256_dpbusd_avx_epi32(total.b, weights.b, quad);
    }
    LLMPY_INLINE I32x16 result() const { return total; }
};

// sum + the products of a lane's two signed 16-bit numbers with the two in `pair`
LLMPY_INLINE I32x16 add_products_of_pairs(I32x16 sum, U8x64 weights, int32_t pair) {
    const __m256i both = _mm256_set1_epi32(pair);
    I32x16 y = {_mm256_dpwssd_avx_epi32(sum.a, weights.a, both), _mm256_dpwssd_avx_epi32(sum.b, weights.b, both)};
    keep_order(y.a), keep_order(y.b);
    return y;
}

#else

constexpr bool weights_are_offset = false;
constexpr int dot_bits(int bits) { return bits; }

// One lane's sum over k of weight * activation, from `start` on; see simd/avx512.h. The products are first added in 16
// bits, as many as fit (2 products of 127 * (2^bits - 1) an instruction). 8-bit weights are signed: their sign moves
// over to the activation, and |-128| is the unsigned 128 that the instruction takes.
template <int bits>
struct Dot {
    static constexpr int rounds_in_16_bits = bits == 4 ? 8 : bits == 5 ? 4 : bits == 6 ? 2 : 1;
    static_assert(rounds_in_16_bits * 2 * 127 * ((1 << (bits == 8 ? 7 : bits)) - (bits != 8)) <= 32767,
                  "would saturate");

    I32x16 total;
    __m256i a16, b16;

    LLMPY_INLINE void start(I32x16 first) { total = first; }
    template <int q, int quads>
    LLMPY_INLINE void add(U8x64 weights, const int8_t* x) {
        const __m256i quad = _mm256_set1_epi32(read<int32_t>(x + 4 * q));
        const __m256i a = product(weights.a, quad);
        const __m256i b = product(weights.b, quad);
        a16 = q % rounds_in_16_bits == 0 ? a : _mm256_add_epi16(a16, a);
        b16 = q % rounds_in_16_bits == 0 ? b : _mm256_add_epi16(b16, b);
        keep_order(a16), keep_order(b16);
        if constexpr ((q + 1) % rounds_in_16_bits == 0 || q + 1 == quads) {
            const __m256i ones = _mm256_set1_epi16(1);
            total.a = _mm256_add_epi32(total.a, _mm256_madd_epi16(a16, ones));
            total.b = _mm256_add_epi32(total.b, _mm256_madd_epi16(b16, ones));
            keep_order(total.a), keep_order(total.b);
        }
    }
    LLMPY_INLINE I32x16 result() const { return total; }

    static LLMPY_INLINE __m256i product(__m256i w, __m256i quad) {
        if constexpr (bits == 8) return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(quad, w));
        return _mm256_maddubs_epi16(w, quad);
    }
};

// sum + the products of a lane's two signed 16-bit numbers with the two in `pair`
LLMPY_INLINE I32x16 add_products_of_pairs(I32x16 sum, U8x64 weights, int32_t pair) {
    const __m256i both = _mm256_set1_epi32(pair);
    I32x16 y = {_mm256_add_epi32(sum.a, _mm256_madd_epi16(weights.a, both)),
                _mm256_add_epi32(sum.b, _mm256_madd_epi16(weights.b, both))};
    keep_order(y.a), keep_order(y.b);
    return y;
}

#endif

// Whether blocks are worth code of their own, with places and shifts as constants.
constexpr bool unrolls_blocks = true;
// How many F32x16 the registers hold.
constexpr int vectors_in_registers = 8;
// Of attention: queries that are computed at once, and sums that the registers hold beside operands.
constexpr int kQueriesAtOnce = 4;
constexpr int kAccumulators = 4;
// Tokens that are multiplied at a time: each takes an integer and a float vector for each tile of rows.
constexpr int token_tile = 4;

// ---- memory

LLMPY_INLINE void prefetch_l2(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }
LLMPY_INLINE void prefetch_l1(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }

}  // namespace
}  // namespace llmpy

#include "llmpy/simd/math.h"

#endif
