// What training in mixed precision adds to the kernels: arrays in bfloat16, sums and parameters in float32.
//
// The descriptors are those of CHGNetTraining.h. Where one of them points to floats and the array is in bfloat16, the
// address is that of its first value and strides count values as ever; flags say which arrays are. Sums are cut into
// chunks as there, so that the same bits come out for any number of threads.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "CHGNetTraining.h"

// hg_unit; which of its arrays are in bfloat16: z, the output (in the backward pass its gradient), the residual, and the
// gradient of z. A gradient of z in bfloat16 takes the first half of the room of a z in float32: its rows are
// 2 * channels values apart; of a z in bfloat16 they lie where those were.
typedef struct {
  hg_unit unit;
  int32_t is_half_z, is_half_output, is_half_residual, is_half_gradient;
} hg_bfloat16_unit;

// hg_depthwise_gradient with input and gradient in bfloat16.
typedef struct {
  hg_depthwise_gradient depthwise;
  ptrdiff_t gradient_stride;
} hg_bfloat16_depthwise_gradient;

// hg_dilate in bfloat16.
typedef struct {
  hg_dilate dilate;
  ptrdiff_t input_stride;
} hg_bfloat16_dilate;

// hg_elementwise_gradient; which of its arrays are in bfloat16.
typedef struct {
  hg_elementwise_gradient elementwise;
  int32_t is_half_target, is_half_gradient, is_half_factor;
} hg_bfloat16_elementwise_gradient;

// hg_gate_gradient; which of its arrays are in bfloat16.
typedef struct {
  hg_gate_gradient gate;
  int32_t is_half_input, is_half_gradient, is_half_target;
} hg_bfloat16_gate_gradient;

// Floats of scratch of a thread for weight_gradient.
int64_t hg_bfloat16_weight_gradient_scratch(int32_t channels_per_task, int32_t columns_per_task, int32_t taps);

// The kernels of one instruction set; tasks as in CHGNetTraining.h.
// pack: hg_pack without Winograd, of an even number of channels, into pairs as hg_pack_bfloat16 makes them.
// sums, apply, gradient_sums, gradient_apply: hg_bfloat16_unit, of which the float32 kernels compute the statistics.
// weight_gradient: hg_weight_gradient with input and gradient in bfloat16; is_run is 0. Nothing is read behind them.
// winograd: hg_bfloat16_winograd; winograd_pack: hg_pack of an even number of channels into its weights,
// [16][panels][pairs][16][2].
// maximum_pool_gradient: hg_maximum_pool_gradient, all in bfloat16.
typedef struct {
  hg_training_task _Nonnull pack, sums, apply, gradient_sums, gradient_apply, weight_gradient, depthwise_gradient, dilate,
      maximum_pool_gradient, elementwise_gradient, gate_gradient, winograd, winograd_pack;
} hg_bfloat16_training_kernels;
