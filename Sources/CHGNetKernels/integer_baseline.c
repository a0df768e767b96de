// 8-bit kernels for any processor; on x86-64 with SSE2.
#include <stddef.h>

#include "CHGNetInteger.h"
#include "CHGNetKernels.h"

#if !defined(__aarch64__)
#if defined(__x86_64__)
#include <emmintrin.h>
#endif
#define HG_ISA_NAME "baseline"
#define HG_NAME(name) name##_baseline
#define HG_LANES 4
#define HG_BLOCK_ROWS 2
#define HG_BLOCK_PANELS 1
#define HG_GROUP 2
#define HG_OFFSET 0
#include "vector.h"
#include "integer_vector.h"
HG_INLINE hg_integers hg_dot(hg_integers sum, hg_units a, hg_units w) {
#if defined(__x86_64__)
  return sum + (hg_integers)_mm_madd_epi16((__m128i)a, (__m128i)w);
#else
  const hg_integers x = (hg_integers)a, y = (hg_integers)w;
  return sum + ((x << 16) >> 16) * ((y << 16) >> 16) + (x >> 16) * (y >> 16);
#endif
}
#include "blocks.h"
#include "integer_product.h"
#include "integer_windows.h"
#endif
