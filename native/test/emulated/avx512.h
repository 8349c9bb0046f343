// emulated/avx512: the intrinsics of AVX-512 that simd/avx512.h uses, in plain loops, for processors that have none of them.
// Include instead of relying on <immintrin.h>: the names that follow mean what is here. One line each, as the manual has it;
// test_emulated compares them bit by bit with the hardware where that exists.

#ifndef LLMPY_TEST_EMULATED_AVX512_H
#define LLMPY_TEST_EMULATED_AVX512_H

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

#include <stdint.h>
#include <string.h>

namespace emulated {
namespace {

struct alignas(64) Vector {
    unsigned char bytes[64];
};
using Mask16 = uint16_t;
using Mask64 = uint64_t;

template <class T>
struct Lanes {
    T lane[64 / sizeof(T)];

    Lanes() = default;
    explicit Lanes(const Vector& v) { memcpy(lane, v.bytes, 64); }
    operator Vector() const {
        Vector v;
        memcpy(v.bytes, lane, 64);
        return v;
    }
};
template <class T>
constexpr int count = 64 / static_cast<int>(sizeof(T));

template <class T>
Vector all(T x) {
    Lanes<T> y;
    for (T& lane : y.lane) lane = x;
    return y;
}
template <class T, class F>
Vector map(const Vector& a, const F& f) {
    Lanes<T> x(a), y;
    for (int i = 0; i < count<T>; ++i) y.lane[i] = static_cast<T>(f(x.lane[i]));
    return y;
}
template <class T, class F>
Vector map(const Vector& a, const Vector& b, const F& f) {
    Lanes<T> x(a), z(b), y;
    for (int i = 0; i < count<T>; ++i) y.lane[i] = static_cast<T>(f(x.lane[i], z.lane[i]));
    return y;
}
inline Vector load(const void* p) {
    Vector v;
    memcpy(v.bytes, p, 64);
    return v;
}
inline void store(void* p, const Vector& v) { memcpy(p, v.bytes, 64); }

// ---- floats

inline Vector add_ps(Vector a, Vector b) {
    return map<float>(a, b, [](float x, float y) { return x + y; });
}
inline Vector sub_ps(Vector a, Vector b) {
    return map<float>(a, b, [](float x, float y) { return x - y; });
}
inline Vector mul_ps(Vector a, Vector b) {
    return map<float>(a, b, [](float x, float y) { return x * y; });
}
inline Vector div_ps(Vector a, Vector b) {
    return map<float>(a, b, [](float x, float y) { return x / y; });
}
inline Vector max_ps(Vector a, Vector b) {
    return map<float>(a, b, [](float x, float y) { return x > y ? x : y; });
}
inline Vector min_ps(Vector a, Vector b) {
    return map<float>(a, b, [](float x, float y) { return x < y ? x : y; });
}
inline Vector fmadd_ps(Vector a, Vector b, Vector c) {
    Lanes<float> x(a), y(b), z(c);
    for (int i = 0; i < 16; ++i) z.lane[i] = __builtin_fmaf(x.lane[i], y.lane[i], z.lane[i]);
    return z;
}
template <int how>
Mask16 cmp_ps_mask(Vector a, Vector b) {
    static_assert(how == _CMP_LT_OQ, "the only one in use");
    const Lanes<float> x(a), y(b);
    Mask16 m = 0;
    for (int i = 0; i < 16; ++i) m = static_cast<Mask16>(m | (x.lane[i] < y.lane[i] ? 1 : 0) << i);
    return m;
}
inline Mask16 cmplt_epi32_mask(Vector a, Vector b) {
    const Lanes<int32_t> x(a), y(b);
    Mask16 m = 0;
    for (int i = 0; i < 16; ++i) m = static_cast<Mask16>(m | (x.lane[i] < y.lane[i] ? 1 : 0) << i);
    return m;
}
inline Vector mask_blend_ps(Mask16 m, Vector a, Vector b) {
    Lanes<float> x(a);
    const Lanes<float> y(b);
    for (int i = 0; i < 16; ++i) x.lane[i] = m >> i & 1 ? y.lane[i] : x.lane[i];
    return x;
}
template <int how>
Vector permute_ps(Vector a) {
    const Lanes<uint32_t> x(a);
    Lanes<uint32_t> y;
    for (int i = 0; i < 16; ++i) y.lane[i] = x.lane[i / 4 * 4 + (how >> i % 4 * 2 & 3)];
    return y;
}
template <class T>
Vector maskz_load(Mask16 m, const T* p) {
    Lanes<T> y;
    for (int i = 0; i < 16; ++i) y.lane[i] = m >> i & 1 ? p[i] : T{0};
    return y;
}
inline Vector maskz_load_epi32(Mask16 m, const void* p) {
    Vector y = all<uint8_t>(0);
    for (int i = 0; i < 16; ++i)
        if (m >> i & 1) memcpy(y.bytes + 4 * i, static_cast<const unsigned char*>(p) + 4 * i, 4);
    return y;
}
inline void mask_store_ps(float* p, Mask16 m, Vector a) {
    const Lanes<float> x(a);
    for (int i = 0; i < 16; ++i)
        if (m >> i & 1) p[i] = x.lane[i];
}

// ---- integers

template <class T, class F>
Vector each(Vector a, Vector b, const F& f) {
    return map<T>(a, b, f);
}
inline Vector add_epi32(Vector a, Vector b) {
    return map<uint32_t>(a, b, [](uint32_t x, uint32_t y) { return x + y; });
}
inline Vector sub_epi32(Vector a, Vector b) {
    return map<uint32_t>(a, b, [](uint32_t x, uint32_t y) { return x - y; });
}
inline Vector add_epi16(Vector a, Vector b) {
    return map<uint16_t>(a, b, [](int x, int y) { return x + y; });
}
inline Vector max_epi32(Vector a, Vector b) {
    return map<int32_t>(a, b, [](int32_t x, int32_t y) { return x > y ? x : y; });
}
inline int32_t reduce_max_epi32(Vector a) {
    const Lanes<int32_t> x(a);
    int32_t most = x.lane[0];
    for (const int32_t lane : x.lane) most = lane > most ? lane : most;
    return most;
}
inline Vector and_512(Vector a, Vector b) {
    return map<uint32_t>(a, b, [](uint32_t x, uint32_t y) { return x & y; });
}
inline Vector or_512(Vector a, Vector b) {
    return map<uint32_t>(a, b, [](uint32_t x, uint32_t y) { return x | y; });
}
inline Vector xor_512(Vector a, Vector b) {
    return map<uint32_t>(a, b, [](uint32_t x, uint32_t y) { return x ^ y; });
}
template <int table>
Vector ternary(Vector a, Vector b, Vector c) {
    Vector y;
    for (int i = 0; i < 64; ++i) {
        int byte = 0;
        for (int bit = 0; bit < 8; ++bit) {
            const int at = (a.bytes[i] >> bit & 1) << 2 | (b.bytes[i] >> bit & 1) << 1 | (c.bytes[i] >> bit & 1);
            byte |= (table >> at & 1) << bit;
        }
        y.bytes[i] = static_cast<unsigned char>(byte);
    }
    return y;
}
inline Vector slli_epi32(Vector a, unsigned n) {
    return map<uint32_t>(a, [n](uint32_t x) { return n < 32 ? x << n : 0; });
}
inline Vector srli_epi32(Vector a, unsigned n) {
    return map<uint32_t>(a, [n](uint32_t x) { return n < 32 ? x >> n : 0; });
}
inline Vector srai_epi32(Vector a, unsigned n) {
    return map<int32_t>(a, [n](int32_t x) { return x >> (n < 32 ? n : 31); });
}
inline Vector sllv_epi32(Vector a, Vector b) {
    return map<uint32_t>(a, b, [](uint32_t x, uint32_t n) { return n < 32 ? x << n : 0; });
}
inline Vector srlv_epi32(Vector a, Vector b) {
    return map<uint32_t>(a, b, [](uint32_t x, uint32_t n) { return n < 32 ? x >> n : 0; });
}
inline Vector abs_epi8(Vector a) {
    return map<int8_t>(a, [](int x) { return x < 0 ? -x : x; });
}
inline Mask64 movepi8_mask(Vector a) {
    Mask64 m = 0;
    for (int i = 0; i < 64; ++i) m |= static_cast<Mask64>(a.bytes[i] >> 7) << i;
    return m;
}
inline Vector mask_sub_epi8(Vector otherwise, Mask64 m, Vector a, Vector b) {
    for (int i = 0; i < 64; ++i) {
        if (m >> i & 1) otherwise.bytes[i] = static_cast<unsigned char>(a.bytes[i] - b.bytes[i]);
    }
    return otherwise;
}

// ---- products

inline int saturated_16(int x) { return x > 32767 ? 32767 : x < -32768 ? -32768 : x; }
// Unsigned bytes of a with signed ones of b.
inline Vector maddubs_epi16(Vector a, Vector b) {
    const Lanes<int8_t> z(b);
    Lanes<int16_t> y;
    for (int i = 0; i < 32; ++i) {
        const int sum = a.bytes[2 * i] * z.lane[2 * i] + a.bytes[2 * i + 1] * z.lane[2 * i + 1];
        y.lane[i] = static_cast<int16_t>(saturated_16(sum));
    }
    return y;
}
inline Vector madd_epi16(Vector a, Vector b) {
    const Lanes<int16_t> x(a), z(b);
    Lanes<uint32_t> y;
    for (int i = 0; i < 16; ++i) {
        y.lane[i] = static_cast<uint32_t>(x.lane[2 * i] * z.lane[2 * i]) +
                    static_cast<uint32_t>(x.lane[2 * i + 1] * z.lane[2 * i + 1]);
    }
    return y;
}
inline Vector dpwssd_epi32(Vector sum, Vector a, Vector b) { return add_epi32(sum, madd_epi16(a, b)); }
inline Vector dpbusd_epi32(Vector sum, Vector a, Vector b) {
    const Lanes<int8_t> z(b);
    Lanes<uint32_t> y(sum);
    for (int i = 0; i < 64; ++i) y.lane[i / 4] += static_cast<uint32_t>(a.bytes[i] * z.lane[i]);
    return y;
}

// ---- moving bytes

template <class T>
Vector unpack(Vector a, Vector b, int half) {
    constexpr int in_16 = 16 / static_cast<int>(sizeof(T));
    const Lanes<T> x(a), z(b);
    Lanes<T> y;
    for (int i = 0; i < count<T>; ++i) {
        const int from = i / in_16 * in_16 + half * in_16 / 2 + i % in_16 / 2;
        y.lane[i] = i % 2 == 0 ? x.lane[from] : z.lane[from];
    }
    return y;
}
inline Vector shuffle_epi8(Vector a, Vector at) {
    Vector y;
    for (int i = 0; i < 64; ++i) {
        y.bytes[i] = at.bytes[i] >> 7 ? static_cast<unsigned char>(0) : a.bytes[i / 16 * 16 + at.bytes[i] % 16];
    }
    return y;
}
inline Vector permutexvar_epi32(Vector at, Vector a) {
    const Lanes<uint32_t> index(at), x(a);
    Lanes<uint32_t> y;
    for (int i = 0; i < 16; ++i) y.lane[i] = x.lane[index.lane[i] % 16];
    return y;
}
// a and then b in each 16 bytes, in half of their width.
template <class T, class Half>
Vector packs(Vector a, Vector b) {
    constexpr int in_16 = 16 / static_cast<int>(sizeof(T));
    constexpr int most = (1 << (8 * sizeof(Half) - 1)) - 1;
    const Lanes<T> x(a), z(b);
    Lanes<Half> y;
    for (int i = 0; i < count<Half>; ++i) {
        const int from = i / (2 * in_16) * in_16 + i % in_16;
        const T value = i / in_16 % 2 == 0 ? x.lane[from] : z.lane[from];
        y.lane[i] = static_cast<Half>(value > most ? most : value < -most - 1 ? -most - 1 : value);
    }
    return y;
}
template <int how>
Vector shuffle_128(Vector a, Vector b) {
    Vector y;
    for (int i = 0; i < 4; ++i) {
        memcpy(y.bytes + 16 * i, (i < 2 ? a : b).bytes + 16 * (how >> 2 * i & 3), 16);
    }
    return y;
}
inline Vector maskz_compress_epi64(unsigned m, Vector a) {
    Vector y = all<uint8_t>(0);
    int to = 0;
    for (int i = 0; i < 8; ++i) {
        if (m >> i & 1) memcpy(y.bytes + 8 * to++, a.bytes + 8 * i, 8);
    }
    return y;
}
inline Vector maskz_mov_epi8(Mask64 m, Vector a) {
    for (int i = 0; i < 64; ++i) a.bytes[i] = m >> i & 1 ? a.bytes[i] : static_cast<unsigned char>(0);
    return a;
}
template <int part>
Vector insert_128(Vector a, __m128i b) {
    memcpy(a.bytes + 16 * part, &b, 16);
    return a;
}
inline Vector cast_128(__m128i a) { return insert_128<0>(all<uint8_t>(0), a); }
inline Vector broadcast_128(__m128i a) {
    Vector y;
    for (int i = 0; i < 4; ++i) memcpy(y.bytes + 16 * i, &a, 16);
    return y;
}
inline __m256 low_256(Vector a) {
    __m256 y;
    memcpy(&y, a.bytes, 32);
    return y;
}
template <int half>
__m256d half_256(Vector a) {
    __m256d y;
    memcpy(&y, a.bytes + 32 * half, 32);
    return y;
}
inline Vector setr_epi32(int a, int b, int c, int d, int e, int f, int g, int h, int i, int j, int k, int l, int m,
                         int n, int o, int p) {
    const int lanes[16] = {a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p};
    return load(lanes);
}
inline Vector set4_epi32(int d, int c, int b, int a) {
    return setr_epi32(a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d);
}

// ---- conversions

template <class From, class To, class Half>
Vector widened(Half a) {
    From from[16];
    static_assert(sizeof from == sizeof a, "sixteen of them");
    memcpy(from, &a, sizeof from);
    Lanes<To> y;
    for (int i = 0; i < 16; ++i) y.lane[i] = static_cast<To>(from[i]);
    return y;
}
template <class To, class Half>
Half narrowed(Vector a) {
    const Lanes<uint32_t> x(a);
    To to[16];
    for (int i = 0; i < 16; ++i) to[i] = static_cast<To>(x.lane[i]);
    Half y;
    memcpy(&y, to, sizeof y);
    return y;
}
inline Vector cvtepi32_ps(Vector a) {
    const Lanes<int32_t> x(a);
    Lanes<float> y;
    for (int i = 0; i < 16; ++i) y.lane[i] = static_cast<float>(x.lane[i]);
    return y;
}
inline Vector cvtps_epi32(Vector a) {
    const Lanes<float> x(a);
    Lanes<int32_t> y;
    for (int i = 0; i < 16; ++i) {
        const bool fits = x.lane[i] >= -2147483648.0f && x.lane[i] < 2147483648.0f;
        y.lane[i] = fits ? static_cast<int32_t>(__builtin_rintf(x.lane[i])) : INT32_MIN;
    }
    return y;
}
inline Vector cvtph_ps(__m256i a) {
    const __m128i low = _mm256_castsi256_si128(a), high = _mm256_extracti128_si256(a, 1);
    const __m256 both[2] = {_mm256_cvtph_ps(low), _mm256_cvtph_ps(high)};
    return load(both);
}
template <int how>
__m256i cvtps_ph(Vector a) {
    __m256 both[2];
    memcpy(both, a.bytes, 64);
    return _mm256_setr_m128i(_mm256_cvtps_ph(both[0], how), _mm256_cvtps_ph(both[1], how));
}

}  // namespace
}  // namespace emulated

