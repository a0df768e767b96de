// The definition of every training kernel in plain scalar C with sums in double: what the fast forms are compared with.
#include <math.h>
#include <string.h>

#include "CHGNetKernels.h"
#include "reference_pointwise.h"

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static int32_t panels_of(int32_t channels) { return (channels + HG_PANEL - 1) / HG_PANEL; }

static int32_t padded(int32_t channels) { return panels_of(channels) * HG_PANEL; }

// The matrices of Winograd F(4×4, 3×3), and the weights' of F(2×2, 3×3).
static const double weights_4[6][3] = {{1 / 4.0, 0, 0},
                                       {-1 / 6.0, -1 / 6.0, -1 / 6.0},
                                       {-1 / 6.0, 1 / 6.0, -1 / 6.0},
                                       {1 / 24.0, 1 / 12.0, 1 / 6.0},
                                       {1 / 24.0, -1 / 12.0, 1 / 6.0},
                                       {0, 0, 1}};
static const double weights_2[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
static const double input_4[6][6] = {{4, 0, -5, 0, 1, 0},  {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0},
                                     {0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}};
static const double output_4[6][4] = {{1, 0, 0, 0}, {1, 1, 1, 1},   {1, -1, 1, -1},
                                      {1, 2, 4, 8}, {1, -2, 4, -8}, {0, 0, 0, 1}};

static void pack(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_pack *d = descriptor;
  const int32_t points = d->winograd_tile + 2, panels = panels_of(d->columns);
  for (int32_t n = 0; n < HG_PANEL; n++)
    for (int32_t c = 0; c < d->channels; c++) {
      const int64_t column = (int64_t)task * HG_PANEL + n;
      double taps[25];
      for (int32_t tap = 0; tap < d->taps; tap++)
        taps[tap] = column < d->columns ? d->weight[column * d->column_stride + c * d->channel_stride +
                                                    (d->is_flipped ? d->taps - 1 - tap : tap)]
                                        : 0;
      if (!d->winograd_tile) {
        for (int32_t tap = 0; tap < d->taps; tap++)
          d->packed[(((int64_t)task * d->taps + tap) * d->channels + c) * HG_PANEL + n] = (float)taps[tap];
        continue;
      }
      for (int32_t point = 0; point < points * points; point++) {
        const double *down = d->winograd_tile == 4 ? weights_4[point / points] : weights_2[point / points];
        const double *across = d->winograd_tile == 4 ? weights_4[point % points] : weights_2[point % points];
        double sum = 0;
        for (int32_t tap = 0; tap < 9; tap++) sum += down[tap / 3] * taps[tap] * across[tap % 3];
        d->packed[(((int64_t)point * panels + task) * d->channels + c) * HG_PANEL + n] = (float)sum;
      }
    }
}

static void pack_channels(const void *descriptor, int32_t task, float *scratch) {
  (void)task, (void)scratch;
  const hg_pack_channels *d = descriptor;
  for (int32_t tap = 0; tap < d->taps; tap++)
    for (int32_t c = 0; c < padded(d->channels); c++)
      d->packed[tap * padded(d->channels) + c] =
          c < d->channels ? d->weight[(int64_t)c * d->taps + (d->is_flipped ? d->taps - 1 - tap : tap)] : 0;
}

static void unit_sums(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_unit *d = descriptor;
  double *sums = d->sums + (int64_t)task * 4 * padded(d->channels);
  memset(sums, 0, sizeof(double) * 4 * (size_t)padded(d->channels));
  const int64_t first = (int64_t)task * d->rows_per_chunk;
  for (int64_t row = first; row < least(first + d->rows_per_chunk, d->rows); row++)
    for (int32_t c = 0; c < d->channels; c++) {
      const double z = d->z[row * d->channels + c];
      sums[c] += z;
      sums[padded(d->channels) + c] += z * z;
    }
}

// The sum of one kind over all chunks.
static double joined(const hg_unit *d, int32_t kind, int32_t channel) {
  double sum = 0;
  for (int64_t chunk = 0; chunk * d->rows_per_chunk < d->rows; chunk++)
    sum += d->sums[(chunk * 4 + kind) * padded(d->channels) + channel];
  return sum;
}

static void unit_statistics(const void *descriptor, int32_t task, float *scratch) {
  (void)task, (void)scratch;
  const hg_unit *d = descriptor;
  const double rows = d->total ? d->total[2 * padded(d->channels)] : (double)d->rows;
  for (int32_t c = 0; c < d->channels; c++) {
    // One value has no variance: it stays as it is, and so do the running statistics.
    const int is_single = d->is_normalized && !d->is_fixed && rows == 1;
    if (!d->is_normalized || is_single) {
      d->k[c] = 1, d->o[c] = d->bias && !is_single ? d->bias[c] : 0, d->mean[c] = 0, d->deviation[c] = 1;
      continue;
    }
    double mean, variance;
    if (d->is_fixed) {
      mean = d->running_mean[c], variance = d->running_variance[c];
    } else {
      const double sum = d->total ? d->total[c] : joined(d, 0, c);
      const double squares = d->total ? d->total[padded(d->channels) + c] : joined(d, 1, c);
      mean = sum / rows, variance = fmax(squares / rows - mean * mean, 0);
      if (d->running_mean) d->running_mean[c] = (float)(d->momentum * d->running_mean[c] + (1 - (double)d->momentum) * mean);
      if (d->running_variance)
        d->running_variance[c] = (float)(d->momentum * d->running_variance[c] + (1 - (double)d->momentum) * variance);
    }
    const double deviation = 1 / sqrt(variance + d->epsilon);
    d->mean[c] = (float)mean, d->deviation[c] = (float)deviation;
    d->k[c] = (float)(d->gamma[c] * deviation), d->o[c] = (float)(d->bias[c] - mean * d->gamma[c] * deviation);
  }
}

static void unit_apply(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_unit *d = descriptor;
  const int64_t first = (int64_t)task * d->rows_per_task;
  for (int64_t row = first; row < least(first + d->rows_per_task, d->rows); row++)
    for (int32_t c = 0; c < d->channels; c++) {
      double y = (double)d->z[row * d->channels + c] * d->k[c] + d->o[c];
      if (d->is_rectified && y < 0) y = 0;
      y = y * (d->scale ? *d->scale : 1) + (d->shift ? *d->shift : 0);
      if (d->residual) y += d->residual[row * d->residual_stride + c];
      d->output[row * d->output_stride + c] = (float)y;
    }
}

// The gradient of y and y behind the ReLU, for one value.
static double unit_slope(const hg_unit *d, int64_t row, int32_t c, double *rectified) {
  const double y = (double)d->z[row * d->channels + c] * d->k[c] + d->o[c];
  const int is_open = !d->is_rectified || y > 0;
  *rectified = is_open ? y : 0;
  return is_open ? (double)d->output[row * d->output_stride + c] * (d->scale ? *d->scale : 1) : 0;
}

static void unit_gradient_sums(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_unit *d = descriptor;
  const int32_t width = padded(d->channels);
  double *sums = d->sums + (int64_t)task * 4 * width;
  memset(sums, 0, sizeof(double) * 4 * (size_t)width);
  const int64_t first = (int64_t)task * d->rows_per_chunk;
  for (int64_t row = first; row < least(first + d->rows_per_chunk, d->rows); row++)
    for (int32_t c = 0; c < d->channels; c++) {
      double rectified;
      const double slope = unit_slope(d, row, c, &rectified), gradient = d->output[row * d->output_stride + c];
      sums[c] += slope;
      sums[width + c] += slope * ((double)d->z[row * d->channels + c] - d->mean[c]);
      sums[2 * width + c] += gradient * rectified;
      sums[3 * width + c] += gradient;
    }
}

static void unit_gradient_finish(const void *descriptor, int32_t task, float *scratch) {
  (void)task, (void)scratch;
  const hg_unit *d = descriptor;
  const double rows = d->total ? d->total[2 * padded(d->channels)] : (double)d->rows;
  double scale = 0, shift = 0;
  for (int32_t c = 0; c < d->channels; c++) {
    double plain = joined(d, 0, c), centred = joined(d, 1, c);
    scale += joined(d, 2, c), shift += joined(d, 3, c);
    d->alpha[c] = d->beta[c] = 0;
    if (d->is_normalized && !d->is_fixed && rows == 1) continue;
    if (d->bias_gradient) d->bias_gradient[c] += (float)plain;
    if (d->gamma_gradient) d->gamma_gradient[c] += (float)(centred * d->deviation[c]);
    if (!d->is_normalized || d->is_fixed) continue;
    if (d->total) plain = d->total[c], centred = d->total[padded(d->channels) + c];
    // dz = k (dy - mean(dy) - (z - mean) deviation² mean(dy (z - mean))) = k dy + alpha z + beta.
    const double tilt = centred * d->deviation[c] * d->deviation[c] / rows;
    d->alpha[c] = (float)(-d->k[c] * tilt);
    d->beta[c] = (float)(d->k[c] * (tilt * d->mean[c] - plain / rows));
  }
  if (d->scale_gradient) *d->scale_gradient += (float)scale;
  if (d->shift_gradient) *d->shift_gradient += (float)shift;
}

static void unit_gradient_apply(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_unit *d = descriptor;
  const int64_t first = (int64_t)task * d->rows_per_task;
  for (int64_t row = first; row < least(first + d->rows_per_task, d->rows); row++)
    for (int32_t c = 0; c < d->channels; c++) {
      double rectified;
      const double slope = unit_slope(d, row, c, &rectified), z = d->z[row * d->channels + c];
      d->z[row * d->channels + c] = (float)(slope * d->k[c] + z * d->alpha[c] + d->beta[c]);
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
  const int32_t channels = d->is_run ? d->channels : d->channels_per_task;
  const int32_t columns = d->is_run ? d->columns : d->columns_per_task;
  const int32_t channel_blocks = (d->channels + channels - 1) / channels;
  const int32_t column_blocks = (d->columns + columns - 1) / columns;
  const int32_t c0 = task % channel_blocks * channels, n0 = task / channel_blocks % column_blocks * columns;
  const int64_t chunk = task / channel_blocks / column_blocks;
  const int64_t pixels = (int64_t)d->batch * d->output_height * d->output_width, first = chunk * d->pixels_per_chunk;
  const int32_t taps = d->kernel_height * d->kernel_width;
  for (int32_t tap = 0; tap < taps; tap++)
    for (int32_t c = c0; c < least((int64_t)c0 + channels, d->channels); c++)
      for (int32_t n = n0; n < least((int64_t)n0 + columns, d->columns); n++) {
        float *to = d->partial + ((chunk * taps + tap) * d->channels + c) * d->columns + n;
        double sum = d->is_added ? *to : 0;
        for (int64_t pixel = first; pixel < least(first + d->pixels_per_chunk, pixels); pixel++) {
          const int64_t from = window_pixel(pixel, tap, d->height, d->width, d->output_height, d->output_width,
                                            d->kernel_width, d->stride_height, d->stride_width, d->padding_top,
                                            d->padding_left);
          if (from >= 0)
            sum += (double)d->input[from * d->input_stride + c] * d->gradient[pixel * d->gradient_stride + n];
        }
        *to = (float)sum;
      }
}

static void weight_gradient_join(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_weight_gradient_join *d = descriptor;
  const int64_t size = (int64_t)d->taps * d->channels * d->columns;
  for (int32_t c = task * HG_PANEL; c < least((int64_t)(task + 1) * HG_PANEL, d->channels); c++)
    for (int32_t n = 0; n < d->columns; n++)
      for (int32_t tap = 0; tap < d->taps; tap++) {
        double sum = 0;
        for (int32_t chunk = 0; chunk < d->chunks; chunk++)
          sum += d->partial[chunk * size + ((int64_t)tap * d->channels + c) * d->columns + n];
        d->gradient[n * d->column_stride + c * d->channel_stride + tap] += (float)sum;
      }
}

static void winograd_tiles(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_winograd_tiles *d = descriptor;
  const int32_t side = d->is_gradient ? 4 : 6;
  const int64_t first = (int64_t)task * d->tiles_per_task, per_image = (int64_t)d->down * d->across;
  for (int64_t tile = first; tile < least(first + d->tiles_per_task, d->tiles); tile++)
    for (int32_t c = 0; c < d->channels; c++)
      for (int32_t point = 0; point < 36; point++) {
        double sum = 0;
        for (int32_t i = 0; i < side; i++)
          for (int32_t j = 0; j < side; j++) {
            const int64_t image = tile / per_image, y = tile % per_image / d->across * 4 - d->padding_top + i;
            const int64_t x = tile % d->across * 4 - d->padding_left + j;
            if (image >= d->batch || y < 0 || y >= d->height || x < 0 || x >= d->width) continue;
            const int64_t at = ((image * d->height + y) * d->width + x) * d->stride + c;
            const double value =
                d->is_bfloat16 ? hg_float_of_bfloat16(((const hg_bfloat16 *)d->input)[at]) : d->input[at];
            sum += value * (d->is_gradient ? output_4[point / 6][i] * output_4[point % 6][j]
                                           : input_4[point / 6][i] * input_4[point % 6][j]);
          }
        d->values[(point * (int64_t)d->tiles + tile) * d->channels + c] = (float)sum;
      }
}

static void winograd_gradient_join(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_weight_gradient_join *d = descriptor;
  for (int32_t c = task * HG_PANEL; c < least((int64_t)(task + 1) * HG_PANEL, d->channels); c++)
    for (int32_t n = 0; n < d->columns; n++)
      for (int32_t tap = 0; tap < 9; tap++) {
        double sum = 0;
        for (int32_t point = 0; point < 36; point++)
          for (int32_t chunk = 0; chunk < d->chunks; chunk++)
            sum += weights_4[point / 6][tap / 3] * weights_4[point % 6][tap % 3] *
                   d->partial[(((int64_t)point * d->chunks + chunk) * d->channels + c) * d->columns + n];
        d->gradient[n * d->column_stride + c * d->channel_stride + tap] += (float)sum;
      }
}

static void depthwise_gradient(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_depthwise_gradient *d = descriptor;
  const int32_t taps = d->kernel_height * d->kernel_width;
  const int64_t pixels = (int64_t)d->batch * d->output_height * d->output_width;
  for (int32_t c = task * HG_PANEL; c < least((int64_t)(task + 1) * HG_PANEL, d->channels); c++)
    for (int32_t tap = 0; tap < taps; tap++) {
      double sum = 0;
      for (int64_t pixel = 0; pixel < pixels; pixel++) {
        const int64_t from = window_pixel(pixel, tap, d->height, d->width, d->output_height, d->output_width,
                                          d->kernel_width, d->stride_height, d->stride_width, d->padding_top,
                                          d->padding_left);
        if (from >= 0) sum += (double)d->input[from * d->input_stride + c] * d->gradient[pixel * d->channels + c];
      }
      d->weight_gradient[(int64_t)c * taps + tap] += (float)sum;
    }
}

static void dilate(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_dilate *d = descriptor;
  const int64_t height = ((int64_t)d->height - 1) * d->stride_height + 1;
  const int64_t width = ((int64_t)d->width - 1) * d->stride_width + 1, image = task / height, y = task % height;
  for (int64_t x = 0; x < width; x++)
    for (int32_t c = 0; c < d->channels; c++) {
      const int is_pixel = y % d->stride_height == 0 && x % d->stride_width == 0;
      d->output[((image * height + y) * width + x) * d->channels + c] =
          is_pixel ? d->input[((image * d->height + y / d->stride_height) * d->width + x / d->stride_width) * d->channels + c]
                   : 0;
    }
}

static void maximum_pool_gradient(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_maximum_pool_gradient *d = descriptor;
  const int32_t blocks = panels_of(d->channels), c0 = task % blocks * HG_PANEL;
  const int64_t size = (int64_t)d->output_height * d->output_width, image = task / blocks;
  for (int64_t pixel = image * size; pixel < (image + 1) * size; pixel++)
    for (int32_t c = c0; c < least((int64_t)c0 + HG_PANEL, d->channels); c++) {
      int64_t best = -1;
      for (int32_t tap = 0; tap < d->kernel_height * d->kernel_width; tap++) {
        const int64_t from = window_pixel(pixel, tap, d->height, d->width, d->output_height, d->output_width,
                                          d->kernel_width, d->stride_height, d->stride_width, d->padding_top,
                                          d->padding_left);
        if (from >= 0 && (best < 0 || d->input[from * d->input_stride + c] > d->input[best * d->input_stride + c]))
          best = from;
      }
      if (best >= 0) d->input_gradient[best * d->input_gradient_stride + c] += d->gradient[pixel * d->gradient_stride + c];
    }
}

static void elementwise_gradient(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_elementwise_gradient *d = descriptor;
  const int64_t first = (int64_t)task * d->rows_per_task;
  for (int64_t row = first; row < least(first + d->rows_per_task, d->rows); row++)
    for (int32_t c = 0; c < d->channels; c++) {
      float *target = d->target + row * d->target_stride + c;
      const int64_t image = row / d->rows_per_image;
      const double g = d->gradient ? d->gradient[(d->kind == HG_GRADIENT_MEAN ? image : row) * d->gradient_stride + c] : 0;
      const double f = d->factor ? d->factor[(d->kind == HG_GRADIENT_GATED ? image : row) * d->factor_stride + c] : 0;
      switch (d->kind) {
        case HG_GRADIENT_ZERO: *target = 0; break;
        case HG_GRADIENT_ADD: *target = (float)(*target + g); break;
        case HG_GRADIENT_MEAN: *target = (float)(*target + g / (double)d->rows_per_image); break;
        case HG_GRADIENT_GATED: *target = (float)(*target + g * f); break;
        case HG_GRADIENT_MASK: *target = (float)(*target * f); break;
        default: *target = (float)(*target + pointwise_gradient(d->kind - HG_GRADIENT_POINTWISE, g, f)); break;
      }
    }
}

static void gate_gradient(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_gate_gradient *d = descriptor;
  for (int32_t c = 0; c < d->channels; c++) {
    double sum = 0;
    for (int64_t pixel = (int64_t)task * d->pixels; pixel < (int64_t)(task + 1) * d->pixels; pixel++)
      sum += (double)d->input[pixel * d->input_stride + c] * d->gradient[pixel * d->gradient_stride + c];
    d->target[task * d->target_stride + c] += (float)sum;
  }
}

hg_byte_scale hg_byte_scale_of(const float *range) {
  const double low = range[0] < 0 ? range[0] : 0, high = range[1] > 0 ? range[1] : 0;
  hg_byte_scale bytes = {(float)((high - low) / 255), 0};
  // A range of nothing can have any scale.
  if (!isnormal(bytes.scale)) bytes.scale = 1;
  const double zero = round(-low / (double)bytes.scale);
  bytes.zero = zero > 255 ? 255 : zero > 0 ? (int32_t)zero : 0;
  return bytes;
}

// Quantised values are compared bit for bit, so that these are sums and products of floats, too; a 0 has no sign.
static void quantize(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_quantize *d = descriptor;
  const hg_byte_scale bytes = hg_byte_scale_of(d->range);
  const float inverse = 1 / bytes.scale;
  const int64_t first = (int64_t)task * d->rows_per_task;
  for (int64_t row = first; row < least(first + d->rows_per_task, d->rows); row++)
    for (int32_t c = 0; c < d->channels; c++) {
      float *x = d->values + row * d->stride + c;
      const float steps = *x * inverse;
      const float lowest = (float)-bytes.zero, highest = (float)(255 - bytes.zero);
      if (d->outside)
        d->outside[row * d->channels + c] =
            (uint8_t)(steps < lowest - HG_OUTSIDE ? 1 : steps > highest + HG_OUTSIDE ? 2 : 0);
      *x = (steps < lowest ? lowest : steps > highest ? highest : rintf(steps) + 0.0f) * bytes.scale;
    }
}

static void quantize_gradient(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_quantize_gradient *d = descriptor;
  const int64_t first = (int64_t)task * d->rows_per_task;
  double *sums = d->sums + 2 * (int64_t)task;
  sums[0] = sums[1] = 0;
  for (int64_t row = first; row < least(first + d->rows_per_task, d->rows); row++)
    for (int32_t c = 0; c < d->channels; c++) {
      const uint8_t outside = d->outside[row * d->channels + c];
      if (!outside) continue;
      sums[outside - 1] += (double)d->gradient[row * d->stride + c];
      d->gradient[row * d->stride + c] = 0;
    }
}

static void quantize_weights(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_quantize_weights *d = descriptor;
  for (int64_t channel = (int64_t)task * HG_PANEL; channel < least((task + 1) * HG_PANEL, d->channels); channel++) {
    const int64_t start = channel * d->channel_stride;
    float largest = 0;
    for (int64_t i = 0; i < d->count; i++) largest = fmaxf(largest, fabsf(d->weights[start + i * d->value_stride]));
    float scale = largest / 127;
    if (!isnormal(scale)) scale = 1;
    for (int64_t i = start; i < start + d->count * d->value_stride; i += d->value_stride) {
      const float steps = rintf(d->weights[i] / scale) + 0.0f;
      d->rounded[i] = (steps > 127 ? 127 : steps < -127 ? -127 : steps) * scale;
    }
  }
}

const hg_training_kernels hg_training_kernels_reference = {
    .pack = pack, .pack_channels = pack_channels, .sums = unit_sums, .statistics = unit_statistics, .apply = unit_apply,
    .gradient_sums = unit_gradient_sums, .gradient_finish = unit_gradient_finish, .gradient_apply = unit_gradient_apply,
    .weight_gradient = weight_gradient, .weight_gradient_join = weight_gradient_join, .winograd_tiles = winograd_tiles,
    .winograd_gradient_join = winograd_gradient_join, .depthwise_gradient = depthwise_gradient, .dilate = dilate,
    .maximum_pool_gradient = maximum_pool_gradient, .elementwise_gradient = elementwise_gradient,
    .gate_gradient = gate_gradient, .quantize = quantize, .quantize_gradient = quantize_gradient,
    .quantize_weights = quantize_weights};
