#version 460
#extension GL_GOOGLE_include_directive : require
#include "training.glsl"
// Joins the slices of a unit's sums x, of which there are `group`. w holds its small parameters and r their gradients, each
// at a place that is named below; y its coefficients.
layout(local_size_x = 64) in;
layout(constant_id = 0) const uint KIND = 0;
// 0: coefficients from the batch, whose first row stands in r at rOffset; running statistics move.
// 1: coefficients from the running statistics.
// 2: gradients of weight and bias, and what the gradient of each value needs.
// 3: gradients of the affine block; one workgroup.
const uint NONE = 0xFFFFFFFF, IS_FIXED = 8;
// The places of weight and bias, mean and variance, factor and addend.
#define WEIGHT p.height
#define SHIFT p.width
#define RUNNING_MEAN p.top
#define RUNNING_VARIANCE p.left
#define SCALE_PLACE p.kernelHeight
#define SHIFT_PLACE p.kernelWidth
shared vec2 parts[64];

float joined(uint quantities, uint quantity, uint column) {
  float sum = 0;
  for (uint slice = 0; slice < p.group; slice++) sum += x[(slice * quantities + quantity) * p.columns + column];
  return sum;
}

void prepare(uint column) {
  float mean = 0, inverse = 1, factor = 1;
  const bool isSingle = KIND == 0 && p.rows == 1;
  if (WEIGHT != NONE && !isSingle) {
    float variance = w[RUNNING_VARIANCE + column];
    mean = w[RUNNING_MEAN + column];
    if (KIND == 0) {
      const float shift = joined(2, 0, column) / float(p.rows), squares = joined(2, 1, column) / float(p.rows);
      const float running = mean;
      mean = r[p.rOffset + column] + shift;
      const float own = max(squares - shift * shift, 0.0);
      w[RUNNING_MEAN + column] = p.shift * running + (1 - p.shift) * mean;
      w[RUNNING_VARIANCE + column] = p.shift * variance + (1 - p.shift) * own;
      variance = own;
    }
    inverse = 1 / sqrt(variance + p.scale);
    factor = w[WEIGHT + column] * inverse;
  }
  y[MEAN * p.columns + column] = mean;
  y[INVERSE * p.columns + column] = inverse;
  y[FACTOR * p.columns + column] = factor;
  y[BIAS * p.columns + column] = SHIFT != NONE && !isSingle ? w[SHIFT + column] : 0.0;
  if (column == 0 && SCALE_PLACE != NONE) {
    y[SCALARS * p.columns] = w[SCALE_PLACE];
    y[SCALARS * p.columns + 1] = w[SHIFT_PLACE];
  }
}

void main() {
  if (KIND == 3) {
    const uint thread = gl_LocalInvocationID.x;
    vec2 sum = vec2(0);
    for (uint c = thread; c < p.columns; c += 64) sum += vec2(y[SCALE_SUM * p.columns + c], y[SHIFT_SUM * p.columns + c]);
    parts[thread] = sum;
    barrier();
    [[unroll]] for (uint count = 32; count > 0; count /= 2) {
      if (thread < count) parts[thread] += parts[thread + count];
      barrier();
    }
    if (thread == 0) {
      r[SCALE_PLACE] += parts[0].x;
      r[SHIFT_PLACE] += parts[0].y;
    }
    return;
  }
  const uint column = flatIndex();
  if (column >= p.columns) return;
  if (KIND != 2) {
    prepare(column);
    return;
  }
  const float inverse = y[INVERSE * p.columns + column], sum = joined(4, 0, column), product = joined(4, 1, column);
  const bool isSingle = p.rows == 1 && (p.flags & IS_FIXED) == 0;
  const bool isOfBatch = WEIGHT != NONE && (p.flags & IS_FIXED) == 0 && p.rows > 1;
  if (WEIGHT != NONE && !isSingle) r[WEIGHT + column] += product * inverse;
  if (SHIFT != NONE && !(WEIGHT != NONE && isSingle)) r[SHIFT + column] += sum;
  y[PULL * p.columns + column] = isOfBatch ? sum / float(p.rows) : 0.0;
  y[TILT * p.columns + column] = isOfBatch ? inverse * inverse * product / float(p.rows) : 0.0;
  y[SCALE_SUM * p.columns + column] = joined(4, 2, column);
  y[SHIFT_SUM * p.columns + column] = joined(4, 3, column);
}