#ifndef LLMPY_TEST_BOTH
// Some are macros where nothing is optimized.
#undef _mm512_set1_ps
#undef _mm512_set1_epi32
#undef _mm512_set1_epi16
#undef _mm512_set1_epi8
#undef _mm512_setzero_si512
#undef _mm512_loadu_ps
#undef _mm512_loadu_si512
#undef _mm512_storeu_ps
#undef _mm512_storeu_si512
#undef _mm512_maskz_loadu_ps
#undef _mm512_maskz_loadu_epi32
#undef _mm512_mask_storeu_ps
#undef _mm512_add_ps
#undef _mm512_sub_ps
#undef _mm512_mul_ps
#undef _mm512_div_ps
#undef _mm512_max_ps
#undef _mm512_min_ps
#undef _mm512_fmadd_ps
#undef _mm512_cmp_ps_mask
#undef _mm512_cmplt_epi32_mask
#undef _mm512_mask_blend_ps
#undef _mm512_permute_ps
#undef _mm512_add_epi32
#undef _mm512_sub_epi32
#undef _mm512_add_epi16
#undef _mm512_max_epi32
#undef _mm512_reduce_max_epi32
#undef _mm512_and_si512
#undef _mm512_or_si512
#undef _mm512_xor_si512
#undef _mm512_ternarylogic_epi32
#undef _mm512_slli_epi32
#undef _mm512_srli_epi32
#undef _mm512_srai_epi32
#undef _mm512_sllv_epi32
#undef _mm512_srlv_epi32
#undef _mm512_abs_epi8
#undef _mm512_movepi8_mask
#undef _mm512_mask_sub_epi8
#undef _mm512_maddubs_epi16
#undef _mm512_madd_epi16
#undef _mm512_dpwssd_epi32
#undef _mm512_dpbusd_epi32
#undef _mm512_unpacklo_epi32
#undef _mm512_unpackhi_epi32
#undef _mm512_unpacklo_epi64
#undef _mm512_unpackhi_epi64
#undef _mm512_shuffle_epi8
#undef _mm512_packs_epi32
#undef _mm512_packs_epi16
#undef _mm512_shuffle_i64x2
#undef _mm512_maskz_compress_epi64
#undef _mm512_maskz_mov_epi8
#undef _mm512_permutexvar_ps
#undef _mm512_permutexvar_epi32
#undef _mm512_inserti32x4
#undef _mm512_castsi128_si512
#undef _mm512_broadcast_i32x4
#undef _mm512_castps512_ps256
#undef _mm512_extractf64x4_pd
#undef _mm512_castps_pd
#undef _mm512_castps_si512
#undef _mm512_castsi512_ps
#undef _mm512_setr_epi32
#undef _mm512_set4_epi32
#undef _mm512_cvtepi8_epi32
#undef _mm512_cvtepu8_epi32
#undef _mm512_cvtepu16_epi32
#undef _mm512_cvtepi32_epi8
#undef _mm512_cvtepi32_epi16
#undef _mm512_cvtepi32_ps
#undef _mm512_cvtps_epi32
#undef _mm512_cvtph_ps
#undef _mm512_cvtps_ph
#define __m512 emulated::Vector
#define __m512i emulated::Vector
#define __mmask16 emulated::Mask16
#define _CAST(a) (a)
#define _mm512_set1_ps emulated::all<float>
#define _mm512_set1_epi32 emulated::all<int32_t>
#define _mm512_set1_epi16 emulated::all<int16_t>
#define _mm512_set1_epi8 emulated::all<int8_t>
#define _mm512_setzero_si512() emulated::all<int8_t>(0)
#define _mm512_loadu_ps emulated::load
#define _mm512_loadu_si512 emulated::load
#define _mm512_storeu_ps emulated::store
#define _mm512_storeu_si512 emulated::store
#define _mm512_maskz_loadu_ps emulated::maskz_load<float>
#define _mm512_maskz_loadu_epi32 emulated::maskz_load_epi32
#define _mm512_mask_storeu_ps emulated::mask_store_ps
#define _mm512_add_ps emulated::add_ps
#define _mm512_sub_ps emulated::sub_ps
#define _mm512_mul_ps emulated::mul_ps
#define _mm512_div_ps emulated::div_ps
#define _mm512_max_ps emulated::max_ps
#define _mm512_min_ps emulated::min_ps
#define _mm512_fmadd_ps emulated::fmadd_ps
#define _mm512_cmp_ps_mask(a, b, how) emulated::cmp_ps_mask<how>(a, b)
#define _mm512_cmplt_epi32_mask emulated::cmplt_epi32_mask
#define _mm512_mask_blend_ps emulated::mask_blend_ps
#define _mm512_permute_ps(a, how) emulated::permute_ps<how>(a)
#define _mm512_add_epi32 emulated::add_epi32
#define _mm512_sub_epi32 emulated::sub_epi32
#define _mm512_add_epi16 emulated::add_epi16
#define _mm512_max_epi32 emulated::max_epi32
#define _mm512_reduce_max_epi32 emulated::reduce_max_epi32
#define _mm512_and_si512 emulated::and_512
#define _mm512_or_si512 emulated::or_512
#define _mm512_xor_si512 emulated::xor_512
#define _mm512_ternarylogic_epi32(a, b, c, table) emulated::ternary<table>(a, b, c)
#define _mm512_slli_epi32 emulated::slli_epi32
#define _mm512_srli_epi32 emulated::srli_epi32
#define _mm512_srai_epi32 emulated::srai_epi32
#define _mm512_sllv_epi32 emulated::sllv_epi32
#define _mm512_srlv_epi32 emulated::srlv_epi32
#define _mm512_abs_epi8 emulated::abs_epi8
#define _mm512_movepi8_mask emulated::movepi8_mask
#define _mm512_mask_sub_epi8 emulated::mask_sub_epi8
#define _mm512_maddubs_epi16 emulated::maddubs_epi16
#define _mm512_madd_epi16 emulated::madd_epi16
#define _mm512_dpwssd_epi32 emulated::dpwssd_epi32
#define _mm512_dpbusd_epi32 emulated::dpbusd_epi32
#define _mm512_unpacklo_epi32(a, b) emulated::unpack<uint32_t>(a, b, 0)
#define _mm512_unpackhi_epi32(a, b) emulated::unpack<uint32_t>(a, b, 1)
#define _mm512_unpacklo_epi64(a, b) emulated::unpack<uint64_t>(a, b, 0)
#define _mm512_unpackhi_epi64(a, b) emulated::unpack<uint64_t>(a, b, 1)
#define _mm512_packs_epi32 emulated::packs<int32_t, int16_t>
#define _mm512_packs_epi16 emulated::packs<int16_t, int8_t>
#define _mm512_shuffle_i64x2(a, b, how) emulated::shuffle_128<how>(a, b)
#define _mm512_maskz_compress_epi64 emulated::maskz_compress_epi64
#define _mm512_maskz_mov_epi8 emulated::maskz_mov_epi8
#define _mm512_permutexvar_ps emulated::permutexvar_epi32
#define _mm512_shuffle_epi8 emulated::shuffle_epi8
#define _mm512_permutexvar_epi32 emulated::permutexvar_epi32
#define _mm512_inserti32x4(a, b, part) emulated::insert_128<part>(a, b)
#define _mm512_castsi128_si512 emulated::cast_128
#define _mm512_broadcast_i32x4 emulated::broadcast_128
#define _mm512_castps512_ps256 emulated::low_256
#define _mm512_extractf64x4_pd(a, half) emulated::half_256<half>(a)
#define _mm512_castps_pd _CAST
#define _mm512_castps_si512 _CAST
#define _mm512_castsi512_ps _CAST
#define _mm512_setr_epi32 emulated::setr_epi32
#define _mm512_set4_epi32 emulated::set4_epi32
#define _mm512_cvtepi8_epi32 emulated::widened<int8_t, int32_t>
#define _mm512_cvtepu8_epi32 emulated::widened<uint8_t, uint32_t>
#define _mm512_cvtepu16_epi32 emulated::widened<uint16_t, uint32_t>
#define _mm512_cvtepi32_epi8 emulated::narrowed<uint8_t, __m128i>
#define _mm512_cvtepi32_epi16 emulated::narrowed<uint16_t, __m256i>
#define _mm512_cvtepi32_ps emulated::cvtepi32_ps
#define _mm512_cvtps_epi32 emulated::cvtps_epi32
#define _mm512_cvtph_ps emulated::cvtph_ps
#define _mm512_cvtps_ph(a, how) emulated::cvtps_ph<how>(a)
#endif

#endif
