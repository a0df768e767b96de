// 8-bit kernels for x86-64 with AVX2, FMA and AVX-VNNI.
#include <stddef.h>

#include "CHGNetInteger.h"
#include "CHGNetKernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define HG_ISA_NAME "avxvnni"
#define HG_NAME(name) name##_avxvnni
#define HG_LANES 8
#define HG_BLOCK_ROWS 6
#define HG_BLOCK_PANELS 1
#define HG_GROUP 4
#define HG_OFFSET 0
#pragma clang attribute push(__attribute__((target("avx2,fma,avxvnni"))), apply_to = function)
#include "vector.h"
#include "integer_vector.h"
HG_INLINE hg_integers hg_dot(hg_integers sum, hg_units a, hg_units w) {
  return (hg_integers)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)a, (__m256i)w);
}
#include "blocks.h"
#include "integer_product.h"
#include "integer_windows.h"
#pragma clang attribute pop
#endif
