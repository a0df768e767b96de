// Compares every implementation of the 8-bit kernels of this processor with the scalar reference over random awkward
// shapes: the same bits. Called by compare.c.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "CHGNetKernels.h"

static uint64_t state = 1;
static uint32_t bits(void) { return (uint32_t)((state = state * 6364136223846793005u + 1442695040888963407u) >> 33); }
static int pick(int low, int high) { return low + (int)(bits() % (uint32_t)(high - low + 1)); }
static void *bytes(int64_t count, int is_extreme, int is_signed) {
  uint8_t *block = malloc((size_t)count + 64);
  for (int64_t i = 0; i < count + 64; i++) {
    const int value = (int)(bits() % 255) - 127;
    block[i] = is_signed ? (uint8_t)(is_extreme ? (value < 0 ? -127 : 127) : value) : is_extreme ? 255 : (uint8_t)bits();
  }
  return block;
}
static float *floats(int64_t count, float low, float high) {
  float *block = malloc((size_t)(count + 64) * 4);
  for (int64_t i = 0; i < count + 64; i++) block[i] = low + (high - low) * (float)(bits() % 10001) / 10000;
  return block;
}
static int parts(int count, int part) { return (count + part - 1) / part; }

static int failures = 0;
static uint8_t *expected, *found;
static int64_t room;

// Runs all tasks, the last first, into a block full of sevens.
static void run(hg_task kernel, const void *descriptor, int tasks, int64_t scratch, uint8_t *output) {
  float *memory = malloc((size_t)(scratch + 1) * 4);
  memset(output, 7, (size_t)room);
  for (int task = tasks - 1; task >= 0; task--) kernel(descriptor, task, memory);
  free(memory);
}
static void expect(const char *name, const char *kernel) {
  if (!memcmp(expected, found, (size_t)room)) return;
  failures++;
  printf("%s %s: not the bits of the reference\n", name, kernel);
}

