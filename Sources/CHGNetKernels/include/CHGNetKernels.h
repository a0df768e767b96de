// Arithmetic on pointers for the CPU engine: no allocation, no threads, no input or output, no state.
//
// Activations are float32 NHWC with a free distance between pixels ("stride", in floats), so that a producer can
// write its own slice of a wide concatenation buffer. Weights are packed in panels of 16 output channels.
//
// Every operator is a descriptor and a function that does one task of it; tasks of one step may run on any thread in
// any order and give the same bits. The same descriptors go to every implementation: `reference` (plain scalar C, the
// definition), `baseline` (SSE2 or what the target has), `avx2` (AVX2 and FMA), `avx512` (AVX-512F), `neon`.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "CHGNetAffine.h"
#include "CHGNetAttention.h"
#include "CHGNetBFloat16.h"
#include "CHGNetColor.h"
#include "CHGNetInteger.h"
#include "CHGNetOptimizer.h"
#include "CHGNetResample.h"
#include "CHGNetTraining.h"

#define HG_PANEL 16

// What happens to a result on its way to memory, in this order:
// y = max(x, lower); y = y * scale + shift; y = y + residual.
typedef struct {
  float lower;  // 0 for ReLU, -infinity for none
  float scale;  // the affine block; 1 for none
  float shift;  // the affine block; 0 for none
  const float *_Nullable residual;  // same pixels as the output, or NULL
  ptrdiff_t residual_stride;
} hg_epilogue;

// out[row][n] = bias[n] + sum over k of in[row][k] * weights[k][n].
// weights: [panels][channels][16], bias: [panels * 16] (padded with zeros). is_added: start from what is in the output
// instead of the bias; a residual must then be another array.
// Task t: block of rows t / column_tasks, block of panels t % column_tasks.
typedef struct {
  const float *_Nonnull input;
  ptrdiff_t input_stride;
  int64_t rows;
  int32_t channels;
  int32_t columns;
  const float *_Nonnull weights;
  const float *_Nonnull bias;
  float *_Nonnull output;
  ptrdiff_t output_stride;
  hg_epilogue epilogue;
  int32_t rows_per_task;
  int32_t panels_per_task;
  int32_t column_tasks;
  int32_t channels_per_block;
  int32_t is_added;
} hg_product;

// The same as hg_product over images of `pixels` rows each, with one level of Strassen's algorithm: rounding about three
// times as large. pixels and channels are even, columns is a multiple of 32. weights and bias: as for hg_product.
// Task t: (image, part of its pairs of pixels) t / column_tasks, block of panels of half the columns t % column_tasks.
// The pairs are divided evenly, at least 8 for a task. channels_per_block counts in half the channels.
// scratch: hg_strassen_scratch of the largest part.
typedef struct {
  const float *_Nonnull input;
  ptrdiff_t input_stride;
  int64_t pixels;
  int32_t channels;
  int32_t columns;
  const float *_Nonnull weights;
  const float *_Nonnull bias;
  float *_Nonnull output;
  ptrdiff_t output_stride;
  hg_epilogue epilogue;
  int32_t tasks_per_image;
  int32_t panels_per_task;
  int32_t column_tasks;
  int32_t channels_per_block;
  int32_t is_added;
} hg_strassen;

// Where a windowed operator reads and writes. Pixels are dense in rows: row distance = width * stride.
typedef struct {
  const float *_Nonnull input;
  ptrdiff_t input_stride;
  int32_t batch, height, width, channels;
  float *_Nonnull output;
  ptrdiff_t output_stride;
  int32_t output_height, output_width;
  int32_t kernel_height, kernel_width, stride_height, stride_width, padding_top, padding_left;
} hg_geometry;

// Dense convolution by direct products. weights: [panels][kernel height][kernel width][channels][16].
// Task t: output pixels from t * pixels_per_task, over the whole batch. scratch: block_rows windows.
typedef struct {
  hg_geometry window;
  int32_t columns;
  const float *_Nonnull weights;
  const float *_Nonnull bias;
  hg_epilogue epilogue;
  int32_t pixels_per_task;
} hg_convolution;

// 3×3 stride-1 convolution as Winograd F(tile×tile, 3×3), tile 4 or 2; channels is a multiple of 16. Rounding: that of
// tile 2 is close to a direct sum's, that of tile 4 ten times as much.
// weights: [(tile + 2)²][panels][channels][16], made by hg_pack_winograd.
// Task t: block of tiles t / column_tasks (tiles of output pixels over the whole batch, row by row), block of
// panels t % column_tasks. scratch: hg_winograd_scratch floats per thread.
typedef struct {
  hg_geometry window;
  int32_t columns;
  const float *_Nonnull weights;
  const float *_Nonnull bias;
  const float *_Nonnull zeros;
  hg_epilogue epilogue;
  int32_t tile;
  // Whether input, residual and output are bfloat16 (hg_bfloat16 at the same addresses), with tile 4 only. Weights and
  // arithmetic are float32.
  int32_t is_bfloat16;
  int32_t tiles_per_task;
  int32_t panels_per_task;
  int32_t column_tasks;
} hg_winograd;

