// Depthwise convolution, pooling and elementwise work: vectors run over channels. Included once per instruction set.

#include "pointwise.h"

// One row of outputs from x0, `count` ≤ T of them, for one vector of channels; K, S and T are constants.
HG_INLINE void hg_depthwise_run(const hg_depthwise *d, const float *image, int y, int x0, int count, int c, int lanes,
                                const int K, const int S, const int T) {
  const hg_geometry *g = &d->window;
  const ptrdiff_t stride = g->input_stride, row_stride = stride * g->width;
  const int padded = (g->channels + HG_PANEL - 1) / HG_PANEL * HG_PANEL;
  hg_vector sum[8];
  const hg_vector bias = hg_load(d->bias + c);
  HG_UNROLL for (int t = 0; t < T; t++) sum[t] = bias;
  const int left = x0 * S - g->padding_left;
  const int is_inside = left >= 0 && left + (T - 1) * S + K <= g->width && lanes >= HG_LANES;
  for (int i = 0; i < K; i++) {
    const int yy = y * S - g->padding_top + i;
    if (yy < 0 || yy >= g->height) continue;
    const float *row = image + yy * row_stride + c;
    const float *w = d->weights + (int64_t)i * K * padded + c;
    hg_vector v[8 * 2 + 5];
    if (is_inside) {
      HG_UNROLL for (int j = 0; j < (T - 1) * S + K; j++) v[j] = hg_load(row + (left + j) * stride);
    } else {
      HG_UNROLL for (int j = 0; j < (T - 1) * S + K; j++) {
        const int x = left + j;
        v[j] = x >= 0 && x < g->width ? hg_load_some(row + x * stride, lanes) : (hg_vector){0};
      }
    }
    HG_UNROLL for (int j = 0; j < K; j++) {
      const hg_vector ww = hg_load(w + (int64_t)j * padded);
      HG_UNROLL for (int t = 0; t < T; t++) sum[t] += ww * v[t * S + j];
    }
  }
  for (int t = 0; t < count; t++) {
    const int64_t pixel = ((image - g->input) / (row_stride * g->height) * g->output_height + y) * g->output_width + x0 + t;
    const float *residual = d->epilogue.residual ? d->epilogue.residual + pixel * d->epilogue.residual_stride + c : NULL;
    hg_finish(&d->epilogue, sum[t], residual, g->output + pixel * g->output_stride + c, lanes);
  }
}

// Any window, one output at a time.
HG_INLINE void hg_depthwise_any(const hg_depthwise *d, const float *image, int y, int x, int c, int lanes) {
  const hg_geometry *g = &d->window;
  const ptrdiff_t stride = g->input_stride, row_stride = stride * g->width;
  const int padded = (g->channels + HG_PANEL - 1) / HG_PANEL * HG_PANEL;
  hg_vector sum = hg_load(d->bias + c);
  for (int i = 0; i < g->kernel_height; i++)
    for (int j = 0; j < g->kernel_width; j++) {
      const int yy = y * g->stride_height - g->padding_top + i, xx = x * g->stride_width - g->padding_left + j;
      if (yy < 0 || yy >= g->height || xx < 0 || xx >= g->width) continue;
      sum += hg_load(d->weights + (int64_t)(i * g->kernel_width + j) * padded + c) *
             hg_load_some(image + yy * row_stride + xx * stride + c, lanes);
    }
  const int64_t pixel = ((image - g->input) / (row_stride * g->height) * g->output_height + y) * g->output_width + x;
  const float *residual = d->epilogue.residual ? d->epilogue.residual + pixel * d->epilogue.residual_stride + c : NULL;
  hg_finish(&d->epilogue, sum, residual, g->output + pixel * g->output_stride + c, lanes);
}

