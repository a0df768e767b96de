// Training kernels over vector.h and product.h; included once per instruction set.
#include "unit.h"

HG_INLINE void hg_pack_winograd_panel(const hg_pack *d, int32_t task, int columns, const int tile) {
  const int P = tile + 2;
  const int64_t distance = (int64_t)HG_PADDED(d->columns) * d->channels;
  const float *from = d->weight + (int64_t)task * HG_PANEL * d->column_stride;
  for (int32_t c = 0; c < d->channels; c++) {
    float g[9][HG_PANEL] = {{0}}, half[18][HG_PANEL], u[36][HG_PANEL];
    for (int n = 0; n < columns; n++)
      for (int tap = 0; tap < 9; tap++)
        g[tap][n] = from[n * d->column_stride + c * d->channel_stride + (d->is_flipped ? 8 - tap : tap)];
    for (int j = 0; j < 3; j++) hg_winograd_weights(g + j, 3, half + j, 3, tile);
    for (int i = 0; i < P; i++) hg_winograd_weights(half + i * 3, 1, u + i * P, 1, tile);
    float *to = d->packed + ((int64_t)task * d->channels + c) * HG_PANEL;
    for (int point = 0; point < P * P; point++) __builtin_memcpy(to + point * distance, u[point], sizeof u[point]);
  }
}

static void HG_NAME(hg_pack_task)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_pack *d = descriptor;
  const int columns = hg_min(HG_PANEL, d->columns - task * HG_PANEL);
  const float *from = d->weight + (int64_t)task * HG_PANEL * d->column_stride;
  if (d->winograd_tile == 4) hg_pack_winograd_panel(d, task, columns, 4);
  if (d->winograd_tile == 2) hg_pack_winograd_panel(d, task, columns, 2);
  if (d->winograd_tile) return;
  float *to = d->packed + (int64_t)task * d->taps * d->channels * HG_PANEL;
  if (columns < HG_PANEL) __builtin_memset(to, 0, sizeof(float) * (size_t)d->taps * (size_t)d->channels * HG_PANEL);
  if (d->taps == 1 && columns == HG_PANEL && d->column_stride == 1) {
    for (int64_t c = 0; c < d->channels; c++)
      __builtin_memcpy(to + c * HG_PANEL, from + c * d->channel_stride, sizeof(float) * HG_PANEL);
    return;
  }
  if (d->taps == 1 && columns == HG_PANEL && d->channel_stride == 1 && d->channels % 4 == 0) {
    for (int64_t c = 0; c < d->channels; c += 4)
      for (int n = 0; n < HG_PANEL; n += 4)
        hg_transpose_4(from + n * d->column_stride + c, d->column_stride, to + c * HG_PANEL + n, HG_PANEL);
    return;
  }
  // The side that is dense in memory runs innermost; runs of channels stay in the first-level cache.
  for (int c0 = 0; c0 < d->channels; c0 += 64) {
    const int c1 = hg_min(c0 + 64, d->channels);
    for (int tap = 0; tap < d->taps; tap++) {
      const float *source = from + (d->is_flipped ? d->taps - 1 - tap : tap);
      float *target = to + (int64_t)tap * d->channels * HG_PANEL;
      if (d->column_stride < d->channel_stride)
        for (int c = c0; c < c1; c++)
          for (int n = 0; n < columns; n++)
            target[c * HG_PANEL + n] = source[c * d->channel_stride + n * d->column_stride];
      else
        for (int n = 0; n < columns; n++)
          for (int c = c0; c < c1; c++)
            target[c * HG_PANEL + n] = source[c * d->channel_stride + n * d->column_stride];
    }
  }
}

static void HG_NAME(hg_pack_channels_task)(const void *descriptor, int32_t task, float *scratch) {
  (void)task, (void)scratch;
  const hg_pack_channels *d = descriptor;
  const int padded = HG_PADDED(d->channels);
  for (int tap = 0; tap < d->taps; tap++)
    for (int c = 0; c < padded; c++)
      d->packed[tap * padded + c] =
          c < d->channels ? d->weight[(int64_t)c * d->taps + (d->is_flipped ? d->taps - 1 - tap : tap)] : 0;
}

