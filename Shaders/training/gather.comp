#version 460
#extension GL_GOOGLE_include_directive : require
#include "training.glsl"
// The data gradient y of any convolution by its definition, a value a thread, from the gradient x of its result and the
// parameter w. In the parameter input channels are rOffset apart, output channels rStride. RESIDUAL adds to what is there.
layout(local_size_x = 64) in;

void main() {
  const uint index = flatIndex();
  if (index >= p.rows * p.columns) return;
  const uint row = index / p.columns, column = index - row * p.columns;
  const uint area = p.outHeight * p.outWidth, picture = row / area, place = row - picture * area;
  const uint ownRow = place / p.outWidth, ownColumn = place - ownRow * p.outWidth;
  const uint group = column / p.group, outputs = p.channels / (p.columns / p.group), firstOutput = group * outputs;
  float sum = 0;
  for (uint i = 0; i < p.kernelHeight; i++) {
    // A negative number is a very large one.
    const uint down = ownRow + p.top - i, theirRow = down / p.strideHeight;
    if (ownRow + p.top < i || theirRow * p.strideHeight != down || theirRow >= p.height) continue;
    for (uint j = 0; j < p.kernelWidth; j++) {
      const uint across = ownColumn + p.left - j, theirColumn = across / p.strideWidth;
      if (ownColumn + p.left < j || theirColumn * p.strideWidth != across || theirColumn >= p.width) continue;
      const uint source = p.xOffset + ((picture * p.height + theirRow) * p.width + theirColumn) * p.xStride + firstOutput;
      const uint factor =
        firstOutput * p.rStride + (column - group * p.group) * p.rOffset + i * p.kernelWidth + j;
      for (uint c = 0; c < outputs; c++) sum = fma(x[source + c], w[factor + c * p.rStride], sum);
    }
  }
  const uint target = p.yOffset + row * p.yStride + column;
  y[target] = (p.flags & RESIDUAL) != 0 ? y[target] + sum : sum;
}
