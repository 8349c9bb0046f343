// simd/avx512: the vocabulary on AVX-512 (F, BW, DQ, VL) with F16C and FMA. See simd/common.h. With LLMPY_DOT_PRODUCTS
// defined, products of integers are those of AVX512-VNNI.

#ifndef LLMPY_SIMD_LEVEL
#define LLMPY_SIMD_LEVEL avx512

#if defined(__GNUC__) && !defined(__clang__)
// GCC's own header reads deliberately undefined vectors and warns about it (its bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#else
#include <immintrin.h>
#endif

#include "llmpy/simd/common.h"

namespace llmpy {
namespace {

struct F32x16 {
    __m512 v;
};
struct I32x16 {
    __m512i v;
};
struct U8x64 {
    __m512i v;
};
struct Mask16 {
    __mmask16 v;
};

LLMPY_INLINE Mask16 first_lanes(int n) {  // by a comparison: compilers make jumps of a choice, which go wrong
    const __m512i numbers = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return {_mm512_cmplt_epi32_mask(numbers, _mm512_set1_epi32(n))};
}

// ---- floats

LLMPY_INLINE F32x16 set1(float x) { return {_mm512_set1_ps(x)}; }
LLMPY_INLINE F32x16 load(const float* p) { return {_mm512_loadu_ps(p)}; }
LLMPY_INLINE F32x16 load_part(const float* p, int n) { return {_mm512_maskz_loadu_ps(first_lanes(n).v, p)}; }
LLMPY_INLINE void store(float* p, F32x16 a) { _mm512_storeu_ps(p, a.v); }
LLMPY_INLINE void store_part(float* p, F32x16 a, int n) { _mm512_mask_storeu_ps(p, first_lanes(n).v, a.v); }
LLMPY_INLINE F32x16 operator+(F32x16 a, F32x16 b) { return {_mm512_add_ps(a.v, b.v)}; }
LLMPY_INLINE F32x16 operator-(F32x16 a, F32x16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
LLMPY_INLINE F32x16 operator*(F32x16 a, F32x16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
LLMPY_INLINE F32x16 operator/(F32x16 a, F32x16 b) { return {_mm512_div_ps(a.v, b.v)}; }
// a * b + c
LLMPY_INLINE F32x16 fma(F32x16 a, F32x16 b, F32x16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
// The second operand where either is NaN.
LLMPY_INLINE F32x16 max(F32x16 a, F32x16 b) { return {_mm512_max_ps(a.v, b.v)}; }
LLMPY_INLINE F32x16 min(F32x16 a, F32x16 b) { return {_mm512_min_ps(a.v, b.v)}; }
LLMPY_INLINE Mask16 less(F32x16 a, F32x16 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
// Bit i: lane i.
LLMPY_INLINE unsigned bits_of(Mask16 m) { return m.v; }
LLMPY_INLINE F32x16 select(Mask16 m, F32x16 yes, F32x16 no) { return {_mm512_mask_blend_ps(m.v, no.v, yes.v)}; }
// Lanes 2 i and 2 i + 1 exchanged.
LLMPY_INLINE F32x16 swap_neighbours(F32x16 a) { return {_mm512_permute_ps(a.v, 0xb1)}; }

// ---- integers

LLMPY_INLINE I32x16 set1(int32_t x) { return {_mm512_set1_epi32(x)}; }
LLMPY_INLINE I32x16 load(const int32_t* p) { return {_mm512_loadu_si512(p)}; }
LLMPY_INLINE void store(int32_t* p, I32x16 a) { _mm512_storeu_si512(p, a.v); }
LLMPY_INLINE I32x16 operator+(I32x16 a, I32x16 b) { return {_mm512_add_epi32(a.v, b.v)}; }
LLMPY_INLINE I32x16 operator-(I32x16 a, I32x16 b) { return {_mm512_sub_epi32(a.v, b.v)}; }
LLMPY_INLINE I32x16 operator&(I32x16 a, I32x16 b) { return {_mm512_and_si512(a.v, b.v)}; }
LLMPY_INLINE I32x16 max(I32x16 a, I32x16 b) { return {_mm512_max_epi32(a.v, b.v)}; }
template <int n>
LLMPY_INLINE I32x16 shift_left(I32x16 a) {
    return {_mm512_slli_epi32(a.v, n)};
}
LLMPY_INLINE I32x16 shift_left_by(I32x16 a, int32_t n) { return {_mm512_sllv_epi32(a.v, _mm512_set1_epi32(n))}; }
template <int n>
LLMPY_INLINE I32x16 shift_right_signed(I32x16 a) {
    return {_mm512_srai_epi32(a.v, n)};
}
// 16 bytes, one per lane
LLMPY_INLINE I32x16 load_i8(const void* p) {
    return {_mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p)))};
}
LLMPY_INLINE I32x16 load_u8(const void* p) {
    return {_mm512_cvtepu8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p)))};
}
// The low byte of each lane.
LLMPY_INLINE void store_i8(int8_t* p, I32x16 a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a.v));
}
// Each lane, which must lie in -32768..32767.
LLMPY_INLINE void store_i16(int16_t* p, I32x16 a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(a.v));
}

