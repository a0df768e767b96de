// Inference in 8-bit integers: arithmetic on pointers, as CHGNetKernels.h has it for float32.
//
// Activations are uint8 NHWC with a free distance between pixels ("stride", in values); real = (q - zero) * scale, with
// one scale and zero for a whole result. Weights are int8, symmetric, with one scale for each output channel. Sums are
// int32 and exact. What follows is float32 without fused operations, so that every implementation gives the same bits.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define HG_INTEGER_PANEL 16
// The most rows of a depthwise window.
#define HG_INTEGER_TAPS 64

// From a sum to the result, whose scale and zero are already in factors, bias and bounds:
// y = min(max(sum * factor[n] + bias[n], lower), upper); y = y + residual * residual_factor.
// An integer result is y rounded half to even; without a residual the bounds must lie in 0…255, with one y is bounded so.
typedef struct {
  const float *_Nonnull factor;  // [panels * 16]
  const float *_Nonnull bias;    // [panels * 16]
  float lower, upper;
  const uint8_t *_Nullable residual;  // same pixels as the output, or NULL
  ptrdiff_t residual_stride;
  float residual_factor;
  int32_t is_float;              // the output is float32, as it is
} hg_integer_finish;

// sum[row][n] = start[n] + sum over k of in[row][k] * weights[k][n]. At most 65536 channels.
// weights: [panels][channels padded to 4 / group][16][group], start: [panels * 16], as hg_integer_pack makes them.
// Task t: block of rows t / column_tasks, block of panels t % column_tasks. scratch: hg_integer_product_scratch.
typedef struct {
  const uint8_t *_Nonnull input;
  ptrdiff_t input_stride;
  int64_t rows;
  int32_t channels;
  int32_t columns;
  const int8_t *_Nonnull weights;
  const int32_t *_Nonnull start;
  void *_Nonnull output;
  ptrdiff_t output_stride;
  hg_integer_finish finish;
  int32_t rows_per_task;
  int32_t panels_per_task;
  int32_t column_tasks;
} hg_integer_product;

// Where a windowed operator reads and writes. Pixels are dense in rows: row distance = width * stride.
typedef struct {
  const void *_Nonnull input;
  ptrdiff_t input_stride;
  int32_t batch, height, width, channels;
  void *_Nonnull output;
  ptrdiff_t output_stride;
  int32_t output_height, output_width;
  int32_t kernel_height, kernel_width, stride_height, stride_width, padding_top, padding_left;
} hg_integer_geometry;

// Dense convolution. weights: [panels][kernel height][kernel width][channels padded to 4 / group][16][group].
// Where the input is float32, it becomes q = min(max(x * input_factor + input_shift, 0), 255), rounded half to even.
// Task t: (image, block of rows) t / column_tasks, block of panels t % column_tasks.
// scratch: hg_integer_convolution_scratch.
typedef struct {
  hg_integer_geometry window;
  int32_t columns;
  const int8_t *_Nonnull weights;
  const int32_t *_Nonnull start;
  hg_integer_finish finish;
  int32_t zero;            // what lies around the picture
  int32_t is_float_input;
  float input_factor, input_shift;
  int32_t rows_per_task;
  int32_t panels_per_task;
  int32_t column_tasks;
} hg_integer_convolution;

// Depthwise convolution. weights: [kernel height][kernel width padded to group / group][channels padded to 16][group].
// Task t: (image, block of rows, block of channels), channels fastest; channels_per_task is a multiple of 16.
// scratch: hg_integer_depthwise_scratch.
typedef struct {
  hg_integer_geometry window;
  const int8_t *_Nonnull weights;
  const int32_t *_Nonnull start;
  hg_integer_finish finish;
  int32_t zero;
  int32_t rows_per_task;
  int32_t channels_per_task;
} hg_integer_depthwise;

// Maximum over a window; pixels outside never win. Then q = min(max(q * factor + shift, 0), 255), rounded half to even;
// factor 1 and shift 0 for none. Task t: (image, block of rows).
typedef struct {
  hg_integer_geometry window;
  float factor, shift;
  int32_t rows_per_task;
} hg_integer_maximum_pool;

// y = min(max(sum over all pixels of an image * factor + shift, lower), upper), rounded half to even or float32; the
// result is [batch][channels]. At most 2^23 pixels. Task t: (image, block of channels).
typedef struct {
  const uint8_t *_Nonnull input;
  ptrdiff_t input_stride;
  int32_t batch, pixels, channels;
  void *_Nonnull output;
  ptrdiff_t output_stride;
  float factor, shift, lower, upper;
  int32_t is_float;
  int32_t channels_per_task;
} hg_integer_average_pool;

