// What the algorithms for a convolution cost on this machine, one thread, weights in memory as in a network.
//
//   clang -O2 -std=gnu17 -I Sources/CHGNetKernels/include -o algorithms Benchmarks/algorithms.c Sources/CHGNetKernels/*.c -lm
//   ./algorithms [INSTRUCTION_SET]
//
// Prints CSV: the least microseconds of several interleaved rounds. For 1×1: the plain product and one level of
// Strassen's; for 3×3 of stride 1: direct, Winograd F(2×2) and F(4×4). Steps are cut as in Sources/HGNetCPU/Implementations.

#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "CHGNetKernels.h"

#define WEIGHT_FLOATS (48 << 20)  // far more than any cache
#define ROUND_SECONDS 0.004
#define ROUNDS 8

typedef struct {
  hg_task task;
  const void *descriptor;
  const float **weights;  // moved on with each run
  int64_t weight_count;
  int tasks;
  int64_t next;
  double best;
} candidate;

static float *memory, *scratch;

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static float *filled(int64_t count) {
  float *values = aligned_alloc(64, (size_t)(count * 4 + 63) / 64 * 64);
  if (!values) exit(1);
  for (int64_t i = 0; i < count; i++) values[i] = (float)((uint32_t)(i * 2654435761u) >> 8 & 1023) / 1024 - 0.5f;
  return values;
}

static void run_once(candidate *c) {
  if (c->next + c->weight_count > WEIGHT_FLOATS) c->next = 0;
  *c->weights = memory + c->next;
  c->next += (c->weight_count + 15) / 16 * 16;
  for (int task = 0; task < c->tasks; task++) c->task(c->descriptor, task, scratch);
}

static void measure(candidate *candidates, int count) {
  for (int i = 0; i < count; i++) candidates[i].best = 1e9;
  for (int round = 0; round < ROUNDS; round++)
    for (int i = 0; i < count; i++) {
      run_once(&candidates[i]);
      double begin = seconds(), last = begin;
      do {
        run_once(&candidates[i]);
        const double now = seconds();
        if (now - last < candidates[i].best) candidates[i].best = now - last;
        last = now;
      } while (last - begin < ROUND_SECONDS);
    }
}

static int divided(int count, int size) { return (count + size - 1) / size; }
static int at_most(int a, int b) { return a < b ? a : b; }

static void single_tap(const hg_kernels *k, int pixels, int channels, int columns) {
  float *input = filled((int64_t)pixels * channels), *output = filled((int64_t)pixels * columns), *bias = filled(columns);
  const hg_epilogue epilogue = {.lower = 0, .scale = 1, .shift = 0};
  const int block = divided(channels, divided(channels, 512)), panels = divided(columns, 16);
  int rows = at_most(pixels, 96 * 1024 / block);
  rows = divided(divided(pixels, divided(pixels, rows)), k->block_rows) * k->block_rows;
  hg_product product = {.input = input, .input_stride = channels, .rows = pixels, .channels = channels, .columns = columns,
                        .weights = memory, .bias = bias, .output = output, .output_stride = columns, .epilogue = epilogue,
                        .rows_per_task = rows, .panels_per_task = panels, .column_tasks = 1, .channels_per_block = block};
  const int parts = divided(pixels / 2, 112), half = divided(channels / 2, divided(channels / 2, 384));
  hg_strassen strassen = {.input = input, .input_stride = channels, .pixels = pixels, .channels = channels,
                          .columns = columns, .weights = memory, .bias = bias, .output = output,
                          .output_stride = columns, .epilogue = epilogue, .tasks_per_image = parts,
                          .panels_per_task = columns / 32, .column_tasks = 1, .channels_per_block = half};
  const int64_t weights = (int64_t)channels * panels * 16;
  candidate candidates[] = {
      {.task = k->product, .descriptor = &product, .weights = &product.weights, .weight_count = weights,
       .tasks = divided(pixels, rows)},
      {.task = k->strassen, .descriptor = &strassen, .weights = &strassen.weights, .weight_count = weights, .tasks = parts}};
  measure(candidates, 2);
  printf("%s,1x1,%d,%d,%d,%.2f,%.2f,,,\n", k->name, pixels, channels, columns, candidates[0].best * 1e6,
         candidates[1].best * 1e6);
  free(input), free(output), free(bias);
}