HG_INLINE void hg_unit_sums_run(const hg_unit *d, int64_t first, int count, int c, int lanes, double *sums, const int V) {
  hg_vector sum[HG_SUM_VECTORS] = {{0}}, squares[HG_SUM_VECTORS] = {{0}};
  const float *from = d->z + first * d->channels + c;
  for (int r = 0; r < count; r++, from += d->channels)
    HG_UNROLL for (int v = 0; v < V; v++) {
      const hg_vector z = V > 1 ? hg_load(from + v * HG_LANES) : hg_load_some(from, lanes);
      sum[v] += z;
      squares[v] += z * z;
    }
  HG_UNROLL for (int v = 0; v < V; v++) {
    hg_add_wide(sums + c + v * HG_LANES, sum[v]);
    hg_add_wide(sums + HG_PADDED(d->channels) + c + v * HG_LANES, squares[v]);
  }
}

static void HG_NAME(hg_unit_sums)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_unit *d = descriptor;
  const int padded = HG_PADDED(d->channels), C = d->channels, wide = HG_SUM_VECTORS * HG_LANES;
  double *sums = d->sums + (int64_t)task * 4 * padded;
  const int64_t row0 = (int64_t)task * d->rows_per_chunk, row1 = hg_min(row0 + d->rows_per_chunk, d->rows);
  __builtin_memset(sums, 0, sizeof(double) * 4 * (size_t)padded);
  // Runs of 16 rows in float, then double.
  for (int64_t first = row0; first < row1; first += 16) {
    const int count = hg_min(16, row1 - first);
    int c = 0;
    for (; c + wide <= C; c += wide) hg_unit_sums_run(d, first, count, c, HG_LANES, sums, HG_SUM_VECTORS);
    for (; c < C; c += HG_LANES) hg_unit_sums_run(d, first, count, c, C - c, sums, 1);
  }
}

static void HG_NAME(hg_unit_statistics)(const void *descriptor, int32_t task, float *scratch) {
  (void)task, (void)scratch;
  const hg_unit *d = descriptor;
  const int padded = HG_PADDED(d->channels);
  const int64_t chunks = (d->rows + d->rows_per_chunk - 1) / d->rows_per_chunk;
  const double rows = d->total ? d->total[2 * padded] : (double)d->rows;
  for (int c = 0; c < d->channels; c++) {
    // One value has no variance: as in PaddlePaddle it stays as it is, and so do the running statistics.
    const int is_single = d->is_normalized && !d->is_fixed && rows == 1;
    if (!d->is_normalized || is_single) {
      d->k[c] = 1;
      d->o[c] = d->bias && !is_single ? d->bias[c] : 0;
      d->mean[c] = 0;
      d->deviation[c] = 1;
      continue;
    }
    double sum = 0, squares = 0;
    for (int64_t chunk = 0; chunk < chunks && !d->is_fixed && !d->total; chunk++) {
      sum += d->sums[chunk * 4 * padded + c];
      squares += d->sums[chunk * 4 * padded + padded + c];
    }
    if (d->total) sum = d->total[c], squares = d->total[padded + c];
    double mean = sum / rows, variance = squares / rows - mean * mean;
    if (d->is_fixed) mean = d->running_mean[c], variance = d->running_variance[c];
    if (variance < 0) variance = 0;
    const double deviation = 1 / sqrt(variance + (double)d->epsilon);
    d->mean[c] = (float)mean;
    d->deviation[c] = (float)deviation;
    d->k[c] = (float)(d->gamma[c] * deviation);
    d->o[c] = (float)(d->bias[c] - mean * d->gamma[c] * deviation);
    if (d->is_fixed) continue;
    const double keep = d->momentum;
    if (d->running_mean) d->running_mean[c] = (float)(d->running_mean[c] * keep + mean * (1 - keep));
    if (d->running_variance) d->running_variance[c] = (float)(d->running_variance[c] * keep + variance * (1 - keep));
  }
}