static void HG_NAME(hg_depthwise)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_depthwise *d = descriptor;
  const hg_geometry *g = &d->window;
  const int channel_tasks = (g->channels + d->channels_per_task - 1) / d->channels_per_task;
  const int row_tasks = (g->output_height + d->rows_per_task - 1) / d->rows_per_task;
  const int c0 = task % channel_tasks * d->channels_per_task, c1 = hg_min(c0 + d->channels_per_task, g->channels);
  const int y0 = task / channel_tasks % row_tasks * d->rows_per_task;
  const int y1 = hg_min(y0 + d->rows_per_task, g->output_height);
  const float *image =
      g->input + (int64_t)(task / channel_tasks / row_tasks) * g->height * g->width * g->input_stride;
  const int is_square = g->kernel_height == g->kernel_width && g->stride_height == g->stride_width;
  const int kind = is_square ? g->kernel_height * 10 + g->stride_height : 0;
  for (int c = c0; c < c1; c += HG_LANES) {
    const int lanes = c1 - c;
    for (int y = y0; y < y1; y++)
      for (int x = 0; x < g->output_width;) {
        const int count = hg_min(HG_DEPTHWISE_RUN, g->output_width - x);
        switch (kind) {
          case 51: hg_depthwise_run(d, image, y, x, count, c, lanes, 5, 1, HG_DEPTHWISE_RUN); break;
          case 31: hg_depthwise_run(d, image, y, x, count, c, lanes, 3, 1, HG_DEPTHWISE_RUN); break;
          case 32: hg_depthwise_run(d, image, y, x, count, c, lanes, 3, 2, HG_DEPTHWISE_RUN); break;
          default:
            for (int t = 0; t < count; t++) hg_depthwise_any(d, image, y, x + t, c, lanes);
        }
        x += count;
      }
  }
}

// The maxima of `run` windows of `count` pixels, each `distance` after the one before; a constant count unrolls.
HG_INLINE void hg_maximum(const float *const *pixels, const int count, int run, ptrdiff_t distance, float *output,
                          ptrdiff_t output_stride, int channels) {
  const int some = channels < HG_LANES ? channels : HG_LANES;
  for (ptrdiff_t at = 0; run > 0; run--, at += distance, output += output_stride)
    for (int next = 0; next < channels; next += HG_LANES) {
      // The last vector overlaps the one before, which writes the same values twice.
      const int c = next + some <= channels ? next : channels - some;
      hg_vector best = hg_load_some(pixels[0] + at + c, some);
      for (int i = 1; i < count; i++) best = hg_max(hg_load_some(pixels[i] + at + c, some), best);
      hg_store_some(output + c, best, some);
    }
}

static void HG_NAME(hg_maximum_pool)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_maximum_pool *d = descriptor;
  const hg_geometry *g = &d->window;
  const int row_tasks = (g->output_height + d->rows_per_task - 1) / d->rows_per_task;
  const int image = task / row_tasks;
  const int y0 = task % row_tasks * d->rows_per_task, y1 = hg_min(y0 + d->rows_per_task, g->output_height);
  const ptrdiff_t stride = g->input_stride, row_stride = stride * g->width;
  const float *base = g->input + (int64_t)image * g->height * row_stride;
  for (int y = y0; y < y1; y++) {
    const int top = y * g->stride_height - g->padding_top;
    const int i0 = top < 0 ? 0 : top, i1 = hg_min(top + g->kernel_height, g->height);
    float *out = g->output + ((int64_t)image * g->output_height + y) * g->output_width * g->output_stride;
    for (int x = 0, run; x < g->output_width; x += run, out += run * g->output_stride) {
      const int left = x * g->stride_width - g->padding_left;
      const int j0 = left < 0 ? 0 : left, j1 = hg_min(left + g->kernel_width, g->width);
      const float *pixels[HG_MAXIMUM_TAPS];
      int count = 0;
      for (int i = i0; i < i1; i++)
        for (int j = j0; j < j1; j++) pixels[count++] = base + i * row_stride + j * stride;
      // Windows that leave the picture neither left nor right need one list for all.
      const int is_inside = j1 - j0 == g->kernel_width;
      run = is_inside ? hg_min((g->width - j1) / g->stride_width + 1, g->output_width - x) : 1;
      const ptrdiff_t distance = g->stride_width * stride;
      switch (count) {
        case 0: break;  // A window wholly in the border: the engine refuses such a geometry.
        case 4: hg_maximum(pixels, 4, run, distance, out, g->output_stride, g->channels); break;
        case 9: hg_maximum(pixels, 9, run, distance, out, g->output_stride, g->channels); break;
        default: hg_maximum(pixels, count, run, distance, out, g->output_stride, g->channels);
      }
    }
  }
}

