#version 460
#extension GL_GOOGLE_include_directive : require
#include "training.glsl"
// Changes y value by value: kind 0 makes it zero, 1 adds x, 2 adds x of the picture divided by the pixels, 3 adds x times w
// of the picture, 4 adds x times the derivative of the sigmoid whose result is w, 5 multiplies by w.
layout(local_size_x = 64) in;

void main() {
  const uint index = flatIndex();
  if (index >= p.rows * p.columns) return;
  const uint row = index / p.columns, column = index - row * p.columns, pixels = p.outHeight * p.outWidth;
  const uint target = p.yOffset + row * p.yStride + column;
  if (p.kind == 0) {
    y[target] = 0;
    return;
  }
  const uint picture = row / pixels, factor = p.rOffset + (p.kind == 3 ? picture : row) * p.rStride + column;
  if (p.kind == 5) {
    y[target] *= w[factor];
    return;
  }
  const float gradient = x[p.xOffset + (p.kind == 2 ? picture : row) * p.xStride + column];
  float value = gradient;
  if (p.kind == 2) value = gradient / float(pixels);
  if (p.kind == 3) value = gradient * w[factor];
  if (p.kind == 4) value = gradient * w[factor] * (1 - w[factor]);
  y[target] += value;
}
