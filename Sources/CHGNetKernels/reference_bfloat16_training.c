// The definition of the kernels of mixed-precision training in plain scalar C with sums in double.
#include <string.h>

#include "CHGNetKernels.h"

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t padded(int64_t channels) { return (channels + HG_PANEL - 1) / HG_PANEL * HG_PANEL; }

int64_t hg_bfloat16_weight_gradient_scratch(int32_t channels_per_task, int32_t columns_per_task, int32_t taps) {
  const int64_t rows = padded(channels_per_task), lanes = padded(columns_per_task);
  // The sums, and pairs of pixels of both sides in panels with a line between them.
  return taps * rows * lanes + (rows + lanes) / HG_PANEL * ((HG_GRADIENT_PIXELS + 2) * HG_PANEL / 2);
}

static double get(const void *p, int is_half, int64_t at) {
  return is_half ? hg_float_of_bfloat16(((const hg_bfloat16 *)p)[at]) : ((const float *)p)[at];
}

static double half(const void *p, int64_t at) { return get(p, 1, at); }

static void put(void *p, int is_half, int64_t at, double value) {
  if (is_half)
    ((hg_bfloat16 *)p)[at] = hg_bfloat16_of((float)value);
  else
    ((float *)p)[at] = (float)value;
}

static void pack(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_pack *d = descriptor;
  hg_bfloat16 *to = (hg_bfloat16 *)d->packed + (int64_t)task * d->taps * d->channels * HG_PANEL;
  for (int32_t tap = 0; tap < d->taps; tap++)
    for (int64_t c = 0; c < d->channels; c++)
      for (int32_t n = 0; n < HG_PANEL; n++) {
        const int64_t column = (int64_t)task * HG_PANEL + n, from = d->is_flipped ? d->taps - 1 - tap : tap;
        const float weight =
            column < d->columns ? d->weight[column * d->column_stride + c * d->channel_stride + from] : 0;
        to[((int64_t)tap * d->channels + c / 2 * 2) * HG_PANEL + 2 * n + c % 2] = hg_bfloat16_of(weight);
      }
}

static void sums(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_bfloat16_unit *h = descriptor;
  const hg_unit *d = &h->unit;
  double *to = d->sums + (int64_t)task * 4 * padded(d->channels);
  memset(to, 0, sizeof(double) * 4 * (size_t)padded(d->channels));
  const int64_t first = (int64_t)task * d->rows_per_chunk;
  for (int64_t row = first; row < least(first + d->rows_per_chunk, d->rows); row++)
    for (int32_t c = 0; c < d->channels; c++) {
      const double z = get(d->z, h->is_half_z, row * d->channels + c);
      to[c] += z;
      to[padded(d->channels) + c] += z * z;
    }
}

static void apply(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_bfloat16_unit *h = descriptor;
  const hg_unit *d = &h->unit;
  const int64_t first = (int64_t)task * d->rows_per_task;
  for (int64_t row = first; row < least(first + d->rows_per_task, d->rows); row++)
    for (int32_t c = 0; c < d->channels; c++) {
      double y = get(d->z, h->is_half_z, row * d->channels + c) * d->k[c] + d->o[c];
      if (d->is_rectified && y < 0) y = 0;
      y = y * (d->scale ? *d->scale : 1) + (d->shift ? *d->shift : 0);
      if (d->residual) y += get(d->residual, h->is_half_residual, row * d->residual_stride + c);
      put(d->output, h->is_half_output, row * d->output_stride + c, y);
    }
}

// The gradient of y and y behind the ReLU, for one value.
static double slope(const hg_bfloat16_unit *h, int64_t row, int32_t c, double *rectified) {
  const hg_unit *d = &h->unit;
  const double y = get(d->z, h->is_half_z, row * d->channels + c) * d->k[c] + d->o[c];
  const int is_open = !d->is_rectified || y > 0;
  *rectified = is_open ? y : 0;
  return is_open ? get(d->output, h->is_half_output, row * d->output_stride + c) * (d->scale ? *d->scale : 1) : 0;
}

