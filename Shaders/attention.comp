#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// A thread computes one value of scaled dot-product attention: queries at x, keys at w, values at r; a head has `group`
// channels, keys and values have `height` pixels a picture, queries `outHeight`.
layout(local_size_x = 64) in;

void main() {
  const uint index = flatIndex();
  if (index >= p.rows * p.columns) return;
  const uint row = index / p.columns, column = index - row * p.columns, picture = row / p.outHeight;
  const uint head = column / p.group * p.group;
  const uint query = p.xOffset + row * p.xStride + head;
  const float scale = inversesqrt(float(p.group));
  // The sum is kept relative to the largest score so far.
  float largest = 0, sum = 0, result = 0;
  for (uint token = 0; token < p.height; token++) {
    const uint key = p.kind + (picture * p.height + token) * p.channels + head;
    float score = 0;
    for (uint c = 0; c < p.group; c++) score = fma(float(x[query + c]), float(w[key + c]), score);
    score *= scale;
    const float above = token == 0 ? score : max(largest, score);
    const float kept = token == 0 ? 0.0 : exp(largest - above), weight = exp(score - above);
    sum = sum * kept + weight;
    result = result * kept + weight * float(r[p.rOffset + (picture * p.height + token) * p.rStride + column]);
    largest = above;
  }
  y[p.yOffset + row * p.yStride + column] = STORED(result / sum);
}
