// The bfloat16 kernels for one instruction set; included inside the target attribute after HG_LANES, the block sizes and
// HG_PAIRS (whether the processor's instructions for bfloat16 are used) are defined.
#include "vector.h"

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
