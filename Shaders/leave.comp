#version 460
#extension GL_GOOGLE_include_directive : require
#define OUTPUT float
#include "common.glsl"
// Gives a result to the host, without gaps.
layout(local_size_x = 64) in;

void main() {
  const uint index = flatIndex();
  if (index >= p.rows * p.columns) return;
  const uint row = index / p.columns, column = index - row * p.columns;
  y[index] = float(x[p.xOffset + row * p.xStride + column]);
}
