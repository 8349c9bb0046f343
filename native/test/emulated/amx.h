// emulated/amx: the instructions of AMX that simd/amx.h uses, in plain loops. See avx512.h, which it needs besides.

#ifndef LLMPY_TEST_EMULATED_AMX_H
#define LLMPY_TEST_EMULATED_AMX_H

#include "emulated/avx512.h"

namespace emulated {
namespace {

// The registers of a thread, as wide and high as it was told; without shapes they must not be used.
struct TileRegisters {
    bool ready;
    uint16_t row_bytes[8];
    uint8_t rows[8];
    uint8_t bytes[8][16][64];
};
inline thread_local TileRegisters tiles;

inline void tile_loadconfig(const void* p) {
    const auto* bytes = static_cast<const uint8_t*>(p);
    memset(&tiles, 0, sizeof tiles);
    memcpy(tiles.row_bytes, bytes + 16, sizeof tiles.row_bytes);
    memcpy(tiles.rows, bytes + 48, sizeof tiles.rows);
    tiles.ready = bytes[0] == 1;
    for (int i = 0; i < 8; ++i) tiles.ready = tiles.ready && tiles.row_bytes[i] <= 64 && tiles.rows[i] <= 16;
}
inline void tile_release() { tiles.ready = false; }
inline void check_ready() {
    if (!tiles.ready) __builtin_trap();
}
inline void tile_zero(int tile) {
    check_ready();
    memset(tiles.bytes[tile], 0, sizeof tiles.bytes[tile]);
}
inline void tile_loadd(int tile, const void* p, int64_t stride) {
    tile_zero(tile);
    for (int i = 0; i < tiles.rows[tile]; ++i) {
        memcpy(tiles.bytes[tile][i], static_cast<const uint8_t*>(p) + i * stride, tiles.row_bytes[tile]);
    }
}
inline void tile_stored(int tile, void* p, int64_t stride) {
    check_ready();
    for (int i = 0; i < tiles.rows[tile]; ++i) {
        memcpy(static_cast<uint8_t*>(p) + i * stride, tiles.bytes[tile][i], tiles.row_bytes[tile]);
    }
}
// Signed bytes of `a` times unsigned ones of `b`.
inline void tile_dpbsud(int sums, int a, int b) {
    check_ready();
    for (int m = 0; m < tiles.rows[sums]; ++m) {
        uint32_t total[16];
        memcpy(total, tiles.bytes[sums][m], sizeof total);
        for (int k = 0; k < tiles.row_bytes[a]; ++k) {
            const auto x = static_cast<int8_t>(tiles.bytes[a][m][k]);
            for (int n = 0; n < tiles.row_bytes[sums] / 4; ++n) {
                total[n] += static_cast<uint32_t>(x * tiles.bytes[b][k / 4][4 * n + k % 4]);
            }
        }
        memcpy(tiles.bytes[sums][m], total, sizeof total);
    }
}

}  // namespace
}  // namespace emulated

#ifndef LLMPY_TEST_BOTH
#undef _tile_loadconfig
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbsud
#define _tile_loadconfig emulated::tile_loadconfig
#define _tile_release emulated::tile_release
#define _tile_zero emulated::tile_zero
#define _tile_loadd emulated::tile_loadd
#define _tile_stored emulated::tile_stored
#define _tile_dpbsud emulated::tile_dpbsud
#endif

#endif
