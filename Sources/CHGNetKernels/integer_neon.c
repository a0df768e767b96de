// 8-bit kernels for arm64.
#include <stddef.h>

#include "CHGNetInteger.h"
#include "CHGNetKernels.h"

#if defined(__aarch64__)
#include <arm_neon.h>
#define HG_ISA_NAME "neon"
#define HG_NAME(name) name##_neon
#define HG_LANES 4
#define HG_BLOCK_ROWS 6
#define HG_BLOCK_PANELS 1
#define HG_GROUP 2
#define HG_OFFSET 0
#include "vector.h"
#include "integer_vector.h"
HG_INLINE hg_integers hg_dot(hg_integers sum, hg_units a, hg_units w) {
  const int16x8_t x = (int16x8_t)a, y = (int16x8_t)w;
  return sum + (hg_integers)vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y));
}
#include "blocks.h"
#include "integer_product.h"
#include "integer_windows.h"
#endif
