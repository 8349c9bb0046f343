// The level avx_vnni once more, over plain loops instead of the instructions of AVX-VNNI.

#include "emulated/avx_vnni.h"

#define LLMPY_EMULATED
#define level_avx_vnni emulated_avx_vnni
#define linear_avx_vnni emulated_linear_avx_vnni
#include "isa/level_avx_vnni.cpp"
