#version 460
#extension GL_GOOGLE_include_directive : require
#include "training.glsl"
// Sums over rows for each column, by slices of rows: a workgroup sums a slice for 16 columns, each in 8 parts.
//
// y receives [slices, taps, quantities, columns]; kind 3 adds to y instead.
layout(local_size_x = 128) in;
layout(constant_id = 0) const uint KIND = 0;
// 0: the distances of x from its first row, and their squares.
// 1: of a unit's result x before the normalisation and its gradient r, what the gradients of the small parameters need.
// 2: the gradient w of a depthwise convolution times what a tap sees in x; z is the tap.
// 3: x times w over the pixels of picture z.
// 4: the gradient w times x normalised by mean and inverse deviation of its row, which stand in r; and the gradient.
const uint QUANTITIES = KIND == 1 ? 4 : KIND == 2 ? 1 : 2;
shared vec4 parts[128];

vec4 terms(uint row, uint column) {
  if (KIND == 0) {
    const float distance = x[p.xOffset + row * p.xStride + column] - x[p.xOffset + column];
    return vec4(distance, distance * distance, 0, 0);
  }
  if (KIND == 1) {
    const float distance = x[p.xOffset + row * p.xStride + column] - b[MEAN * p.columns + column];
    const float gradient = r[p.rOffset + row * p.rStride + column];
    const float normal = fma(distance, b[FACTOR * p.columns + column], b[BIAS * p.columns + column]);
    const bool isOpen = (p.flags & RELU) == 0 || normal > 0;
    const float scale = (p.flags & AFFINE) != 0 ? b[SCALARS * p.columns] : 1.0;
    const float inner = isOpen ? gradient * scale : 0.0;
    return vec4(inner, inner * distance, isOpen ? gradient * normal : 0.0, gradient);
  }
  if (KIND == 2) {
    const uint area = p.outHeight * p.outWidth, picture = row / area, place = row - picture * area;
    const uint tapRow = gl_WorkGroupID.z / p.kernelWidth, tapColumn = gl_WorkGroupID.z - tapRow * p.kernelWidth;
    const uint inRow = place / p.outWidth * p.strideHeight + tapRow - p.top;
    const uint inColumn = place % p.outWidth * p.strideWidth + tapColumn - p.left;
    // A negative number is a very large one.
    if (inRow >= p.height || inColumn >= p.width) return vec4(0);
    const float value = x[p.xOffset + ((picture * p.height + inRow) * p.width + inColumn) * p.xStride + column];
    return vec4(value * w[p.rOffset + row * p.rStride + column], 0, 0, 0);
  }
  if (KIND == 3) {
    const uint pixel = gl_WorkGroupID.z * p.rows + row;
    return vec4(x[p.xOffset + pixel * p.xStride + column] * w[p.rOffset + pixel * p.rStride + column], 0, 0, 0);
  }
  const float gradient = w[p.rOffset + row * p.rStride + column];
  return vec4(gradient * (x[p.xOffset + row * p.xStride + column] - r[2 * row]) * r[2 * row + 1], gradient, 0, 0);
}

void main() {
  const uint thread = gl_LocalInvocationID.x, own = thread % 16, lane = thread / 16;
  const uint slices = gl_NumWorkGroups.x, column = gl_WorkGroupID.y * 16 + own;
  const uint length = (p.rows + slices - 1) / slices;
  const uint first = gl_WorkGroupID.x * length, last = min(first + length, p.rows);
  vec4 sum = vec4(0);
  if (column < p.columns) {
    for (uint row = first + lane; row < last; row += 8) sum += terms(row, column);
  }
  parts[thread] = sum;
  barrier();
  [[unroll]] for (uint count = 4; count > 0; count /= 2) {
    if (lane < count) parts[thread] += parts[thread + count * 16];
    barrier();
  }
  if (lane != 0 || column >= p.columns) return;
  if (KIND == 3) {
    y[p.yOffset + gl_WorkGroupID.z * p.yStride + column] += parts[thread].x;
    return;
  }
  const uint place = (gl_WorkGroupID.x * gl_NumWorkGroups.z + gl_WorkGroupID.z) * QUANTITIES;
  [[unroll]] for (uint i = 0; i < QUANTITIES; i++) y[(place + i) * p.columns + column] = parts[thread][i];
}
