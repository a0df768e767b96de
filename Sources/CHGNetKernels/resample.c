#include "CHGNetResample.h"

#include <string.h>

// A fused multiply-add would round once where the reference rounds twice.
#pragma STDC FP_CONTRACT OFF

#define ALWAYS_INLINE static inline __attribute__((always_inline))

enum { weight_bits = 22 };

typedef int32_t lanes4 __attribute__((vector_size(16)));
typedef int32_t lanes8 __attribute__((vector_size(32)));
typedef uint8_t bytes4 __attribute__((vector_size(4)));
typedef uint8_t bytes8 __attribute__((vector_size(8)));

ALWAYS_INLINE uint8_t clip(int32_t value) { return value < 0 ? 0 : value > 255 ? 255 : (uint8_t)value; }

// Rounds half to even: adding this makes the unit the last bit of a float of moderate size.
ALWAYS_INLINE int32_t round_half_even(float value) { return (int32_t)((value + 12582912.0f) - 12582912.0f); }

ALWAYS_INLINE lanes4 load_pixel(const uint8_t *source) {
  bytes4 bytes;
  memcpy(&bytes, source, sizeof bytes);
  return __builtin_convertvector(bytes, lanes4);
}

ALWAYS_INLINE lanes4 clip4(lanes4 value) {
  return __builtin_elementwise_min(__builtin_elementwise_max(value, (lanes4){0, 0, 0, 0}),
                                   (lanes4){255, 255, 255, 255});
}

// Writes a fourth byte past the pixel, which the next pixel or the spare memory takes.
ALWAYS_INLINE void store_pixel(uint8_t *target, lanes4 value) {
  bytes4 bytes = __builtin_convertvector(value, bytes4);
  memcpy(target, &bytes, sizeof bytes);
}

// MARK: Weights of 22 bits

void hg_resample_horizontal_u8_scalar(const uint8_t *source, int64_t source_stride, uint8_t *target,
                                      int64_t target_width, int64_t rows, const hg_resample_window *windows,
                                      const int32_t *weights, int64_t taps) {
  for (int64_t row = 0; row < rows; row++)
    for (int64_t column = 0; column < target_width; column++)
      for (int64_t channel = 0; channel < 3; channel++) {
        int32_t sum = 1 << (weight_bits - 1);
        for (int64_t tap = 0; tap < windows[column].count; tap++)
          sum += source[row * source_stride + 3 * (windows[column].first + tap) + channel] *
                 weights[column * taps + tap];
        target[(row * target_width + column) * 3 + channel] = clip(sum >> weight_bits);
      }
}

ALWAYS_INLINE void horizontal(const uint8_t *source, int64_t source_stride, uint8_t *target, int64_t target_width,
                              int64_t rows, const hg_resample_window *windows, const int32_t *weights, int64_t taps) {
  const int32_t half = 1 << (weight_bits - 1);
  int64_t row = 0;
  // Two rows share the walk over the weights.
  for (; row + 2 <= rows; row += 2) {
    const uint8_t *upper = source + row * source_stride;
    uint8_t *into = target + row * target_width * 3;
    uint8_t last[4];
    for (int64_t column = 0; column < target_width; column++) {
      const int32_t *weight = weights + column * taps;
      const uint8_t *pixel = upper + 3 * (int64_t)windows[column].first;
      lanes4 first = {half, half, half, half}, second = first;
      for (int64_t tap = 0; tap < windows[column].count; tap++) {
        first += load_pixel(pixel + 3 * tap) * weight[tap];
        second += load_pixel(pixel + source_stride + 3 * tap) * weight[tap];
      }
      store_pixel(into + 3 * column, clip4(first >> weight_bits));
      // The spare byte of the upper row's last pixel is the lower row's first: keep what is already there.
      if (column + 1 == target_width && column > 0) {
        memcpy(into + 3 * target_width, last, 1);
      }
      store_pixel(into + 3 * (target_width + column), clip4(second >> weight_bits));
      if (column == 0) memcpy(last, into + 3 * target_width, 4);
    }
  }
  for (; row < rows; row++)
    for (int64_t column = 0; column < target_width; column++) {
      const int32_t *weight = weights + column * taps;
      const uint8_t *pixel = source + row * source_stride + 3 * (int64_t)windows[column].first;
      lanes4 sum = {half, half, half, half};
      for (int64_t tap = 0; tap < windows[column].count; tap++) sum += load_pixel(pixel + 3 * tap) * weight[tap];
      store_pixel(target + 3 * (row * target_width + column), clip4(sum >> weight_bits));
    }
}

void hg_resample_vertical_u8_scalar(const uint8_t *source, int64_t source_stride, uint8_t *target, int64_t width,
                                    const int32_t *weights, int64_t count) {
  for (int64_t column = 0; column < width; column++) {
    int32_t sum = 1 << (weight_bits - 1);
    for (int64_t row = 0; row < count; row++) sum += source[row * source_stride + column] * weights[row];
    target[column] = clip(sum >> weight_bits);
  }
}

