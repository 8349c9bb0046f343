// emulated/avx_vnni: the products of AVX-VNNI in plain loops, for processors that have AVX2 alone. See avx512.h.

#ifndef LLMPY_TEST_EMULATED_AVX_VNNI_H
#define LLMPY_TEST_EMULATED_AVX_VNNI_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

namespace emulated {
namespace {

inline __m256i dpbusd_avx(__m256i sum, __m256i a, __m256i b) {
    uint8_t x[32];
    int8_t y[32];
    uint32_t z[8];
    memcpy(x, &a, sizeof x);
    memcpy(y, &b, sizeof y);
    memcpy(z, &sum, sizeof z);
    for (int i = 0; i < 32; ++i) z[i / 4] += static_cast<uint32_t>(x[i] * y[i]);
    memcpy(&sum, z, sizeof z);
    return sum;
}
inline __m256i dpwssd_avx(__m256i sum, __m256i a, __m256i b) {
    int16_t x[16], y[16];
    uint32_t z[8];
    memcpy(x, &a, sizeof x);
    memcpy(y, &b, sizeof y);
    memcpy(z, &sum, sizeof z);
    for (int i = 0; i < 16; ++i) z[i / 2] += static_cast<uint32_t>(x[i] * y[i]);
    memcpy(&sum, z, sizeof z);
    return sum;
}

}  // namespace
}  // namespace emulated

#ifndef LLMPY_TEST_BOTH
#undef _mm256_dpbusd_avx_epi32
#undef _mm256_dpwssd_avx_epi32
#define _mm256_dpbusd_avx_epi32 emulated::dpbusd_avx
#define _mm256_dpwssd_avx_epi32 emulated::dpwssd_avx
#endif

#endif