static void gradient_sums(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_bfloat16_unit *h = descriptor;
  const hg_unit *d = &h->unit;
  const int64_t width = padded(d->channels), first = (int64_t)task * d->rows_per_chunk;
  double *to = d->sums + (int64_t)task * 4 * width;
  memset(to, 0, sizeof(double) * 4 * (size_t)width);
  for (int64_t row = first; row < least(first + d->rows_per_chunk, d->rows); row++)
    for (int32_t c = 0; c < d->channels; c++) {
      double rectified;
      const double steep = slope(h, row, c, &rectified);
      const double gradient = get(d->output, h->is_half_output, row * d->output_stride + c);
      to[c] += steep;
      to[width + c] += steep * (get(d->z, h->is_half_z, row * d->channels + c) - d->mean[c]);
      to[2 * width + c] += gradient * rectified;
      to[3 * width + c] += gradient;
    }
}

static void gradient_apply(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_bfloat16_unit *h = descriptor;
  const hg_unit *d = &h->unit;
  const int64_t first = (int64_t)task * d->rows_per_task;
  const int64_t distance = h->is_half_gradient && !h->is_half_z ? 2 * (int64_t)d->channels : d->channels;
  for (int64_t row = first; row < least(first + d->rows_per_task, d->rows); row++)
    for (int32_t c = 0; c < d->channels; c++) {
      double rectified;
      const double steep = slope(h, row, c, &rectified), z = get(d->z, h->is_half_z, row * d->channels + c);
      put(d->z, h->is_half_gradient, row * distance + c, steep * d->k[c] + z * d->alpha[c] + d->beta[c]);
    }
}

// Where a tap of an output pixel's window lies in the input: its pixel, -1 outside.
static int64_t window_pixel(int64_t pixel, int32_t tap, int32_t height, int32_t width, int32_t output_height,
                            int32_t output_width, int32_t kernel_width, int32_t stride_height, int32_t stride_width,
                            int32_t padding_top, int32_t padding_left) {
  const int64_t image = pixel / ((int64_t)output_height * output_width);
  const int64_t y = pixel / output_width % output_height * stride_height - padding_top + tap / kernel_width;
  const int64_t x = pixel % output_width * stride_width - padding_left + tap % kernel_width;
  return y < 0 || y >= height || x < 0 || x >= width ? -1 : (image * height + y) * width + x;
}

static void weight_gradient(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_weight_gradient *d = descriptor;
  const int32_t channel_blocks = (d->channels + d->channels_per_task - 1) / d->channels_per_task;
  const int32_t column_blocks = (d->columns + d->columns_per_task - 1) / d->columns_per_task;
  const int32_t c0 = task % channel_blocks * d->channels_per_task;
  const int32_t n0 = task / channel_blocks % column_blocks * d->columns_per_task;
  const int64_t chunk = task / channel_blocks / column_blocks;
  const int64_t pixels = (int64_t)d->batch * d->output_height * d->output_width, first = chunk * d->pixels_per_chunk;
  const int32_t taps = d->kernel_height * d->kernel_width;
  for (int32_t tap = 0; tap < taps; tap++)
    for (int32_t c = c0; c < least((int64_t)c0 + d->channels_per_task, d->channels); c++)
      for (int32_t n = n0; n < least((int64_t)n0 + d->columns_per_task, d->columns); n++) {
        float *to = d->partial + ((chunk * taps + tap) * d->channels + c) * d->columns + n;
        double sum = d->is_added ? *to : 0;
        for (int64_t pixel = first; pixel < least(first + d->pixels_per_chunk, pixels); pixel++) {
          const int64_t from = window_pixel(pixel, tap, d->height, d->width, d->output_height, d->output_width,
                                            d->kernel_width, d->stride_height, d->stride_width, d->padding_top,
                                            d->padding_left);
          if (from >= 0)
            sum += half(d->input, from * d->input_stride + c) * half(d->gradient, pixel * d->gradient_stride + n);
        }
        *to = (float)sum;
      }
}

static void depthwise_gradient(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_bfloat16_depthwise_gradient *h = descriptor;
  const hg_depthwise_gradient *d = &h->depthwise;
  const int32_t taps = d->kernel_height * d->kernel_width;
  const int64_t pixels = (int64_t)d->batch * d->output_height * d->output_width;
  for (int32_t c = task * HG_PANEL; c < least((int64_t)(task + 1) * HG_PANEL, d->channels); c++)
    for (int32_t tap = 0; tap < taps; tap++) {
      double sum = 0;
      for (int64_t pixel = 0; pixel < pixels; pixel++) {
        const int64_t from = window_pixel(pixel, tap, d->height, d->width, d->output_height, d->output_width,
                                          d->kernel_width, d->stride_height, d->stride_width, d->padding_top,
                                          d->padding_left);
        if (from >= 0) sum += half(d->input, from * d->input_stride + c) * half(d->gradient, pixel * h->gradient_stride + c);
      }
      d->weight_gradient[(int64_t)c * taps + tap] += (float)sum;
    }
}