static void nine_taps(const hg_kernels *k, int side, int channels, int columns) {
  const int pixels = side * side;
  float *input = filled((int64_t)pixels * channels), *output = filled((int64_t)pixels * columns), *bias = filled(columns);
  float *zeros = calloc((size_t)channels * 3, 4);
  const hg_epilogue epilogue = {.lower = 0, .scale = 1, .shift = 0};
  const hg_geometry window = {.input = input, .input_stride = channels, .batch = 1, .height = side, .width = side,
                              .channels = channels, .output = output, .output_stride = columns, .output_height = side,
                              .output_width = side, .kernel_height = 3, .kernel_width = 3, .stride_height = 1,
                              .stride_width = 1, .padding_top = 1, .padding_left = 1};
  hg_convolution direct = {.window = window, .columns = columns, .weights = memory, .bias = bias, .epilogue = epilogue,
                           .pixels_per_task = divided(at_most(pixels, 512), k->block_rows) * k->block_rows};
  candidate candidates[3] = {{.task = k->convolution, .descriptor = &direct, .weights = &direct.weights,
                              .weight_count = (int64_t)channels * columns * 9,
                              .tasks = divided(pixels, direct.pixels_per_task)}};
  hg_winograd winograd[2];
  for (int i = 0; i < 2; i++) {
    const int tile = 2 * i + 2, points = (tile + 2) * (tile + 2), tiles = divided(side, tile) * divided(side, tile);
    int most = 680 * 1024 / (points * (channels + columns));
    if (most < 2 * k->block_rows) most = 2 * k->block_rows;
    most = at_most(most, 256 / tile);
    const int part = divided(tiles, divided(tiles, most));
    winograd[i] = (hg_winograd){.window = window, .columns = columns, .weights = memory, .bias = bias, .zeros = zeros,
                                .epilogue = epilogue, .tile = tile, .tiles_per_task = part,
                                .panels_per_task = columns / 16, .column_tasks = 1};
    candidates[i + 1] = (candidate){.task = k->winograd, .descriptor = &winograd[i], .weights = &winograd[i].weights,
                                    .weight_count = (int64_t)points * channels * columns, .tasks = divided(tiles, part)};
  }
  measure(candidates, 3);
  printf("%s,3x3,%d,%d,%d,,,%.2f,%.2f,%.2f\n", k->name, pixels, channels, columns, candidates[0].best * 1e6,
         candidates[1].best * 1e6, candidates[2].best * 1e6);
  free(input), free(output), free(bias), free(zeros);
}

int main(int count, char **arguments) {
  const hg_kernels *kernels = hg_kernels_at(0);
  for (int i = 0; count > 1 && i < hg_kernels_count(); i++)
    if (!strcmp(hg_kernels_at(i)->name, arguments[1])) kernels = hg_kernels_at(i);
  memory = filled(WEIGHT_FLOATS);
  scratch = filled(8 << 20);
  printf("instruction_set,kernel,pixels,channels,columns,product_us,strassen_us,direct_us,winograd_f2_us,winograd_f4_us\n");
  const int pixels[] = {64, 100, 144, 196, 400, 784, 1600}, channels[] = {64, 96, 128, 160, 192, 256, 384, 512, 1024};
  const int columns[] = {64, 96, 128, 192, 256, 512, 1024};
  for (int i = 0; i < 7; i++)
    for (int j = 0; j < 9; j++)
      for (int n = 0; n < 7; n++) {
        single_tap(kernels, pixels[i], channels[j], columns[n]);
        fflush(stdout);
      }
  const int sides[] = {7, 14, 28, 56}, widths[] = {16, 32, 48, 64, 96, 128, 192, 256};
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 8; j++) {
      nine_taps(kernels, sides[i], widths[j], widths[j]);
      fflush(stdout);
    }
}
