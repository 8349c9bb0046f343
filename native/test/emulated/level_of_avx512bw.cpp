// The level avx512bw once more, over plain loops instead of the instructions of AVX-512.

#include "emulated/avx512.h"

#define LLMPY_EMULATED
#define level_avx512bw emulated_avx512bw
#define ops_avx512bw emulated_ops_avx512bw
#define attend_avx512bw emulated_attend_avx512bw
#define recurrent_avx512bw emulated_recurrent_avx512bw
#define prepare_avx512bw emulated_prepare_avx512bw
#define linear_avx512bw emulated_linear_avx512bw
#include "isa/level_avx512bw.cpp"
