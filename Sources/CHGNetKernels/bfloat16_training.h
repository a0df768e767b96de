// Training in mixed precision over bfloat16.h: arrays in bfloat16, sums and parameters in float32. Included once per
// instruction set.
#include "gradient_windows.h"
#include "pointwise.h"
#include "unit.h"
#include "window_gradients.h"

// Two rows of 16 values, a value of the second behind that of the first.
HG_INLINE void hg_interleave(const hg_bfloat16 *first, const hg_bfloat16 *second, int count, hg_bfloat16 *to) {
  for (int v = 0; v < HG_PANEL; v += HG_LANES) {
    const hg_bits low = (hg_bits)hg_widen_some(first + v, count - v) >> 16;
    const hg_bits high = (hg_bits)hg_widen_some(second + v, count - v);
    *(hg_unaligned_bits *)(to + 2 * v) = low | high;
  }
}

// A panel whose channels lie side by side in memory: rows of pairs, turned round four by four.
HG_INLINE void hg_pack_turned(const float *from, int64_t column_stride, int channels, hg_bfloat16 *to) {
  hg_bfloat16 halves[HG_PANEL][64];
  for (int c0 = 0; c0 < channels; c0 += 64) {
    const int count = hg_min(64, channels - c0);
    for (int n = 0; n < HG_PANEL; n++)
      for (int c = 0; c < count; c += HG_LANES)
        hg_write(halves[n], 0, c, hg_load_some(from + n * column_stride + c0 + c, count - c), count - c);
    for (int c = 0; c < count; c += 8)
      for (int n = 0; n < HG_PANEL; n += 4)
        hg_transpose_4((const float *)(halves[n] + c), 32, (float *)(to + (int64_t)(c0 + c) * HG_PANEL + 2 * n), HG_PANEL);
  }
}

// Weights as they are now into pairs of input channels: [panel][tap][pair][16][2].
static void HG_NAME(hg_bfloat16_pack)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_pack *d = descriptor;
  const int columns = hg_min(HG_PANEL, d->columns - task * HG_PANEL);
  const float *from = d->weight + (int64_t)task * HG_PANEL * d->column_stride;
  hg_bfloat16 *to = (hg_bfloat16 *)d->packed + (int64_t)task * d->taps * d->channels * HG_PANEL;
  if (d->taps == 1 && columns == HG_PANEL && d->channel_stride == 1 && d->channels % 8 == 0) {
    hg_pack_turned(from, d->column_stride, d->channels, to);
    return;
  }
  // Runs of channels stay in the first-level cache while all taps are taken from them.
  for (int c0 = 0; c0 < d->channels; c0 += 64) {
    const int c1 = hg_min(c0 + 64, d->channels);
    for (int tap = 0; tap < d->taps; tap++) {
      const float *source = from + (d->is_flipped ? d->taps - 1 - tap : tap);
      for (int c = c0; c < c1; c += 2) {
        hg_bfloat16 halves[2][HG_PANEL];
        for (int both = 0; both < 2; both++) {
          const float *row = source + (c + both) * d->channel_stride;
          float values[HG_PANEL] = {0};
          if (d->column_stride == 1 && columns == HG_PANEL)
            __builtin_memcpy(values, row, sizeof values);
          else
            for (int n = 0; n < columns; n++) values[n] = row[n * d->column_stride];
          for (int v = 0; v < HG_PANEL; v += HG_LANES) hg_write(halves[both], 0, v, hg_load(values + v), HG_LANES);
        }
        hg_interleave(halves[0], halves[1], HG_PANEL, to + ((int64_t)tap * d->channels + c) * HG_PANEL);
      }
    }
  }
}

// MARK: - Units

static void HG_NAME(hg_bfloat16_sums)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  hg_unit_sums_task(&((const hg_bfloat16_unit *)descriptor)->unit, task, 1);
}

