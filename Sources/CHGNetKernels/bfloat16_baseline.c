// The bfloat16 kernels for any processor of the target architecture.
#include <math.h>

#include "CHGNetBFloat16.h"
#include "CHGNetKernels.h"

#if !defined(__aarch64__)
#define HG_ISA_NAME "baseline"
#define HG_NAME(name) name##_baseline
#define HG_PAIRS 0
#define HG_LANES 4
#define HG_BLOCK_ROWS 2
#define HG_BLOCK_PANELS 1
#define HG_DEPTHWISE_RUN 4
#include "bfloat16.h"
#endif
