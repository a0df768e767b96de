// The definition of every inference kernel in plain scalar C with sums in double: what the fast forms are compared with.
#include <math.h>

#include "CHGNetKernels.h"
#include "reference_pointwise.h"

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static void finish(const hg_epilogue *e, double x, int64_t row, int32_t column, float *output) {
  if (x < e->lower) x = e->lower;
  x = x * e->scale + e->shift;
  if (e->residual) x += e->residual[row * e->residual_stride + column];
  *output = (float)x;
}

static void product(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_product *d = descriptor;
  const int64_t row0 = (int64_t)(task / d->column_tasks) * d->rows_per_task;
  const int64_t row1 = least(row0 + d->rows_per_task, d->rows);
  const int32_t n0 = (task % d->column_tasks) * d->panels_per_task * HG_PANEL;
  const int32_t n1 = (int32_t)least((int64_t)n0 + d->panels_per_task * HG_PANEL, d->columns);
  for (int64_t row = row0; row < row1; row++)
    for (int32_t n = n0; n < n1; n++) {
      double sum = d->is_added ? d->output[row * d->output_stride + n] : d->bias[n];
      for (int64_t k = 0; k < d->channels; k++)
        sum += (double)d->input[row * d->input_stride + k] *
               d->weights[(n / HG_PANEL * (int64_t)d->channels + k) * HG_PANEL + n % HG_PANEL];
      finish(&d->epilogue, sum, row, n, &d->output[row * d->output_stride + n]);
    }
}

// The rows of both halves of a block of pairs, and the columns of both halves.
static void strassen(const void *descriptor, int32_t task, float *scratch) {
  const hg_strassen *d = descriptor;
  const int64_t pairs = d->pixels / 2, row_task = task / d->column_tasks, part = row_task % d->tasks_per_image;
  const int64_t pair0 = pairs * part / d->tasks_per_image, end = pairs * (part + 1) / d->tasks_per_image;
  const int32_t half = d->columns / HG_PANEL / 2, panel0 = task % d->column_tasks * d->panels_per_task;
  for (int i = 0; i < 2; i++)
    for (int j = 0; j < 2; j++) {
      const int64_t row = row_task / d->tasks_per_image * d->pixels + pair0 + i * pairs;
      const int32_t panel = panel0 + j * half, column = panel * HG_PANEL;
      hg_product part = {.input = d->input + row * d->input_stride, .input_stride = d->input_stride,
                         .rows = end - pair0, .channels = d->channels,
                         .columns = (int32_t)least(d->panels_per_task, half - panel0) * HG_PANEL,
                         .weights = d->weights + (int64_t)panel * d->channels * HG_PANEL, .bias = d->bias + column,
                         .output = d->output + row * d->output_stride + column, .output_stride = d->output_stride,
                         .epilogue = d->epilogue, .panels_per_task = half, .column_tasks = 1, .is_added = d->is_added};
      if (part.epilogue.residual) part.epilogue.residual += row * d->epilogue.residual_stride + column;
      part.rows_per_task = (int32_t)part.rows;
      product(&part, 0, scratch);
    }
}

// The input value at a place of an image; outside it is `border`.
static float at(const hg_geometry *g, int64_t image, int64_t y, int64_t x, int64_t c, float border) {
  if (y < 0 || y >= g->height || x < 0 || x >= g->width) return border;
  return g->input[((image * g->height + y) * g->width + x) * g->input_stride + c];
}

// The convolution of one output pixel with weight(tap, c, n).
static void convolve(const hg_geometry *g, int64_t pixel, int32_t columns, const float *bias, const hg_epilogue *e,
                     double (*weight)(const void *, int32_t, int32_t, int32_t), const void *context) {
  const int64_t image = pixel / ((int64_t)g->output_height * g->output_width);
  const int64_t y = pixel / g->output_width % g->output_height, x = pixel % g->output_width;
  for (int32_t n = 0; n < columns; n++) {
    double sum = bias[n];
    for (int32_t i = 0; i < g->kernel_height; i++)
      for (int32_t j = 0; j < g->kernel_width; j++)
        for (int32_t c = 0; c < g->channels; c++)
          sum += at(g, image, y * g->stride_height - g->padding_top + i, x * g->stride_width - g->padding_left + j, c, 0) *
                 weight(context, i * g->kernel_width + j, c, n);
    finish(e, sum, pixel, n, &g->output[pixel * g->output_stride + n]);
  }
}

static double dense_weight(const void *context, int32_t tap, int32_t c, int32_t n) {
  const hg_convolution *d = context;
  const int64_t taps = d->window.kernel_height * d->window.kernel_width;
  return d->weights[((n / HG_PANEL * taps + tap) * d->window.channels + c) * HG_PANEL + n % HG_PANEL];
}

