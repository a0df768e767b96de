// What the shaders of training share: five arrays of float32, the numbers of a step, the coefficients of a unit.
//
// Activations are [N, H, W, C] with a distance between pixels; a value stands for one channel. No sum is made by atomics:
// each has one writer and a fixed order, so that a step gives the same bits again.
#extension GL_EXT_control_flow_attributes : require

layout(std430, set = 0, binding = 0) buffer First { float x[]; };
layout(std430, set = 0, binding = 1) buffer Second { float w[]; };
layout(std430, set = 0, binding = 2) buffer Third { float b[]; };
layout(std430, set = 0, binding = 3) buffer Fourth { float y[]; };
layout(std430, set = 0, binding = 4) buffer Fifth { float r[]; };

#include "../step.glsl"

const uint RELU = 1, AFFINE = 2, RESIDUAL = 4;

// A unit normalises to (z - mean) * factor + bias; its coefficients stand in b, one row of each for all channels. Behind
// them stand the factor and the addend of the affine block.
const uint MEAN = 0, INVERSE = 1, FACTOR = 2, BIAS = 3, PULL = 4, TILT = 5, SCALE_SUM = 6, SHIFT_SUM = 7, SCALARS = 8;
