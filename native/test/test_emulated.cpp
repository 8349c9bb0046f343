// The emulation of instructions under native/test/emulated against the processor, bit by bit, where it has them. Compiled for
// AVX-512, AVX-VNNI and AMX: nothing but main runs elsewhere.

#define LLMPY_TEST_BOTH
#include "emulated/amx.h"
#include "emulated/avx512.h"
#include "emulated/avx_vnni.h"

#include "check.h"
#include "llmpy/ops.h"

namespace {

using emulated::Vector;

uint32_t state = 1;
uint32_t next() {
    state = state * 1664525u + 1013904223u;
    return state >> 8;
}
// Floats of all sizes, with zeros, infinities and NaN among them.
Vector floats() {
    float values[16];
    for (float& x : values) {
        const uint32_t kind = next() % 24;
        const float size =
            __builtin_ldexpf(1.0f + static_cast<float>(next() % 4096) / 4096, static_cast<int>(next() % 40) - 20);
        x = kind == 0 ? 0.0f : kind == 1 ? __builtin_inff() : kind == 2 ? __builtin_nanf("") : size;
        if (next() % 2 != 0) x = -x;
    }
    return emulated::load(values);
}
Vector bytes() {
    Vector v;
    for (unsigned char& byte : v.bytes) {
        const uint32_t kind = next() % 8;
        byte = static_cast<unsigned char>(kind == 0 ? 0 : kind == 1 ? 0x80 : kind == 2 ? 0xff : next());
    }
    return v;
}
__m512i i(const Vector& v) { return _mm512_loadu_si512(v.bytes); }
__m512 f(const Vector& v) { return _mm512_loadu_ps(v.bytes); }
bool same(const Vector& v, __m512i w) {
    Vector found;
    _mm512_storeu_si512(found.bytes, w);
    return memcmp(v.bytes, found.bytes, 64) == 0;
}
bool same(const Vector& v, __m512 w) { return same(v, _mm512_castps_si512(w)); }
// NaN has one of many bit patterns.
bool alike(const Vector& v, __m512 w) {
    float a[16], b[16];
    memcpy(a, v.bytes, 64);
    _mm512_storeu_ps(b, w);
    bool all = true;
    for (int j = 0; j < 16; ++j) all = all && (memcmp(a + j, b + j, 4) == 0 || (a[j] != a[j] && b[j] != b[j]));
    return all;
}

#define SAME(name, ...) CHECK(same(emulated::name, __VA_ARGS__), "%s differs", #name)
#define ALIKE(name, ...) CHECK(alike(emulated::name, __VA_ARGS__), "%s differs", #name)

void test_floats() {
    const Vector a = floats(), b = floats(), c = floats();
    const auto m = static_cast<__mmask16>(next());
    ALIKE(add_ps(a, b), _mm512_add_ps(f(a), f(b)));
    ALIKE(sub_ps(a, b), _mm512_sub_ps(f(a), f(b)));
    ALIKE(mul_ps(a, b), _mm512_mul_ps(f(a), f(b)));
    ALIKE(div_ps(a, b), _mm512_div_ps(f(a), f(b)));
    ALIKE(fmadd_ps(a, b, c), _mm512_fmadd_ps(f(a), f(b), f(c)));
    SAME(max_ps(a, b), _mm512_max_ps(f(a), f(b)));
    SAME(min_ps(a, b), _mm512_min_ps(f(a), f(b)));
    CHECK(emulated::cmp_ps_mask<_CMP_LT_OQ>(a, b) == _mm512_cmp_ps_mask(f(a), f(b), _CMP_LT_OQ), "cmp_ps_mask");
    SAME(mask_blend_ps(m, a, b), _mm512_mask_blend_ps(m, f(a), f(b)));
    SAME(permute_ps<0xb1>(a), _mm512_permute_ps(f(a), 0xb1));
    SAME(maskz_load<float>(m, reinterpret_cast<const float*>(a.bytes)), _mm512_maskz_loadu_ps(m, a.bytes));
    Vector to = b, expected = b;
    emulated::mask_store_ps(reinterpret_cast<float*>(to.bytes), m, a);
    _mm512_mask_storeu_ps(expected.bytes, m, f(a));
    CHECK(memcmp(to.bytes, expected.bytes, 64) == 0, "mask_store_ps");
    SAME(cvtps_epi32(a), _mm512_cvtps_epi32(f(a)));
    __m256i half = _mm512_cvtps_ph(f(a), _MM_FROUND_TO_NEAREST_INT);
    __m256i ours = emulated::cvtps_ph<_MM_FROUND_TO_NEAREST_INT>(a);
    CHECK(memcmp(&half, &ours, 32) == 0, "cvtps_ph");
    ALIKE(cvtph_ps(half), _mm512_cvtph_ps(half));
    const __m256 low = emulated::low_256(a), low_expected = _mm512_castps512_ps256(f(a));
    CHECK(memcmp(&low, &low_expected, 32) == 0, "low_256");
    const __m256d high = emulated::half_256<1>(a), high_expected = _mm512_extractf64x4_pd(_mm512_castps_pd(f(a)), 1);
    CHECK(memcmp(&high, &high_expected, 32) == 0, "half_256");
}

void test_integers() {
    const Vector a = bytes(), b = bytes(), c = bytes();
    const auto m = static_cast<__mmask16>(next());
    SAME(add_epi32(a, b), _mm512_add_epi32(i(a), i(b)));
    SAME(sub_epi32(a, b), _mm512_sub_epi32(i(a), i(b)));
    SAME(add_epi16(a, b), _mm512_add_epi16(i(a), i(b)));
    SAME(max_epi32(a, b), _mm512_max_epi32(i(a), i(b)));
    CHECK(emulated::reduce_max_epi32(a) == _mm512_reduce_max_epi32(i(a)), "reduce_max_epi32");
    SAME(and_512(a, b), _mm512_and_si512(i(a), i(b)));
    SAME(or_512(a, b), _mm512_or_si512(i(a), i(b)));
    SAME(xor_512(a, b), _mm512_xor_si512(i(a), i(b)));
    SAME(ternary<0xea>(a, b, c), _mm512_ternarylogic_epi32(i(a), i(b), i(c), 0xea));
    SAME(slli_epi32(a, 5), _mm512_slli_epi32(i(a), 5));
    SAME(srli_epi32(a, 13), _mm512_srli_epi32(i(a), 13));
    SAME(srai_epi32(a, 7), _mm512_srai_epi32(i(a), 7));
    const Vector by = emulated::srli_epi32(b, 26);  // 0 to 63
    SAME(sllv_epi32(a, by), _mm512_sllv_epi32(i(a), i(by)));
    SAME(srlv_epi32(a, by), _mm512_srlv_epi32(i(a), i(by)));
    SAME(abs_epi8(a), _mm512_abs_epi8(i(a)));
    CHECK(emulated::movepi8_mask(a) == _mm512_movepi8_mask(i(a)), "movepi8_mask");
    SAME(mask_sub_epi8(c, emulated::movepi8_mask(b), a, b),
         _mm512_mask_sub_epi8(i(c), _mm512_movepi8_mask(i(b)), i(a), i(b)));
    SAME(maddubs_epi16(a, b), _mm512_maddubs_epi16(i(a), i(b)));
    SAME(madd_epi16(a, b), _mm512_madd_epi16(i(a), i(b)));
    SAME(dpbusd_epi32(c, a, b), _mm512_dpbusd_epi32(i(c), i(a), i(b)));
    SAME(dpwssd_epi32(c, a, b), _mm512_dpwssd_epi32(i(c), i(a), i(b)));
    SAME(maskz_load_epi32(m, a.bytes), _mm512_maskz_loadu_epi32(m, a.bytes));
    SAME(unpack<uint32_t>(a, b, 0), _mm512_unpacklo_epi32(i(a), i(b)));
    SAME(unpack<uint32_t>(a, b, 1), _mm512_unpackhi_epi32(i(a), i(b)));
    SAME(unpack<uint64_t>(a, b, 0), _mm512_unpacklo_epi64(i(a), i(b)));
    SAME(unpack<uint64_t>(a, b, 1), _mm512_unpackhi_epi64(i(a), i(b)));
    SAME(shuffle_epi8(a, b), _mm512_shuffle_epi8(i(a), i(b)));
    SAME(permutexvar_epi32(b, a), _mm512_permutexvar_epi32(i(b), i(a)));
    CHECK(same(emulated::packs<int32_t, int16_t>(a, b), _mm512_packs_epi32(i(a), i(b))), "packs_epi32");
    CHECK(same(emulated::packs<int16_t, int8_t>(a, b), _mm512_packs_epi16(i(a), i(b))), "packs_epi16");
    SAME(shuffle_128<0x44>(a, b), _mm512_shuffle_i64x2(i(a), i(b), 0x44));
    SAME(shuffle_128<0xb1>(a, b), _mm512_shuffle_i64x2(i(a), i(b), 0xb1));
    SAME(maskz_compress_epi64(m & 0xff, a), _mm512_maskz_compress_epi64(static_cast<__mmask8>(m), i(a)));
    SAME(maskz_mov_epi8(emulated::movepi8_mask(b), a), _mm512_maskz_mov_epi8(_mm512_movepi8_mask(i(b)), i(a)));
    const __m128i part = _mm512_castsi512_si128(i(b));
    SAME(insert_128<2>(a, part), _mm512_inserti32x4(i(a), part, 2));
    SAME(broadcast_128(part), _mm512_broadcast_i32x4(part));
    SAME(setr_epi32(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16),
         _mm512_setr_epi32(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16));
    SAME(set4_epi32(12, 8, 4, 0), _mm512_set4_epi32(12, 8, 4, 0));
    SAME(all<int8_t>(-3), _mm512_set1_epi8(-3));
    SAME(all<int16_t>(-300), _mm512_set1_epi16(-300));
    SAME(all<int32_t>(70000), _mm512_set1_epi32(70000));
    const __m256i half = _mm512_castsi512_si256(i(b));
    CHECK(same(emulated::widened<int8_t, int32_t>(part), _mm512_cvtepi8_epi32(part)), "cvtepi8");
    CHECK(same(emulated::widened<uint8_t, uint32_t>(part), _mm512_cvtepu8_epi32(part)), "cvtepu8");
    CHECK(same(emulated::widened<uint16_t, uint32_t>(half), _mm512_cvtepu16_epi32(half)), "cvtepu16");
    const __m128i narrow = emulated::narrowed<uint8_t, __m128i>(a), narrow_expected = _mm512_cvtepi32_epi8(i(a));
    CHECK(memcmp(&narrow, &narrow_expected, 16) == 0, "cvtepi32_epi8");
    const __m256i words = emulated::narrowed<uint16_t, __m256i>(a), words_expected = _mm512_cvtepi32_epi16(i(a));
    CHECK(memcmp(&words, &words_expected, 32) == 0, "cvtepi32_epi16");
    SAME(cvtepi32_ps(a), _mm512_cvtepi32_ps(i(a)));
}

void test_avx_vnni() {
    __m256i x[3];
    for (__m256i& v : x) v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes().bytes));
    __m256i a = emulated::dpbusd_avx(x[0], x[1], x[2]), b = _mm256_dpbusd_avx_epi32(x[0], x[1], x[2]);
    CHECK(memcmp(&a, &b, 32) == 0, "dpbusd_avx");
    a = emulated::dpwssd_avx(x[0], x[1], x[2]);
    b = _mm256_dpwssd_avx_epi32(x[0], x[1], x[2]);
    CHECK(memcmp(&a, &b, 32) == 0, "dpwssd_avx");
}

