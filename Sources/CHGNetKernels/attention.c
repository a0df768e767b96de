// The scalar form of the decoder's kernels.
#include <math.h>

#include "CHGNetKernels.h"

#define HG_NAME(name) name##_reference
#define HG_LANES 1
#include "vector.h"
#include "attention.h"
