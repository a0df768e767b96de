// 8-bit kernels for x86-64 with AVX-512 (F, VL, DQ, BW) and its VNNI.
#include <stddef.h>

#include "CHGNetInteger.h"
#include "CHGNetKernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define HG_ISA_NAME "avx512vnni"
#define HG_NAME(name) name##_avx512vnni
#define HG_LANES 16
#define HG_BLOCK_ROWS 8
#define HG_BLOCK_PANELS 3
#define HG_GROUP 4
#define HG_OFFSET 0
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx512vnni,avx2,fma"))), apply_to = function)
#include "vector.h"
#include "integer_vector.h"
HG_INLINE hg_integers hg_dot(hg_integers sum, hg_units a, hg_units w) {
  return (hg_integers)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)a, (__m512i)w);
}
// The pixel of a channel into the highest byte of its unit: of the 16 bytes that each quarter has, those of its channels.
HG_INLINE hg_units hg_merge_top_byte(hg_units unit, const uint8_t *pixel) {
  const __m512i four = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)pixel));
  const __m512i places = _mm512_set_epi32(15 << 24, 14 << 24, 13 << 24, 12 << 24, 11 << 24, 10 << 24, 9 << 24, 8 << 24,
                                          7 << 24, 6 << 24, 5 << 24, 4 << 24, 3 << 24, 2 << 24, 1 << 24, 0);
  return (hg_units)_mm512_mask_shuffle_epi8((__m512i)unit, 0x8888888888888888u, four, places);
}
#define HG_MERGE_TOP_BYTE hg_merge_top_byte
#include "blocks.h"
#include "integer_product.h"
#include "integer_windows.h"
#pragma clang attribute pop
#endif
