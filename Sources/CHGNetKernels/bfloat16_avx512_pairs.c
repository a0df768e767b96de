// The bfloat16 kernels for x86-64 with AVX-512 whose instruction for pairs of bfloat16 is as quick as a multiply-add.
#include <math.h>

#include "CHGNetBFloat16.h"
#include "CHGNetKernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define HG_ISA_NAME "avx512_bf16"
#define HG_NAME(name) name##_avx512_pairs
#define HG_PAIRS 1
#define HG_LANES 16
#define HG_BLOCK_ROWS 8
#define HG_BLOCK_PANELS 3
#define HG_DEPTHWISE_RUN 8
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,avx512bf16"))), apply_to = function)
#include "bfloat16.h"
#pragma clang attribute pop
#endif