// ---- between them

LLMPY_INLINE F32x16 to_f32(I32x16 a) { return {_mm512_cvtepi32_ps(a.v)}; }
// To the nearest integer, ties to even; of NaN and what does not fit: some integer.
LLMPY_INLINE I32x16 to_i32(F32x16 a) { return {_mm512_cvtps_epi32(a.v)}; }
LLMPY_INLINE I32x16 bits_of(F32x16 a) { return {_mm512_castps_si512(a.v)}; }
LLMPY_INLINE F32x16 as_f32(I32x16 a) { return {_mm512_castsi512_ps(a.v)}; }
LLMPY_INLINE I32x16 as_i32(U8x64 a) { return {a.v}; }
LLMPY_INLINE F32x16 absolute(F32x16 a) { return as_f32(bits_of(a) & set1(0x7fffffff)); }

// One lane in all of them; the even lanes before the odd ones.
LLMPY_INLINE F32x16 lane_everywhere(F32x16 a, int i) { return {_mm512_permutexvar_ps(_mm512_set1_epi32(i), a.v)}; }
LLMPY_INLINE I32x16 even_lanes(I32x16 a) {
    return {_mm512_permutexvar_epi32(_mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15), a.v)};
}

// ---- half precision in memory

LLMPY_INLINE F32x16 load_f16(const uint16_t* p) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
LLMPY_INLINE void store_f16(uint16_t* p, F32x16 a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT));
}
LLMPY_INLINE F32x16 load_bf16(const uint16_t* p) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}

// ---- one number from sixteen, always in this order: lanes i and i + 8, then i + 4, i + 2, i + 1

LLMPY_INLINE float sum(F32x16 a) {
    const __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a.v), 1));
    const __m256 by8 = _mm256_add_ps(_mm512_castps512_ps256(a.v), high);
    const __m128 by4 = _mm_add_ps(_mm256_castps256_ps128(by8), _mm256_extractf128_ps(by8, 1));
    const __m128 by2 = _mm_add_ps(by4, _mm_movehl_ps(by4, by4));
    return _mm_cvtss_f32(_mm_add_ss(by2, _mm_shuffle_ps(by2, by2, 1)));
}
LLMPY_INLINE float max_lane(F32x16 a) {
    const __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a.v), 1));
    const __m256 by8 = _mm256_max_ps(_mm512_castps512_ps256(a.v), high);
    const __m128 by4 = _mm_max_ps(_mm256_castps256_ps128(by8), _mm256_extractf128_ps(by8, 1));
    const __m128 by2 = _mm_max_ps(by4, _mm_movehl_ps(by4, by4));
    return _mm_cvtss_f32(_mm_max_ss(by2, _mm_shuffle_ps(by2, by2, 1)));
}
LLMPY_INLINE int32_t max_lane(I32x16 a) { return _mm512_reduce_max_epi32(a.v); }
// Lane i: the largest lane of a[i]; zeros behind them, and none may be less.
LLMPY_INLINE I32x16 largest_of_each(const I32x16 (&a)[8]) {
    __m512i by4[4], by2[2];  // of two, then of four of them, a quarter of their lanes in each quarter
    LLMPY_EACH(i, 4) {
        const __m512i x = a[2 * i].v, y = a[2 * i + 1].v;
        by4[i] = _mm512_max_epi32(_mm512_unpacklo_epi32(x, y), _mm512_unpackhi_epi32(x, y));
    }
    LLMPY_EACH(i, 2) {
        const __m512i x = by4[2 * i], y = by4[2 * i + 1];
        by2[i] = _mm512_max_epi32(_mm512_unpacklo_epi64(x, y), _mm512_unpackhi_epi64(x, y));
    }
    const __m512i halves =
        _mm512_max_epi32(_mm512_shuffle_i64x2(by2[0], by2[1], 0x44), _mm512_shuffle_i64x2(by2[0], by2[1], 0xee));
    const __m512i all = _mm512_max_epi32(halves, _mm512_shuffle_i64x2(halves, halves, 0xb1));
    return {_mm512_maskz_compress_epi64(0x33, all)};
}
// ---- bytes

