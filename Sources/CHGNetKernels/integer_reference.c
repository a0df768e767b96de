// The definition of every 8-bit kernel in plain scalar C; the fast forms give the same bits.
#include <math.h>

#include "CHGNetInteger.h"

#pragma STDC FP_CONTRACT OFF

enum { GROUP = 4, PANEL = HG_INTEGER_PANEL };

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t padded(int64_t count, int64_t unit) { return (count + unit - 1) / unit * unit; }

// No number becomes the lower bound.
static float bound(float y, float lower, float upper) {
  y = y > lower ? y : lower;
  return y < upper ? y : upper;
}

static void store(float y, int is_float, void *output, int64_t at) {
  if (is_float)
    ((float *)output)[at] = y;
  else
    ((uint8_t *)output)[at] = (uint8_t)nearbyintf(y);
}

static void finish(const hg_integer_finish *f, int32_t sum, int64_t row, int64_t column, void *output, int64_t stride) {
  float y = (float)sum * f->factor[column];
  y = bound(y + f->bias[column], f->lower, f->upper);
  if (f->residual) {
    const float addend = (float)f->residual[row * f->residual_stride + column] * f->residual_factor;
    y = y + addend;
    if (!f->is_float) y = bound(y, 0, 255);
  }
  store(y, f->is_float, output, row * stride + column);
}

static void product(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_integer_product *d = descriptor;
  const int64_t row0 = (int64_t)(task / d->column_tasks) * d->rows_per_task;
  const int64_t n0 = (int64_t)(task % d->column_tasks) * d->panels_per_task * PANEL;
  const int64_t channels = padded(d->channels, 4);
  for (int64_t row = row0; row < least(row0 + d->rows_per_task, d->rows); row++)
    for (int64_t n = n0; n < least(n0 + (int64_t)d->panels_per_task * PANEL, d->columns); n++) {
      int32_t sum = d->start[n];
      for (int64_t k = 0; k < d->channels; k++)
        sum += d->input[row * d->input_stride + k] *
               d->weights[((n / PANEL * channels / GROUP + k / GROUP) * PANEL + n % PANEL) * GROUP + k % GROUP];
      finish(&d->finish, sum, row, n, d->output, d->output_stride);
    }
}

// Where a pixel's channels begin, -1 outside of the picture.
static int64_t place(const hg_integer_geometry *g, int64_t image, int64_t y, int64_t x) {
  if (y < 0 || y >= g->height || x < 0 || x >= g->width) return -1;
  return ((image * g->height + y) * g->width + x) * g->input_stride;
}

static int32_t convolution_input(const hg_integer_convolution *d, int64_t at, int64_t c) {
  if (at < 0) return d->zero;
  if (!d->is_float_input) return ((const uint8_t *)d->window.input)[at + c];
  const float x = ((const float *)d->window.input)[at + c] * d->input_factor;
  return (int32_t)nearbyintf(bound(x + d->input_shift, 0, 255));
}

static void convolution(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_integer_convolution *d = descriptor;
  const hg_integer_geometry *g = &d->window;
  const int32_t row_tasks = (g->output_height + d->rows_per_task - 1) / d->rows_per_task;
  const int64_t image = task / d->column_tasks / row_tasks;
  const int64_t y0 = (int64_t)(task / d->column_tasks % row_tasks) * d->rows_per_task;
  const int64_t n0 = (int64_t)(task % d->column_tasks) * d->panels_per_task * PANEL;
  const int64_t channels = padded(g->channels, 4), taps = g->kernel_height * g->kernel_width;
  for (int64_t y = y0; y < least(y0 + d->rows_per_task, g->output_height); y++)
    for (int64_t x = 0; x < g->output_width; x++)
      for (int64_t n = n0; n < least(n0 + (int64_t)d->panels_per_task * PANEL, d->columns); n++) {
        int32_t sum = d->start[n];
        for (int32_t i = 0; i < g->kernel_height; i++)
          for (int32_t j = 0; j < g->kernel_width; j++) {
            const int64_t at = place(g, image, y * g->stride_height - g->padding_top + i,
                                     x * g->stride_width - g->padding_left + j);
            const int64_t block = (n / PANEL * taps + i * g->kernel_width + j) * channels / GROUP;
            for (int64_t c = 0; c < g->channels; c++)
              sum += convolution_input(d, at, c) *
                     d->weights[((block + c / GROUP) * PANEL + n % PANEL) * GROUP + c % GROUP];
          }
        finish(&d->finish, sum, (image * g->output_height + y) * g->output_width + x, n, g->output, g->output_stride);
      }
}