static void HG_NAME(hg_average_pool)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_average_pool *d = descriptor;
  const int channel_tasks = (d->channels + d->channels_per_task - 1) / d->channels_per_task;
  const int c0 = task % channel_tasks * d->channels_per_task, c1 = hg_min(c0 + d->channels_per_task, d->channels);
  const int image = task / channel_tasks;
  const float *base = d->input + (int64_t)image * d->pixels * d->input_stride;
  for (int c = c0; c < c1; c += HG_LANES) {
    const int lanes = c1 - c;
    hg_vector sum = {0};
    for (int pixel = 0; pixel < d->pixels; pixel++) sum += hg_load_some(base + pixel * d->input_stride + c, lanes);
    hg_store_some(d->output + image * d->output_stride + c, sum / hg_splat((float)d->pixels), lanes);
  }
}

static void HG_NAME(hg_elementwise)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_elementwise *d = descriptor;
  const int64_t row0 = (int64_t)task * d->rows_per_task, row1 = hg_min(row0 + d->rows_per_task, d->rows);
  for (int64_t row = row0; row < row1; row++) {
    const float *a = d->input + row * d->input_stride;
    const float *b = d->other ? d->other + (d->kind == HG_GATE ? row / d->rows_per_image : row) * d->other_stride : NULL;
    const float *residual = d->epilogue.residual ? d->epilogue.residual + row * d->epilogue.residual_stride : NULL;
    float *out = d->output + row * d->output_stride;
    if (d->kind >= HG_POINTWISE) {
      for (int c = 0; c < d->channels; c++) out[c] = (float)hg_pointwise_value(d->kind - HG_POINTWISE, a[c]);
      continue;
    }
    if (d->kind == HG_SOFTMAX) {
      float largest = a[0];
      for (int c = 1; c < d->channels; c++) largest = a[c] > largest ? a[c] : largest;
      double sum = 0;
      for (int c = 0; c < d->channels; c++) sum += exp((double)a[c] - largest);
      for (int c = 0; c < d->channels; c++) out[c] = (float)(exp((double)a[c] - largest) / sum);
      continue;
    }
    for (int c = 0; c < d->channels; c += HG_LANES) {
      const int lanes = d->channels - c;
      hg_vector x = hg_load_some(a + c, lanes);
      if (d->kind == HG_ADD) x += hg_load_some(b + c, lanes);
      if (d->kind == HG_GATE) x *= hg_load_some(b + c, lanes);
      hg_finish(&d->epilogue, x, residual ? residual + c : NULL, out + c, lanes);
    }
  }
}

const hg_kernels HG_NAME(hg_kernels) = {
    .name = HG_ISA_NAME, .block_rows = HG_BLOCK_ROWS, .block_panels = HG_BLOCK_PANELS, .lanes = HG_LANES,
    .product = HG_NAME(hg_product), .strassen = HG_NAME(hg_strassen), .convolution = HG_NAME(hg_convolution),
    .winograd = HG_NAME(hg_winograd),
    .depthwise = HG_NAME(hg_depthwise), .maximum_pool = HG_NAME(hg_maximum_pool),
    .average_pool = HG_NAME(hg_average_pool), .elementwise = HG_NAME(hg_elementwise),
    .peak_arithmetic = HG_NAME(hg_peak_arithmetic), .peak_reading = HG_NAME(hg_peak_reading),
    .decoder = &HG_NAME(hg_decoder_kernels)};
