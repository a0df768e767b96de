// The bfloat16 kernels for arm64.
#include <math.h>

#include "CHGNetBFloat16.h"
#include "CHGNetKernels.h"

#if defined(__aarch64__)
#define HG_ISA_NAME "neon"
#define HG_NAME(name) name##_neon
#define HG_PAIRS 0
#define HG_LANES 4
#define HG_BLOCK_ROWS 6
#define HG_BLOCK_PANELS 1
#define HG_DEPTHWISE_RUN 4
#include "bfloat16.h"
#endif