LLMPY_INLINE U8x64 load_bytes(const void* p) { return {_mm512_loadu_si512(p)}; }
LLMPY_INLINE void store_bytes(void* p, U8x64 a) { _mm512_storeu_si512(p, a.v); }
// 16 bytes of each of 16 rows, from `at` on, turned: quads[i] has the bytes 4 i .. 4 i + 3 of row r in lane r.
LLMPY_INLINE void load_quads(const uint8_t* const* rows, int64_t at, U8x64 (&quads)[4]) {
    __m512i x[4];  // rows i, i + 4, i + 8, i + 12
    LLMPY_EACH(i, 4) {
        const auto row = [&](int r)
                             LLMPY_LAMBDA { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[r] + at)); };
        x[i] = _mm512_inserti32x4(_mm512_castsi128_si512(row(i)), row(i + 4), 1);
        x[i] = _mm512_inserti32x4(_mm512_inserti32x4(x[i], row(i + 8), 2), row(i + 12), 3);
    }
    const __m512i a = _mm512_unpacklo_epi32(x[0], x[1]), b = _mm512_unpackhi_epi32(x[0], x[1]);
    const __m512i c = _mm512_unpacklo_epi32(x[2], x[3]), d = _mm512_unpackhi_epi32(x[2], x[3]);
    quads[0].v = _mm512_unpacklo_epi64(a, c);
    quads[1].v = _mm512_unpackhi_epi64(a, c);
    quads[2].v = _mm512_unpacklo_epi64(b, d);
    quads[3].v = _mm512_unpackhi_epi64(b, d);
}
LLMPY_INLINE U8x64 set1_byte(int x) { return {_mm512_set1_epi8(static_cast<char>(x))}; }
// The same four bytes in every lane, the lowest first.
LLMPY_INLINE U8x64 set1_bytes_of_lane(int32_t x) { return {_mm512_set1_epi32(x)}; }
LLMPY_INLINE U8x64 operator&(U8x64 a, U8x64 b) { return {_mm512_and_si512(a.v, b.v)}; }
LLMPY_INLINE U8x64 operator|(U8x64 a, U8x64 b) { return {_mm512_or_si512(a.v, b.v)}; }
LLMPY_INLINE U8x64 operator^(U8x64 a, U8x64 b) { return {_mm512_xor_si512(a.v, b.v)}; }
// (a & mask) | b in one instruction
LLMPY_INLINE U8x64 masked_or(U8x64 a, U8x64 mask, U8x64 b) {
    return {_mm512_ternarylogic_epi32(a.v, mask.v, b.v, 0xea)};
}
// The four bytes of a lane shifted as one number, first byte lowest.
template <int n>
LLMPY_INLINE U8x64 shift_right(U8x64 a) {
    if constexpr (n == 0) return a;
    return {_mm512_srli_epi32(a.v, n)};
}
LLMPY_INLINE U8x64 shift_right_by(U8x64 a, int32_t n) { return {_mm512_srlv_epi32(a.v, _mm512_set1_epi32(n))}; }
template <int n>
LLMPY_INLINE U8x64 shift_left(U8x64 a) {
    if constexpr (n == 0) return a;
    return {_mm512_slli_epi32(a.v, n)};
}
// The same sixteen bytes four times, a table; and its entry for each byte, which must be below 16.
LLMPY_INLINE U8x64 load_table(const uint8_t* p) {
    return {_mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
LLMPY_INLINE U8x64 look_up(U8x64 table, U8x64 at) { return {_mm512_shuffle_epi8(table.v, at.v)}; }
// Byte i of each lane as a number from 0 to 255.
template <int i>
LLMPY_INLINE I32x16 byte_of_lane(U8x64 a) {
    if constexpr (i == 3) return {_mm512_srli_epi32(a.v, 24)};
    const int x = static_cast<int>(0x80808000u | i);
    return {_mm512_shuffle_epi8(a.v, _mm512_add_epi32(_mm512_set1_epi32(x), _mm512_set4_epi32(12, 8, 4, 0)))};
}

// The low bytes of all lanes, which must lie in -128..127 unless it does not matter what they become.
LLMPY_INLINE U8x64 narrow(const I32x16 (&x)[4]) {
    const __m512i a = _mm512_packs_epi32(x[0].v, x[1].v), b = _mm512_packs_epi32(x[2].v, x[3].v);
    const __m512i turned = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return {_mm512_permutexvar_epi32(turned, _mm512_packs_epi16(a, b))};
}
// Zeros instead of the bytes whose bits are set.
LLMPY_INLINE U8x64 without(U8x64 x, uint64_t bits) { return {_mm512_maskz_mov_epi8(~bits, x.v)}; }
// The sums of sixteen signed bytes each.
LLMPY_INLINE I32x16 sums_of_16(const U8x64 (&x)[4]) {
    __m512i of_4[4];  // lane 4 j + i of vector v: of quad i of sixteen bytes 4 v + j
    LLMPY_EACH(v, 4)
    of_4[v] = _mm512_madd_epi16(_mm512_maddubs_epi16(_mm512_set1_epi8(1), x[v].v), _mm512_set1_epi16(1));
    const auto halves = [](__m512i a, __m512i b) LLMPY_LAMBDA {
        return _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    };
    const __m512i a = halves(of_4[0], of_4[1]), b = halves(of_4[2], of_4[3]);
    const __m512i all = _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    const __m512i turned = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return {_mm512_permutexvar_epi32(turned, all)};
}

// ---- products of weights with 8-bit activations

// Whether there is a DotPair, for two tokens with two rows in one instruction; see simd/neon.h.
constexpr bool multiplies_pairs = false;

// Compilers sum integers in trees, which takes a register for every product: a sum is made as it is written.
LLMPY_INLINE void keep_order([[maybe_unused]] __m512i& sum) {
#if !defined(LLMPY_EMULATED)  // by native/test/emulated, whose vectors are in memory
    __asm__("" : "+v"(sum));
#endif
}

#if defined(LLMPY_DOT_PRODUCTS)

// Whether 8-bit weights are kept as unsigned numbers, 128 too large, or as they are.
constexpr bool weights_are_offset = true;
// Weights of how many bits have the same Dot.
constexpr int dot_bits(int) { return 8; }

// One lane's sum over k of weight * activation, from `start` on. Weights have `bits` bits, unsigned; 8-bit ones are
// signed unless `weights_are_offset`. `a` points at the activations of the group of `quads` quads that `q` counts.
template <int bits>
struct Dot {
    __m512i total;

    LLMPY_INLINE void start(I32x16 first) { total = first.v; }
    template <int q, int quads>
    LLMPY_INLINE void add(U8x64 weights, const int8_t* a) {
        total = _mm512_dpbusd_epi32(total, weights.v, _mm512_set1_epi32(read<int32_t>(a + 4 * q)));
    }
    LLMPY_INLINE I32x16 result() const { return {total}; }
};

// sum + the products of a lane's two signed 16-bit numbers with the two in `pair`
LLMPY_INLINE I32x16 add_products_of_pairs(I32x16 sum, U8x64 weights, int32_t pair) {
    I32x16 y = {_mm512_dpwssd_epi32(sum.v, weights.v, _mm512_set1_epi32(pair))};
    keep_order(y.v);  // or GCC keeps moving sums between registers
    return y;
}

#else

constexpr bool weights_are_offset = false;
constexpr int dot_bits(int bits) { return bits; }

// As above. The products are first added in 16 bits, as many as fit; see simd/avx2.h.
template <int bits>
struct Dot {
    static constexpr int rounds_in_16_bits = bits == 4 ? 8 : bits == 5 ? 4 : bits == 6 ? 2 : 1;

    __m512i total, in_16;

    LLMPY_INLINE void start(I32x16 first) { total = first.v; }
    template <int q, int quads>
    LLMPY_INLINE void add(U8x64 weights, const int8_t* a) {
        const __m512i now = product(weights.v, _mm512_set1_epi32(read<int32_t>(a + 4 * q)));
        in_16 = q % rounds_in_16_bits == 0 ? now : _mm512_add_epi16(in_16, now);
        keep_order(in_16);
        if constexpr ((q + 1) % rounds_in_16_bits == 0 || q + 1 == quads) {
            total = _mm512_add_epi32(total, _mm512_madd_epi16(in_16, _mm512_set1_epi16(1)));
            keep_order(total);
        }
    }
    LLMPY_INLINE I32x16 result() const { return {total}; }

    static LLMPY_INLINE __m512i product(__m512i w, __m512i quad) {
        if constexpr (bits != 8) return _mm512_maddubs_epi16(w, quad);
        const __m512i with_sign = _mm512_mask_sub_epi8(quad, _mm512_movepi8_mask(w), _mm512_setzero_si512(), quad);
        return _mm512_maddubs_epi16(_mm512_abs_epi8(w), with_sign);
    }
};

LLMPY_INLINE I32x16 add_products_of_pairs(I32x16 sum, U8x64 weights, int32_t pair) {
    I32x16 y = {_mm512_add_epi32(sum.v, _mm512_madd_epi16(weights.v, _mm512_set1_epi32(pair)))};
    keep_order(y.v);
    return y;
}

#endif

// Whether blocks are worth code of their own, with places and shifts as constants.
constexpr bool unrolls_blocks = true;
// How many F32x16 the registers hold.
constexpr int vectors_in_registers = 32;
// Of attention: queries that are computed at once, and sums that the registers hold beside operands.
constexpr int kQueriesAtOnce = 4;
constexpr int kAccumulators = 16;
// Tokens that are multiplied at a time: each takes an integer and a float vector for each tile of rows.
constexpr int token_tile = 6;

// ---- memory

LLMPY_INLINE void prefetch_l2(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }
LLMPY_INLINE void prefetch_l1(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }

}  // namespace
}  // namespace llmpy

#include "llmpy/simd/math.h"

#endif
