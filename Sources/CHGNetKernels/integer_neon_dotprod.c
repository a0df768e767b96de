// 8-bit kernels for arm64 with SDOT.
#include <stddef.h>

#include "CHGNetInteger.h"
#include "CHGNetKernels.h"

#if defined(__aarch64__)
#include <arm_neon.h>
#define HG_ISA_NAME "neon-dotprod"
#define HG_NAME(name) name##_neon_dotprod
#define HG_LANES 4
#define HG_BLOCK_ROWS 6
#define HG_BLOCK_PANELS 1
#define HG_GROUP 4
#define HG_OFFSET 128
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#include "vector.h"
#include "integer_vector.h"
// Both operands of SDOT are signed: activations are read less 128.
HG_INLINE hg_integers hg_dot(hg_integers sum, hg_units a, hg_units w) {
  return (hg_integers)vdotq_s32((int32x4_t)sum, (int8x16_t)a, (int8x16_t)w);
}
#include "blocks.h"
#include "integer_product.h"
#include "integer_windows.h"
#pragma clang attribute pop
#endif
