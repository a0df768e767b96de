// 8-bit weights as the kernels read them, and the memory that tasks need.
#include <string.h>

#include "CHGNetInteger.h"

static int64_t padded(int64_t count, int64_t unit) { return (count + unit - 1) / unit * unit; }
// Bytes of an activation beside its neighbours.
static int64_t activation(const hg_integer_kernels *kernels) { return 4 / kernels->group; }

int64_t hg_integer_product_scratch(const hg_integer_kernels *kernels, int32_t rows_per_task, int32_t channels) {
  return (rows_per_task * padded(channels, 4) * activation(kernels) + 3) / 4;
}

int64_t hg_integer_convolution_scratch(const hg_integer_kernels *kernels, int32_t rows, int32_t columns, int32_t width,
                                       int32_t channels) {
  const int64_t units = (int64_t)rows * columns * padded(channels, 4) * activation(kernels);
  // A row of a float picture becomes bytes first, which are read 4 at a time.
  return (units + (int64_t)width * channels + 4 + 3) / 4;
}

int64_t hg_integer_depthwise_scratch(const hg_integer_kernels *kernels, int32_t output_width, int32_t stride_width,
                                     int32_t kernel_height, int32_t kernel_width) {
  const int64_t columns = (output_width + 8) * (int64_t)stride_width + padded(kernel_width, kernels->group);
  return kernel_height * columns * kernels->lanes;
}

int64_t hg_integer_dense_bytes(int32_t columns, int32_t channels, int32_t taps) {
  return padded(columns, HG_INTEGER_PANEL) * padded(channels, 4) * taps;
}

int64_t hg_integer_depthwise_bytes(const hg_integer_kernels *kernels, int32_t channels, int32_t kernel_height,
                                   int32_t kernel_width) {
  return padded(channels, HG_INTEGER_PANEL) * kernel_height * padded(kernel_width, kernels->group);
}

// One output channel at its lane of a panel, `group` weights to a unit; a constant group and distance unroll.
static inline int32_t pack_column(const int8_t *weight, int64_t distance, int32_t channels, int32_t taps,
                                  const int64_t group, int64_t groups, int8_t *to) {
  int32_t sum = 0;
  for (int32_t tap = 0; tap < taps; tap++) {
    const int8_t *from = weight + tap;
    int64_t c = 0;
    for (; c + group <= channels; c += group, to += group * HG_INTEGER_PANEL)
      for (int64_t i = 0; i < group; i++) {
        to[i] = from[(c + i) * distance];
        sum += to[i];
      }
    for (int64_t i = 0; c + i < channels; i++) {
      to[i] = from[(c + i) * distance];
      sum += to[i];
    }
    to += (groups - c / group) * group * HG_INTEGER_PANEL;
  }
  return sum;
}

void hg_integer_pack_dense(const hg_integer_kernels *kernels, const int8_t *weight, int32_t columns, int32_t channels,
                           int32_t taps, int32_t zero, int8_t *packed, int32_t *start) {
  const int64_t group = kernels->group, groups = padded(channels, 4) / group;
  memset(packed, 0, (size_t)hg_integer_dense_bytes(columns, channels, taps));
  memset(start, 0, sizeof(int32_t) * (size_t)padded(columns, HG_INTEGER_PANEL));
  for (int64_t n = 0; n < columns; n++) {
    const int8_t *from = weight + n * channels * taps;
    int8_t *to = packed + (n / HG_INTEGER_PANEL * taps * groups * HG_INTEGER_PANEL + n % HG_INTEGER_PANEL) * group;
    int32_t sum;
    if (group == 4)
      sum = taps == 1 ? pack_column(from, 1, channels, 1, 4, groups, to) : pack_column(from, taps, channels, taps, 4, groups, to);
    else
      sum = pack_column(from, taps, channels, taps, group, groups, to);
    start[n] = (kernels->offset - zero) * sum;
  }
}

void hg_integer_pack_linear(const hg_integer_kernels *kernels, const int8_t *weight, int32_t columns, int32_t channels,
                            int32_t zero, int8_t *packed, int32_t *start) {
  const int64_t group = kernels->group, panel_bytes = padded(channels, 4) * HG_INTEGER_PANEL;
  memset(packed, 0, (size_t)hg_integer_dense_bytes(columns, channels, 1));
  memset(start, 0, sizeof(int32_t) * (size_t)padded(columns, HG_INTEGER_PANEL));
  for (int64_t first = 0; first < columns; first += HG_INTEGER_PANEL, packed += panel_bytes) {
    const int64_t lanes = columns - first < HG_INTEGER_PANEL ? columns - first : HG_INTEGER_PANEL;
    int32_t sums[HG_INTEGER_PANEL] = {0};
    for (int64_t c = 0; c < channels; c++) {
      const int8_t *from = weight + c * columns + first;
      int8_t *to = packed + (c / group * HG_INTEGER_PANEL) * group + c % group;
      for (int64_t lane = 0; lane < lanes; lane++) {
        to[lane * group] = from[lane];
        sums[lane] += from[lane];
      }
    }
    for (int64_t lane = 0; lane < lanes; lane++) start[first + lane] = (kernels->offset - zero) * sums[lane];
  }
}

void hg_integer_pack_depthwise(const hg_integer_kernels *kernels, const int8_t *weight, int32_t channels,
                               int32_t kernel_height, int32_t kernel_width, int32_t zero, int8_t *packed,
                               int32_t *start) {
  const int64_t group = kernels->group, groups = padded(kernel_width, group) / group;
  const int64_t lanes = padded(channels, HG_INTEGER_PANEL);
  memset(packed, 0, (size_t)hg_integer_depthwise_bytes(kernels, channels, kernel_height, kernel_width));
  memset(start, 0, sizeof(int32_t) * (size_t)lanes);
  for (int64_t c = 0; c < channels; c++) {
    int32_t sum = 0;
    for (int64_t i = 0; i < kernel_height; i++)
      for (int64_t j = 0; j < kernel_width; j++) {
        const int8_t value = weight[(c * kernel_height + i) * kernel_width + j];
        packed[((i * groups + j / group) * lanes + c) * group + j % group] = value;
        sum += value;
      }
    start[c] = (kernels->offset - zero) * sum;
  }
}