// A round of every kernel on one problem.
static void compare(const hg_integer_kernels *k, const hg_integer_kernels *reference, int round) {
  const int is_extreme = round % 4 == 3, zero = pick(0, 255), wide = 128;
  const int kernel = pick(1, 6), stride = pick(1, 3), channels = pick(1, 70), columns = pick(1, 110);
  const int height = pick(kernel, 12), width = pick(kernel, 20), batch = pick(1, 2), panels = parts(columns, 16);
  hg_integer_geometry g = {
      .input_stride = channels + pick(0, 3), .batch = batch, .height = height, .width = width, .channels = channels,
      .output_stride = wide, .kernel_height = kernel, .kernel_width = kernel, .stride_height = stride,
      .stride_width = stride, .padding_top = pick(0, kernel - 1), .padding_left = pick(0, kernel - 1)};
  g.output_height = (height + 2 * g.padding_top - kernel) / stride + 1;
  g.output_width = (width + 2 * g.padding_left - kernel) / stride + 1;
  const int pixels = batch * g.output_height * g.output_width, taps = kernel * kernel;
  const int rows = pixels < batch * height * width ? pixels : batch * height * width;
  room = (int64_t)pixels * wide * 4;
  expected = malloc((size_t)room), found = malloc((size_t)room);
  uint8_t *input = bytes((int64_t)batch * height * width * g.input_stride, is_extreme, 0);
  int8_t *weight = bytes((int64_t)columns * channels * taps, is_extreme, 1);
  uint8_t *residual = bytes((int64_t)pixels * wide, is_extreme, 0);
  const float step = 1.0f / (float)(channels * taps) / 100;
  float *factor = floats(panels * 16 + 64, -step, 4 * step), *bias = floats(panels * 16 + 64, -100, 300);
  int8_t *packed = malloc((size_t)hg_integer_dense_bytes(columns, channels, taps) + 64 * 200);
  int8_t *own = malloc((size_t)hg_integer_dense_bytes(columns, channels, taps) + 64 * 200);
  int32_t start[256], own_start[256];
  const int is_float = round % 7 == 0;
  const hg_integer_finish finish = {
      .factor = factor, .bias = bias, .lower = is_float ? -30 : 20, .upper = 255, .residual = round % 5 < 2 ? residual : NULL,
      .residual_stride = wide, .residual_factor = 0.7f, .is_float = is_float};
  g.input = input;

  hg_integer_pack_dense(reference, weight, columns, channels, taps, zero, packed, start);
  hg_integer_pack_dense(k, weight, columns, channels, taps, zero, own, own_start);
  g.output = expected;
  hg_integer_convolution c = {.window = g, .columns = columns, .weights = packed, .start = start, .finish = finish,
                              .zero = zero, .rows_per_task = pick(1, g.output_height), .panels_per_task = pick(1, panels)};
  c.column_tasks = parts(panels, c.panels_per_task);
  int tasks = batch * parts(g.output_height, c.rows_per_task) * c.column_tasks;
  run(reference->convolution, &c, tasks, 0, expected);
  c.window.output = found, c.weights = own, c.start = own_start;
  run(k->convolution, &c, tasks,
      hg_integer_convolution_scratch(k, (c.rows_per_task - 1) * stride + kernel, (g.output_width - 1) * stride + kernel,
                                     width, channels), found);
  expect(k->name, "convolution");

  hg_integer_pack_dense(reference, weight, columns, channels, 1, zero, packed, start);
  hg_integer_pack_dense(k, weight, columns, channels, 1, zero, own, own_start);
  hg_integer_product p = {.input = input, .input_stride = g.input_stride, .rows = rows, .channels = channels,
                          .columns = columns, .weights = packed, .start = start, .output = expected, .output_stride = wide,
                          .finish = finish, .rows_per_task = pick(1, 50), .panels_per_task = pick(1, panels)};
  p.column_tasks = parts(panels, p.panels_per_task);
  tasks = parts(rows, p.rows_per_task) * p.column_tasks;
  run(reference->product, &p, tasks, 0, expected);
  p.output = found, p.weights = own, p.start = own_start;
  run(k->product, &p, tasks, hg_integer_product_scratch(k, p.rows_per_task, channels), found);
  expect(k->name, "product");

  hg_integer_pack_depthwise(reference, weight, channels, kernel, kernel, zero, packed, start);
  hg_integer_pack_depthwise(k, weight, channels, kernel, kernel, zero, own, own_start);
  hg_integer_depthwise d = {.window = g, .weights = packed, .start = start, .finish = finish, .zero = zero,
                            .rows_per_task = pick(1, g.output_height), .channels_per_task = 16 * pick(1, 3)};
  tasks = batch * parts(g.output_height, d.rows_per_task) * parts(channels, d.channels_per_task);
  // Factors of as many columns as there are channels.
  float *wider = floats(128, 0, 40 * step * (float)channels);
  d.finish.factor = wider;
  run(reference->depthwise, &d, tasks, 0, expected);
  d.window.output = found, d.weights = own, d.start = own_start;
  run(k->depthwise, &d, tasks, hg_integer_depthwise_scratch(k, g.output_width, stride, kernel, kernel), found);
  expect(k->name, "depthwise");

  hg_integer_maximum_pool m = {.window = g, .factor = round % 2 ? 1 : 0.8f, .shift = round % 2 ? 0 : 3,
                               .rows_per_task = pick(1, g.output_height)};
  tasks = batch * parts(g.output_height, m.rows_per_task);
  run(reference->maximum_pool, &m, tasks, 0, expected);
  m.window.output = found;
  run(k->maximum_pool, &m, tasks, 0, found);
  expect(k->name, "maximum pool");

  hg_integer_elementwise e = {.kind = pick(0, 1), .is_float_output = pick(0, 1), .rows = rows, .rows_per_image = rows,
                              .channels = channels, .input = input, .input_stride = g.input_stride, .other = residual,
                              .other_stride = wide, .output = expected, .output_stride = wide, .factor = 0.37f,
                              .shift = 3.2f, .other_factor = 0.61f, .lower = 0, .upper = 255, .rows_per_task = pick(1, 20)};
  tasks = parts(rows, e.rows_per_task);
  run(reference->elementwise, &e, tasks, 0, expected);
  e.output = found;
  run(k->elementwise, &e, tasks, 0, found);
  expect(k->name, "elementwise");
  free(expected), free(found), free(input), free(weight), free(residual), free(factor), free(bias), free(packed);
  free(own), free(wider);
}

int compare_integers(void) {
  const hg_integer_kernels *reference = hg_integer_kernels_at(hg_integer_kernels_count() - 1);
  for (int index = 0; index < hg_integer_kernels_count() - 1; index++) {
    const hg_integer_kernels *k = hg_integer_kernels_at(index);
    for (int round = 0; round < 200; round++) compare(k, reference, round);
    printf("%s in 8 bits: %s\n", k->name, failures ? "differs from the reference" : "the bits of the reference");
  }
  return failures;
}