ALWAYS_INLINE void vertical(const uint8_t *source, int64_t source_stride, uint8_t *target, int64_t width,
                            const int32_t *weights, int64_t count) {
  // The last block may run over the row's end, into memory that is spare or written later.
  for (int64_t column = 0; column < width; column += 32) {
    lanes8 sum[4];
    for (int part = 0; part < 4; part++)
      for (int lane = 0; lane < 8; lane++) sum[part][lane] = 1 << (weight_bits - 1);
    for (int64_t row = 0; row < count; row++) {
      for (int part = 0; part < 4; part++) {
        bytes8 bytes;
        memcpy(&bytes, source + row * source_stride + column + 8 * part, sizeof bytes);
        sum[part] += __builtin_convertvector(bytes, lanes8) * weights[row];
      }
    }
    for (int part = 0; part < 4; part++) {
      lanes8 zero = {0}, top = {255, 255, 255, 255, 255, 255, 255, 255};
      lanes8 value = __builtin_elementwise_min(__builtin_elementwise_max(sum[part] >> weight_bits, zero), top);
      bytes8 bytes = __builtin_convertvector(value, bytes8);
      memcpy(target + column + 8 * part, &bytes, sizeof bytes);
    }
  }
}

// MARK: Weights of 11 bits, linear

void hg_resample_linear_row_u8_scalar(const uint8_t *source, int32_t *target, int64_t width, const int32_t *offsets,
                                      const int16_t *weights) {
  for (int64_t column = 0; column < width; column++)
    for (int64_t channel = 0; channel < 3; channel++) {
      const uint8_t *pixel = source + 3 * (int64_t)offsets[column] + channel;
      target[3 * column + channel] = pixel[0] * weights[2 * column] + pixel[3] * weights[2 * column + 1];
    }
}

ALWAYS_INLINE void linear_row(const uint8_t *source, int32_t *target, int64_t width, const int32_t *offsets,
                              const int16_t *weights) {
  for (int64_t column = 0; column < width; column++) {
    const uint8_t *pixel = source + 3 * (int64_t)offsets[column];
    lanes4 sum = load_pixel(pixel) * (int32_t)weights[2 * column] +
                 load_pixel(pixel + 3) * (int32_t)weights[2 * column + 1];
    memcpy(target + 3 * column, &sum, sizeof sum);
  }
}

void hg_resample_linear_blend_u8_scalar(const int32_t *upper, const int32_t *lower, uint8_t *target, int64_t count,
                                        int32_t upper_weight, int32_t lower_weight) {
  for (int64_t index = 0; index < count; index++) {
    int32_t sum = (((upper[index] >> 4) * upper_weight) >> 16) + (((lower[index] >> 4) * lower_weight) >> 16);
    target[index] = clip((sum + 2) >> 2);
  }
}

ALWAYS_INLINE void linear_blend(const int32_t *upper, const int32_t *lower, uint8_t *target, int64_t count,
                                int32_t upper_weight, int32_t lower_weight) {
  for (int64_t index = 0; index < count; index++) {
    int32_t sum = (((upper[index] >> 4) * upper_weight) >> 16) + (((lower[index] >> 4) * lower_weight) >> 16);
    target[index] = clip((sum + 2) >> 2);
  }
}

// MARK: Choice of instruction set

#if defined(__x86_64__)
#define VARIANTS(NAME, BODY, PARAMETERS, ARGUMENTS)                                                                    \
  __attribute__((target("avx2"))) static void BODY##_avx2 PARAMETERS { BODY ARGUMENTS; }                               \
  void NAME PARAMETERS {                                                                                               \
    if (__builtin_cpu_supports("avx2"))                                                                                \
      BODY##_avx2 ARGUMENTS;                                                                                           \
    else                                                                                                               \
      BODY ARGUMENTS;                                                                                                  \
  }
#else
#define VARIANTS(NAME, BODY, PARAMETERS, ARGUMENTS)                                                                    \
  void NAME PARAMETERS { BODY ARGUMENTS; }
#endif

VARIANTS(hg_resample_horizontal_u8, horizontal,
         (const uint8_t *source, int64_t source_stride, uint8_t *target, int64_t target_width, int64_t rows,
          const hg_resample_window *windows, const int32_t *weights, int64_t taps),
         (source, source_stride, target, target_width, rows, windows, weights, taps))
VARIANTS(hg_resample_vertical_u8, vertical,
         (const uint8_t *source, int64_t source_stride, uint8_t *target, int64_t width, const int32_t *weights,
          int64_t count),
         (source, source_stride, target, width, weights, count))
VARIANTS(hg_resample_linear_row_u8, linear_row,
         (const uint8_t *source, int32_t *target, int64_t width, const int32_t *offsets, const int16_t *weights),
         (source, target, width, offsets, weights))
