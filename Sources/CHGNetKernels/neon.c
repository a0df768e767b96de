// The kernels for arm64.
#include <math.h>

#include "CHGNetKernels.h"

#if defined(__aarch64__)
#define HG_ISA_NAME "neon"
#define HG_NAME(name) name##_neon
#define HG_LANES 4
#define HG_BLOCK_ROWS 6
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
