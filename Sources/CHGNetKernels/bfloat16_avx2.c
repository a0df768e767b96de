// The bfloat16 kernels for x86-64 with AVX2 and FMA.
#include <math.h>

#include "CHGNetBFloat16.h"
#include "CHGNetKernels.h"

#if defined(__x86_64__)
#define HG_ISA_NAME "avx2"
#define HG_NAME(name) name##_avx2
#define HG_PAIRS 0
#define HG_LANES 8
#define HG_BLOCK_ROWS 6
#define HG_BLOCK_PANELS 1
#define HG_DEPTHWISE_RUN 4
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#include "bfloat16.h"
#pragma clang attribute pop
#endif
