#version 460
#extension GL_GOOGLE_include_directive : require
#define INPUT float
#include "common.glsl"
// Takes over pictures of the host; the channels up to the next pixel become zero.
layout(local_size_x = 64) in;

void main() {
  const uint index = flatIndex();
  if (index >= p.rows * p.yStride) return;
  const uint row = index / p.yStride, column = index - row * p.yStride;
  y[p.yOffset + index] = STORED(column < p.channels ? x[row * p.channels + column] : 0.0);
}
