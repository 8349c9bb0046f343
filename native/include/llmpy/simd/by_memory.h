// simd/by_memory: lanes from one vector to another through memory, for levels that have no better way. Include at their end.

#pragma once

#include "llmpy/simd/common.h"

namespace llmpy {
namespace {

// Lane i: the largest lane of a[i]; zeros behind them, and none may be less.
LLMPY_INLINE I32x16 largest_of_each(const I32x16 (&a)[8]) {
    int32_t lanes[16] = {};
    LLMPY_EACH(i, 8) lanes[i] = max_lane(a[i]);
    return load(lanes);
}
// One lane in all of them; the even lanes before the odd ones.
LLMPY_INLINE F32x16 lane_everywhere(F32x16 a, int i) {
    float lanes[16];
    store(lanes, a);
    return set1(lanes[i]);
}
LLMPY_INLINE I32x16 even_lanes(I32x16 a) {
    int32_t lanes[16], even[16];
    store(lanes, a);
    LLMPY_EACH(i, 16) even[i] = lanes[2 * i % 16 + i / 8];
    return load(even);
}
// The low bytes of all lanes, which must lie in -128..127 unless it does not matter what they become.
LLMPY_INLINE U8x64 narrow(const I32x16 (&x)[4]) {
    int8_t bytes[64];
    LLMPY_EACH(i, 4) store_i8(bytes + 16 * i, x[i]);
    return load_bytes(bytes);
}
// Zeros instead of the bytes whose bits are set.
LLMPY_INLINE U8x64 without(U8x64 x, uint64_t bits) {
    if (bits == 0) return x;
    uint8_t bytes[64];
    store_bytes(bytes, x);
    for (; bits != 0; bits &= bits - 1) bytes[__builtin_ctzll(bits)] = 0;
    return load_bytes(bytes);
}
// The sums of sixteen signed bytes each.
LLMPY_INLINE I32x16 sums_of_16(const U8x64 (&x)[4]) {
    int8_t bytes[64];
    int32_t sums[16];
    LLMPY_EACH(v, 4) {
        store_bytes(bytes, x[v]);
        LLMPY_EACH(i, 4) sums[4 * v + i] = sum_i8(bytes + 16 * i);
    }
    return load(sums);
}

}  // namespace
}  // namespace llmpy
