#version 460
#extension GL_GOOGLE_include_directive : require
#include "training.glsl"
// Adds the sum of `group` slices of x, a distance of xStride apart, to the gradient y of a parameter: row and column of a
// slice are the tap with the channel, and the output channel; channels of the parameter are rOffset apart, output channels
// rStride.
layout(local_size_x = 64) in;

void main() {
  const uint index = flatIndex();
  if (index >= p.rows * p.columns) return;
  const uint row = index / p.columns, column = index - row * p.columns;
  const uint tap = row / p.channels, channel = row - tap * p.channels;
  float sum = 0;
  for (uint slice = 0; slice < p.group; slice++) sum += x[p.xOffset + slice * p.xStride + index];
  y[column * p.rStride + channel * p.rOffset + tap] += sum;
}
