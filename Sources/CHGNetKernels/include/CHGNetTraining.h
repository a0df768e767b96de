// What training adds to the kernels: batch statistics, gradients, and packing of weights that change at every step.
//
// Conventions as in CHGNetKernels.h. Sums over pixels are cut into chunks whose number depends on shapes alone and are
// joined in ascending order in double, so that the same bits come out for any number of threads.
#pragma once

#include <stddef.h>
#include <stdint.h>

// Weights into panels. Element (column, channel, tap) is weight[column * column_stride + channel * channel_stride + tap],
// taps in reverse order if is_flipped: with the strides exchanged these are the weights of the data gradient.
// To [panels][taps][channels][16], or for a winograd_tile other than 0, which is 4 or 2, to
// [(winograd_tile + 2)²][panels][channels][16]. Task t: panel t.
typedef struct {
  const float *_Nonnull weight;
  int64_t column_stride, channel_stride;
  int32_t columns, channels, taps;
  int32_t is_flipped, winograd_tile;
  float *_Nonnull packed;
} hg_pack;

// Depthwise weights [channels][taps] to [taps][channels padded to 16]. One task.
typedef struct {
  const float *_Nonnull weight;
  int32_t channels, taps, is_flipped;
  float *_Nonnull packed;
} hg_pack_channels;

// A convolution's result with what follows it: y = k z + o per channel; r = max(y, lower); out = scale r + shift + residual.
// With batch normalisation k = gamma / deviation and o = beta - mean k; without it k = 1 and o = bias.
typedef struct {
  float *_Nonnull z;  // [rows][channels], dense; the backward pass puts the gradient of z in its place
  int64_t rows;
  int32_t channels;
  int32_t is_normalized;   // whether k and o come from statistics
  int32_t is_fixed;        // whether these are the running ones, which then stay, instead of the batch's
  int32_t is_rectified;
  int32_t rows_per_chunk;  // of the sums
  double *_Nonnull sums;   // [chunks][4][channels padded to 16]
  const double *_Nullable total;  // the first two of the sums and the number of rows over all processes:
                                  // [2][channels padded to 16], rows; NULL where this one is alone
  float *_Nonnull k;       // [channels padded to 16], as are o, alpha, beta
  float *_Nonnull o;
  float *_Nonnull mean;
  float *_Nonnull deviation;  // the inverse of the standard deviation
  float *_Nonnull alpha;
  float *_Nonnull beta;
  float epsilon, momentum;
  const float *_Nullable gamma;  // parameters; NULL where there is none
  const float *_Nullable bias;   // beta of the normalisation, or the convolution's own bias
  float *_Nullable running_mean;
  float *_Nullable running_variance;
  const float *_Nullable scale;
  const float *_Nullable shift;
  float *_Nullable gamma_gradient;  // added to; NULL: not wanted
  float *_Nullable bias_gradient;
  float *_Nullable scale_gradient;
  float *_Nullable shift_gradient;
  float *_Nonnull output;  // forward: the result; backward: its gradient
  ptrdiff_t output_stride;
  const float *_Nullable residual;
  ptrdiff_t residual_stride;
  int32_t rows_per_task;
} hg_unit;

// The gradient of dense weights: partial[chunk][tap][channel][column] = sum over the chunk's pixels of input × gradient,
// or that added to partial if is_added. A chunk is a run of output pixels.
// Task t: (chunk, block of columns, block of channels), channels fastest. is_run: for few columns or channels; pixels of
// the input are dense, a block is all channels and columns, and is_added is 0. zeros: as many as a row of the window has,
// and HG_PANEL more. Up to HG_PANEL values behind input and gradient are read, and not used.
// scratch: hg_weight_gradient_scratch floats.
typedef struct {
  const float *_Nonnull input;
  ptrdiff_t input_stride;
  int32_t batch, height, width, channels;
  const float *_Nonnull gradient;  // [pixels][columns]
  ptrdiff_t gradient_stride;
  int32_t output_height, output_width, columns;
  int32_t kernel_height, kernel_width, stride_height, stride_width, padding_top, padding_left;
  float *_Nonnull partial;
  int32_t pixels_per_chunk, chunks;
  int32_t channels_per_task, columns_per_task, is_run, is_added;
  const float *_Nonnull zeros;
} hg_weight_gradient;

// Adds the chunks in order and adds the result to the gradient at
// column * column_stride + channel * channel_stride + tap. Task t: block of 16 channels. The form for Winograd takes
// [36][chunks][channels][columns], channels and columns multiples of 16.
typedef struct {
  const float *_Nonnull partial;
  int32_t chunks, taps, channels, columns;
  float *_Nonnull gradient;
  int64_t column_stride, channel_stride;
} hg_weight_gradient_join;

// Tiles for the weight gradient of a 3×3 kernel with stride 1 in the form of Winograd F(4×4, 3×3): each 6×6 pixels of the
// input, or if is_gradient each 4×4 pixels of the gradient, which then has no padding, as 36 points.
// values: [36][tiles][channels], zeros from batch * down * across on. channels is a multiple of 16. Task t: block of tiles.
typedef struct {
  const float *_Nonnull input;
  ptrdiff_t stride;
  int32_t batch, height, width, channels;
  int32_t down, across, padding_top, padding_left;
  int32_t is_gradient, tiles, tiles_per_task;
  int32_t is_bfloat16;  // of the input, whose values are then hg_bfloat16 at the same address
  float *_Nonnull values;
  const float *_Nonnull zeros;
} hg_winograd_tiles;

