// Compares every kernel implementation of this processor with the scalar reference over random awkward shapes.
//
// The Swift tests do the same on the machine that they run on; this program needs no Swift and so runs under an
// emulator for another processor (Scripts/check-arm64-kernels).
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "CHGNetKernels.h"

int compare_halves(void);
int compare_integers(void);

static uint64_t state = 1;
static uint32_t bits(void) { return (uint32_t)((state = state * 6364136223846793005u + 1442695040888963407u) >> 33); }
static int pick(int low, int high) { return low + (int)(bits() % (uint32_t)(high - low + 1)); }
static float *values(int64_t count) {
  float *block = malloc((size_t)(count + 64) * 4);
  for (int64_t i = 0; i < count + 64; i++) block[i] = (float)(int32_t)(bits() % 2001 - 1000) * 1e-3f;
  return block;
}

static int failures = 0;
static void expect(const char *name, const char *kernel, const float *a, const float *b, int64_t count) {
  float largest = 1, worst = 0;
  for (int64_t i = 0; i < count; i++) {
    const float off = fabsf(a[i] - b[i]);
    if (fabsf(a[i]) < 700 && fabsf(a[i]) > largest) largest = fabsf(a[i]);
    if (!(off <= worst)) worst = off;
  }
  if (!(worst <= 3e-5f * largest)) {
    failures++;
    printf("%s %s: off by %g of %g\n", name, kernel, worst, largest);
  }
}

static void run(hg_task kernel, const void *descriptor, int tasks, float *scratch) {
  for (int task = 0; task < tasks; task++) kernel(descriptor, task, scratch);
}

