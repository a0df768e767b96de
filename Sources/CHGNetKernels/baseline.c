// The kernels for any processor of the target architecture.
#include <math.h>

#include "CHGNetKernels.h"

#if !defined(__aarch64__)
#define HG_ISA_NAME "baseline"
#define HG_NAME(name) name##_baseline
#define HG_LANES 4
#define HG_BLOCK_ROWS 2
#define HG_BLOCK_PANELS 1
#define HG_DEPTHWISE_RUN 4

#include "vector.h"
#include "product.h"
#include "strassen.h"
#include "winograd.h"
#include "peak.h"
#include "attention.h"
#include "windows.h"
#include "gradient.h"
#include "winograd_gradient.h"
#include "fake_quantization.h"
#include "training.h"

#endif
