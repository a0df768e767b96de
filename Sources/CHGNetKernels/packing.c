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

// Four floats of any address.
typedef float quad __attribute__((vector_size(16), aligned(4)));

// Four output channels of single taps: rows of `channels` weights become columns at lane 0 … 3 of a panel.
static int64_t pack_four(const float *weight, const float *factors, int32_t channels, int64_t c0, int64_t c1,
                         float *to) {
  int64_t c = c0;
  for (; c + 4 <= c1; c += 4) {
    quad row[4];
    for (int lane = 0; lane < 4; lane++) {
      row[lane] = *(const quad *)(weight + (int64_t)lane * channels + c);
      if (factors) row[lane] *= factors[lane];
    }
    const quad a = __builtin_shufflevector(row[0], row[1], 0, 4, 1, 5);
    const quad b = __builtin_shufflevector(row[2], row[3], 0, 4, 1, 5);
    const quad d = __builtin_shufflevector(row[0], row[1], 2, 6, 3, 7);
    const quad e = __builtin_shufflevector(row[2], row[3], 2, 6, 3, 7);
    *(quad *)(to + c * HG_PANEL) = __builtin_shufflevector(a, b, 0, 1, 4, 5);
    *(quad *)(to + (c + 1) * HG_PANEL) = __builtin_shufflevector(a, b, 2, 3, 6, 7);
    *(quad *)(to + (c + 2) * HG_PANEL) = __builtin_shufflevector(d, e, 0, 1, 4, 5);
    *(quad *)(to + (c + 3) * HG_PANEL) = __builtin_shufflevector(d, e, 2, 3, 6, 7);
  }
  return c;
}

void hg_pack_dense(const float *weight, const float *factors, int32_t columns, int32_t channels, int32_t taps,
                   float *packed) {
  for (int32_t first = 0; first < columns; first += HG_PANEL) {
    // By few channels at a time, so that the lines that are written stay in the first cache for all 16 lanes.
    for (int64_t c0 = 0; c0 < channels; c0 += HG_PANEL) {
      const int64_t c1 = c0 + HG_PANEL < channels ? c0 + HG_PANEL : channels;
      int64_t done = c0;
      for (int32_t lane = 0; lane < HG_PANEL; lane++) {
        const int32_t column = first + lane;
        const int is_valid = column < columns;
        const float factor = is_valid && factors ? factors[column] : 1;
        if (lane % 4 == 0)
          done = taps == 1 && column + 4 <= columns
                     ? pack_four(weight + (int64_t)column * channels, factors ? factors + column : 0, channels, c0, c1,
                                 packed + lane)
                     : c0;
        for (int32_t tap = 0; tap < taps; tap++) {
          const float *from = weight + (int64_t)column * channels * taps + tap;
          float *to = packed + (int64_t)tap * channels * HG_PANEL + lane;
          if (is_valid)
            for (int64_t c = done; c < c1; c++) to[c * HG_PANEL] = from[c * taps] * factor;
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
    u[t] = (g[0] + g[2 * s] + g[s]) * 0.5;
    u[2 * t] = (g[0] + g[2 * s] - g[s]) * 0.5;
    u[3 * t] = g[2 * s];
    return;
  }
  // Products with reciprocals: divisions took half of the time.
  const double sixth = 1.0 / 6;
  const lanes even = (g[0] + g[2 * s]) * -sixth, odd = g[s] * sixth, half = odd * 0.5;
  const lanes low = g[0] * (sixth / 4) + g[2 * s] * sixth;
  u[0] = g[0] * 0.25;
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
  enum { GATHERED = 8 };
  float gathered[GATHERED * 9][HG_PANEL];
  lanes scale;
  for (int32_t panel = first_panel; panel < end_panel; panel++)
    for (int32_t c = 0; c < channels; c++) {
      // Gathered for several channels at a time: a vector that is read right after its lanes were written waits.
      if (c % GATHERED == 0)
        for (int32_t lane = 0; lane < HG_PANEL; lane++) {
          const int32_t column = panel * HG_PANEL + lane;
          const int32_t count = (channels - c < GATHERED ? channels - c : GATHERED) * 9;
          const float *from = weight + ((int64_t)column * channels + c) * 9;
          for (int32_t tap = 0; tap < count; tap++) gathered[tap][lane] = column < columns ? from[tap] : 0;
          scale[lane] = factors && column < columns ? factors[column] : 1;
        }
      lanes g[9], half[18], u[36];
      for (int tap = 0; tap < 9; tap++)
        g[tap] = __builtin_convertvector(*(const lanes_f32 *)gathered[c % GATHERED * 9 + tap], lanes) * scale;
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
