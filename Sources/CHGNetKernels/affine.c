#include "CHGNetAffine.h"

#include <math.h>
#include <string.h>

// A fused multiply-add would round once where the reference rounds twice.
#pragma STDC FP_CONTRACT OFF

#define ALWAYS_INLINE static inline __attribute__((always_inline))

// Vectors wider than the baseline's registers only pass between functions that are inlined.
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wpsabi"
#endif

typedef double quad __attribute__((vector_size(32)));
typedef uint8_t bytes4 __attribute__((vector_size(4)));
typedef int32_t lanes4 __attribute__((vector_size(16)));

// The source position of a target pixel's centre.
ALWAYS_INLINE void position(const hg_affine *matrix, int64_t x, int64_t y, double *across, double *down) {
  const double center_x = (double)x + 0.5, center_y = (double)y + 0.5;
  *across = matrix->a * center_x + matrix->b * center_y + matrix->c;
  *down = matrix->d * center_x + matrix->e * center_y + matrix->f;
}

// False for a position that is not a number, too.
ALWAYS_INLINE int is_inside(double place, int64_t count) { return place >= 0.0 && place < (double)count; }

ALWAYS_INLINE int64_t clamp(int64_t place, int64_t count) {
  return place < 0 ? 0 : place >= count ? count - 1 : place;
}

ALWAYS_INLINE int64_t floor_of(double place) {
  const int64_t cut = (int64_t)place;
  return cut - (place < (double)cut);
}

// MARK: Nearest

ALWAYS_INLINE void copy_pixel(uint8_t *target, const uint8_t *source) {
  target[0] = source[0];
  target[1] = source[1];
  target[2] = source[2];
}

// What the 16.16 walk needs: every position in ±32768.
static int fits_fixed(const hg_affine *m, int64_t x, int64_t y) {
  return fabs((double)x * m->a + (double)y * m->b + m->c) < 32768.0 &&
         fabs((double)x * m->d + (double)y * m->e + m->f) < 32768.0;
}

static int32_t fixed(double value) { return (int32_t)(uint32_t)(int64_t)floor(value * 65536.0 + 0.5); }

static void nearest_fixed(const uint8_t *source, uint8_t *target, int64_t height, int64_t width,
                          const hg_affine *matrix, const uint8_t *fill) {
  const int32_t a = fixed(matrix->a), b = fixed(matrix->b), d = fixed(matrix->d), e = fixed(matrix->e);
  // Sums wrap around instead of overflowing where a matrix turns a corner beyond the range.
  uint32_t row_across = (uint32_t)fixed(matrix->c + matrix->a * 0.5 + matrix->b * 0.5);
  uint32_t row_down = (uint32_t)fixed(matrix->f + matrix->d * 0.5 + matrix->e * 0.5);
  for (int64_t y = 0; y < height; y++) {
    uint32_t across = row_across, down = row_down;
    for (int64_t x = 0; x < width; x++, target += 3) {
      const int32_t column = (int32_t)across >> 16, row = (int32_t)down >> 16;
      const int inside = column >= 0 && column < width && row >= 0 && row < height;
      copy_pixel(target, inside ? source + 3 * (row * width + column) : fill);
      across += (uint32_t)a;
      down += (uint32_t)d;
    }
    row_across += (uint32_t)b;
    row_down += (uint32_t)e;
  }
}

// Steps are added one by one: the rounding of the running sums is part of the definition.
static void nearest_walk(const uint8_t *source, uint8_t *target, int64_t height, int64_t width, const hg_affine *matrix,
                         const uint8_t *fill) {
  double row_across = matrix->c + matrix->a * 0.5 + matrix->b * 0.5;
  double row_down = matrix->f + matrix->d * 0.5 + matrix->e * 0.5;
  for (int64_t y = 0; y < height; y++) {
    double across = row_across, down = row_down;
    for (int64_t x = 0; x < width; x++, target += 3) {
      const int inside = is_inside(across, width) && is_inside(down, height);
      copy_pixel(target, inside ? source + 3 * ((int64_t)down * width + (int64_t)across) : fill);
      across += matrix->a;
      down += matrix->d;
    }
    row_across += matrix->b;
    row_down += matrix->e;
  }
}

