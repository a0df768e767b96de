#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// A value by itself: kind 0 copies, 1 multiplies by a factor per channel, 2 is the sigmoid, 3 adds. Factors and summands
// stand at w, from `group` on with a distance of `channels`.
layout(local_size_x = 64) in;

void main() {
  const uint index = flatIndex();
  if (index >= p.rows * p.columns) return;
  const uint row = index / p.columns, column = index - row * p.columns;
  VALUE value = VALUE(x[p.xOffset + row * p.xStride + column]);
  if (p.kind == 1) value *= VALUE(w[p.group + row / (p.outHeight * p.outWidth) * p.channels + column]);
  if (p.kind == 3) value += VALUE(w[p.group + row * p.channels + column]);
  if (p.kind == 2) value = VALUE(1) / (VALUE(1) + exp(-value));
  y[p.yOffset + row * p.yStride + column] = STORED(finish(value, row, column));
}