static void HG_NAME(hg_unit_apply)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_unit *d = descriptor;
  const int64_t row0 = (int64_t)task * d->rows_per_task, row1 = hg_min(row0 + d->rows_per_task, d->rows);
  const hg_vector lower = hg_splat(d->is_rectified ? 0 : -__builtin_inff());
  const hg_vector scale = hg_splat(d->scale ? *d->scale : 1), shift = hg_splat(d->shift ? *d->shift : 0);
  for (int64_t row = row0; row < row1; row++) {
    const float *z = d->z + row * d->channels;
    float *out = d->output + row * d->output_stride;
    for (int c = 0; c < d->channels; c += HG_LANES) {
      const int lanes = d->channels - c;
      hg_vector y = hg_load_some(z + c, lanes) * hg_load(d->k + c) + hg_load(d->o + c);
      y = hg_max(y, lower) * scale + shift;
      if (d->residual) y += hg_load_some(d->residual + row * d->residual_stride + c, lanes);
      hg_store_some(out + c, y, lanes);
    }
  }
}

HG_INLINE void hg_unit_gradient_sums_run(const hg_unit *d, int64_t first, int count, int c, int lanes, double *sums,
                                         const int V) {
  const int padded = HG_PADDED(d->channels);
  const hg_vector scale = hg_splat(d->scale ? *d->scale : 1);
  const float *z = d->z + first * d->channels + c, *gradient = d->output + first * d->output_stride + c;
  hg_vector plain[HG_SUM_VECTORS] = {{0}}, centred[HG_SUM_VECTORS] = {{0}};
  hg_vector rectified[HG_SUM_VECTORS] = {{0}}, all[HG_SUM_VECTORS] = {{0}};
  for (int i = 0; i < count; i++, z += d->channels, gradient += d->output_stride)
    HG_UNROLL for (int v = 0; v < V; v++) {
      const int at = v * HG_LANES;
      const hg_vector value = V > 1 ? hg_load(z + at) : hg_load_some(z, lanes);
      const hg_vector g = V > 1 ? hg_load(gradient + at) : hg_load_some(gradient, lanes);
      hg_vector r;
      const hg_vector dy = hg_unit_gradient(d, value, g, c + at, scale, &r);
      plain[v] += dy;
      centred[v] += dy * (value - hg_load(d->mean + c + at));
      rectified[v] += g * r;
      all[v] += g;
    }
  HG_UNROLL for (int v = 0; v < V; v++) {
    double *to = sums + c + v * HG_LANES;
    hg_add_wide(to, plain[v]);
    hg_add_wide(to + padded, centred[v]);
    hg_add_wide(to + 2 * padded, rectified[v]);
    hg_add_wide(to + 3 * padded, all[v]);
  }
}

static void HG_NAME(hg_unit_gradient_sums)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_unit *d = descriptor;
  const int padded = HG_PADDED(d->channels), C = d->channels, wide = HG_SUM_VECTORS * HG_LANES;
  double *sums = d->sums + (int64_t)task * 4 * padded;
  const int64_t row0 = (int64_t)task * d->rows_per_chunk, row1 = hg_min(row0 + d->rows_per_chunk, d->rows);
  __builtin_memset(sums, 0, sizeof(double) * 4 * (size_t)padded);
  for (int64_t first = row0; first < row1; first += 16) {
    const int count = hg_min(16, row1 - first);
    int c = 0;
    for (; c + wide <= C; c += wide) hg_unit_gradient_sums_run(d, first, count, c, HG_LANES, sums, HG_SUM_VECTORS);
    for (; c < C; c += HG_LANES) hg_unit_gradient_sums_run(d, first, count, c, C - c, sums, 1);
  }
}

static void HG_NAME(hg_unit_gradient_finish)(const void *descriptor, int32_t task, float *scratch) {
  (void)task, (void)scratch;
  const hg_unit *d = descriptor;
  const int padded = HG_PADDED(d->channels);
  const int64_t chunks = (d->rows + d->rows_per_chunk - 1) / d->rows_per_chunk;
  const double rows = d->total ? d->total[2 * padded] : (double)d->rows;
  double scale = 0, shift = 0;
  for (int c = 0; c < d->channels; c++) {
    double plain = 0, centred = 0;
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
      const double *sums = d->sums + chunk * 4 * padded + c;
      plain += sums[0];
      centred += sums[padded];
      scale += sums[2 * padded];
      shift += sums[3 * padded];
    }
    const double deviation = d->deviation[c];
    if (d->is_normalized && !d->is_fixed && rows == 1) {
      // The value has passed without weight and bias.
      d->alpha[c] = d->beta[c] = 0;
      continue;
    }
    if (d->bias_gradient) d->bias_gradient[c] += (float)plain;
    if (d->gamma_gradient) d->gamma_gradient[c] += (float)(centred * deviation);
    if (d->is_normalized && !d->is_fixed) {
      // dz = k (dy - mean(dy) - x̂ mean(dy x̂)), written as k dy + alpha z + beta.
      // The gradients of parameters are those of the own rows, since they are added over processes later.
      if (d->total) plain = d->total[c], centred = d->total[padded + c];
      const double k = d->k[c], c1 = plain / rows, c2 = centred * deviation * deviation / rows;
      d->alpha[c] = (float)(-k * c2);
      d->beta[c] = (float)(k * (c2 * d->mean[c] - c1));
    } else {
      // Nothing that k and o are made of depends on z.
      d->alpha[c] = d->beta[c] = 0;
    }
  }
  if (d->scale_gradient) *d->scale_gradient += (float)scale;
  if (d->shift_gradient) *d->shift_gradient += (float)shift;
}

