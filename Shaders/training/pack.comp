#version 460
#extension GL_GOOGLE_include_directive : require
#include "training.glsl"
// Weights as products read them, [taps, channels, columns], from a parameter x in which neighbouring taps lie together, with
// a distance of xStride between channels and of rStride between columns. Channels from `group` on are zero; kind 1 turns
// the window round, for the data gradient.
layout(local_size_x = 64) in;

void main() {
  const uint index = flatIndex();
  if (index >= p.rows * p.columns) return;
  const uint row = index / p.columns, column = index - row * p.columns;
  const uint place = row / p.channels, channel = row - place * p.channels, taps = p.kernelHeight * p.kernelWidth;
  const uint tap = p.kind == 1 ? taps - 1 - place : place;
  y[index] = channel < p.group ? x[column * p.rStride + channel * p.xStride + tap] : 0.0;
}