void hg_affine_nearest_u8(const uint8_t *source, uint8_t *target, int64_t height, int64_t width,
                          const hg_affine *matrix, const uint8_t *fill) {
  const int only_scales = matrix->b == 0.0 && matrix->d == 0.0;
  if (!only_scales && fits_fixed(matrix, 0, 0) && fits_fixed(matrix, width, height) && fits_fixed(matrix, 0, height) &&
      fits_fixed(matrix, width, 0))
    nearest_fixed(source, target, height, width, matrix, fill);
  else
    nearest_walk(source, target, height, width, matrix, fill);
}

// MARK: Scalar

static double cubic(double v1, double v2, double v3, double v4, double d) {
  const double p2 = -v1 + v3;
  const double p3 = 2.0 * (v1 - v2) + v3 - v4;
  const double p4 = -v1 + v2 - v3 + v4;
  return v2 + d * (p2 + d * (p3 + d * p4));
}

void hg_affine_bilinear_u8_scalar(const uint8_t *source, uint8_t *target, int64_t height, int64_t width,
                                  const hg_affine *matrix, const uint8_t *fill) {
  for (int64_t y = 0; y < height; y++)
    for (int64_t x = 0; x < width; x++, target += 3) {
      double across, down;
      position(matrix, x, y, &across, &down);
      if (!is_inside(across, width) || !is_inside(down, height)) {
        copy_pixel(target, fill);
        continue;
      }
      const double left = floor(across - 0.5), top = floor(down - 0.5);
      const double dx = across - 0.5 - left, dy = down - 0.5 - top;
      for (int channel = 0; channel < 3; channel++) {
        double rows[2];
        for (int row = 0; row < 2; row++) {
          const uint8_t *line = source + 3 * width * clamp((int64_t)top + row, height) + channel;
          const double first = line[3 * clamp((int64_t)left, width)];
          const double second = line[3 * clamp((int64_t)left + 1, width)];
          rows[row] = first + (second - first) * dx;
        }
        target[channel] = (uint8_t)(rows[0] + (rows[1] - rows[0]) * dy);
      }
    }
}

void hg_affine_bicubic_u8_scalar(const uint8_t *source, uint8_t *target, int64_t height, int64_t width,
                                 const hg_affine *matrix, const uint8_t *fill) {
  for (int64_t y = 0; y < height; y++)
    for (int64_t x = 0; x < width; x++, target += 3) {
      double across, down;
      position(matrix, x, y, &across, &down);
      if (!is_inside(across, width) || !is_inside(down, height)) {
        copy_pixel(target, fill);
        continue;
      }
      const double left = floor(across - 0.5), top = floor(down - 0.5);
      const double dx = across - 0.5 - left, dy = down - 0.5 - top;
      for (int channel = 0; channel < 3; channel++) {
        double rows[4];
        for (int row = 0; row < 4; row++) {
          const uint8_t *line = source + 3 * width * clamp((int64_t)top - 1 + row, height) + channel;
          double taps[4];
          for (int tap = 0; tap < 4; tap++) taps[tap] = line[3 * clamp((int64_t)left - 1 + tap, width)];
          rows[row] = cubic(taps[0], taps[1], taps[2], taps[3], dx);
        }
        const double value = cubic(rows[0], rows[1], rows[2], rows[3], dy);
        target[channel] = value <= 0.0 ? 0 : value >= 255.0 ? 255 : (uint8_t)value;
      }
    }
}

// MARK: Vectors: the three channels of a pixel and a fourth that nobody looks at

ALWAYS_INLINE quad load(const uint8_t *pixel) {
  bytes4 bytes;
  memcpy(&bytes, pixel, sizeof bytes);
  return __builtin_convertvector(__builtin_convertvector(bytes, lanes4), quad);
}

// Writes a fourth byte past the pixel, which the next pixel or the spare memory takes.
ALWAYS_INLINE void store(uint8_t *target, quad value) {
  bytes4 bytes = __builtin_convertvector(__builtin_convertvector(value, lanes4), bytes4);
  memcpy(target, &bytes, sizeof bytes);
}

ALWAYS_INLINE quad cubic4(quad v1, quad v2, quad v3, quad v4, double d) {
  const quad p2 = v3 - v1;
  const quad p3 = 2.0 * (v1 - v2) + v3 - v4;
  const quad p4 = v2 - v1 - v3 + v4;
  return v2 + d * (p2 + d * (p3 + d * p4));
}

ALWAYS_INLINE quad cubic_taps(const uint8_t *line, const int64_t *taps, double d) {
  return cubic4(load(line + taps[0]), load(line + taps[1]), load(line + taps[2]), load(line + taps[3]), d);
}