static void dilate(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_bfloat16_dilate *h = descriptor;
  const hg_dilate *d = &h->dilate;
  const int64_t height = ((int64_t)d->height - 1) * d->stride_height + 1;
  const int64_t width = ((int64_t)d->width - 1) * d->stride_width + 1, image = task / height, y = task % height;
  for (int64_t x = 0; x < width; x++)
    for (int32_t c = 0; c < d->channels; c++) {
      const int is_pixel = y % d->stride_height == 0 && x % d->stride_width == 0;
      const int64_t from = (image * d->height + y / d->stride_height) * d->width + x / d->stride_width;
      ((hg_bfloat16 *)d->output)[((image * height + y) * width + x) * d->channels + c] =
          is_pixel ? ((const hg_bfloat16 *)d->input)[from * h->input_stride + c] : 0;
    }
}

static void maximum_pool_gradient(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_maximum_pool_gradient *d = descriptor;
  const int32_t blocks = (d->channels + HG_PANEL - 1) / HG_PANEL, c0 = task % blocks * HG_PANEL;
  const int64_t size = (int64_t)d->output_height * d->output_width, image = task / blocks;
  for (int64_t pixel = image * size; pixel < (image + 1) * size; pixel++)
    for (int32_t c = c0; c < least((int64_t)c0 + HG_PANEL, d->channels); c++) {
      int64_t best = -1;
      for (int32_t tap = 0; tap < d->kernel_height * d->kernel_width; tap++) {
        const int64_t from = window_pixel(pixel, tap, d->height, d->width, d->output_height, d->output_width,
                                          d->kernel_width, d->stride_height, d->stride_width, d->padding_top,
                                          d->padding_left);
        if (from < 0) continue;
        if (best < 0 || half(d->input, from * d->input_stride + c) > half(d->input, best * d->input_stride + c)) best = from;
      }
      const int64_t to = best * d->input_gradient_stride + c;
      if (best >= 0)
        put(d->input_gradient, 1, to, half(d->input_gradient, to) + half(d->gradient, pixel * d->gradient_stride + c));
    }
}

static void elementwise_gradient(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_bfloat16_elementwise_gradient *h = descriptor;
  const hg_elementwise_gradient *d = &h->elementwise;
  const int64_t first = (int64_t)task * d->rows_per_task;
  for (int64_t row = first; row < least(first + d->rows_per_task, d->rows); row++)
    for (int32_t c = 0; c < d->channels; c++) {
      const int64_t image = row / d->rows_per_image, to = row * d->target_stride + c;
      const int64_t gradient = (d->kind == HG_GRADIENT_MEAN ? image : row) * d->gradient_stride + c;
      const int64_t factor = (d->kind == HG_GRADIENT_GATED ? image : row) * d->factor_stride + c;
      const double g = d->gradient ? get(d->gradient, h->is_half_gradient, gradient) : 0;
      const double f = d->factor ? get(d->factor, h->is_half_factor, factor) : 0;
      const double x = d->kind == HG_GRADIENT_ZERO ? 0 : get(d->target, h->is_half_target, to);
      switch (d->kind) {
        case HG_GRADIENT_ADD: put(d->target, h->is_half_target, to, x + g); break;
        case HG_GRADIENT_MEAN: put(d->target, h->is_half_target, to, x + g / (double)d->rows_per_image); break;
        case HG_GRADIENT_GATED: put(d->target, h->is_half_target, to, x + g * f); break;
        case HG_GRADIENT_MASK: put(d->target, h->is_half_target, to, x * f); break;
        default: put(d->target, h->is_half_target, to, x); break;
      }
    }
}

static void gate_gradient(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_bfloat16_gate_gradient *h = descriptor;
  const hg_gate_gradient *d = &h->gate;
  for (int32_t c = 0; c < d->channels; c++) {
    const int64_t to = task * d->target_stride + c;
    double sum = get(d->target, h->is_half_target, to);
    for (int64_t pixel = (int64_t)task * d->pixels; pixel < (int64_t)(task + 1) * d->pixels; pixel++)
      sum += get(d->input, h->is_half_input, pixel * d->input_stride + c) *
             get(d->gradient, h->is_half_gradient, pixel * d->gradient_stride + c);
    put(d->target, h->is_half_target, to, sum);
  }
}

