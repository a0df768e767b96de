// The bfloat16 kernels for one instruction set; included inside the target attribute after HG_LANES, the block sizes and
// HG_PAIRS (whether products come from the instruction for pairs) and HG_ROUNDS (whether rounding does) are defined.
#include "vector.h"
#include "blocks.h"

typedef uint16_t hg_halves __attribute__((vector_size(2 * HG_LANES), aligned(2)));
typedef uint32_t hg_bits __attribute__((vector_size(4 * HG_LANES)));
typedef uint32_t hg_unaligned_bits __attribute__((vector_size(4 * HG_LANES), aligned(2)));

HG_INLINE hg_vector hg_widen(const hg_bfloat16 *p) {
  return (hg_vector)(__builtin_convertvector(*(const hg_halves *)p, hg_bits) << 16);
}

HG_INLINE hg_halves hg_narrow(hg_vector x) {
#if HG_ROUNDS
  return (hg_halves)_mm512_cvtneps_pbh((__m512)x);
#else
  const hg_bits bits = (hg_bits)x, rounded = bits + 0x7fff + (bits >> 16 & 1);
  const hg_bits is_number = (hg_bits)(x == x);
  return __builtin_convertvector(((rounded & is_number) | ((bits | 0x400000) & ~is_number)) >> 16, hg_halves);
#endif
}

HG_INLINE hg_vector hg_widen_some(const hg_bfloat16 *p, int count) {
  if (count >= HG_LANES) return hg_widen(p);
  hg_bfloat16 lanes[HG_LANES] = {0};
  for (int i = 0; i < HG_LANES; i++)
    if (i < count) lanes[i] = p[i];
  return hg_widen(lanes);
}

HG_INLINE void hg_narrow_some(hg_bfloat16 *p, hg_vector x, int count) {
  if (count >= HG_LANES) {
    *(hg_halves *)p = hg_narrow(x);
    return;
  }
  hg_bfloat16 lanes[HG_LANES];
  *(hg_halves *)lanes = hg_narrow(x);
  for (int i = 0; i < HG_LANES; i++)
    if (i < count) p[i] = lanes[i];
}

// A vector from or to an array of either type, at an element.
HG_INLINE hg_vector hg_read(const void *p, int is_float, int64_t at, int count) {
  return is_float ? hg_load_some((const float *)p + at, count) : hg_widen_some((const hg_bfloat16 *)p + at, count);
}
HG_INLINE void hg_write(void *p, int is_float, int64_t at, hg_vector x, int count) {
  if (is_float)
    hg_store_some((float *)p + at, x, count);
  else
    hg_narrow_some((hg_bfloat16 *)p + at, x, count);
}

HG_INLINE hg_vector hg_bend(const hg_bfloat16_epilogue *e, hg_vector x) {
  return hg_max(x, hg_splat(e->lower)) * hg_splat(e->scale) + hg_splat(e->shift);
}

#include "bfloat16_product.h"
#include "bfloat16_windows.h"

const hg_bfloat16_kernels HG_NAME(hg_bfloat16_kernels) = {
    .name = HG_ISA_NAME, .block_rows = HG_BLOCK_ROWS, .block_panels = HG_BLOCK_PANELS,
    .is_fast = HG_PAIRS,
    .product = HG_NAME(hg_bfloat16_product), .convolution = HG_NAME(hg_bfloat16_convolution),
    .depthwise = HG_NAME(hg_bfloat16_depthwise), .maximum_pool = HG_NAME(hg_bfloat16_maximum_pool),
    .average_pool = HG_NAME(hg_bfloat16_average_pool), .elementwise = HG_NAME(hg_bfloat16_elementwise)};
