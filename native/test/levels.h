// levels: all levels that tests can run here, those whose instructions this processor lacks over an emulation of them.

#ifndef LLMPY_TEST_LEVELS_H
#define LLMPY_TEST_LEVELS_H

#include "llmpy/ops.h"

namespace llmpy {

#if defined(LLMPY_TEST_EMULATED)
extern const Level emulated_avx_vnni;
extern const Level emulated_avx512bw;
extern const Level emulated_avx512;
extern const Level emulated_amx;
#endif

// body(level, name of it): each that runs here, then the emulated ones.
template <class Body>
void each_level(const Body& body) {
    for (int32_t i = 0; level_of(i) != nullptr; ++i) {
        if (level_runs_here(i)) body(*level_of(i), level_of(i)->name);
    }
#if defined(LLMPY_TEST_EMULATED)
    if (!level_runs_here(1)) return;  // they need AVX2
    body(emulated_avx_vnni, "avx_vnni, emulated");
    body(emulated_avx512bw, "avx512bw, emulated");
    body(emulated_avx512, "avx512, emulated");
    body(emulated_amx, "amx, emulated");
#endif
}

}  // namespace llmpy

#endif
