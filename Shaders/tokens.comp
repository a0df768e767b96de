#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// Kind 0: the same rows of w for each picture. Kind 1: the product of each token with the rows of w that are its own.
layout(local_size_x = 64) in;

void main() {
  const uint index = flatIndex();
  if (index >= p.rows * p.columns) return;
  const uint row = index / p.columns, column = index - row * p.columns;
  float value;
  if (p.kind == 0) {
    value = float(w[row % p.outHeight * p.columns + column]);
  } else {
    const uint source = p.xOffset + (row * p.height + column / p.group) * p.xStride;
    value = b[column];
    for (uint c = 0; c < p.channels; c++) value = fma(float(x[source + c]), float(w[column * p.channels + c]), value);
  }
  y[p.yOffset + row * p.yStride + column] = STORED(value);
}