static void convolution(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_convolution *d = descriptor;
  const int64_t first = (int64_t)task * d->pixels_per_task;
  const int64_t pixels = (int64_t)d->window.batch * d->window.output_height * d->window.output_width;
  for (int64_t pixel = first; pixel < least(first + d->pixels_per_task, pixels); pixel++)
    convolve(&d->window, pixel, d->columns, d->bias, &d->epilogue, dense_weight, d);
}

// Winograd from its definition: Y = Aᵀ [ (Bᵀ d B) ∘ U summed over channels ] A.
static const double winograd_b4[6][6] = {{4, 0, -5, 0, 1, 0},  {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0},
                                         {0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}};
static const double winograd_a4[4][6] = {{1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}};
static const double winograd_b2[6][6] = {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}};
static const double winograd_a2[4][6] = {{1, 1, 1, 0}, {0, 1, -1, -1}};

// The input of a Winograd convolution, in either type.
static float tile_value(const hg_winograd *d, int64_t image, int64_t y, int64_t x, int64_t c) {
  const hg_geometry *g = &d->window;
  if (!d->is_bfloat16) return at(g, image, y, x, c, 0);
  if (y < 0 || y >= g->height || x < 0 || x >= g->width) return 0;
  const hg_bfloat16 *input = (const hg_bfloat16 *)g->input;
  return hg_float_of_bfloat16(input[((image * g->height + y) * g->width + x) * g->input_stride + c]);
}

// A result of a Winograd convolution to its place.
static void finish_tile(const hg_winograd *d, double sum, int64_t pixel, int32_t n) {
  const hg_epilogue *e = &d->epilogue;
  if (!d->is_bfloat16) {
    finish(e, sum, pixel, n, &d->window.output[pixel * d->window.output_stride + n]);
    return;
  }
  sum = (sum < e->lower ? e->lower : sum) * e->scale + e->shift;
  if (e->residual)
    sum += hg_float_of_bfloat16(((const hg_bfloat16 *)e->residual)[pixel * e->residual_stride + n]);
  ((hg_bfloat16 *)d->window.output)[pixel * d->window.output_stride + n] = hg_bfloat16_of((float)sum);
}

static void winograd(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_winograd *d = descriptor;
  const hg_geometry *g = &d->window;
  const int side = d->tile, points = side + 2;
  const double(*A)[6] = side == 2 ? winograd_a2 : winograd_a4, (*B)[6] = side == 2 ? winograd_b2 : winograd_b4;
  const int64_t across = (g->output_width + side - 1) / side, down = (g->output_height + side - 1) / side;
  const int64_t tile0 = (int64_t)(task / d->column_tasks) * d->tiles_per_task;
  const int64_t tile1 = least(tile0 + d->tiles_per_task, across * down * g->batch);
  const int64_t panels = (d->columns + HG_PANEL - 1) / HG_PANEL;
  const int32_t n0 = (task % d->column_tasks) * d->panels_per_task * HG_PANEL;
  const int32_t n1 = (int32_t)least((int64_t)n0 + d->panels_per_task * HG_PANEL, d->columns);
  for (int64_t tile = tile0; tile < tile1; tile++) {
    const int64_t image = tile / (across * down), y0 = tile / across % down * side, x0 = tile % across * side;
    for (int32_t n = n0; n < n1; n++) {
      double m[6][6] = {{0}};
      for (int32_t c = 0; c < g->channels; c++)
        for (int i = 0; i < points; i++)
          for (int j = 0; j < points; j++) {
            double v = 0;
            for (int a = 0; a < points; a++)
              for (int b = 0; b < points; b++)
                if (B[i][a] != 0 && B[j][b] != 0)
                  v += B[i][a] * B[j][b] * tile_value(d, image, y0 - g->padding_top + a, x0 - g->padding_left + b, c);
            m[i][j] += v * d->weights[(((i * points + j) * panels + n / HG_PANEL) * g->channels + c) * HG_PANEL + n % HG_PANEL];
          }
      for (int i = 0; i < side && y0 + i < g->output_height; i++)
        for (int j = 0; j < side && x0 + j < g->output_width; j++) {
          double sum = d->bias[n];
          for (int a = 0; a < points; a++)
            for (int b = 0; b < points; b++) sum += A[i][a] * A[j][b] * m[a][b];
          const int64_t pixel = (image * g->output_height + y0 + i) * g->output_width + x0 + j;
          finish_tile(d, sum, pixel, n);
        }
    }
  }
}