int main(void) {
  const hg_kernels *reference = hg_kernels_at(hg_kernels_count() - 1);
  for (int index = 0; index < hg_kernels_count() - 1; index++) {
    const hg_kernels *k = hg_kernels_at(index);
    for (int round = 0; round < 60; round++) {
      const int kernel = pick(1, 5), stride = pick(1, 2), channels = pick(1, 40), columns = pick(1, 70);
      const int height = pick(kernel, 12), width = pick(kernel, 12), batch = pick(1, 2);
      const int top = pick(0, kernel / 2), left = pick(0, kernel / 2);
      hg_geometry g = {.input_stride = channels + pick(0, 3), .batch = batch, .height = height, .width = width,
                       .channels = channels, .output_height = (height + 2 * top - kernel) / stride + 1,
                       .output_width = (width + 2 * left - kernel) / stride + 1, .kernel_height = kernel,
                       .kernel_width = kernel, .stride_height = stride, .stride_width = stride, .padding_top = top,
                       .padding_left = left};
      const int64_t pixels = (int64_t)batch * g.output_height * g.output_width, wide = 128;
      const int panels = (columns + 15) / 16;
      float *input = values((int64_t)batch * height * width * g.input_stride), *bias = values(panels * 16 + 64);
      float *weights = values((int64_t)panels * kernel * kernel * channels * 16 + 64 * 25), *residual = values(pixels * wide);
      float *zeros = calloc(1024, 4), *a = malloc((size_t)(pixels * wide) * 4), *b = malloc((size_t)(pixels * wide) * 4);
      for (int64_t i = 0; i < pixels * wide; i++) a[i] = b[i] = -777;
      g.input = input;
      g.output_stride = wide;
      const hg_epilogue e = {.lower = round % 2 ? 0 : -INFINITY, .scale = -0.6f, .shift = 0.2f,
                             .residual = round % 3 ? residual : NULL, .residual_stride = wide};
      hg_convolution dense = {.window = g, .columns = columns, .weights = weights, .bias = bias,
                              .epilogue = e, .pixels_per_task = pick(1, 20)};
      const int dense_tasks = (int)((pixels + dense.pixels_per_task - 1) / dense.pixels_per_task);
      float *windows = malloc((size_t)k->block_rows * kernel * kernel * channels * 4);
      dense.window.output = a, run(reference->convolution, &dense, dense_tasks, NULL);
      dense.window.output = b, run(k->convolution, &dense, dense_tasks, windows);
      free(windows);
      expect(k->name, "convolution", a, b, pixels * wide);

      hg_product product = {.input = input, .input_stride = g.input_stride, .rows = (int64_t)batch * height * width,
                            .channels = channels, .columns = columns, .weights = weights, .bias = bias,
                            .output_stride = columns, .epilogue = e, .rows_per_task = pick(1, 30),
                            .panels_per_task = pick(1, panels), .channels_per_block = pick(1, channels)};
      product.epilogue.residual = NULL;
      product.column_tasks = (panels + product.panels_per_task - 1) / product.panels_per_task;
      float *c = calloc((size_t)product.rows * columns, 4), *d = calloc((size_t)product.rows * columns, 4);
      const int tasks = (int)((product.rows + product.rows_per_task - 1) / product.rows_per_task) * product.column_tasks;
      product.output = c, run(reference->product, &product, tasks, NULL);
      product.output = d, run(k->product, &product, tasks, NULL);
      expect(k->name, "product", c, d, product.rows * columns);

      const int strassen_pixels = 2 * pick(8, 30), strassen_panels = pick(1, 5);
      hg_strassen strassen = {.pixels = strassen_pixels, .channels = 2 * pick(1, 40), .columns = 32 * strassen_panels,
                              .output_stride = 32 * strassen_panels, .epilogue = e, .tasks_per_image = 1,
                              .panels_per_task = pick(1, strassen_panels), .channels_per_block = pick(1, 40)};
      strassen.input_stride = strassen.channels + pick(0, 3);
      strassen.column_tasks = (strassen_panels + strassen.panels_per_task - 1) / strassen.panels_per_task;
      const int64_t strassen_count = (int64_t)batch * strassen_pixels * strassen.columns;
      float *si = values((int64_t)batch * strassen_pixels * strassen.input_stride), *sb = values(strassen.columns);
      float *sw = values((int64_t)strassen.columns * strassen.channels), *sr = values(strassen_count);
      float *sc = calloc((size_t)strassen_count, 4), *sd = calloc((size_t)strassen_count, 4);
      float *ss = malloc((size_t)hg_strassen_scratch(strassen_pixels / 2, strassen.channels_per_block) * 4);
      strassen.input = si, strassen.bias = sb, strassen.weights = sw;
      strassen.epilogue.residual = round % 3 ? sr : NULL, strassen.epilogue.residual_stride = strassen.columns;
      strassen.output = sc, run(reference->strassen, &strassen, batch * strassen.column_tasks, NULL);
      strassen.output = sd, run(k->strassen, &strassen, batch * strassen.column_tasks, ss);
      expect(k->name, "strassen", sc, sd, strassen_count);
      free(si), free(sb), free(sw), free(sr), free(sc), free(sd), free(ss);

      hg_depthwise depthwise = {.window = g, .weights = weights, .bias = bias, .epilogue = e,
                                .rows_per_task = pick(1, g.output_height), .channels_per_task = 16};
      const int depthwise_tasks = batch * ((g.output_height + depthwise.rows_per_task - 1) / depthwise.rows_per_task) *
                                  ((channels + 15) / 16);
      depthwise.window.output = a, run(reference->depthwise, &depthwise, depthwise_tasks, NULL);
      depthwise.window.output = b, run(k->depthwise, &depthwise, depthwise_tasks, NULL);
      expect(k->name, "depthwise", a, b, pixels * wide);

      if (kernel == 3 && stride == 1) {
        hg_winograd winograd = {.window = g, .columns = columns, .bias = bias, .zeros = zeros, .epilogue = e,
                                .tile = pick(1, 2) * 2, .tiles_per_task = pick(1, 9), .panels_per_task = panels, .column_tasks = 1};
        winograd.window.channels = winograd.window.input_stride = 16;
        float *plane = values((int64_t)batch * height * width * 16), *u = values((int64_t)panels * 36 * 16 * 16);
        winograd.window.input = plane, winograd.weights = u;
        float *scratch = malloc((size_t)hg_winograd_scratch(winograd.tile, 16, columns, winograd.tiles_per_task) * 4);
        const int side = winograd.tile, down = (g.output_height + side - 1) / side, across = (g.output_width + side - 1) / side;
        const int tiles = batch * down * across;
        const int winograd_tasks = (tiles + winograd.tiles_per_task - 1) / winograd.tiles_per_task;
        winograd.window.output = a, run(reference->winograd, &winograd, winograd_tasks, scratch);
        winograd.window.output = b, run(k->winograd, &winograd, winograd_tasks, scratch);
        expect(k->name, "winograd", a, b, pixels * wide);
        free(plane), free(u), free(scratch);
      }
      free(input), free(bias), free(weights), free(residual), free(zeros), free(a), free(b), free(c), free(d);
    }
    printf("%s: %s\n", k->name, failures ? "differs from the reference" : "agrees with the reference");
  }
  return failures + compare_halves() + compare_integers() ? 1 : 0;
}
