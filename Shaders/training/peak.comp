#version 460
#extension GL_GOOGLE_include_directive : require
#include "training.glsl"
// Adds to y, the gradient of a maximum pooling's input x, the gradient r of each window in which the pixel is the first of
// the largest.
layout(local_size_x = 64) in;

void main() {
  const uint index = flatIndex();
  if (index >= p.rows * p.columns) return;
  const uint row = index / p.columns, column = index - row * p.columns;
  const uint area = p.height * p.width, picture = row / area, place = row - picture * area;
  const uint ownRow = place / p.width, ownColumn = place - ownRow * p.width;
  const uint first = p.xOffset + picture * area * p.xStride + column;
  const float own = x[first + place * p.xStride];
  float sum = 0;
  for (uint i = 0; i < p.kernelHeight; i++) {
    const uint down = ownRow + p.top - i, outRow = down / p.strideHeight;
    if (ownRow + p.top < i || outRow * p.strideHeight != down || outRow >= p.outHeight) continue;
    for (uint j = 0; j < p.kernelWidth; j++) {
      const uint across = ownColumn + p.left - j, outColumn = across / p.strideWidth;
      if (ownColumn + p.left < j || outColumn * p.strideWidth != across || outColumn >= p.outWidth) continue;
      bool isFirst = true;
      for (uint k = 0; k < p.kernelHeight * p.kernelWidth; k++) {
        const uint tapRow = k / p.kernelWidth, tapColumn = k - tapRow * p.kernelWidth;
        const uint inRow = outRow * p.strideHeight + tapRow - p.top;
        const uint inColumn = outColumn * p.strideWidth + tapColumn - p.left;
        // A negative number is a very large one.
        if (inRow >= p.height || inColumn >= p.width) continue;
        const float other = x[first + (inRow * p.width + inColumn) * p.xStride];
        if (k < i * p.kernelWidth + j ? other >= own : other > own) isFirst = false;
      }
      if (isFirst) {
        sum += r[p.rOffset + (picture * p.outHeight * p.outWidth + outRow * p.outWidth + outColumn) * p.rStride + column];
      }
    }
  }
  y[p.yOffset + row * p.yStride + column] += sum;
}