static void HG_NAME(hg_unit_gradient_apply)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_unit *d = descriptor;
  const int64_t row0 = (int64_t)task * d->rows_per_task, row1 = hg_min(row0 + d->rows_per_task, d->rows);
  const hg_vector scale = hg_splat(d->scale ? *d->scale : 1);
  for (int64_t row = row0; row < row1; row++) {
    float *at = d->z + row * d->channels;
    const float *gradient = d->output + row * d->output_stride;
    for (int c = 0; c < d->channels; c += HG_LANES) {
      const int lanes = d->channels - c;
      const hg_vector z = hg_load_some(at + c, lanes), g = hg_load_some(gradient + c, lanes);
      hg_vector r;
      const hg_vector dy = hg_unit_gradient(d, z, g, c, scale, &r);
      hg_store_some(at + c, dy * hg_load(d->k + c) + (z * hg_load(d->alpha + c) + hg_load(d->beta + c)), lanes);
    }
  }
}

static void HG_NAME(hg_weight_gradient_join)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_weight_gradient_join *d = descriptor;
  const int64_t size = (int64_t)d->taps * d->channels * d->columns;
  const int c0 = task * 16, C = hg_min(16, d->channels - c0);
  for (int tap = 0; tap < d->taps; tap++)
    for (int n = 0; n < d->columns; n += HG_LANES) {
      const int lanes = d->columns - n;
      float block[16][HG_LANES];
      for (int c = 0; c < C; c++) {
        const float *from = d->partial + ((int64_t)tap * d->channels + c0 + c) * d->columns + n;
        hg_vector sum = hg_load_some(from, lanes);
        for (int chunk = 1; chunk < d->chunks; chunk++) sum += hg_load_some(from + chunk * size, lanes);
        float *to = d->gradient + n + (c0 + c) * d->channel_stride;
        if (d->taps == 1 && d->column_stride == 1)
          hg_store_some(to, hg_load_some(to, lanes) + sum, lanes);
        else
          hg_store(block[c], sum);
      }
      if (d->taps == 1 && d->column_stride == 1) continue;
      for (int lane = 0; lane < hg_min(HG_LANES, lanes); lane++) {
        float *to = d->gradient + (n + lane) * d->column_stride + c0 * d->channel_stride + tap;
        for (int c = 0; c < C; c++) to[c * d->channel_stride] += block[c][lane];
      }
    }
}