VARIANTS(hg_resample_linear_blend_u8, linear_blend,
         (const int32_t *upper, const int32_t *lower, uint8_t *target, int64_t count, int32_t upper_weight,
          int32_t lower_weight),
         (upper, lower, target, count, upper_weight, lower_weight))

// MARK: Weights of 11 bits, four and eight taps

void hg_resample_taps_row_u8(const uint8_t *source, int64_t source_width, int32_t *target, int64_t width,
                             const int32_t *offsets, const int16_t *weights, int64_t taps) {
  for (int64_t column = 0; column < width; column++) {
    int32_t sum[3] = {0, 0, 0};
    for (int64_t tap = 0; tap < taps; tap++) {
      int64_t place = offsets[column] + tap;
      place = place < 0 ? 0 : place >= source_width ? source_width - 1 : place;
      for (int64_t channel = 0; channel < 3; channel++)
        sum[channel] += source[3 * place + channel] * weights[column * taps + tap];
    }
    memcpy(target + 3 * column, sum, sizeof sum);
  }
}

void hg_resample_taps_sum_u8(const int32_t *const *rows, uint8_t *target, int64_t first, int64_t count,
                             const int16_t *weights, int64_t taps) {
  for (int64_t index = first; index < count; index++) {
    // Wraps around where the reference does.
    uint32_t sum = 1u << (weight_bits - 1);
    for (int64_t tap = 0; tap < taps; tap++) sum += (uint32_t)rows[tap][index] * (uint32_t)(int32_t)weights[tap];
    target[index] = clip((int32_t)sum >> weight_bits);
  }
}

void hg_resample_cubic_sum_u8(const int32_t *const *rows, uint8_t *target, int64_t count, const int16_t *weights) {
  float scaled[4];
  for (int tap = 0; tap < 4; tap++) scaled[tap] = (float)weights[tap] * (1.0f / (1 << weight_bits));
  for (int64_t index = 0; index < count; index++) {
    float sum = (float)rows[3][index] * scaled[3];
    for (int tap = 2; tap >= 0; tap--) sum = (float)rows[tap][index] * scaled[tap] + sum;
    target[index] = clip(round_half_even(sum));
  }
}

// MARK: Area

void hg_resample_area_row_u8(const uint8_t *source, float *target, const hg_resample_window *places, const float *weights,
                             int64_t count) {
  for (int64_t index = 0; index < count; index++) {
    float *sum = target + 3 * (int64_t)places[index].first;
    const uint8_t *pixel = source + 3 * (int64_t)places[index].count;
    for (int channel = 0; channel < 3; channel++) sum[channel] = sum[channel] + (float)pixel[channel] * weights[index];
  }
}

void hg_resample_area_add(const float *source, float *target, int64_t count, float weight) {
  for (int64_t index = 0; index < count; index++) target[index] = target[index] + weight * source[index];
}

void hg_resample_area_store_u8(const float *source, uint8_t *target, int64_t count) {
  for (int64_t index = 0; index < count; index++) target[index] = clip(round_half_even(source[index]));
}

void hg_resample_cells_u8(const uint8_t *source, int64_t source_stride, uint8_t *target, int64_t width,
                          int64_t cell_height, int64_t cell_width) {
  const float scale = 1.0f / (float)(cell_height * cell_width);
  for (int64_t column = 0; column < width; column++)
    for (int64_t channel = 0; channel < 3; channel++) {
      const uint8_t *cell = source + 3 * column * cell_width + channel;
      uint32_t sum = 0;
      for (int64_t row = 0; row < cell_height; row++)
        for (int64_t place = 0; place < cell_width; place++) sum += cell[row * source_stride + 3 * place];
      target[3 * column + channel] = cell_height == 2 && cell_width == 2
                                         ? (uint8_t)((sum + 2) >> 2)
                                         : clip(round_half_even((float)(int32_t)sum * scale));
    }
}

// MARK: Normalisation

void hg_normalize_u8(const uint8_t *source, float *target, int64_t pixels, float scale, const float *mean,
                     const float *deviation) {
  float table[3][256];
  // A byte has 256 values: the divisions are done once for each where the picture is larger than that.
  if (pixels >= 256) {
    for (int channel = 0; channel < 3; channel++)
      for (int value = 0; value < 256; value++)
        table[channel][value] = ((float)value * scale - mean[channel]) / deviation[channel];
    for (int64_t pixel = 0; pixel < pixels; pixel++)
      for (int channel = 0; channel < 3; channel++)
        target[3 * pixel + channel] = table[channel][source[3 * pixel + channel]];
    return;
  }
  for (int64_t pixel = 0; pixel < pixels; pixel++)
    for (int channel = 0; channel < 3; channel++)
      target[3 * pixel + channel] =
          ((float)source[3 * pixel + channel] * scale - mean[channel]) / deviation[channel];
}
