// The bfloat16 kernels for one instruction set; included inside the target attribute after HG_LANES, the block sizes and
// HG_PAIRS (whether the processor's instructions for bfloat16 are used) are defined.
#include "vector.h"

#if HG_PAIRS
#define hg_narrow(x) ((hg_halves)_mm512_cvtneps_pbh((__m512)(x)))
#endif

// A vector from or to an array of either type, at an element.
HG_INLINE hg_vector hg_read(const void *p, int is_float, int64_t at, int count) {
  return is_float ? hg_load_some((const float *)p + at, count) : hg_widen_some((const hg_bfloat16 *)p + at, count);
}
HG_INLINE void hg_write(void *p, int is_float, int64_t at, hg_vector x, int count) {
  if (is_float)
    hg_store_some((float *)p + at, x, count);
  else if (count >= HG_LANES)
    *(hg_halves *)((hg_bfloat16 *)p + at) = hg_narrow(x);
  else
    hg_narrow_some((hg_bfloat16 *)p + at, x, count);
}

HG_INLINE hg_vector hg_bend(const hg_bfloat16_epilogue *e, hg_vector x) {
  return hg_max(x, hg_splat(e->lower)) * hg_splat(e->scale) + hg_splat(e->shift);
}

#include "bfloat16_product.h"
#include "bfloat16_windows.h"
#include "bfloat16_training.h"

const hg_bfloat16_kernels HG_NAME(hg_bfloat16_kernels) = {
    .name = HG_ISA_NAME, .is_fast = HG_PAIRS,
    .product = HG_NAME(hg_bfloat16_product), .convolution = HG_NAME(hg_bfloat16_convolution),
    .depthwise = HG_NAME(hg_bfloat16_depthwise), .maximum_pool = HG_NAME(hg_bfloat16_maximum_pool),
    .average_pool = HG_NAME(hg_bfloat16_average_pool), .elementwise = HG_NAME(hg_bfloat16_elementwise),
    .training = &HG_NAME(hg_bfloat16_training_kernels)};
