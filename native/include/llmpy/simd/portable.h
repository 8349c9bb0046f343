// simd/portable: the vocabulary in plain C++, the one to read first. See simd/common.h.
//
// Of GCC's and clang's vector types: operators work lane by lane, and the compiler makes of them what the machine has.
// Little-endian machines only (a lane's first byte is its lowest), as the files are.

#ifndef LLMPY_SIMD_LEVEL
#define LLMPY_SIMD_LEVEL portable

#include "llmpy/simd/common.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "native kernels need a little-endian machine"
#endif

namespace llmpy {
namespace {

typedef float Float4 __attribute__((vector_size(16)));
typedef int32_t Int4 __attribute__((vector_size(16)));
typedef uint32_t Word4 __attribute__((vector_size(16)));

struct F32x16 {
    Float4 v[4];
};
struct I32x16 {
    Int4 v[4];
};
struct U8x64 {
    Word4 v[4];
};
struct Mask16 {
    Int4 v[4];  // -1 for true, 0 for false
};

// A vector whose part i is f(i).
template <class Vector, class Part>
LLMPY_INLINE Vector parts(const Part& f) {
    return Vector{{f(0), f(1), f(2), f(3)}};
}
#define LLMPY_PARTS(Vector, expression) parts<Vector>([&]([[maybe_unused]] int i) LLMPY_LAMBDA { return expression; })

LLMPY_INLINE Mask16 first_lanes(int n) { return LLMPY_PARTS(Mask16, ((Int4{0, 1, 2, 3} + 4 * i) < n)); }

// ---- floats

LLMPY_INLINE F32x16 set1(float x) { return LLMPY_PARTS(F32x16, (Float4{x, x, x, x})); }
LLMPY_INLINE F32x16 load(const float* p) { return read<F32x16>(p); }
LLMPY_INLINE F32x16 load_part(const float* p, int n) {
    F32x16 out = {};
    memcpy(&out, p, static_cast<size_t>(lesser(n, 16)) * sizeof *p);
    return out;
}
LLMPY_INLINE void store(float* p, F32x16 a) { write(p, a); }
LLMPY_INLINE void store_part(float* p, F32x16 a, int n) {
    memcpy(p, &a, static_cast<size_t>(lesser(n, 16)) * sizeof *p);
}
LLMPY_INLINE F32x16 operator+(F32x16 a, F32x16 b) { return LLMPY_PARTS(F32x16, a.v[i] + b.v[i]); }
LLMPY_INLINE F32x16 operator-(F32x16 a, F32x16 b) { return LLMPY_PARTS(F32x16, a.v[i] - b.v[i]); }
LLMPY_INLINE F32x16 operator*(F32x16 a, F32x16 b) { return LLMPY_PARTS(F32x16, a.v[i] * b.v[i]); }
LLMPY_INLINE F32x16 operator/(F32x16 a, F32x16 b) { return LLMPY_PARTS(F32x16, a.v[i] / b.v[i]); }
// a * b + c: rounded once where the machine has such an instruction, else twice (a library call would cost fifty
// times).
LLMPY_INLINE F32x16 fma(F32x16 a, F32x16 b, F32x16 c) {
#ifdef __FP_FAST_FMAF
    const auto one = [&](int i, int lane) { return __builtin_fmaf(a.v[i][lane], b.v[i][lane], c.v[i][lane]); };
    return LLMPY_PARTS(F32x16, (Float4{one(i, 0), one(i, 1), one(i, 2), one(i, 3)}));
#else
    return a * b + c;
#endif
}
LLMPY_INLINE I32x16 bits_of(F32x16 a) { return read<I32x16>(&a); }
LLMPY_INLINE F32x16 as_f32(I32x16 a) { return read<F32x16>(&a); }
LLMPY_INLINE Mask16 less(F32x16 a, F32x16 b) { return LLMPY_PARTS(Mask16, a.v[i] < b.v[i]); }
// Bit i: lane i.
LLMPY_INLINE unsigned bits_of(Mask16 m) {
    unsigned all = 0;
    for (int i = 0; i < 16; ++i) all |= (m.v[i / 4][i % 4] != 0 ? 1u : 0u) << i;
    return all;
}
LLMPY_INLINE F32x16 select(Mask16 m, F32x16 yes, F32x16 no) {
    const I32x16 y = bits_of(yes), n = bits_of(no);
    return as_f32(LLMPY_PARTS(I32x16, (y.v[i] & m.v[i]) | (n.v[i] & ~m.v[i])));
}
// The second operand where either is NaN.
LLMPY_INLINE F32x16 max(F32x16 a, F32x16 b) { return select(less(b, a), a, b); }
LLMPY_INLINE F32x16 min(F32x16 a, F32x16 b) { return select(less(a, b), a, b); }
// Lanes 2 i and 2 i + 1 exchanged.
LLMPY_INLINE F32x16 swap_neighbours(F32x16 a) {
    return LLMPY_PARTS(F32x16, (Float4{a.v[i][1], a.v[i][0], a.v[i][3], a.v[i][2]}));
}

// ---- integers, which wrap around and are therefore computed without sign

LLMPY_INLINE U8x64 words(I32x16 a) { return read<U8x64>(&a); }
LLMPY_INLINE I32x16 as_i32(U8x64 a) { return read<I32x16>(&a); }
LLMPY_INLINE I32x16 set1(int32_t x) { return LLMPY_PARTS(I32x16, (Int4{x, x, x, x})); }
LLMPY_INLINE I32x16 load(const int32_t* p) { return read<I32x16>(p); }
LLMPY_INLINE void store(int32_t* p, I32x16 a) { write(p, a); }
LLMPY_INLINE I32x16 operator+(I32x16 a, I32x16 b) {
    const U8x64 x = words(a), y = words(b);
    return as_i32(LLMPY_PARTS(U8x64, x.v[i] + y.v[i]));
}
LLMPY_INLINE I32x16 operator-(I32x16 a, I32x16 b) {
    const U8x64 x = words(a), y = words(b);
    return as_i32(LLMPY_PARTS(U8x64, x.v[i] - y.v[i]));
}
LLMPY_INLINE I32x16 operator&(I32x16 a, I32x16 b) { return LLMPY_PARTS(I32x16, a.v[i] & b.v[i]); }
LLMPY_INLINE I32x16 max(I32x16 a, I32x16 b) {
    return LLMPY_PARTS(I32x16, (a.v[i] & (a.v[i] > b.v[i])) | (b.v[i] & (a.v[i] <= b.v[i])));
}
template <int n>
LLMPY_INLINE I32x16 shift_left(I32x16 a) {
    const U8x64 x = words(a);
    return as_i32(LLMPY_PARTS(U8x64, x.v[i] << n));
}
LLMPY_INLINE I32x16 shift_left_by(I32x16 a, int32_t n) {
    const U8x64 x = words(a);
    return as_i32(LLMPY_PARTS(U8x64, x.v[i] << n));
}
template <int n>
LLMPY_INLINE I32x16 shift_right_signed(I32x16 a) {
    return LLMPY_PARTS(I32x16, a.v[i] >> n);
}
// 16 bytes, one per lane
LLMPY_INLINE I32x16 load_i8(const void* p) {
    int32_t lanes[16];
    for (int i = 0; i < 16; ++i) lanes[i] = static_cast<const int8_t*>(p)[i];
    return load(lanes);
}
LLMPY_INLINE I32x16 load_u8(const void* p) { return load_i8(p) & set1(255); }
// Each lane, which must lie in -128..127.
LLMPY_INLINE void store_i8(int8_t* p, I32x16 a) {
    int32_t lanes[16];
    store(lanes, a);
    for (int i = 0; i < 16; ++i) p[i] = static_cast<int8_t>(lanes[i]);
}
// Each lane, which must lie in -32768..32767.
LLMPY_INLINE void store_i16(int16_t* p, I32x16 a) {
    int32_t lanes[16];
    store(lanes, a);
    for (int i = 0; i < 16; ++i) p[i] = static_cast<int16_t>(lanes[i]);
}

// ---- between them

LLMPY_INLINE F32x16 to_f32(I32x16 a) { return LLMPY_PARTS(F32x16, __builtin_convertvector(a.v[i], Float4)); }
// To the nearest integer, ties to even, for numbers within 2^22; of NaN and larger ones: some integer.
// Adding 1.5 * 2^23 leaves the integer in the low bits, whatever the number is.
LLMPY_INLINE I32x16 to_i32(F32x16 a) { return bits_of(a + set1(12582912.0f)) - set1(0x4b400000); }
LLMPY_INLINE F32x16 absolute(F32x16 a) { return as_f32(bits_of(a) & set1(0x7fffffff)); }

// ---- half precision in memory

// Not inlined: long, and compilers would repeat it hundreds of times.
LLMPY_NOINLINE F32x16 load_f16(const uint16_t* p) {
    float lanes[16];
    for (int i = 0; i < 16; ++i) lanes[i] = f32_from_f16(p[i]);
    return load(lanes);
}
LLMPY_INLINE void store_f16(uint16_t* p, F32x16 a) {
    float lanes[16];
    store(lanes, a);
    for (int i = 0; i < 16; ++i) p[i] = f16_from_f32(lanes[i]);
}
LLMPY_INLINE F32x16 load_bf16(const uint16_t* p) {
    float lanes[16];
    for (int i = 0; i < 16; ++i) lanes[i] = f32_from_bf16(p[i]);
    return load(lanes);
}

// ---- one number from sixteen, always in this order: lanes i and i + 8, then i + 4, i + 2, i + 1

LLMPY_INLINE float sum(F32x16 a) {
    const Float4 by4 = (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]);
    return (by4[0] + by4[2]) + (by4[1] + by4[3]);
}
LLMPY_INLINE float max_lane(F32x16 a) {
    float lanes[16];
    store(lanes, a);
    for (int half = 8; half > 0; half /= 2) {
        for (int i = 0; i < half; ++i) lanes[i] = lanes[i] > lanes[i + half] ? lanes[i] : lanes[i + half];
    }
    return lanes[0];
}
LLMPY_INLINE int32_t max_lane(I32x16 a) {
    int32_t lanes[16];
    store(lanes, a);
    int32_t largest = lanes[0];
    for (int i = 1; i < 16; ++i) largest = largest > lanes[i] ? largest : lanes[i];
    return largest;
}
// The sum of 16 bytes.
LLMPY_INLINE int32_t sum_i8(const int8_t* p) {
    int32_t total = 0;
    for (int i = 0; i < 16; ++i) total += p[i];
    return total;
}

// ---- bytes

LLMPY_INLINE U8x64 load_bytes(const void* p) { return read<U8x64>(p); }
LLMPY_INLINE void store_bytes(void* p, U8x64 a) { write(p, a); }
// 16 bytes of each of 16 rows, from `at` on, turned: quads[i] has the bytes 4 i .. 4 i + 3 of row r in lane r.
LLMPY_INLINE void load_quads(const uint8_t* const* rows, int64_t at, U8x64 (&quads)[4]) {
    LLMPY_EACH(q, 4) {
        const auto word = [&](int row) LLMPY_LAMBDA { return read<uint32_t>(rows[row] + at + 4 * q); };
        quads[q] = LLMPY_PARTS(U8x64, (Word4{word(4 * i), word(4 * i + 1), word(4 * i + 2), word(4 * i + 3)}));
    }
}
// The same four bytes in every lane, the lowest first.
LLMPY_INLINE U8x64 set1_bytes_of_lane(int32_t x) { return words(set1(x)); }
LLMPY_INLINE U8x64 set1_byte(int x) {
    return set1_bytes_of_lane(static_cast<int32_t>(static_cast<uint32_t>(x & 255) * 0x01010101u));
}
LLMPY_INLINE U8x64 operator&(U8x64 a, U8x64 b) { return LLMPY_PARTS(U8x64, a.v[i] & b.v[i]); }
LLMPY_INLINE U8x64 operator|(U8x64 a, U8x64 b) { return LLMPY_PARTS(U8x64, a.v[i] | b.v[i]); }
LLMPY_INLINE U8x64 operator^(U8x64 a, U8x64 b) { return LLMPY_PARTS(U8x64, a.v[i] ^ b.v[i]); }
// (a & mask) | b
LLMPY_INLINE U8x64 masked_or(U8x64 a, U8x64 mask, U8x64 b) { return (a & mask) | b; }
// The four bytes of a lane shifted as one number, first byte lowest.
template <int n>
LLMPY_INLINE U8x64 shift_right(U8x64 a) {
    return LLMPY_PARTS(U8x64, a.v[i] >> n);
}
LLMPY_INLINE U8x64 shift_right_by(U8x64 a, int32_t n) { return LLMPY_PARTS(U8x64, a.v[i] >> n); }
template <int n>
LLMPY_INLINE U8x64 shift_left(U8x64 a) {
    return LLMPY_PARTS(U8x64, a.v[i] << n);
}
// The same sixteen bytes four times, a table; and its entry for each byte, which must be below 16.
LLMPY_INLINE U8x64 load_table(const uint8_t* p) {
    const Word4 sixteen = read<Word4>(p);
    return LLMPY_PARTS(U8x64, sixteen);
}
LLMPY_NOINLINE U8x64 look_up(const U8x64& table, const U8x64& at) {
    const uint8_t* t = reinterpret_cast<const uint8_t*>(&table);
    const uint8_t* from = reinterpret_cast<const uint8_t*>(&at);
    uint8_t out[64];
    for (int i = 0; i < 64; ++i) out[i] = t[from[i] & 15];
    return read<U8x64>(out);
}
// Byte n of each lane as a number from 0 to 255.
template <int n>
LLMPY_INLINE I32x16 byte_of_lane(U8x64 a) {
    return as_i32(shift_right<8 * n>(a)) & set1(255);
}

// ---- products of weights with 8-bit activations

// Whether 8-bit weights are kept as unsigned numbers, 128 too large, or as they are.
constexpr bool weights_are_offset = false;

// Whether there is a DotPair, for two tokens with two rows in one instruction; see simd/neon.h.
constexpr bool multiplies_pairs = false;

// total += what `Dot` below says, for one quad. Not inlined for the same reason as load_f16.
template <bool is_signed>
LLMPY_NOINLINE void add_products_of_quad(I32x16& total, const U8x64& weights, const int8_t* a) {
    for (int row = 0; row < 16; ++row) {
        const uint8_t* w = reinterpret_cast<const uint8_t*>(&weights) + 4 * row;
        int sum = 0;
        for (int i = 0; i < 4; ++i) sum += (is_signed ? static_cast<int8_t>(w[i]) : w[i]) * a[i];
        total.v[row / 4][row % 4] += sum;
    }
}

// One lane's sum over k of weight * activation, from `start` on. Weights have `bits` bits, unsigned; 8-bit ones are
// signed unless `weights_are_offset`. `a` points at the activations of the group of `quads` quads that `q` counts.
template <int bits>
struct Dot {
    I32x16 total;