void test_amx(int inputs) {
    struct alignas(64) Shapes {
        uint8_t palette = 1, start_row = 0, unused[14] = {};
        uint16_t row_bytes[16] = {};
        uint8_t rows[16] = {};
    } shapes;
    shapes.row_bytes[0] = shapes.row_bytes[2] = 64;
    shapes.row_bytes[1] = static_cast<uint16_t>(inputs);
    shapes.rows[0] = shapes.rows[1] = 13;
    shapes.rows[2] = static_cast<uint8_t>(inputs / 4);
    Vector a[16], b[16];
    for (Vector& v : a) v = bytes();
    for (Vector& v : b) v = bytes();
    uint8_t found[2][16][80] = {};
    emulated::tile_loadconfig(&shapes);
    emulated::tile_zero(0);
    emulated::tile_loadd(1, a, 64);
    emulated::tile_loadd(2, b, 64);
    emulated::tile_dpbsud(0, 1, 2);
    emulated::tile_dpbsud(0, 1, 2);
    emulated::tile_stored(0, found[0], 80);
    emulated::tile_release();
    __asm__ volatile("" ::"r"(&shapes) : "memory");
    _tile_loadconfig(&shapes);
    _tile_zero(0);
    _tile_loadd(1, a, 64);
    _tile_loadd(2, b, 64);
    _tile_dpbsud(0, 1, 2);
    _tile_dpbsud(0, 1, 2);
    _tile_stored(0, found[1], 80);
    _tile_release();
    CHECK(memcmp(found[0], found[1], sizeof found[0]) == 0, "tiles of %d inputs", inputs);
}

bool runs_here(const char* name) {
    for (int32_t n = 0; llmpy::level_of(n) != nullptr; ++n) {
        if (strcmp(llmpy::level_of(n)->name, name) == 0) return llmpy::level_runs_here(n);
    }
    return false;
}

}  // namespace

int main() {
    for (int n = 0; n < 2000 && runs_here("avx512"); ++n) {
        test_floats();
        test_integers();
    }
    for (int n = 0; n < 2000 && runs_here("avx_vnni"); ++n) test_avx_vnni();
    for (int n = 0; n < 2000 && runs_here("amx"); ++n) test_amx(n % 2 == 0 ? 32 : 16);
    return llmpy::n_failures == 0 ? 0 : 1;
}
