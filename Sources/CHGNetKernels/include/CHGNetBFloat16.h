// Kernels with weights and activations in bfloat16, sums and epilogues in float32.
//
// The descriptors are those of CHGNetKernels.h with other types: strides count elements, a value is the upper half of a
// float32, rounded to nearest, ties to even. Products are sums of pairs of neighbouring channels, so weights lie in
// panels of 16 output channels with the pairs innermost: [panels][taps][pairs][16][2].
//
// Whether products come from the processor's instruction for pairs or are widened to float32 is a matter of the
// implementation; both agree to the rounding of float32 sums.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "CHGNetBFloat16Training.h"

typedef uint16_t hg_bfloat16;

// As hg_epilogue: y = max(x, lower); y = y * scale + shift; y = y + residual.
typedef struct {
  float lower;
  float scale;
  float shift;
  const hg_bfloat16 *_Nullable residual;
  ptrdiff_t residual_stride;
} hg_bfloat16_epilogue;

// As hg_product, the whole sum in one go. channels is even. is_float_output: the result is float32.
// scratch: hg_bfloat16_product_scratch floats.
typedef struct {
  const hg_bfloat16 *_Nonnull input;
  ptrdiff_t input_stride;
  int64_t rows;
  int32_t channels;
  int32_t columns;
  const hg_bfloat16 *_Nonnull weights;
  const float *_Nonnull bias;
  void *_Nonnull output;
  ptrdiff_t output_stride;
  int32_t is_float_output;
  hg_bfloat16_epilogue epilogue;
  int32_t rows_per_task;
  int32_t panels_per_task;
  int32_t column_tasks;
} hg_bfloat16_product;

// As hg_geometry; input and output are bfloat16 or float32.
typedef struct {
  const void *_Nonnull input;
  ptrdiff_t input_stride;
  int32_t is_float_input;
  int32_t batch, height, width, channels;
  void *_Nonnull output;
  ptrdiff_t output_stride;
  int32_t is_float_output;
  int32_t output_height, output_width;
  int32_t kernel_height, kernel_width, stride_height, stride_width, padding_top, padding_left;
} hg_bfloat16_geometry;

// As hg_convolution, of bfloat16 alone; channels is even. weights: made by hg_pack_bfloat16.
// scratch: hg_bfloat16_convolution_scratch floats.
typedef struct {
  hg_bfloat16_geometry window;
  int32_t columns;
  const hg_bfloat16 *_Nonnull weights;
  const float *_Nonnull bias;
  hg_bfloat16_epilogue epilogue;
  int32_t pixels_per_task;
} hg_bfloat16_convolution;

// 3×3 stride-1 convolution as Winograd F(2×2, 3×3) of bfloat16; channels is a multiple of 16. weights: made by winograd_pack.
// zeros: as many as there are channels. Task t: block of tiles, over the whole batch.
// scratch: hg_bfloat16_winograd_scratch floats.
typedef struct {
  hg_bfloat16_geometry window;
  int32_t columns;
  const hg_bfloat16 *_Nonnull weights;
  const float *_Nonnull bias;
  const hg_bfloat16 *_Nonnull zeros;
  hg_bfloat16_epilogue epilogue;
  int32_t tiles_per_task;
} hg_bfloat16_winograd;

// As hg_depthwise, with float32 weights as there.
typedef struct {
  hg_bfloat16_geometry window;
  const float *_Nonnull weights;
  const float *_Nonnull bias;
  hg_bfloat16_epilogue epilogue;
  int32_t rows_per_task;
  int32_t channels_per_task;
} hg_bfloat16_depthwise;

// As hg_maximum_pool.
typedef struct {
  hg_bfloat16_geometry window;
  int32_t rows_per_task;
} hg_bfloat16_maximum_pool;

// As hg_average_pool, with sums in float32.
typedef struct {
  const hg_bfloat16 *_Nonnull input;
  ptrdiff_t input_stride;
  int32_t batch, pixels, channels;
  void *_Nonnull output;
  ptrdiff_t output_stride;
  int32_t is_float_output;
  int32_t channels_per_task;
} hg_bfloat16_average_pool;

// As hg_elementwise of the kinds copy, add and gate, each array in its own type: a copy is also the conversion.
typedef struct {
  int32_t kind;
  int64_t rows;
  int64_t rows_per_image;
  int32_t channels;
  const void *_Nonnull input;
  ptrdiff_t input_stride;
  int32_t is_float_input;
  const void *_Nullable other;
  ptrdiff_t other_stride;
  int32_t is_float_other;
  void *_Nonnull output;
  ptrdiff_t output_stride;
  int32_t is_float_output;
  hg_bfloat16_epilogue epilogue;
  int32_t rows_per_task;
} hg_bfloat16_elementwise;

// One implementation of all operators; the tasks are those of CHGNetKernels.h.
typedef struct {
  const char *_Nonnull name;
  // Whether products are quicker than those of float32.
  int32_t is_fast;
  void (*_Nonnull product)(const void *_Nonnull descriptor, int32_t task, float *_Nullable scratch);
  void (*_Nonnull convolution)(const void *_Nonnull descriptor, int32_t task, float *_Nullable scratch);
  void (*_Nonnull depthwise)(const void *_Nonnull descriptor, int32_t task, float *_Nullable scratch);
  void (*_Nonnull maximum_pool)(const void *_Nonnull descriptor, int32_t task, float *_Nullable scratch);
  void (*_Nonnull average_pool)(const void *_Nonnull descriptor, int32_t task, float *_Nullable scratch);
  void (*_Nonnull elementwise)(const void *_Nonnull descriptor, int32_t task, float *_Nullable scratch);
  const hg_bfloat16_training_kernels *_Nonnull training;
} hg_bfloat16_kernels;

// All implementations that this processor can run; the reference is the last. index < hg_bfloat16_kernels_count().
int32_t hg_bfloat16_kernels_count(void);
const hg_bfloat16_kernels *_Nonnull hg_bfloat16_kernels_at(int32_t index);
// The fastest one beside the float32 kernels of a name, for this processor.
const hg_bfloat16_kernels *_Nonnull hg_bfloat16_kernels_beside(const char *_Nonnull name);

// Floats of scratch of a thread.
int64_t hg_bfloat16_product_scratch(int64_t rows_per_task, int64_t channels);
int64_t hg_bfloat16_convolution_scratch(int64_t taps, int64_t channels);
int64_t hg_bfloat16_winograd_scratch(int64_t channels, int64_t columns, int64_t tiles_per_task);

// The nearest bfloat16, ties to even; a NaN stays one.
hg_bfloat16 hg_bfloat16_of(float value);
// The value of a bfloat16.
float hg_float_of_bfloat16(hg_bfloat16 value);

// Dense: from [columns][channels][taps] to [panels][taps][pairs of channels][16][2]; channels is even. `factors` as for
// hg_pack_dense.
void hg_pack_bfloat16(const float *_Nonnull weight, const float *_Nullable factors, int32_t columns, int32_t channels,
                      int32_t taps, hg_bfloat16 *_Nonnull packed);
// Linear: from [channels][columns] to [panels][pairs][16][2].
void hg_pack_bfloat16_linear(const float *_Nonnull weight, int32_t columns, int32_t channels,
                             hg_bfloat16 *_Nonnull packed);
