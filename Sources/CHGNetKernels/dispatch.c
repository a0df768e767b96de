#include "CHGNetKernels.h"
