// The level avx512 once more, over plain loops instead of the instructions of AVX-512.

#include "emulated/avx512.h"

#define LLMPY_EMULATED
#define level_avx512 emulated_avx512
#define linear_avx512bw emulated_linear_avx512bw
#define linear_avx512 emulated_linear_avx512
#define many_tokens_avx512 emulated_many_tokens_avx512
#define attention_avx512 emulated_attention_avx512
#define ops_avx512bw emulated_ops_avx512bw
#define attend_avx512bw emulated_attend_avx512bw
#define recurrent_avx512bw emulated_recurrent_avx512bw
#define prepare_avx512bw emulated_prepare_avx512bw
#include "isa/level_avx512.cpp"