static void HG_NAME(hg_bfloat16_apply)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_bfloat16_unit *h = descriptor;
  if (h->is_half_z && h->is_half_output) hg_unit_apply_task(&h->unit, task, h->is_half_residual, 1, 1);
  else if (h->is_half_z) hg_unit_apply_task(&h->unit, task, h->is_half_residual, 1, 0);
  else if (h->is_half_output) hg_unit_apply_task(&h->unit, task, h->is_half_residual, 0, 1);
  else hg_unit_apply_task(&h->unit, task, h->is_half_residual, 0, 0);
}

static void HG_NAME(hg_bfloat16_gradient_sums)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_bfloat16_unit *h = descriptor;
  if (h->is_half_z && h->is_half_output) hg_unit_gradient_sums_task(&h->unit, task, 1, 1);
  else if (h->is_half_z) hg_unit_gradient_sums_task(&h->unit, task, 1, 0);
  else if (h->is_half_output) hg_unit_gradient_sums_task(&h->unit, task, 0, 1);
  else hg_unit_gradient_sums_task(&h->unit, task, 0, 0);
}

static void HG_NAME(hg_bfloat16_gradient_apply)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_bfloat16_unit *h = descriptor;
  if (h->is_half_z) hg_unit_gradient_apply_task(&h->unit, task, h->is_half_output, 1, 1);
  else if (h->is_half_gradient) hg_unit_gradient_apply_task(&h->unit, task, h->is_half_output, 0, 1);
  else hg_unit_gradient_apply_task(&h->unit, task, h->is_half_output, 0, 0);
}

// MARK: - The gradient of dense weights: sums over pairs of pixels.

// Rows of a block; a divisor of the panel.
#define HG_PAIR_ROWS (HG_BLOCK_ROWS >= 8 ? 8 : HG_BLOCK_ROWS >= 4 ? 4 : 2)
// Values between packed panels of pixels' pairs: a line more than they hold, for the sake of the first-level cache.
#define HG_PAIR_DISTANCE ((HG_GRADIENT_PIXELS + 2) * HG_PANEL)

// Channels of pixels to panels of pairs of pixels: [panel][pair][16][2]; a last pixel without a partner has zeros beside.
static void HG_NAME(hg_pair_pack)(const hg_bfloat16 *const *at, const hg_bfloat16 *zeros, int channels, int pixels,
                                  hg_bfloat16 *to) {
  for (int first = 0; first < channels; first += HG_PANEL, to += HG_PAIR_DISTANCE) {
    const int count = channels - first;
    for (int i = 0; i < pixels; i += 2) {
      const hg_bfloat16 *second = i + 1 < pixels ? at[i + 1] + first : zeros;
      if (count >= HG_PANEL)
        hg_interleave(at[i] + first, second, HG_PANEL, to + i * HG_PANEL);
      else
        hg_interleave(at[i] + first, second, count, to + i * HG_PANEL);
    }
  }
}

// sum += x × y over both halves of each lane.
HG_INLINE hg_vector hg_add_pairs(hg_vector sum, hg_bits x, hg_bits y) {
#if HG_PAIRS
  return (hg_vector)_mm512_dpbf16_ps((__m512)sum, (__m512bh)x, (__m512bh)y);
#else
  sum += (hg_vector)(x << 16) * (hg_vector)(y << 16);
  return sum + (hg_vector)(x & 0xffff0000u) * (hg_vector)(y & 0xffff0000u);
#endif
}

