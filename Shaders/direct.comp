#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// Any convolution by its definition, a value of the result a thread: with V = 1 any number of groups and channels, with
// V = 4 those whose every channel is convolved on its own.
layout(local_size_x = 64) in;

void main() {
  const uint index = flatIndex();
  if (index >= p.rows * p.columns) return;
  const uint row = index / p.columns, column = index - row * p.columns;
  const uint area = p.outHeight * p.outWidth, picture = row / area, place = row - picture * area;
  const uint outRow = place / p.outWidth, outColumn = place - outRow * p.outWidth;
#if V == 4
  const uint group = 1, firstChannel = column;
#else
  const uint group = p.group, firstChannel = column / (p.columns / (p.channels / group)) * group;
#endif
  VALUE sum = b[column];
  for (uint i = 0; i < p.kernelHeight; i++) {
    const uint inRow = outRow * p.strideHeight + i - p.top;
    if (inRow >= p.height) continue;
    for (uint j = 0; j < p.kernelWidth; j++) {
      const uint inColumn = outColumn * p.strideWidth + j - p.left;
      if (inColumn >= p.width) continue;
      const uint source = p.xOffset + ((picture * p.height + inRow) * p.width + inColumn) * p.xStride + firstChannel;
      const uint factor = (i * p.kernelWidth + j) * group;
      for (uint c = 0; c < group; c++) {
        sum = fma(VALUE(x[source + c]), VALUE(w[(factor + c) * p.columns + column]), sum);
      }
    }
  }
  y[p.yOffset + row * p.yStride + column] = STORED(finish(sum, row, column));
}
