// The definition of the bfloat16 kernels in plain scalar C with sums in double, the packing of their weights, and which
// implementations this processor can run.
#include "CHGNetBFloat16.h"

#include <string.h>

#include "CHGNetKernels.h"

hg_bfloat16 hg_bfloat16_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  if (value != value) return (hg_bfloat16)((bits | 0x400000) >> 16);
  return (hg_bfloat16)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float hg_float_of_bfloat16(hg_bfloat16 value) {
  const uint32_t bits = (uint32_t)value << 16;
  float result;
  memcpy(&result, &bits, 4);
  return result;
}

// Widened panels and the sums of the largest register block, 8 rows by 3 panels.
static int64_t block_scratch(int64_t values) { return 3 * HG_PANEL * (values + 8) + 2 * HG_PANEL; }

int64_t hg_bfloat16_product_scratch(int64_t rows_per_task, int64_t channels) {
  return block_scratch(channels) + rows_per_task * channels;
}

int64_t hg_bfloat16_convolution_scratch(int64_t taps, int64_t channels) {
  // The rows of a block gathered in halves and widened.
  return block_scratch(taps * channels) + (8 + 4) * taps * channels;
}

int64_t hg_bfloat16_winograd_scratch(int64_t channels, int64_t columns, int64_t tiles_per_task) {
  const int64_t padded = (columns + HG_PANEL - 1) / HG_PANEL * HG_PANEL;
  // Both sides of 16 points, then widened panels and rows.
  return 16 * tiles_per_task * padded + 8 * tiles_per_task * channels + block_scratch(channels) + 8 * channels;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static double read(const void *p, int is_float, int64_t at) {
  return is_float ? ((const float *)p)[at] : hg_float_of_bfloat16(((const hg_bfloat16 *)p)[at]);
}

static void write(void *p, int is_float, int64_t at, double x) {
  if (is_float)
    ((float *)p)[at] = (float)x;
  else
    ((hg_bfloat16 *)p)[at] = hg_bfloat16_of((float)x);
}

static double bend(const hg_bfloat16_epilogue *e, double x, int64_t row, int64_t column) {
  if (x < e->lower) x = e->lower;
  x = x * e->scale + e->shift;
  return e->residual ? x + hg_float_of_bfloat16(e->residual[row * e->residual_stride + column]) : x;
}

static void product(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_bfloat16_product *d = descriptor;
  const int64_t row0 = (int64_t)(task / d->column_tasks) * d->rows_per_task;
  const int64_t row1 = least(row0 + d->rows_per_task, d->rows);
  const int64_t n0 = (int64_t)(task % d->column_tasks) * d->panels_per_task * HG_PANEL;
  const int64_t n1 = least(n0 + (int64_t)d->panels_per_task * HG_PANEL, d->columns);
  for (int64_t row = row0; row < row1; row++)
    for (int64_t n = n0; n < n1; n++) {
      double sum = d->bias[n];
      const hg_bfloat16 *weights = d->weights + n / HG_PANEL * d->channels * HG_PANEL + n % HG_PANEL * 2;
      for (int64_t k = 0; k < d->channels; k++)
        sum += (double)hg_float_of_bfloat16(d->input[row * d->input_stride + k]) *
               hg_float_of_bfloat16(weights[k / 2 * 2 * HG_PANEL + k % 2]);
      write(d->output, d->is_float_output, row * d->output_stride + n, bend(&d->epilogue, sum, row, n));
    }
}

// Whether a place of the window lies inside the picture, and the element of its first channel.
static int is_inside(const hg_bfloat16_geometry *g, int64_t pixel, int i, int j, int64_t *at) {
  const int64_t image = pixel / ((int64_t)g->output_height * g->output_width);
  const int64_t y = pixel / g->output_width % g->output_height * g->stride_height - g->padding_top + i;
  const int64_t x = pixel % g->output_width * g->stride_width - g->padding_left + j;
  *at = ((image * g->height + y) * g->width + x) * g->input_stride;
  return y >= 0 && y < g->height && x >= 0 && x < g->width;
}

static void convolution(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_bfloat16_convolution *d = descriptor;
  const hg_bfloat16_geometry *g = &d->window;
  const int64_t row = (int64_t)g->kernel_width * g->channels;
  const int64_t pixels = (int64_t)g->batch * g->output_height * g->output_width;
  const int64_t first = (int64_t)task * d->pixels_per_task, end = least(first + d->pixels_per_task, pixels);
  for (int64_t pixel = first; pixel < end; pixel++)
    for (int64_t n = 0; n < d->columns; n++) {
      double sum = d->bias[n];
      for (int i = 0; i < g->kernel_height; i++)
        for (int j = 0; j < g->kernel_width; j++) {
          int64_t at;
          if (!is_inside(g, pixel, i, j, &at)) continue;
          for (int64_t c = 0; c < g->channels; c++) {
            const int64_t k = (int64_t)j * g->channels + c;
            const double x = hg_float_of_bfloat16(((const hg_bfloat16 *)g->input)[at + c]);
            sum += x * hg_float_of_bfloat16(d->weights[((n / HG_PANEL * g->kernel_height + i) * row + k / 2 * 2) * HG_PANEL +
                                                       n % HG_PANEL * 2 + k % 2]);
          }
        }
      write(g->output, g->is_float_output, pixel * g->output_stride + n, bend(&d->epilogue, sum, pixel, n));
    }
}

static void depthwise(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_bfloat16_depthwise *d = descriptor;
  const hg_bfloat16_geometry *g = &d->window;
  const int32_t channel_tasks = (g->channels + d->channels_per_task - 1) / d->channels_per_task;
  const int32_t row_tasks = (g->output_height + d->rows_per_task - 1) / d->rows_per_task;
  const int64_t c0 = (int64_t)(task % channel_tasks) * d->channels_per_task;
  const int64_t c1 = least(c0 + d->channels_per_task, g->channels);
  const int64_t padded = (g->channels + HG_PANEL - 1) / HG_PANEL * HG_PANEL;
  const int64_t y0 = (int64_t)(task / channel_tasks % row_tasks) * d->rows_per_task;
  const int64_t y1 = least(y0 + d->rows_per_task, g->output_height), image = task / channel_tasks / row_tasks;
  for (int64_t y = y0; y < y1; y++)
    for (int64_t x = 0; x < g->output_width; x++) {
      const int64_t pixel = (image * g->output_height + y) * g->output_width + x;
      for (int64_t c = c0; c < c1; c++) {
        double sum = d->bias[c];
        for (int i = 0; i < g->kernel_height; i++)
          for (int j = 0; j < g->kernel_width; j++) {
            int64_t at;
            if (is_inside(g, pixel, i, j, &at))
              sum += read(g->input, g->is_float_input, at + c) * d->weights[(i * g->kernel_width + j) * padded + c];
          }
        write(g->output, g->is_float_output, pixel * g->output_stride + c, bend(&d->epilogue, sum, pixel, c));
      }
    }
}

static void maximum_pool(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_bfloat16_maximum_pool *d = descriptor;
  const hg_bfloat16_geometry *g = &d->window;
  const int32_t row_tasks = (g->output_height + d->rows_per_task - 1) / d->rows_per_task;
  const int64_t y0 = (int64_t)(task % row_tasks) * d->rows_per_task, image = task / row_tasks;
  const int64_t y1 = least(y0 + d->rows_per_task, g->output_height);
  for (int64_t y = y0; y < y1; y++)
    for (int64_t x = 0; x < g->output_width; x++) {
      const int64_t pixel = (image * g->output_height + y) * g->output_width + x;
      for (int64_t c = 0; c < g->channels; c++) {
        double best = -__builtin_inf();
        for (int i = 0; i < g->kernel_height; i++)
          for (int j = 0; j < g->kernel_width; j++) {
            int64_t at;
            if (!is_inside(g, pixel, i, j, &at)) continue;
            const double value = read(g->input, g->is_float_input, at + c);
            best = value > best || value != value ? value : best;
          }
        write(g->output, g->is_float_output, pixel * g->output_stride + c, best);
      }
    }
}

static void average_pool(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_bfloat16_average_pool *d = descriptor;
  const int32_t channel_tasks = (d->channels + d->channels_per_task - 1) / d->channels_per_task;
  const int64_t c0 = (int64_t)(task % channel_tasks) * d->channels_per_task, image = task / channel_tasks;
  for (int64_t c = c0; c < least(c0 + d->channels_per_task, d->channels); c++) {
    double sum = 0;
    for (int64_t pixel = 0; pixel < d->pixels; pixel++)
      sum += hg_float_of_bfloat16(d->input[(image * d->pixels + pixel) * d->input_stride + c]);
    write(d->output, d->is_float_output, image * d->output_stride + c, sum / d->pixels);
  }
}

static void elementwise(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_bfloat16_elementwise *d = descriptor;
  const int64_t row0 = (int64_t)task * d->rows_per_task, row1 = least(row0 + d->rows_per_task, d->rows);
  for (int64_t row = row0; row < row1; row++)
    for (int64_t c = 0; c < d->channels; c++) {
      const int64_t other = (d->kind == HG_GATE ? row / d->rows_per_image : row) * d->other_stride + c;
      double x = read(d->input, d->is_float_input, row * d->input_stride + c);
      if (d->kind == HG_ADD) x += read(d->other, d->is_float_other, other);
      if (d->kind == HG_GATE) x *= read(d->other, d->is_float_other, other);
      write(d->output, d->is_float_output, row * d->output_stride + c, bend(&d->epilogue, x, row, c));
    }
}

extern const hg_bfloat16_training_kernels hg_bfloat16_training_kernels_reference;

static const hg_bfloat16_kernels hg_bfloat16_kernels_reference = {
    .name = "reference", .product = product, .convolution = convolution,
    .depthwise = depthwise, .maximum_pool = maximum_pool, .average_pool = average_pool, .elementwise = elementwise,
    .training = &hg_bfloat16_training_kernels_reference};

void hg_pack_bfloat16(const float *weight, const float *factors, int32_t columns, int32_t channels, int32_t taps,
                      hg_bfloat16 *packed) {
  const int64_t values = (int64_t)taps * channels;
  for (int32_t first = 0; first < columns; first += HG_PANEL, packed += values * HG_PANEL) {
    if (columns - first < HG_PANEL) memset(packed, 0, sizeof *packed * (size_t)(values * HG_PANEL));
    for (int32_t lane = 0; lane < HG_PANEL && first + lane < columns; lane++) {
      const float factor = factors ? factors[first + lane] : 1;
      for (int32_t tap = 0; tap < taps; tap++) {
        const float *from = weight + (first + lane) * values + tap;
        hg_bfloat16 *to = packed + (int64_t)tap * channels * HG_PANEL + lane * 2;
        for (int64_t c = 0; c < channels; c += 2, to += 2 * HG_PANEL) {
          to[0] = hg_bfloat16_of(from[c * taps] * factor);
          to[1] = hg_bfloat16_of(from[(c + 1) * taps] * factor);
        }
      }
    }
  }
}

void hg_pack_bfloat16_linear(const float *weight, int32_t columns, int32_t channels, hg_bfloat16 *packed) {
  for (int32_t first = 0; first < columns; first += HG_PANEL, packed += (int64_t)channels * HG_PANEL)
    for (int64_t k = 0; k < channels; k++)
      for (int32_t lane = 0; lane < HG_PANEL; lane++)
        packed[k / 2 * 2 * HG_PANEL + lane * 2 + k % 2] =
            first + lane < columns ? hg_bfloat16_of(weight[k * columns + first + lane]) : 0;
}

#if defined(__x86_64__)
extern const hg_bfloat16_kernels hg_bfloat16_kernels_avx512_pairs, hg_bfloat16_kernels_avx512,
    hg_bfloat16_kernels_avx2, hg_bfloat16_kernels_baseline;
#elif defined(__aarch64__)
extern const hg_bfloat16_kernels hg_bfloat16_kernels_neon;
#else
extern const hg_bfloat16_kernels hg_bfloat16_kernels_baseline;
#endif

static int32_t list(const hg_bfloat16_kernels *found[6]) {
  int32_t count = 0;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw")) {
    // Intel's cores take four times as long for a vector of pairs as for one multiply-add, and longer for the
    // rounding than the integer instructions for it (measured on Emerald Rapids: products of 95 GFLOP/s a thread where
    // float32 has 180), AMD's as long (232 where float32 has 115).
    const int has_pairs = __builtin_cpu_supports("avx512bf16"), is_slow = __builtin_cpu_is("intel");
    if (has_pairs && !is_slow) found[count++] = &hg_bfloat16_kernels_avx512_pairs;
    found[count++] = &hg_bfloat16_kernels_avx512;
    if (has_pairs && is_slow) found[count++] = &hg_bfloat16_kernels_avx512_pairs;
  }
  if (avx2) found[count++] = &hg_bfloat16_kernels_avx2;
  found[count++] = &hg_bfloat16_kernels_baseline;
#elif defined(__aarch64__)
  found[count++] = &hg_bfloat16_kernels_neon;
#else
  found[count++] = &hg_bfloat16_kernels_baseline;
#endif
  found[count++] = &hg_bfloat16_kernels_reference;
  return count;
}

int32_t hg_bfloat16_kernels_count(void) {
  const hg_bfloat16_kernels *found[6];
  return list(found);
}

const hg_bfloat16_kernels *hg_bfloat16_kernels_at(int32_t index) {
  const hg_bfloat16_kernels *found[6];
  const int32_t count = list(found);
  return found[index < 0 || index >= count ? count - 1 : index];
}

const hg_bfloat16_kernels *hg_bfloat16_kernels_beside(const char *name) {
  const hg_bfloat16_kernels *found[6];
  const int32_t count = list(found);
  const size_t length = strlen(name);
  for (int32_t i = 0; i < count; i++)
    if (!strncmp(found[i]->name, name, length)) return found[i];
  return found[count - 1];
}