// sums[HG_PAIR_ROWS][P panels] += over pairs of pixels.
HG_INLINE void hg_pair_gradient(const hg_bfloat16 *rows, const hg_bfloat16 *lanes, int pairs, float *sums, int64_t stride,
                                const int P) {
  hg_vector sum[HG_PAIR_ROWS][HG_BLOCK_PANELS * HG_VECTORS];
  const int V = P * HG_VECTORS;
  HG_UNROLL for (int r = 0; r < HG_PAIR_ROWS; r++)
    HG_UNROLL for (int v = 0; v < V; v++) sum[r][v] = hg_load(sums + r * stride + v * HG_LANES);
  for (int pair = 0; pair < pairs; pair++, rows += 2 * HG_PANEL, lanes += 2 * HG_PANEL) {
    hg_bits y[HG_BLOCK_PANELS * HG_VECTORS];
    HG_UNROLL for (int p = 0; p < P; p++)
      HG_UNROLL for (int v = 0; v < HG_VECTORS; v++)
        y[p * HG_VECTORS + v] = *(const hg_unaligned_bits *)(lanes + p * HG_PAIR_DISTANCE + 2 * v * HG_LANES);
    HG_UNROLL for (int r = 0; r < HG_PAIR_ROWS; r++) {
      uint32_t both;
      __builtin_memcpy(&both, rows + 2 * r, 4);
      const hg_bits x = both - (hg_bits){0};
      HG_UNROLL for (int v = 0; v < V; v++) sum[r][v] = hg_add_pairs(sum[r][v], x, y[v]);
    }
  }
  HG_UNROLL for (int r = 0; r < HG_PAIR_ROWS; r++)
    HG_UNROLL for (int v = 0; v < V; v++) hg_store(sums + r * stride + v * HG_LANES, sum[r][v]);
}

static void HG_NAME(hg_pair_gradients)(const hg_bfloat16 *rows, const hg_bfloat16 *lanes, int channels, int columns,
                                       int pixels, float *sums) {
  const int panels = (columns + HG_PANEL - 1) / HG_PANEL, pairs = (pixels + 1) / 2;
  const int64_t stride = (int64_t)panels * HG_PANEL;
  for (int p = 0; p < panels;) {
    const int P = hg_next_panels(panels - p);
    const hg_bfloat16 *from = lanes + (int64_t)p * HG_PAIR_DISTANCE;
    for (int c = 0; c < channels; c += HG_PAIR_ROWS) {
      const hg_bfloat16 *row = rows + c / HG_PANEL * HG_PAIR_DISTANCE + c % HG_PANEL * 2;
      float *to = sums + c * stride + p * HG_PANEL;
      switch (P) {
        case 1: hg_pair_gradient(row, from, pairs, to, stride, 1); break;
#if HG_BLOCK_PANELS >= 2
        case 2: hg_pair_gradient(row, from, pairs, to, stride, 2); break;
#endif
#if HG_BLOCK_PANELS >= 3
        case 3: hg_pair_gradient(row, from, pairs, to, stride, 3); break;
#endif
      }
    }
    p += P;
  }
}

