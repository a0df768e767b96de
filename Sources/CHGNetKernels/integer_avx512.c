// 8-bit kernels for x86-64 with AVX-512 (F, VL, DQ, BW) without VNNI.
#include <stddef.h>

#include "CHGNetInteger.h"
#include "CHGNetKernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define HG_ISA_NAME "avx512"
#define HG_NAME(name) name##_avx512
#define HG_LANES 16
#define HG_BLOCK_ROWS 8
#define HG_BLOCK_PANELS 3
#define HG_GROUP 2
#define HG_OFFSET 0
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"))), apply_to = function)
#include "vector.h"
#include "integer_vector.h"
HG_INLINE hg_integers hg_dot(hg_integers sum, hg_units a, hg_units w) {
  return sum + (hg_integers)_mm512_madd_epi16((__m512i)a, (__m512i)w);
}
#include "blocks.h"
#include "integer_product.h"
#include "integer_windows.h"
#pragma clang attribute pop
#endif