static void HG_NAME(hg_depthwise_gradient)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_depthwise_gradient *d = descriptor;
  const int c0 = task * HG_PANEL, taps = d->kernel_height * d->kernel_width;
  double sums[HG_MAXIMUM_TAPS][HG_PANEL] __attribute__((aligned(64)));
  __builtin_memset(sums, 0, sizeof(double) * (size_t)taps * HG_PANEL);
  for (int64_t image = 0; image < d->batch; image++)
    for (int y = 0; y < d->output_height; y++) {
      const float *dz = d->gradient + (image * d->output_height + y) * d->output_width * (int64_t)d->channels + c0;
      for (int i = 0; i < d->kernel_height; i++) {
        const int yy = y * d->stride_height - d->padding_top + i;
        if (yy < 0 || yy >= d->height) continue;
        const float *row = d->input + (image * d->height + yy) * (int64_t)d->width * d->input_stride + c0;
        for (int v = 0; v < HG_PANEL; v += HG_LANES) {
          const int lanes = d->channels - c0 - v;
          if (lanes <= 0) break;
          hg_vector sum[8] = {{0}};
          const int K = d->kernel_width < 8 ? d->kernel_width : 8;
          for (int x = 0; x < d->output_width; x++) {
            const hg_vector g = hg_load_some(dz + (int64_t)x * d->channels + v, lanes);
            const int left = x * d->stride_width - d->padding_left;
            for (int j = 0; j < K; j++)
              if (left + j >= 0 && left + j < d->width)
                sum[j] += g * hg_load_some(row + (left + j) * d->input_stride + v, lanes);
          }
          for (int j = 0; j < K; j++) hg_add_wide(&sums[i * d->kernel_width + j][v], sum[j]);
        }
      }
    }
  for (int c = c0; c < hg_min(c0 + HG_PANEL, d->channels); c++)
    for (int tap = 0; tap < taps; tap++) d->weight_gradient[(int64_t)c * taps + tap] += (float)sums[tap][c - c0];
}

static void HG_NAME(hg_dilate)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_dilate *d = descriptor;
  const int height = (d->height - 1) * d->stride_height + 1, width = (d->width - 1) * d->stride_width + 1;
  const int64_t image = task / height;
  const int y = task % height;
  float *out = d->output + (image * height + y) * (int64_t)width * d->channels;
  __builtin_memset(out, 0, sizeof(float) * (size_t)width * (size_t)d->channels);
  if (y % d->stride_height) return;
  const float *from = d->input + (image * d->height + y / d->stride_height) * (int64_t)d->width * d->channels;
  for (int x = 0; x < d->width; x++)
    __builtin_memcpy(out + (int64_t)x * d->stride_width * d->channels, from + (int64_t)x * d->channels,
                     sizeof(float) * (size_t)d->channels);
}

// One window: the gradient goes to the first pixel that has the maximum, each channel for itself. lanes of HG_LANES is a
// constant.
HG_INLINE void hg_maximum_gradient(const float *input, ptrdiff_t input_step, ptrdiff_t input_row, float *target,
                                   ptrdiff_t target_step, ptrdiff_t target_row, hg_vector gradient, int height, int width,
                                   int lanes) {
  hg_vector best = hg_splat(-__builtin_inff());
  for (int i = 0; i < height; i++)
    for (int j = 0; j < width; j++) best = hg_max(hg_load_some(input + i * input_row + j * input_step, lanes), best);
  hg_mask open = best == best;
  for (int i = 0; i < height; i++)
    for (int j = 0; j < width; j++) {
      const hg_mask take = open & (hg_load_some(input + i * input_row + j * input_step, lanes) == best);
      float *at = target + i * target_row + j * target_step;
      hg_store_some(at, hg_load_some(at, lanes) + (hg_vector)(take & (hg_mask)gradient), lanes);
      open &= ~take;
    }
}

static void HG_NAME(hg_maximum_pool_gradient)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_maximum_pool_gradient *d = descriptor;
  const int blocks = (d->channels + HG_PANEL - 1) / HG_PANEL, c0 = task % blocks * HG_PANEL;
  const int64_t image = task / blocks;
  const ptrdiff_t input_step = d->input_stride, input_row = d->width * input_step;
  const ptrdiff_t target_step = d->input_gradient_stride, target_row = d->width * target_step;
  for (int y = 0; y < d->output_height; y++)
    for (int x = 0; x < d->output_width; x++) {
      const int top = y * d->stride_height - d->padding_top, left = x * d->stride_width - d->padding_left;
      const int i0 = top < 0 ? 0 : top, height = hg_min(top + d->kernel_height, d->height) - i0;
      const int j0 = left < 0 ? 0 : left, width = hg_min(left + d->kernel_width, d->width) - j0;
      const int64_t pixel = (image * d->height + i0) * d->width + j0;
      const float *gradient =
          d->gradient + ((image * d->output_height + y) * d->output_width + x) * d->gradient_stride;
      for (int c = c0; c < hg_min(c0 + HG_PANEL, d->channels); c += HG_LANES) {
        const int lanes = d->channels - c;
        const float *from = d->input + pixel * input_step + c;
        float *to = d->input_gradient + pixel * target_step + c;
        if (lanes < HG_LANES)
          hg_maximum_gradient(from, input_step, input_row, to, target_step, target_row,
                              hg_load_some(gradient + c, lanes), height, width, lanes);
        else if (height == 2 && width == 2)
          hg_maximum_gradient(from, input_step, input_row, to, target_step, target_row, hg_load(gradient + c), 2, 2,
                              HG_LANES);
        else
          hg_maximum_gradient(from, input_step, input_row, to, target_step, target_row, hg_load(gradient + c), height,
                              width, HG_LANES);
      }
    }
}