    LLMPY_INLINE void start(I32x16 first) { total = first; }
    template <int q, int quads>
    LLMPY_INLINE void add(U8x64 weights, const int8_t* a) {
        add_products_of_quad<bits == 8>(total, weights, a + 4 * q);
    }
    LLMPY_INLINE I32x16 result() const { return total; }
};

// Weights of how many bits have the same Dot.
constexpr int dot_bits(int bits) { return bits == 8 ? 8 : 7; }

// sum + the products of a lane's two signed 16-bit numbers with the two in `pair`
LLMPY_INLINE I32x16 add_products_of_pairs(I32x16 sum, U8x64 weights, int32_t pair) {
    const I32x16 second = as_i32(weights), first = shift_left<16>(second);
    const int low = static_cast<int16_t>(pair & 0xffff), high = pair >> 16;
    return LLMPY_PARTS(I32x16, sum.v[i] + (first.v[i] >> 16) * low + (second.v[i] >> 16) * high);
}

#undef LLMPY_PARTS

// Whether blocks are worth code of their own, with places and shifts as constants.
constexpr bool unrolls_blocks = false;
// How many F32x16 the registers hold.
constexpr int vectors_in_registers = 8;
// Of attention: queries that are computed at once, and sums that the registers hold beside operands.
constexpr int kQueriesAtOnce = 1;
constexpr int kAccumulators = 1;
// Tokens that are multiplied at a time: each takes an integer and a float vector for each tile of rows.
constexpr int token_tile = 4;

// ---- memory

LLMPY_INLINE void prefetch_l2(const void*) {}
LLMPY_INLINE void prefetch_l1(const void*) {}

}  // namespace
}  // namespace llmpy

#include "llmpy/simd/by_memory.h"
#include "llmpy/simd/math.h"

#endif
