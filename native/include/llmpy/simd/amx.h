// simd/amx: products of tiles of 8-bit integers (AMX-INT8), beside the vectors of simd/avx512.h.

#ifndef LLMPY_SIMD_AMX_H
#define LLMPY_SIMD_AMX_H

#include <stdint.h>

#include "llmpy/simd/avx512.h"

namespace llmpy {
namespace {

// Tokens whose products with 16 rows one instruction makes.
constexpr int tokens_of_tile = 16;

// How registers of tiles are divided: 0 has sums, 1 activations, 2 weights, `inputs` of them (a multiple of 4, up to 64).
struct alignas(64) TileShapes {
    uint8_t palette = 1, start_row = 0, unused[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};

    explicit TileShapes(int inputs) {
        row_bytes[0] = 64, rows[0] = tokens_of_tile;
        row_bytes[1] = static_cast<uint16_t>(inputs), rows[1] = tokens_of_tile;
        row_bytes[2] = 64, rows[2] = static_cast<uint8_t>(inputs / 4);
    }
};
static_assert(sizeof(TileShapes) == 64, "as the instruction reads it");

// As long as one lives, this thread's registers of tiles have these shapes.
class Tiles {
  public:
    explicit LLMPY_INLINE Tiles(const TileShapes& shapes) {
        // GCC 12 takes eight bytes for all that the instruction reads, and may not have stored the others.
        __asm__ volatile("" ::"r"(&shapes) : "memory");
        _tile_loadconfig(&shapes);
    }
    LLMPY_INLINE ~Tiles() { _tile_release(); }
    Tiles(const Tiles&) = delete;
    Tiles& operator=(const Tiles&) = delete;
};

// sums[t][r] = sum over i of activation[t][i] * weight[i / 4][r][i % 4], of unsigned weights. Rows of activations are
// `stride` bytes apart.
LLMPY_INLINE void multiply_tile(const int8_t* activations, int64_t stride, const uint8_t* weights, int32_t* sums) {
    _tile_zero(0);
    _tile_loadd(1, activations, stride);
    _tile_loadd(2, weights, 64);
    _tile_dpbsud(0, 1, 2);
    _tile_stored(0, sums, 64);
}

}  // namespace
}  // namespace llmpy

#endif
