// What all shaders share: bindings, the numbers of a step, the epilogue.
//
// Activations are [N, H, W, C] with a distance between pixels, weights [taps, input channels, output channels]. With
// V = 4 a value stands for four neighbouring channels, with V = 1 for one; offsets, distances and counts of channels are
// in values. With HALF what is stored is float16; sums and epilogues are float32 always.
#extension GL_EXT_control_flow_attributes : require
#ifdef HALF
#extension GL_EXT_shader_16bit_storage : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#endif

#if V == 4
#define VALUE vec4
#ifdef HALF
#define STORED f16vec4
#else
#define STORED vec4
#endif
#else
#define VALUE float
#ifdef HALF
#define STORED float16_t
#else
#define STORED float
#endif
#endif

#ifndef INPUT
#define INPUT STORED
#endif
#ifndef OUTPUT
#define OUTPUT STORED
#endif

layout(std430, set = 0, binding = 0) readonly buffer Input { INPUT x[]; };
layout(std430, set = 0, binding = 1) readonly buffer Weights { STORED w[]; };
layout(std430, set = 0, binding = 2) readonly buffer Bias { VALUE b[]; };
layout(std430, set = 0, binding = 3) writeonly buffer Output { OUTPUT y[]; };
layout(std430, set = 0, binding = 4) readonly buffer Other { STORED r[]; };

#include "step.glsl"

const uint RELU = 1, AFFINE = 2, RESIDUAL = 4;

VALUE finish(VALUE value, uint row, uint column) {
  if ((p.flags & RELU) != 0) value = max(value, VALUE(0));
  if ((p.flags & AFFINE) != 0) value = fma(value, VALUE(p.scale), VALUE(p.shift));
  if ((p.flags & RESIDUAL) != 0) value += VALUE(r[p.rOffset + row * p.rStride + column]);
  return value;
}
