#version 460
#extension GL_GOOGLE_include_directive : require
#include "training.glsl"
// Gradients of one product per token, with `group` classes each of which there are `columns` in all; r is the gradient of the
// result. Kind 0 adds to the gradient y of the tokens what the weights w make of it, 1 to the gradient y of the weights, of
// which `channels` make a row, what the tokens x make of it, 2 to the gradient y of the biases.
layout(local_size_x = 64) in;

void main() {
  const uint index = flatIndex();
  if (p.kind == 0) {
    if (index >= p.rows * p.height * p.channels) return;
    const uint pixel = index / p.channels, c = index - pixel * p.channels, picture = pixel / p.height;
    const uint first = (pixel - picture * p.height) * p.group;
    float sum = 0;
    for (uint column = first; column < min(first + p.group, p.columns); column++) {
      sum = fma(r[p.rOffset + picture * p.rStride + column], w[column * p.channels + c], sum);
    }
    y[p.yOffset + pixel * p.yStride + c] += sum;
    return;
  }
  const uint width = p.kind == 1 ? p.channels : 1;
  if (index >= p.columns * width) return;
  const uint column = index / width, c = index - column * width, token = column / p.group;
  float sum = 0;
  for (uint picture = 0; picture < p.rows; picture++) {
    const float value = p.kind == 1 ? x[p.xOffset + (picture * p.height + token) * p.xStride + c] : 1.0;
    sum = fma(value, r[p.rOffset + picture * p.rStride + column], sum);
  }
  y[index] += sum;
}