enum { HG_INTEGER_COPY = 0, HG_INTEGER_ADD = 1, HG_INTEGER_GATE = 2 };

// Elementwise work over rows (pixels) of channels, and conversions from and to float32: y = a * factor + shift; add:
// y = y + b * other_factor; gate: y = y * b[image] + other_factor, b float32. Then y is bounded, and rounded half to even
// where the output is no float32; its bounds must then lie in 0…255. No number becomes the lower bound.
// Task t: block of rows. rows_per_image: for the gate.
typedef struct {
  int32_t kind;
  int32_t is_float_input, is_float_output;
  int64_t rows;
  int64_t rows_per_image;
  int32_t channels;
  const void *_Nonnull input;
  ptrdiff_t input_stride;
  const void *_Nullable other;
  ptrdiff_t other_stride;
  void *_Nonnull output;
  ptrdiff_t output_stride;
  float factor, shift, other_factor, lower, upper;
  int32_t rows_per_task;
} hg_integer_elementwise;

// One implementation of all operators.
typedef struct {
  const char *_Nonnull name;
  // Rows and panels of the register block, which the plan uses to cut tasks.
  int32_t block_rows, block_panels;
  // Values of a vector of sums.
  int32_t lanes;
  // Weights of a column side by side: 4 where bytes are multiplied, 2 where they are widened to 16 bits before.
  int32_t group;
  // What is taken from activations before they are multiplied: 128 where only signed bytes can be.
  int32_t offset;
  void (*_Nonnull product)(const void *_Nonnull descriptor, int32_t task, float *_Nullable scratch);
  void (*_Nonnull convolution)(const void *_Nonnull descriptor, int32_t task, float *_Nullable scratch);
  void (*_Nonnull depthwise)(const void *_Nonnull descriptor, int32_t task, float *_Nullable scratch);
  void (*_Nonnull maximum_pool)(const void *_Nonnull descriptor, int32_t task, float *_Nullable scratch);
  void (*_Nonnull average_pool)(const void *_Nonnull descriptor, int32_t task, float *_Nullable scratch);
  void (*_Nonnull elementwise)(const void *_Nonnull descriptor, int32_t task, float *_Nullable scratch);
} hg_integer_kernels;

// The implementations that this processor can run, best first; the reference is the last. They are more than those of
// hg_kernels_at. index < hg_integer_kernels_count().
int32_t hg_integer_kernels_count(void);
const hg_integer_kernels *_Nonnull hg_integer_kernels_at(int32_t index);
// The best that goes with hg_kernels_at(index).
const hg_integer_kernels *_Nonnull hg_integer_kernels_beside(int32_t index);

// Floats of scratch that a thread needs for a task.
int64_t hg_integer_product_scratch(const hg_integer_kernels *_Nonnull kernels, int32_t rows_per_task, int32_t channels);
// rows and columns: of the picture with its border, under the results of a task.
int64_t hg_integer_convolution_scratch(const hg_integer_kernels *_Nonnull kernels, int32_t rows, int32_t columns,
                                       int32_t width, int32_t channels);
int64_t hg_integer_depthwise_scratch(const hg_integer_kernels *_Nonnull kernels, int32_t output_width,
                                     int32_t stride_width, int32_t kernel_height, int32_t kernel_width);

// Bytes of packed weights.
int64_t hg_integer_dense_bytes(int32_t columns, int32_t channels, int32_t taps);
int64_t hg_integer_depthwise_bytes(const hg_integer_kernels *_Nonnull kernels, int32_t channels, int32_t kernel_height,
                                   int32_t kernel_width);
// Packing of weights, and start[n] = (offset - zero) * sum of the weights of n for activations whose zero that is.
// Dense: from [columns][channels][taps]; a linear layer has one tap.
void hg_integer_pack_dense(const hg_integer_kernels *_Nonnull kernels, const int8_t *_Nonnull weight, int32_t columns,
                           int32_t channels, int32_t taps, int32_t zero, int8_t *_Nonnull packed,
                           int32_t *_Nonnull start);
// The same from [channels][columns].
void hg_integer_pack_linear(const hg_integer_kernels *_Nonnull kernels, const int8_t *_Nonnull weight, int32_t columns,
                            int32_t channels, int32_t zero, int8_t *_Nonnull packed, int32_t *_Nonnull start);
// Depthwise: from [channels][kernel height][kernel width].
void hg_integer_pack_depthwise(const hg_integer_kernels *_Nonnull kernels, const int8_t *_Nonnull weight,
                               int32_t channels, int32_t kernel_height, int32_t kernel_width, int32_t zero,
                               int8_t *_Nonnull packed, int32_t *_Nonnull start);