ALWAYS_INLINE void bicubic(const uint8_t *source, uint8_t *target, int64_t height, int64_t width,
                           const hg_affine *matrix, const uint8_t *fill) {
  const quad least = {0, 0, 0, 0}, most = {255, 255, 255, 255};
  for (int64_t y = 0; y < height; y++)
    for (int64_t x = 0; x < width; x++, target += 3) {
      double across, down;
      position(matrix, x, y, &across, &down);
      if (!is_inside(across, width) || !is_inside(down, height)) {
        copy_pixel(target, fill);
        continue;
      }
      across -= 0.5;
      down -= 0.5;
      const int64_t left = floor_of(across), top = floor_of(down);
      const double dx = across - (double)left, dy = down - (double)top;
      quad value;
      if (dy == 0.0 && dx == 0.0) {
        value = load(source + 3 * (top * width + left));
      } else if (dy == 0.0) {
        // With no distance the cubic is its second tap, exactly: one row, here one column, is enough.
        int64_t taps[4];
        for (int tap = 0; tap < 4; tap++) taps[tap] = 3 * clamp(left - 1 + tap, width);
        value = cubic_taps(source + 3 * width * top, taps, dx);
      } else if (dx == 0.0) {
        int64_t taps[4];
        for (int tap = 0; tap < 4; tap++) taps[tap] = 3 * width * clamp(top - 1 + tap, height);
        value = cubic_taps(source + 3 * left, taps, dy);
      } else {
        int64_t taps[4];
        quad rows[4];
        for (int tap = 0; tap < 4; tap++) taps[tap] = 3 * clamp(left - 1 + tap, width);
        for (int row = 0; row < 4; row++)
          rows[row] = cubic_taps(source + 3 * width * clamp(top - 1 + row, height), taps, dx);
        value = cubic4(rows[0], rows[1], rows[2], rows[3], dy);
      }
      store(target, __builtin_elementwise_min(__builtin_elementwise_max(value, least), most));
    }
}

ALWAYS_INLINE void bilinear(const uint8_t *source, uint8_t *target, int64_t height, int64_t width,
                            const hg_affine *matrix, const uint8_t *fill) {
  for (int64_t y = 0; y < height; y++)
    for (int64_t x = 0; x < width; x++, target += 3) {
      double across, down;
      position(matrix, x, y, &across, &down);
      if (!is_inside(across, width) || !is_inside(down, height)) {
        copy_pixel(target, fill);
        continue;
      }
      across -= 0.5;
      down -= 0.5;
      const int64_t left = floor_of(across), top = floor_of(down);
      const double dx = across - (double)left, dy = down - (double)top;
      const int64_t first = 3 * clamp(left, width), second = 3 * clamp(left + 1, width);
      const uint8_t *upper = source + 3 * width * clamp(top, height);
      const uint8_t *lower = source + 3 * width * clamp(top + 1, height);
      const quad above = load(upper + first) + (load(upper + second) - load(upper + first)) * dx;
      const quad below = load(lower + first) + (load(lower + second) - load(lower + first)) * dx;
      store(target, above + (below - above) * dy);
    }
}

// MARK: Choice of instruction set

#if defined(__x86_64__)
#define VARIANTS(NAME, BODY)                                                                                           \
  __attribute__((target("avx2"))) static void BODY##_avx2(const uint8_t *source, uint8_t *target, int64_t height,      \
                                                          int64_t width, const hg_affine *matrix,                      \
                                                          const uint8_t *fill) {                                       \
    BODY(source, target, height, width, matrix, fill);                                                                 \
  }                                                                                                                    \
  void NAME(const uint8_t *source, uint8_t *target, int64_t height, int64_t width, const hg_affine *matrix,            \
            const uint8_t *fill) {                                                                                     \
    if (__builtin_cpu_supports("avx2"))                                                                                \
      BODY##_avx2(source, target, height, width, matrix, fill);                                                        \
    else                                                                                                               \
      BODY(source, target, height, width, matrix, fill);                                                               \
  }
#else
#define VARIANTS(NAME, BODY)                                                                                           \
  void NAME(const uint8_t *source, uint8_t *target, int64_t height, int64_t width, const hg_affine *matrix,            \
            const uint8_t *fill) {                                                                                     \
    BODY(source, target, height, width, matrix, fill);                                                                 \
  }
#endif

VARIANTS(hg_affine_bilinear_u8, bilinear)
VARIANTS(hg_affine_bicubic_u8, bicubic)
