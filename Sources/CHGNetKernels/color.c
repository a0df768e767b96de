#include "CHGNetColor.h"

#include <string.h>

// A fused multiply-add would round once where the reference rounds twice.
#pragma STDC FP_CONTRACT OFF

#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE uint32_t grey(const uint8_t *pixel) {
  return (19595u * pixel[0] + 38470u * pixel[1] + 7471u * pixel[2] + 32768u) >> 16;
}

ALWAYS_INLINE uint8_t blend(int32_t from, int32_t to, float factor) {
  float value = (float)from + factor * (float)(to - from);
  // Also for what is no number, which no integer holds.
  value = value > 0.0f ? value : 0.0f;
  value = value > 255.0f ? 255.0f : value;
  return (uint8_t)(int32_t)value;
}

void hg_lookup_u8(const uint8_t *source, uint8_t *target, int64_t pixels, const uint8_t *table) {
  for (int64_t pixel = 0; pixel < pixels; pixel++)
    for (int channel = 0; channel < 3; channel++)
      target[3 * pixel + channel] = table[256 * channel + source[3 * pixel + channel]];
}

void hg_histogram_u8(const uint8_t *source, int64_t pixels, uint32_t *counts) {
  memset(counts, 0, 3 * 256 * sizeof *counts);
  for (int64_t pixel = 0; pixel < pixels; pixel++)
    for (int channel = 0; channel < 3; channel++) counts[256 * channel + source[3 * pixel + channel]]++;
}

uint64_t hg_grey_sum_u8(const uint8_t *source, int64_t pixels) {
  uint64_t sum = 0;
  for (int64_t pixel = 0; pixel < pixels; pixel++) sum += grey(source + 3 * pixel);
  return sum;
}

ALWAYS_INLINE void blend_grey(const uint8_t *source, uint8_t *target, int64_t pixels, float factor) {
  for (int64_t pixel = 0; pixel < pixels; pixel++) {
    const int32_t from = (int32_t)grey(source + 3 * pixel);
    for (int channel = 0; channel < 3; channel++)
      target[3 * pixel + channel] = blend(from, source[3 * pixel + channel], factor);
  }
}

ALWAYS_INLINE void blend_smooth(const uint8_t *source, uint8_t *target, int64_t height, int64_t width, float factor) {
  const int64_t stride = 3 * width;
  if (height < 3 || width < 3) {
    memcpy(target, source, (size_t)(height * stride));
    return;
  }
  memcpy(target, source, (size_t)stride);
  memcpy(target + (height - 1) * stride, source + (height - 1) * stride, (size_t)stride);
  for (int64_t row = 1; row < height - 1; row++) {
    const uint8_t *above = source + (row - 1) * stride, *middle = above + stride, *below = middle + stride;
    uint8_t *out = target + row * stride;
    memcpy(out, middle, 3);
    memcpy(out + stride - 3, middle + stride - 3, 3);
    for (int64_t index = 3; index < stride - 3; index++) {
      const uint16_t sum = (uint16_t)(above[index - 3] + above[index] + above[index + 3] + middle[index - 3] +
                                      5 * middle[index] + middle[index + 3] + below[index - 3] + below[index] +
                                      below[index + 3]);
      // The nearest multiple of 13; no sum lies half-way between two.
      out[index] = blend((uint16_t)(sum + 6) / 13, middle[index], factor);
    }
  }
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void blend_grey_avx2(const uint8_t *source, uint8_t *target, int64_t pixels,
                                                            float factor) {
  blend_grey(source, target, pixels, factor);
}
__attribute__((target("avx2"))) static void blend_smooth_avx2(const uint8_t *source, uint8_t *target, int64_t height,
                                                              int64_t width, float factor) {
  blend_smooth(source, target, height, width, factor);
}
#endif

void hg_blend_grey_u8(const uint8_t *source, uint8_t *target, int64_t pixels, float factor) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) {
    blend_grey_avx2(source, target, pixels, factor);
    return;
  }
#endif
  blend_grey(source, target, pixels, factor);
}

void hg_blend_smooth_u8(const uint8_t *source, uint8_t *target, int64_t height, int64_t width, float factor) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) {
    blend_smooth_avx2(source, target, height, width, factor);
    return;
  }
#endif
  blend_smooth(source, target, height, width, factor);
}
