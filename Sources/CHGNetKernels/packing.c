// Weights into the layouts that the kernels stream, once per model.
#include "CHGNetKernels.h"

int64_t hg_strassen_scratch(int32_t pairs, int32_t channels_per_block) {
  // Five sums of activations, and sums of weights for the widest register block.
  return (5 * (int64_t)pairs + 3 * HG_PANEL) * channels_per_block;
}

int64_t hg_winograd_scratch(int32_t tile, int32_t channels, int32_t columns, int32_t tiles_per_task) {
  const int64_t padded = ((int64_t)columns + HG_PANEL - 1) / HG_PANEL * HG_PANEL, points = (tile + 2) * (tile + 2);
  return points * tiles_per_task * (channels + padded);
}

static int64_t padded_to(int64_t count, int64_t unit) { return (count + unit - 1) / unit * unit; }
// Rows in whole register blocks of any instruction set, of 8 rows or of fewer: 17 rows fill 18 in blocks of 6.
static int64_t in_blocks(int64_t rows) { return rows + 7; }

int64_t hg_weight_gradient_scratch(int32_t channels_per_task, int32_t columns_per_task, int32_t kernel_height,
                                   int32_t kernel_width, int32_t is_run) {
  if (is_run) {
    const int64_t run = padded_to((int64_t)kernel_width * channels_per_task, HG_PANEL);
    return kernel_height * in_blocks(columns_per_task) * run + HG_GRADIENT_PIXELS * run;
  }
  const int64_t rows = in_blocks(channels_per_task), padded = padded_to(columns_per_task, HG_PANEL);
  return kernel_height * kernel_width * rows * padded + padded * HG_GRADIENT_PIXELS +
         rows * (HG_GRADIENT_PIXELS + HG_PANEL);
}

void hg_pack_dense(const float *weight, const float *factors, int32_t columns, int32_t channels, int32_t taps,
                   float *packed) {
  for (int32_t first = 0; first < columns; first += HG_PANEL) {
    // By few channels at a time, so that the lines that are written stay in the first cache for all 16 lanes.
    for (int64_t c0 = 0; c0 < channels; c0 += HG_PANEL) {
      const int64_t c1 = c0 + HG_PANEL < channels ? c0 + HG_PANEL : channels;
      for (int32_t lane = 0; lane < HG_PANEL; lane++) {
        const int32_t column = first + lane;
        const int is_valid = column < columns;
        const float factor = is_valid && factors ? factors[column] : 1;
        for (int32_t tap = 0; tap < taps; tap++) {
          const float *from = weight + (int64_t)column * channels * taps + tap;
          float *to = packed + (int64_t)tap * channels * HG_PANEL + lane;
          if (is_valid)
            for (int64_t c = c0; c < c1; c++) to[c * HG_PANEL] = from[c * taps] * factor;
          else
            for (int64_t c = c0; c < c1; c++) to[c * HG_PANEL] = 0;
        }
      }
    }
    packed += (int64_t)taps * channels * HG_PANEL;
  }
}

void hg_pack_linear(const float *weight, int32_t columns, int32_t channels, float *packed) {
  for (int32_t first = 0; first < columns; first += HG_PANEL) {
    const int32_t count = columns - first < HG_PANEL ? columns - first : HG_PANEL;
    for (int64_t c = 0; c < channels; c++, packed += HG_PANEL) {
      const float *from = weight + c * columns + first;
      for (int32_t lane = 0; lane < HG_PANEL; lane++) packed[lane] = lane < count ? from[lane] : 0;
    }
  }
}

// 16 output channels side by side, in double so that folding costs no accuracy.
typedef double lanes __attribute__((vector_size(8 * HG_PANEL)));
typedef float lanes_f32 __attribute__((vector_size(4 * HG_PANEL), aligned(4)));

// One dimension of U = G g Gᵀ: three values at distance s to tile + 2 at distance t.
static inline void transform(const lanes *g, int s, lanes *u, int t, int tile) {
  if (tile == 2) {
    u[0] = g[0];
    u[t] = (g[0] + g[2 * s] + g[s]) / 2;
    u[2 * t] = (g[0] + g[2 * s] - g[s]) / 2;
    u[3 * t] = g[2 * s];
    return;
  }
  const lanes sum = g[0] + g[2 * s], even = sum / -6, odd = g[s] / 6, low = g[0] / 24 + g[2 * s] / 6, half = g[s] / 12;
  u[0] = g[0] / 4;
  u[t] = even - odd;
  u[2 * t] = even + odd;
  u[3 * t] = low + half;
  u[4 * t] = low - half;
  u[5 * t] = g[2 * s];
}

void hg_pack_winograd(const float *weight, const float *factors, int32_t tile, int32_t columns, int32_t channels,
                      int32_t first_panel, int32_t end_panel, float *packed) {
  const int64_t panels = (columns + HG_PANEL - 1) / HG_PANEL, point_distance = panels * channels * HG_PANEL;
  const int side = tile + 2;
  for (int32_t panel = first_panel; panel < end_panel; panel++)
    for (int32_t c = 0; c < channels; c++) {
      lanes g[9], half[18], u[36];
      for (int32_t lane = 0; lane < HG_PANEL; lane++) {
        const int32_t column = panel * HG_PANEL + lane;
        const float *from = weight + ((int64_t)column * channels + c) * 9;
        const double factor = factors && column < columns ? factors[column] : 1;
        for (int tap = 0; tap < 9; tap++) g[tap][lane] = column < columns ? from[tap] * factor : 0;
      }
      for (int j = 0; j < 3; j++) transform(g + j, 3, half + j, 3, tile);
      for (int i = 0; i < side; i++) transform(half + i * 3, 1, u + i * side, 1, tile);
      float *to = packed + ((int64_t)panel * channels + c) * HG_PANEL;
      for (int point = 0; point < side * side; point++)
        *(lanes_f32 *)(to + point * point_distance) = __builtin_convertvector(u[point], lanes_f32);
    }
}

void hg_pack_depthwise(const float *weight, const float *factors, int32_t channels, int32_t taps, float *packed) {
  const int32_t padded = (channels + HG_PANEL - 1) / HG_PANEL * HG_PANEL;
  for (int32_t tap = 0; tap < taps; tap++)
    for (int32_t c = 0; c < padded; c++)
      packed[(int64_t)tap * padded + c] =
          c < channels ? weight[(int64_t)c * taps + tap] * (factors ? factors[c] : 1) : 0;
}

void hg_planes_to_pixels(const float *planes, int32_t channels, int64_t pixels, float *output, ptrdiff_t stride) {
  for (int64_t first = 0; first < pixels; first += 64) {
    const int64_t end = first + 64 < pixels ? first + 64 : pixels;
    for (int32_t c = 0; c < channels; c++)
      for (int64_t pixel = first; pixel < end; pixel++) output[pixel * stride + c] = planes[c * pixels + pixel];
  }
}

void hg_pixels_to_planes(const float *input, ptrdiff_t stride, int32_t channels, int64_t pixels, float *planes) {
  for (int64_t first = 0; first < pixels; first += 64) {
    const int64_t end = first + 64 < pixels ? first + 64 : pixels;
    for (int32_t c = 0; c < channels; c++)
      for (int64_t pixel = first; pixel < end; pixel++) planes[c * pixels + pixel] = input[pixel * stride + c];
  }
}