// Depthwise convolution. weights: [kernel height][kernel width][channels padded to 16], bias padded likewise.
// Task t: (image, block of rows, block of channels), channels fastest.
typedef struct {
  hg_geometry window;
  const float *_Nonnull weights;
  const float *_Nonnull bias;
  hg_epilogue epilogue;
  int32_t rows_per_task;
  int32_t channels_per_task;
} hg_depthwise;

// Maximum over a window; pixels outside never win. Task t: (image, block of rows).
typedef struct {
  hg_geometry window;
  int32_t rows_per_task;
} hg_maximum_pool;

// Mean over all pixels of an image; the result is [batch][channels]. Task t: (image, block of channels).
typedef struct {
  const float *_Nonnull input;
  ptrdiff_t input_stride;
  int32_t batch, pixels, channels;
  float *_Nonnull output;
  ptrdiff_t output_stride;
  int32_t channels_per_task;
} hg_average_pool;

// Functions of one number.
enum { HG_FUNCTION_SIGMOID = 0 };

enum { HG_COPY = 0, HG_ADD = 1, HG_GATE = 2, HG_SOFTMAX = 3, HG_POINTWISE = 8 };

// Elementwise work over rows (pixels) of channels, then the epilogue.
// copy: a. add: a + b. gate: a * b[image]. softmax: over the channels of a row. HG_POINTWISE + function: function(a).
// Task t: block of rows. rows_per_image: for the gate.
typedef struct {
  int32_t kind;
  int64_t rows;
  int64_t rows_per_image;
  int32_t channels;
  const float *_Nonnull input;
  ptrdiff_t input_stride;
  const float *_Nullable other;
  ptrdiff_t other_stride;
  float *_Nonnull output;
  ptrdiff_t output_stride;
  hg_epilogue epilogue;
  int32_t rows_per_task;
} hg_elementwise;

// A measurement: multiply-adds in registers, 24 * lanes operations per repeat and task; or reading `count` floats per task
// and repeat from memory + task * count. sums: 16 floats per task, whose first keeps the work from being optimised away.
typedef struct {
  int64_t repeats;
  const float *_Nullable memory;
  int64_t count;
  float *_Nonnull sums;
} hg_peak;

// One task of a step; scratch belongs to the calling thread.
typedef void (*hg_task)(const void *_Nonnull descriptor, int32_t task, float *_Nullable scratch);

// One implementation of all operators.
typedef struct {
  const char *_Nonnull name;
  // Rows and panels of the register block, which the plan uses to cut tasks.
  int32_t block_rows, block_panels;
  // Values of a vector, for what hg_peak counts.
  int32_t lanes;
  hg_task _Nonnull product, strassen, convolution, winograd, depthwise, maximum_pool, average_pool, elementwise;
  hg_task _Nonnull peak_arithmetic, peak_reading;
  const hg_decoder_kernels *_Nonnull decoder;
} hg_kernels;

// The implementations that this processor can run, best first; the reference is the last. index < hg_kernels_count().
int32_t hg_kernels_count(void);
const hg_kernels *_Nonnull hg_kernels_at(int32_t index);

// Floats of scratch that a thread needs for a task.
int64_t hg_strassen_scratch(int32_t pairs, int32_t channels_per_block);
int64_t hg_winograd_scratch(int32_t tile, int32_t channels, int32_t columns, int32_t tiles_per_task);

// Packing of weights. `factors` (per output channel, may be NULL) is multiplied in: the folded batch normalisation.
// Dense: from [columns][channels][taps] to [panels][taps][channels][16].
void hg_pack_dense(const float *_Nonnull weight, const float *_Nullable factors, int32_t columns, int32_t channels,
                   int32_t taps, float *_Nonnull packed);
// Linear: from [channels][columns] to [panels][channels][16].
void hg_pack_linear(const float *_Nonnull weight, int32_t columns, int32_t channels, float *_Nonnull packed);
// Winograd: from [columns][channels][3][3] to [(tile + 2)²][panels][channels][16].
void hg_pack_winograd(const float *_Nonnull weight, const float *_Nullable factors, int32_t tile, int32_t columns,
                      int32_t channels, int32_t first_panel, int32_t end_panel, float *_Nonnull packed);
// Depthwise: from [channels][taps] to [taps][channels padded to 16].
void hg_pack_depthwise(const float *_Nonnull weight, const float *_Nullable factors, int32_t channels, int32_t taps,
                       float *_Nonnull packed);
