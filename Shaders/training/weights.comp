#version 460
#extension GL_GOOGLE_include_directive : require
#include "training.glsl"
// The gradient of a dense convolution's weights as a product over pixels: what each tap and channel sees in x times the
// gradient r of the result. A workgroup computes 64 taps and channels by 32 columns over one slice of the pixels; y receives
// [slices, taps, channels, columns].
layout(local_size_x = 64) in;
const uint DEPTH = 16, PITCH = 65;
shared float seen[DEPTH * PITCH];
shared float gradients[DEPTH * 32];

void main() {
  const uint thread = gl_LocalInvocationID.x, depth = p.kernelHeight * p.kernelWidth * p.channels;
  const uint firstPart = gl_WorkGroupID.x * 64, firstColumn = gl_WorkGroupID.y * 32;
  const uint length = (p.rows + gl_NumWorkGroups.z - 1) / gl_NumWorkGroups.z;
  const uint first = gl_WorkGroupID.z * length, last = min(first + length, p.rows);
  // Each thread brings what one tap and channel sees, and one column of every second pixel.
  const uint part = firstPart + thread, tap = part / p.channels, channel = part - tap * p.channels;
  const uint tapRow = tap / p.kernelWidth, tapColumn = tap - tapRow * p.kernelWidth;
  const uint column = firstColumn + thread % 32;
  const uint threadPart = thread / 8 * 8, threadColumn = thread % 8 * 4;
  const uint area = p.outHeight * p.outWidth;

  float sums[8][4];
  [[unroll]] for (uint i = 0; i < 8; i++) [[unroll]] for (uint j = 0; j < 4; j++) sums[i][j] = 0;

  for (uint start = first; start < last; start += DEPTH) {
    for (uint i = 0; i < DEPTH; i++) {
      const uint row = start + i, picture = row / area, place = row - picture * area, outRow = place / p.outWidth;
      const uint inRow = outRow * p.strideHeight + tapRow - p.top;
      const uint inColumn = (place - outRow * p.outWidth) * p.strideWidth + tapColumn - p.left;
      const bool isInside = row < last && part < depth && inRow < p.height && inColumn < p.width;
      seen[i * PITCH + thread] =
        isInside ? x[p.xOffset + ((picture * p.height + inRow) * p.width + inColumn) * p.xStride + channel] : 0.0;
    }
    for (uint i = thread / 32; i < DEPTH; i += 2) {
      const uint row = start + i;
      gradients[i * 32 + thread % 32] = row < last && column < p.columns ? r[p.rOffset + row * p.rStride + column] : 0.0;
    }
    barrier();
    for (uint k = 0; k < DEPTH; k++) {
      float own[8], other[4];
      [[unroll]] for (uint i = 0; i < 8; i++) own[i] = seen[k * PITCH + threadPart + i];
      [[unroll]] for (uint j = 0; j < 4; j++) other[j] = gradients[k * 32 + threadColumn + j];
      [[unroll]] for (uint i = 0; i < 8; i++) {
        [[unroll]] for (uint j = 0; j < 4; j++) sums[i][j] = fma(own[i], other[j], sums[i][j]);
      }
    }
    barrier();
  }
  [[unroll]] for (uint i = 0; i < 8; i++) {
    [[unroll]] for (uint j = 0; j < 4; j++) {
      const uint ownPart = firstPart + threadPart + i, ownColumn = firstColumn + threadColumn + j;
      if (ownPart < depth && ownColumn < p.columns) {
        y[(gl_WorkGroupID.z * depth + ownPart) * p.columns + ownColumn] = sums[i][j];
      }
    }
  }
}
