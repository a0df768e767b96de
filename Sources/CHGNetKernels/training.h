// Training kernels over vector.h and product.h; included once per instruction set.
#include "unit.h"
#include "window_gradients.h"

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

static void HG_NAME(hg_unit_sums)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  hg_unit_sums_task(descriptor, task, 0);
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
  hg_unit_apply_task(descriptor, task, 0, 0, 0);
}

static void HG_NAME(hg_unit_gradient_sums)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  hg_unit_gradient_sums_task(descriptor, task, 0, 0);
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
  hg_unit_gradient_apply_task(descriptor, task, 0, 0, 0);
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
  hg_depthwise_gradient_task(d, task, d->channels, 0);
}

static void HG_NAME(hg_dilate)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_dilate *d = descriptor;
  hg_dilate_task(d, task, d->channels, sizeof(float));
}

static void HG_NAME(hg_maximum_pool_gradient)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  hg_maximum_pool_gradient_task(descriptor, task, 0);
}

static void HG_NAME(hg_elementwise_gradient)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  hg_elementwise_gradient_task(descriptor, task, 0, 0, 0);
}

static void HG_NAME(hg_gate_gradient)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  hg_gate_gradient_task(descriptor, task, 0, 0, 0);
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