// The gradient of depthwise weights, added to [channels][taps]. Task t: block of 16 channels.
typedef struct {
  const float *_Nonnull input;
  ptrdiff_t input_stride;
  int32_t batch, height, width, channels;
  const float *_Nonnull gradient;
  int32_t output_height, output_width;
  int32_t kernel_height, kernel_width, stride_height, stride_width, padding_top, padding_left;
  float *_Nonnull weight_gradient;
} hg_depthwise_gradient;

// Spreads [batch][height][width][channels] over a grid with stride - 1 zeros between pixels. Task t: an output row.
typedef struct {
  const float *_Nonnull input;
  int32_t batch, height, width, channels, stride_height, stride_width;
  float *_Nonnull output;
} hg_dilate;

// The gradient of maximum pooling goes to the first largest pixel of each window and is added.
// Task t: (image, block of 16 channels).
typedef struct {
  const float *_Nonnull input;
  ptrdiff_t input_stride;
  int32_t batch, height, width, channels;
  const float *_Nonnull gradient;
  ptrdiff_t gradient_stride;
  int32_t output_height, output_width;
  int32_t kernel_height, kernel_width, stride_height, stride_width, padding_top, padding_left;
  float *_Nonnull input_gradient;
  ptrdiff_t input_gradient_stride;
} hg_maximum_pool_gradient;

enum {
  HG_GRADIENT_ZERO = 0,     // target = 0
  HG_GRADIENT_ADD = 1,      // target += gradient
  HG_GRADIENT_MEAN = 2,     // target += gradient[image] / rows_per_image
  HG_GRADIENT_GATED = 3,    // target += gradient * factor[image]
  HG_GRADIENT_MASK = 4,     // target = target * factor, elementwise (dropout)
  HG_GRADIENT_POINTWISE = 8 // + function: target += gradient * derivative, of which the factor is what was kept
};

// Gradients of elementwise work over rows of channels. Task t: block of rows.
typedef struct {
  int32_t kind;
  int64_t rows, rows_per_image;
  int32_t channels;
  float *_Nonnull target;
  ptrdiff_t target_stride;
  const float *_Nullable gradient;
  ptrdiff_t gradient_stride;
  const float *_Nullable factor;
  ptrdiff_t factor_stride;
  int32_t rows_per_task;
} hg_elementwise_gradient;

// The gradient of a gate: target[image] += sum over pixels of gradient × input. Task t: an image.
typedef struct {
  const float *_Nonnull input;
  ptrdiff_t input_stride;
  const float *_Nonnull gradient;
  ptrdiff_t gradient_stride;
  int32_t batch, pixels, channels;
  float *_Nonnull target;
  ptrdiff_t target_stride;
} hg_gate_gradient;

// What bytes mean: value = (byte - zero) * scale.
typedef struct {
  float scale;
  int32_t zero;
} hg_byte_scale;

// The finest bytes that hold a range, its smaller and its larger end, and 0.
hg_byte_scale hg_byte_scale_of(const float *_Nonnull range);

// What lies outside of a range is further from its end than this part of a step: what another range with the same end has
// been cut to lies on it, but for its last digit.
#define HG_OUTSIDE 0.0009765625f

// Values become those of the nearest bytes of a range, ties to even. outside: [rows][channels], 1 for what lay below all
// bytes, 2 above, 0 else; NULL where it is not wanted. Task t: block of rows.
typedef struct {
  float *_Nonnull values;
  ptrdiff_t stride;
  int64_t rows;
  int32_t channels;
  const float *_Nonnull range;
  uint8_t *_Nullable outside;
  int32_t rows_per_task;
} hg_quantize;

// Gradients of values that lay outside become 0; sums[task] are those below and above. Task t: block of rows.
typedef struct {
  float *_Nonnull gradient;
  ptrdiff_t stride;
  int64_t rows;
  int32_t channels;
  const uint8_t *_Nonnull outside;
  double *_Nonnull sums;  // [tasks][2]
  int32_t rows_per_task;
} hg_quantize_gradient;

// Weights rounded to whole steps of the largest of their output channel / 127, ties to even. Element (channel, i) is
// weights[channel * channel_stride + i * value_stride], and of rounded as well. Task t: block of 16 channels.
typedef struct {
  const float *_Nonnull weights;
  int64_t channel_stride, value_stride, count;
  int32_t channels;
  float *_Nonnull rounded;
} hg_quantize_weights;

// Pixels of a block of the weight gradient.
enum { HG_GRADIENT_PIXELS = 128 };

int64_t hg_weight_gradient_scratch(int32_t channels_per_task, int32_t columns_per_task, int32_t kernel_height,
                                   int32_t kernel_width, int32_t is_run);

typedef void (*hg_training_task)(const void *_Nonnull descriptor, int32_t task, float *_Nullable scratch);

// The training kernels of one instruction set. Of a unit: sums and statistics, then apply; in the backward pass
// gradient_sums, gradient_finish, gradient_apply. Tasks of sums and gradient_sums: chunks; of statistics and
// gradient_finish: one; of apply and gradient_apply: blocks of rows.
typedef struct {
  hg_training_task _Nonnull pack, pack_channels, sums, statistics, apply, gradient_sums, gradient_finish, gradient_apply,
      weight_gradient, weight_gradient_join, winograd_tiles, winograd_gradient_join, depthwise_gradient, dilate,
      maximum_pool_gradient, elementwise_gradient, gate_gradient, quantize, quantize_gradient, quantize_weights;
} hg_training_kernels;

// In the order of hg_kernels_at.
const hg_training_kernels *_Nonnull hg_training_kernels_at(int32_t index);
