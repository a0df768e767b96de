#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// The largest value of a window; the border never wins.
layout(local_size_x = 64) in;

void main() {
  const uint index = flatIndex();
  if (index >= p.rows * p.columns) return;
  const uint row = index / p.columns, column = index - row * p.columns;
  const uint area = p.outHeight * p.outWidth, picture = row / area, place = row - picture * area;
  const uint outRow = place / p.outWidth, outColumn = place - outRow * p.outWidth;
  VALUE largest = VALUE(-uintBitsToFloat(0x7F800000));
  for (uint i = 0; i < p.kernelHeight; i++) {
    const uint inRow = outRow * p.strideHeight + i - p.top;
    if (inRow >= p.height) continue;
    for (uint j = 0; j < p.kernelWidth; j++) {
      const uint inColumn = outColumn * p.strideWidth + j - p.left;
      if (inColumn >= p.width) continue;
      largest = max(
        largest, VALUE(x[p.xOffset + ((picture * p.height + inRow) * p.width + inColumn) * p.xStride + column]));
    }
  }
  y[p.yOffset + row * p.yStride + column] = STORED(largest);
}