static void depthwise(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_depthwise *d = descriptor;
  const hg_geometry *g = &d->window;
  const int64_t padded = (g->channels + HG_PANEL - 1) / HG_PANEL * HG_PANEL;
  const int32_t channel_tasks = (g->channels + d->channels_per_task - 1) / d->channels_per_task;
  const int32_t row_tasks = (g->output_height + d->rows_per_task - 1) / d->rows_per_task;
  const int32_t c0 = task % channel_tasks * d->channels_per_task;
  const int32_t y0 = task / channel_tasks % row_tasks * d->rows_per_task;
  const int64_t image = task / channel_tasks / row_tasks;
  for (int64_t y = y0; y < least((int64_t)y0 + d->rows_per_task, g->output_height); y++)
    for (int64_t x = 0; x < g->output_width; x++)
      for (int32_t c = c0; c < least((int64_t)c0 + d->channels_per_task, g->channels); c++) {
        double sum = d->bias[c];
        for (int32_t i = 0; i < g->kernel_height; i++)
          for (int32_t j = 0; j < g->kernel_width; j++)
            sum += (double)at(g, image, y * g->stride_height - g->padding_top + i,
                              x * g->stride_width - g->padding_left + j, c, 0) *
                   d->weights[(i * g->kernel_width + j) * padded + c];
        const int64_t pixel = (image * g->output_height + y) * g->output_width + x;
        finish(&d->epilogue, sum, pixel, c, &g->output[pixel * g->output_stride + c]);
      }
}

static void maximum_pool(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_maximum_pool *d = descriptor;
  const hg_geometry *g = &d->window;
  const int32_t row_tasks = (g->output_height + d->rows_per_task - 1) / d->rows_per_task;
  const int64_t image = task / row_tasks, y0 = (int64_t)(task % row_tasks) * d->rows_per_task;
  for (int64_t y = y0; y < least(y0 + d->rows_per_task, g->output_height); y++)
    for (int64_t x = 0; x < g->output_width; x++)
      for (int32_t c = 0; c < g->channels; c++) {
        float best = -INFINITY;
        for (int32_t i = 0; i < g->kernel_height; i++)
          for (int32_t j = 0; j < g->kernel_width; j++) {
            const float value = at(g, image, y * g->stride_height - g->padding_top + i,
                                   x * g->stride_width - g->padding_left + j, c, -INFINITY);
            if (!(value <= best)) best = value;
          }
        g->output[((image * g->output_height + y) * g->output_width + x) * g->output_stride + c] = best;
      }
}

static void average_pool(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_average_pool *d = descriptor;
  const int32_t channel_tasks = (d->channels + d->channels_per_task - 1) / d->channels_per_task;
  const int32_t c0 = task % channel_tasks * d->channels_per_task;
  const int64_t image = task / channel_tasks;
  for (int32_t c = c0; c < least((int64_t)c0 + d->channels_per_task, d->channels); c++) {
    double sum = 0;
    for (int64_t pixel = 0; pixel < d->pixels; pixel++)
      sum += d->input[(image * d->pixels + pixel) * d->input_stride + c];
    d->output[image * d->output_stride + c] = (float)(sum / d->pixels);
  }
}

static void elementwise(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_elementwise *d = descriptor;
  const int64_t row0 = (int64_t)task * d->rows_per_task;
  for (int64_t row = row0; row < least(row0 + d->rows_per_task, d->rows); row++) {
    const float *a = d->input + row * d->input_stride;
    float *out = d->output + row * d->output_stride;
    double sum = 0, largest = -INFINITY;
    for (int32_t c = 0; c < d->channels; c++) largest = a[c] > largest ? a[c] : largest;
    for (int32_t c = 0; c < d->channels; c++) sum += exp(a[c] - largest);
    for (int32_t c = 0; c < d->channels; c++) {
      double x = a[c];
      if (d->kind >= HG_POINTWISE) {
        out[c] = (float)pointwise_value(d->kind - HG_POINTWISE, x);
        continue;
      }
      switch (d->kind) {
        case HG_SOFTMAX: out[c] = (float)(exp(x - largest) / sum); continue;
        case HG_ADD: x += d->other[row * d->other_stride + c]; break;
        case HG_GATE: x *= d->other[row / d->rows_per_image * d->other_stride + c]; break;
        default: break;
      }
      finish(&d->epilogue, x, row, c, &out[c]);
    }
  }
}

// One chain in scalar form stands for what this implementation can do.
static void peak_arithmetic(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_peak *d = descriptor;
  volatile float factor = 0.999f, term = 0.001f;
  float sum = term;
  const float by = factor, add = term;
  for (int64_t repeat = 0; repeat < 12 * d->repeats; repeat++) sum = sum * by + add;
  d->sums[task * 16] = sum;
}

static void peak_reading(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_peak *d = descriptor;
  float sum = 0;
  for (int64_t i = 0; i < d->repeats * d->count; i++) sum += d->memory[task * d->count + i % d->count];
  d->sums[task * 16] = sum;
}

extern const hg_decoder_kernels hg_decoder_kernels_reference;

const hg_kernels hg_kernels_reference = {
    .name = "reference", .block_rows = 4, .block_panels = 1, .lanes = 1, .product = product, .strassen = strassen,
    .convolution = convolution, .winograd = winograd, .depthwise = depthwise, .maximum_pool = maximum_pool,
    .average_pool = average_pool, .elementwise = elementwise, .peak_arithmetic = peak_arithmetic,
    .peak_reading = peak_reading, .decoder = &hg_decoder_kernels_reference};
