// Compares every implementation of the bfloat16 kernels of this processor with the scalar reference over random awkward
// shapes, to the rounding of a half. Called by compare.c.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "CHGNetKernels.h"

static uint64_t state = 1;
static uint32_t bits(void) { return (uint32_t)((state = state * 6364136223846793005u + 1442695040888963407u) >> 33); }
static int pick(int low, int high) { return low + (int)(bits() % (uint32_t)(high - low + 1)); }
static float value(void) { return (float)(int32_t)(bits() % 2001 - 1000) * 1e-3f; }
static hg_bfloat16 *halves(int64_t count) {
  hg_bfloat16 *block = malloc((size_t)(count + 64) * 2);
  for (int64_t i = 0; i < count + 64; i++) block[i] = hg_bfloat16_of(value());
  return block;
}
static float *floats(int64_t count) {
  float *block = malloc((size_t)(count + 64) * 4);
  for (int64_t i = 0; i < count + 64; i++) block[i] = value();
  return block;
}

static int failures = 0;
static hg_bfloat16 *expected, *found;
static int64_t room;

// Runs all tasks, the last first, into a block full of sevens.
static void run(hg_task kernel, const void *descriptor, int tasks, int64_t scratch, hg_bfloat16 *output) {
  float *memory = malloc((size_t)(scratch + 1) * 4);
  memset(output, 7, (size_t)room * 2);
  for (int task = tasks - 1; task >= 0; task--) kernel(descriptor, task, memory);
  free(memory);
}
static void expect(const char *name, const char *kernel) {
  float largest = 1;
  for (int64_t i = 0; i < room; i++) largest = fmaxf(largest, fabsf(hg_float_of_bfloat16(expected[i])));
  for (int64_t i = 0; i < room; i++) {
    const float a = hg_float_of_bfloat16(expected[i]), b = hg_float_of_bfloat16(found[i]);
    if (fabsf(a - b) <= 2e-5f * largest + fabsf(a) / 128) continue;
    failures++;
    printf("%s %s: %g, expected %g\n", name, kernel, b, a);
    return;
  }
}

static void compare(const hg_bfloat16_kernels *k, const hg_bfloat16_kernels *reference, int round) {
  const int kernel = pick(1, 5), stride = pick(1, 2), channels = 2 * pick(1, 20), columns = pick(1, 70), wide = 128;
  const int height = pick(kernel, 12), width = pick(kernel, 12), batch = pick(1, 2), panels = (columns + 15) / 16;
  hg_bfloat16_geometry g = {
      .input_stride = channels + pick(0, 3), .batch = batch, .height = height, .width = width, .channels = channels,
      .output_stride = wide, .kernel_height = kernel, .kernel_width = kernel, .stride_height = stride,
      .stride_width = stride, .padding_top = pick(0, kernel / 2), .padding_left = pick(0, kernel / 2)};
  g.output_height = (height + 2 * g.padding_top - kernel) / stride + 1;
  g.output_width = (width + 2 * g.padding_left - kernel) / stride + 1;
  const int pixels = batch * g.output_height * g.output_width, taps = kernel * kernel;
  room = (int64_t)pixels * wide;
  expected = malloc((size_t)room * 2), found = malloc((size_t)room * 2);
  hg_bfloat16 *input = halves((int64_t)batch * height * width * g.input_stride), *residual = halves(room);
  hg_bfloat16 *packed = malloc((size_t)panels * 16 * taps * channels * 2 + 64);
  float *weight = floats((int64_t)columns * channels * kernel * kernel + 16 * 40 * 25), *bias = floats(panels * 16 + 64);
  const hg_bfloat16_epilogue e = {.lower = round % 2 ? 0 : -INFINITY, .scale = -0.6f, .shift = 0.2f,
                                  .residual = round % 3 ? residual : NULL, .residual_stride = wide};
  g.input = input;
  hg_pack_bfloat16(weight, NULL, columns, channels, taps, packed);
  hg_bfloat16_convolution c = {.window = g, .columns = columns, .weights = packed, .bias = bias, .epilogue = e,
                               .pixels_per_task = pick(1, pixels)};
  int tasks = (pixels + c.pixels_per_task - 1) / c.pixels_per_task;
  c.window.output = expected, run(reference->convolution, &c, tasks, hg_bfloat16_convolution_scratch(taps, channels), expected);
  c.window.output = found, run(k->convolution, &c, tasks, hg_bfloat16_convolution_scratch(taps, channels), found);
  expect(k->name, "convolution");

  const int rows = pixels < batch * height * width ? pixels : batch * height * width;
  hg_pack_bfloat16(weight, NULL, columns, channels, 1, packed);
  hg_bfloat16_product p = {.input = input, .input_stride = g.input_stride, .rows = rows, .channels = channels,
                           .columns = columns, .weights = packed, .bias = bias, .output_stride = wide, .epilogue = e,
                           .rows_per_task = pick(1, 50), .panels_per_task = pick(1, panels)};
  p.column_tasks = (panels + p.panels_per_task - 1) / p.panels_per_task;
  tasks = (rows + p.rows_per_task - 1) / p.rows_per_task * p.column_tasks;
  p.output = expected, run(reference->product, &p, tasks, hg_bfloat16_product_scratch(p.rows_per_task, channels), expected);
  p.output = found, run(k->product, &p, tasks, hg_bfloat16_product_scratch(p.rows_per_task, channels), found);
  expect(k->name, "product");

  hg_bfloat16_depthwise d = {.window = g, .weights = weight, .bias = bias, .epilogue = e,
                             .rows_per_task = pick(1, g.output_height), .channels_per_task = 16 * pick(1, 3)};
  tasks = batch * ((g.output_height + d.rows_per_task - 1) / d.rows_per_task) *
          ((channels + d.channels_per_task - 1) / d.channels_per_task);
  d.window.output = expected, run(reference->depthwise, &d, tasks, 0, expected);
  d.window.output = found, run(k->depthwise, &d, tasks, 0, found);
  expect(k->name, "depthwise");

  hg_bfloat16_maximum_pool m = {.window = g, .rows_per_task = pick(1, g.output_height)};
  tasks = batch * ((g.output_height + m.rows_per_task - 1) / m.rows_per_task);
  m.window.output = expected, run(reference->maximum_pool, &m, tasks, 0, expected);
  m.window.output = found, run(k->maximum_pool, &m, tasks, 0, found);
  expect(k->name, "maximum pool");
  free(expected), free(found), free(input), free(residual), free(packed), free(weight), free(bias);
}

int compare_halves(void) {
  const hg_bfloat16_kernels *reference = hg_bfloat16_kernels_at(hg_bfloat16_kernels_count() - 1);
  for (int index = 0; index < hg_bfloat16_kernels_count() - 1; index++) {
    const hg_bfloat16_kernels *k = hg_bfloat16_kernels_at(index);
    for (int round = 0; round < 200; round++) compare(k, reference, round);
    printf("%s in bfloat16: %s\n", k->name, failures ? "differs from the reference" : "near the reference");
  }
  return failures;
}