static void HG_NAME(hg_elementwise_gradient)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_elementwise_gradient *d = descriptor;
  const int64_t row0 = (int64_t)task * d->rows_per_task, row1 = hg_min(row0 + d->rows_per_task, d->rows);
  const hg_vector share = hg_splat(1 / (float)d->rows_per_image);
  for (int64_t row = row0; row < row1; row++) {
    float *target = d->target + row * d->target_stride;
    const int64_t image = row / d->rows_per_image;
    const float *gradient = d->gradient ? d->gradient + (d->kind == HG_GRADIENT_MEAN ? image : row) * d->gradient_stride : NULL;
    const float *factor = d->factor ? d->factor + (d->kind == HG_GRADIENT_GATED ? image : row) * d->factor_stride : NULL;
    for (int c = 0; c < d->channels; c += HG_LANES) {
      const int lanes = d->channels - c;
      hg_vector x = {0};
      if (d->kind != HG_GRADIENT_ZERO) x = hg_load_some(target + c, lanes);
      const hg_vector g = gradient ? hg_load_some(gradient + c, lanes) : x, f = factor ? hg_load_some(factor + c, lanes) : x;
      switch (d->kind) {
        case HG_GRADIENT_ADD: x += g; break;
        case HG_GRADIENT_MEAN: x += g * share; break;
        case HG_GRADIENT_GATED: x += g * f; break;
        case HG_GRADIENT_MASK: x *= f; break;
        case HG_GRADIENT_ZERO: break;
        default: x += hg_pointwise_gradient(d->kind - HG_GRADIENT_POINTWISE, g, f); break;
      }
      hg_store_some(target + c, x, lanes);
    }
  }
}

static void HG_NAME(hg_gate_gradient)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_gate_gradient *d = descriptor;
  const int64_t first = (int64_t)task * d->pixels;
  for (int c = 0; c < d->channels; c += HG_LANES) {
    const int lanes = d->channels - c;
    hg_vector sum = {0};
    for (int pixel = 0; pixel < d->pixels; pixel++)
      sum += hg_load_some(d->input + (first + pixel) * d->input_stride + c, lanes) *
             hg_load_some(d->gradient + (first + pixel) * d->gradient_stride + c, lanes);
    float *target = d->target + task * d->target_stride + c;
    hg_store_some(target, hg_load_some(target, lanes) + sum, lanes);
  }
}

const hg_training_kernels HG_NAME(hg_training_kernels) = {
    .pack = HG_NAME(hg_pack_task), .pack_channels = HG_NAME(hg_pack_channels_task), .sums = HG_NAME(hg_unit_sums),
    .statistics = HG_NAME(hg_unit_statistics), .apply = HG_NAME(hg_unit_apply),
    .gradient_sums = HG_NAME(hg_unit_gradient_sums), .gradient_finish = HG_NAME(hg_unit_gradient_finish),
    .gradient_apply = HG_NAME(hg_unit_gradient_apply), .weight_gradient = HG_NAME(hg_weight_gradient),
    .weight_gradient_join = HG_NAME(hg_weight_gradient_join),
    .winograd_tiles = HG_NAME(hg_winograd_tiles), .winograd_gradient_join = HG_NAME(hg_winograd_gradient_join),
    .depthwise_gradient = HG_NAME(hg_depthwise_gradient),
    .dilate = HG_NAME(hg_dilate), .maximum_pool_gradient = HG_NAME(hg_maximum_pool_gradient),
    .elementwise_gradient = HG_NAME(hg_elementwise_gradient), .gate_gradient = HG_NAME(hg_gate_gradient),
    .quantize = HG_NAME(hg_quantize_task), .quantize_gradient = HG_NAME(hg_quantize_gradient_task),
    .quantize_weights = HG_NAME(hg_quantize_weights_task)};