static void depthwise(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_integer_depthwise *d = descriptor;
  const hg_integer_geometry *g = &d->window;
  const int32_t channel_tasks = (g->channels + d->channels_per_task - 1) / d->channels_per_task;
  const int32_t row_tasks = (g->output_height + d->rows_per_task - 1) / d->rows_per_task;
  const int64_t c0 = (int64_t)(task % channel_tasks) * d->channels_per_task;
  const int64_t y0 = (int64_t)(task / channel_tasks % row_tasks) * d->rows_per_task;
  const int64_t image = task / channel_tasks / row_tasks;
  const int64_t groups = (g->kernel_width + GROUP - 1) / GROUP;
  const uint8_t *input = g->input;
  for (int64_t y = y0; y < least(y0 + d->rows_per_task, g->output_height); y++)
    for (int64_t x = 0; x < g->output_width; x++)
      for (int64_t c = c0; c < least(c0 + d->channels_per_task, g->channels); c++) {
        int32_t sum = d->start[c];
        for (int32_t i = 0; i < g->kernel_height; i++)
          for (int32_t j = 0; j < g->kernel_width; j++) {
            const int64_t at = place(g, image, y * g->stride_height - g->padding_top + i,
                                     x * g->stride_width - g->padding_left + j);
            sum += (at < 0 ? d->zero : input[at + c]) *
                   d->weights[((i * groups + j / GROUP) * padded(g->channels, PANEL) + c) * GROUP + j % GROUP];
          }
        finish(&d->finish, sum, (image * g->output_height + y) * g->output_width + x, c, g->output, g->output_stride);
      }
}

static void maximum_pool(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_integer_maximum_pool *d = descriptor;
  const hg_integer_geometry *g = &d->window;
  const int32_t row_tasks = (g->output_height + d->rows_per_task - 1) / d->rows_per_task;
  const int64_t image = task / row_tasks, y0 = (int64_t)(task % row_tasks) * d->rows_per_task;
  const uint8_t *input = g->input;
  for (int64_t y = y0; y < least(y0 + d->rows_per_task, g->output_height); y++)
    for (int64_t x = 0; x < g->output_width; x++)
      for (int64_t c = 0; c < g->channels; c++) {
        int32_t best = 0;
        for (int32_t i = 0; i < g->kernel_height; i++)
          for (int32_t j = 0; j < g->kernel_width; j++) {
            const int64_t at = place(g, image, y * g->stride_height - g->padding_top + i,
                                     x * g->stride_width - g->padding_left + j);
            if (at >= 0 && input[at + c] > best) best = input[at + c];
          }
        const float scaled = (float)best * d->factor;
        store(bound(scaled + d->shift, 0, 255), 0, g->output,
              ((image * g->output_height + y) * g->output_width + x) * g->output_stride + c);
      }
}

static void average_pool(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_integer_average_pool *d = descriptor;
  const int32_t channel_tasks = (d->channels + d->channels_per_task - 1) / d->channels_per_task;
  const int64_t c0 = (int64_t)(task % channel_tasks) * d->channels_per_task, image = task / channel_tasks;
  for (int64_t c = c0; c < least(c0 + d->channels_per_task, d->channels); c++) {
    int32_t sum = 0;
    for (int64_t pixel = 0; pixel < d->pixels; pixel++)
      sum += d->input[(image * d->pixels + pixel) * d->input_stride + c];
    const float y = (float)sum * d->factor;
    store(bound(y + d->shift, d->lower, d->upper), d->is_float, d->output, image * d->output_stride + c);
  }
}

static void elementwise(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_integer_elementwise *d = descriptor;
  const int64_t row0 = (int64_t)task * d->rows_per_task;
  for (int64_t row = row0; row < least(row0 + d->rows_per_task, d->rows); row++)
    for (int64_t c = 0; c < d->channels; c++) {
      const int64_t at = row * d->input_stride + c;
      float y = d->is_float_input ? ((const float *)d->input)[at] : ((const uint8_t *)d->input)[at];
      y = y * d->factor;
      y = y + d->shift;
      if (d->kind == HG_INTEGER_ADD) {
        const float addend = ((const uint8_t *)d->other)[row * d->other_stride + c] * d->other_factor;
        y = y + addend;
      }
      if (d->kind == HG_INTEGER_GATE) {
        y = y * ((const float *)d->other)[row / d->rows_per_image * d->other_stride + c];
        y = y + d->other_factor;
      }
      store(bound(y, d->lower, d->upper), d->is_float_output, d->output, row * d->output_stride + c);
    }
}

const hg_integer_kernels hg_integer_kernels_reference = {
    .name = "reference", .block_rows = 4, .block_panels = 1, .lanes = 1, .group = GROUP, .offset = 0,
    .product = product, .convolution = convolution, .depthwise = depthwise, .maximum_pool = maximum_pool,
    .average_pool = average_pool, .elementwise = elementwise};
