#version 460
#extension GL_GOOGLE_include_directive : require
#include "training.glsl"
// What follows a convolution, whose result is x, with the coefficients b. Kind 0: y becomes the unit's result, to which r
// is added. Kind 1: x becomes its gradient, r is the gradient of the unit's result.
layout(local_size_x = 64) in;

void main() {
  const uint index = flatIndex();
  if (index >= p.rows * p.columns) return;
  const uint row = index / p.columns, column = index - row * p.columns;
  const uint place = p.xOffset + row * p.xStride + column;
  const float distance = x[place] - b[MEAN * p.columns + column], factor = b[FACTOR * p.columns + column];
  const float normal = fma(distance, factor, b[BIAS * p.columns + column]);
  const bool isOpen = (p.flags & RELU) == 0 || normal > 0, isScaled = (p.flags & AFFINE) != 0;
  const float other = (p.flags & RESIDUAL) != 0 || p.kind == 1 ? r[p.rOffset + row * p.rStride + column] : 0.0;
  if (p.kind == 0) {
    float value = isOpen ? normal : 0.0;
    if (isScaled) value = fma(value, b[SCALARS * p.columns], b[SCALARS * p.columns + 1]);
    y[p.yOffset + row * p.yStride + column] = value + other;
    return;
  }
  const float inner = isOpen ? (isScaled ? other * b[SCALARS * p.columns] : other) : 0.0;
  x[place] = (inner - b[PULL * p.columns + column] - distance * b[TILT * p.columns + column]) * factor;
}
