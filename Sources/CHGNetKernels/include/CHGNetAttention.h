// What a transformer decoder adds to the kernels: attention, layer normalisation, and one product per group.
//
// Conventions as in CHGNetKernels.h: activations are rows of channels with a free distance between rows; a token is a
// pixel. Gradients are added to what is in their targets. Every sum has its fixed order inside one task.
#pragma once

#include <stddef.h>
#include <stdint.h>

// Per image and head: weights = softmax(scale * queries · keysᵀ), output = (weights * mask) · values.
// A head is a run of head_size channels. Task t: (image, head).
typedef struct {
  const float *_Nonnull queries;
  const float *_Nonnull keys;
  const float *_Nonnull values;
  ptrdiff_t query_stride, key_stride, value_stride;
  int32_t batch, query_count, token_count, heads, head_size;
  float scale;
  float *_Nullable weights;     // [batch][heads][query_count][token_count], kept for the backward pass; NULL: in scratch
  const float *_Nullable mask;  // of the same shape; NULL for none
  float *_Nonnull output;       // the backward pass reads its gradient here
  ptrdiff_t output_stride;
  float *_Nullable query_gradient;  // NULL in the forward pass, and where no gradient is wanted
  float *_Nullable key_gradient;
  float *_Nullable value_gradient;
  ptrdiff_t query_gradient_stride, key_gradient_stride, value_gradient_stride;
} hg_attention;

// output = (x - mean) / sqrt(variance + epsilon) * weight + bias over the channels of each row.
// Task t: block of rows; for the gradients of weight and bias a block of 16 channels.
typedef struct {
  const float *_Nonnull input;
  ptrdiff_t input_stride;
  int64_t rows;
  int32_t channels;
  const float *_Nonnull weight;
  const float *_Nonnull bias;
  float epsilon;
  float *_Nonnull output;  // the backward pass reads its gradient here
  ptrdiff_t output_stride;
  float *_Nullable statistics;  // [rows][2]: mean and inverse deviation, kept for the backward pass
  float *_Nullable input_gradient;
  ptrdiff_t input_gradient_stride;
  float *_Nullable weight_gradient;
  float *_Nullable bias_gradient;
  int32_t rows_per_task;
} hg_layer_normalization;

// output[image][k] = bias[k] + input[image][k / columns_per_group] · weight[k], for the first `columns` columns.
// Task t: an image; for the gradients of weight and bias a column.
typedef struct {
  const float *_Nonnull input;  // [batch][groups] rows
  ptrdiff_t input_stride;
  int32_t batch, groups, channels, columns, columns_per_group;
  const float *_Nonnull weight;  // [columns][channels]
  const float *_Nonnull bias;
  float *_Nonnull output;  // [batch] rows; the backward pass reads its gradient here
  ptrdiff_t output_stride;
  float *_Nullable input_gradient;
  ptrdiff_t input_gradient_stride;
  float *_Nullable weight_gradient;
  float *_Nullable bias_gradient;
} hg_group_product;

// The same rows for every image. Task t: an image.
typedef struct {
  const float *_Nonnull rows;  // [count][channels]
  int32_t count, channels;
  float *_Nonnull output;
  ptrdiff_t output_stride;
} hg_repeat;

// Does task `task` of a descriptor; scratch is the thread's own.
typedef void (*hg_decoder_task)(const void *_Nonnull descriptor, int32_t task, float *_Nullable scratch);

// One implementation of all of them.
typedef struct {
  hg_decoder_task _Nonnull attention;  // scratch: token_count floats
  hg_decoder_task _Nonnull attention_gradient;  // scratch: token_count floats
  hg_decoder_task _Nonnull layer_normalization;
  hg_decoder_task _Nonnull layer_normalization_gradient;
  hg_decoder_task _Nonnull layer_normalization_parameter_gradient;
  hg_decoder_task _Nonnull group_product;
  hg_decoder_task _Nonnull group_product_gradient;
  hg_decoder_task _Nonnull group_product_parameter_gradient;
  hg_decoder_task _Nonnull repeat;
} hg_decoder_kernels;