static void HG_NAME(hg_bfloat16_weight_gradient)(const void *descriptor, int32_t task, float *scratch) {
  const hg_weight_gradient *d = descriptor;
  const int row_blocks = (d->channels + d->channels_per_task - 1) / d->channels_per_task;
  const int lane_blocks = (d->columns + d->columns_per_task - 1) / d->columns_per_task;
  const int c0 = task % row_blocks * d->channels_per_task, C = hg_min(d->channels_per_task, d->channels - c0);
  const int n0 = task / row_blocks % lane_blocks * d->columns_per_task, N = hg_min(d->columns_per_task, d->columns - n0);
  const int chunk = task / row_blocks / lane_blocks, taps = d->kernel_height * d->kernel_width;
  const int64_t pixels = (int64_t)d->batch * d->output_height * d->output_width;
  const int64_t pixel0 = (int64_t)chunk * d->pixels_per_chunk, pixel1 = hg_min(pixel0 + d->pixels_per_chunk, pixels);
  const int padded = HG_PADDED(N), height = HG_PADDED(C);
  const int64_t size = (int64_t)height * padded;
  float *sums = scratch;
  hg_bfloat16 *lanes = (hg_bfloat16 *)(sums + taps * size), *rows = lanes + padded / HG_PANEL * HG_PAIR_DISTANCE;
  const hg_bfloat16 *input = (const hg_bfloat16 *)d->input, *gradient = (const hg_bfloat16 *)d->gradient;
  const hg_bfloat16 *zeros = (const hg_bfloat16 *)d->zeros, *at[HG_GRADIENT_PIXELS];
  hg_gradient_windows windows;
  __builtin_memset(sums, 0, sizeof(float) * (size_t)(taps * size));
  for (int64_t first = pixel0; first < pixel1; first += HG_GRADIENT_PIXELS) {
    const int count = hg_min(HG_GRADIENT_PIXELS, pixel1 - first);
    hg_gradient_find(d, first, count, &windows);
    for (int i = 0; i < count; i++) at[i] = gradient + (first + i) * d->gradient_stride + n0;
    HG_NAME(hg_pair_pack)(at, zeros, N, count, lanes);
    for (int tap = 0; tap < taps; tap++) {
      const int down = tap / d->kernel_width, right = tap % d->kernel_width;
      const int64_t step = ((int64_t)down * d->width + right) * d->input_stride + c0;
      for (int i = 0; i < count; i++) {
        const int is_inside = (uint32_t)(windows.tops[i] + down) < (uint32_t)d->height &&
                              (uint32_t)(windows.lefts[i] + right) < (uint32_t)d->width;
        at[i] = is_inside ? input + windows.corners[i] + step : zeros;
      }
      HG_NAME(hg_pair_pack)(at, zeros, C, count, rows);
      HG_NAME(hg_pair_gradients)(rows, lanes, C, N, count, sums + tap * size);
    }
  }
  for (int tap = 0; tap < taps; tap++) {
    const float *from = sums + tap * size;
    float *out = d->partial + (((int64_t)chunk * taps + tap) * d->channels + c0) * d->columns + n0;
    for (int c = 0; c < C; c++, out += d->columns, from += padded) {
      if (!d->is_added)
        __builtin_memcpy(out, from, sizeof(float) * (size_t)N);
      else
        for (int n = 0; n < N; n++) out[n] += from[n];
    }
  }
}

// MARK: - Depthwise convolutions, pools and elementwise work

static void HG_NAME(hg_bfloat16_depthwise_gradient)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_bfloat16_depthwise_gradient *h = descriptor;
  hg_depthwise_gradient_task(&h->depthwise, task, h->gradient_stride, 1);
}

static void HG_NAME(hg_bfloat16_dilate)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_bfloat16_dilate *h = descriptor;
  hg_dilate_task(&h->dilate, task, h->input_stride, sizeof(hg_bfloat16));
}

static void HG_NAME(hg_bfloat16_maximum_pool_gradient)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  hg_maximum_pool_gradient_task(descriptor, task, 1);
}

static void HG_NAME(hg_bfloat16_elementwise_gradient)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_bfloat16_elementwise_gradient *h = descriptor;
  hg_elementwise_gradient_task(&h->elementwise, task, h->is_half_target, h->is_half_gradient, h->is_half_factor);
}

static void HG_NAME(hg_bfloat16_gate_gradient)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_bfloat16_gate_gradient *h = descriptor;
  hg_gate_gradient_task(&h->gate, task, h->is_half_input, h->is_half_gradient, h->is_half_target);
}

#include "bfloat16_winograd.h"

static const hg_bfloat16_training_kernels HG_NAME(hg_bfloat16_training_kernels) = {
    .pack = HG_NAME(hg_bfloat16_pack), .sums = HG_NAME(hg_bfloat16_sums), .apply = HG_NAME(hg_bfloat16_apply),
    .gradient_sums = HG_NAME(hg_bfloat16_gradient_sums), .gradient_apply = HG_NAME(hg_bfloat16_gradient_apply),
    .weight_gradient = HG_NAME(hg_bfloat16_weight_gradient),
    .depthwise_gradient = HG_NAME(hg_bfloat16_depthwise_gradient), .dilate = HG_NAME(hg_bfloat16_dilate),
    .maximum_pool_gradient = HG_NAME(hg_bfloat16_maximum_pool_gradient),
    .elementwise_gradient = HG_NAME(hg_bfloat16_elementwise_gradient),
    .gate_gradient = HG_NAME(hg_bfloat16_gate_gradient), .winograd = HG_NAME(hg_bfloat16_winograd),
    .winograd_pack = HG_NAME(hg_bfloat16_winograd_pack)};