static const double weights_2[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
static const double input_2[4][4] = {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}};
static const double output_2[4][2] = {{1, 0}, {1, 1}, {1, -1}, {0, -1}};

static void winograd_pack(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_pack *d = descriptor;
  const int64_t distance = padded(d->columns) * d->channels;
  hg_bfloat16 *to = (hg_bfloat16 *)d->packed + (int64_t)task * d->channels * HG_PANEL;
  for (int64_t c = 0; c < d->channels; c++)
    for (int32_t n = 0; n < HG_PANEL; n++)
      for (int32_t point = 0; point < 16; point++) {
        const int64_t column = (int64_t)task * HG_PANEL + n;
        double sum = 0;
        for (int32_t tap = 0; tap < 9 && column < d->columns; tap++)
          sum += weights_2[point / 4][tap / 3] * weights_2[point % 4][tap % 3] *
                 d->weight[column * d->column_stride + c * d->channel_stride + (d->is_flipped ? 8 - tap : tap)];
        to[point * distance + c / 2 * 2 * HG_PANEL + 2 * n + c % 2] = hg_bfloat16_of((float)sum);
      }
}

// A point of a tile of the input, rounded.
static double point_of(const hg_bfloat16_winograd *d, int64_t tile, int64_t c, int32_t point) {
  const hg_bfloat16_geometry *g = &d->window;
  const int64_t across = (g->output_width + 1) / 2, down = (g->output_height + 1) / 2, image = tile / (across * down);
  double sum = 0;
  for (int32_t i = 0; i < 4; i++)
    for (int32_t j = 0; j < 4; j++) {
      const int64_t y = tile / across % down * 2 - g->padding_top + i, x = tile % across * 2 - g->padding_left + j;
      if (y < 0 || y >= g->height || x < 0 || x >= g->width) continue;
      sum += input_2[point / 4][i] * input_2[point % 4][j] * half(g->input, ((image * g->height + y) * g->width + x) * g->input_stride + c);
    }
  return hg_float_of_bfloat16(hg_bfloat16_of((float)sum));
}

static void winograd(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_bfloat16_winograd *d = descriptor;
  const hg_bfloat16_geometry *g = &d->window;
  const int64_t across = (g->output_width + 1) / 2, down = (g->output_height + 1) / 2, C = g->channels;
  const int64_t first = (int64_t)task * d->tiles_per_task;
  for (int64_t tile = first; tile < least(first + d->tiles_per_task, across * down * g->batch); tile++)
    for (int32_t n = 0; n < d->columns; n++) {
      double y[4] = {d->bias[n], d->bias[n], d->bias[n], d->bias[n]};
      for (int32_t point = 0; point < 16; point++) {
        const hg_bfloat16 *weights = d->weights + point * padded(d->columns) * C + n / HG_PANEL * C * HG_PANEL + n % HG_PANEL * 2;
        double sum = 0;
        for (int64_t c = 0; c < C; c++)
          sum += point_of(d, tile, c, point) * hg_float_of_bfloat16(weights[c / 2 * 2 * HG_PANEL + c % 2]);
        for (int32_t k = 0; k < 4; k++) y[k] += output_2[point / 4][k / 2] * output_2[point % 4][k % 2] * sum;
      }
      for (int32_t k = 0; k < 4; k++) {
        const int64_t row = tile / across % down * 2 + k / 2, column = tile % across * 2 + k % 2;
        if (row >= g->output_height || column >= g->output_width) continue;
        const int64_t pixel = (tile / (across * down) * g->output_height + row) * g->output_width + column;
        const hg_bfloat16_epilogue *e = &d->epilogue;
        double x = (y[k] < e->lower ? e->lower : y[k]) * e->scale + e->shift;
        if (e->residual) x += hg_float_of_bfloat16(e->residual[pixel * e->residual_stride + n]);
        put(g->output, !g->is_float_output, pixel * g->output_stride + n, x);
      }
    }
}

const hg_bfloat16_training_kernels hg_bfloat16_training_kernels_reference = {
    .pack = pack, .sums = sums, .apply = apply, .gradient_sums = gradient_sums, .gradient_apply = gradient_apply,
    .weight_gradient = weight_gradient, .depthwise_gradient = depthwise_gradient, .dilate = dilate,
    .maximum_pool_gradient = maximum_pool_gradient, .elementwise_gradient = elementwise_gradient,
    .gate_gradient = gate_gradient, .winograd = winograd, .winograd_pack = winograd_pack};
