#version 460
#extension GL_GOOGLE_include_directive : require
#include "training.glsl"
// Attention in training. Queries have `outHeight` pixels a picture, keys and values `height`, a head `group` channels of all
// `columns`; weights and masks are [N, heads, queries, tokens]. What kinds read at x and write at y has its offset and
// distance there, another operand at rOffset and rStride.
//
// 0: the weights y of queries x and keys r. 1: the results y of weights w, masks b and values r.
// 2: the gradients y of the scores from weights w, masks b, the result's gradient x and the values r.
// 3: adds to the queries' gradient y the gradients w of the scores times the keys r. 4: adds to the keys' gradient y those
// times the queries r. 5: adds to the values' gradient y weights w and masks b times the result's gradient r.
layout(local_size_x = 64) in;
const uint IS_MASKED = 1;

float mask(uint place) { return (p.flags & IS_MASKED) != 0 ? b[place] : 1.0; }

// A row of scores or of their gradients: one of N * heads * queries.
void row(uint index) {
  const uint heads = p.columns / p.group, query = index % p.outHeight, head = index / p.outHeight % heads;
  const uint picture = index / p.outHeight / heads, first = index * p.height;
  const uint own = p.xOffset + (picture * p.outHeight + query) * p.xStride + head * p.group;
  const float scale = inversesqrt(float(p.group));
  float largest = 0, sum = 0;
  for (uint token = 0; token < p.height; token++) {
    const uint other = p.rOffset + (picture * p.height + token) * p.rStride + head * p.group;
    float product = 0;
    for (uint c = 0; c < p.group; c++) product = fma(x[own + c], r[other + c], product);
    product *= p.kind == 0 ? scale : mask(first + token);
    y[first + token] = product;
    if (p.kind == 0) largest = token == 0 ? product : max(largest, product);
    else sum = fma(product, w[first + token], sum);
  }
  if (p.kind == 0) {
    for (uint token = 0; token < p.height; token++) {
      const float weight = exp(y[first + token] - largest);
      y[first + token] = weight;
      sum += weight;
    }
  }
  for (uint token = 0; token < p.height; token++) {
    const float value = y[first + token];
    y[first + token] = p.kind == 0 ? value / sum : w[first + token] * (value - sum) * scale;
  }
}

void main() {
  const uint index = flatIndex();
  if (index >= p.rows * (p.kind == 0 || p.kind == 2 ? 1 : p.columns)) return;
  if (p.kind == 0 || p.kind == 2) {
    row(index);
    return;
  }
  const uint pixel = index / p.columns, column = index - pixel * p.columns, head = column / p.group;
  // Kinds 4 and 5 have a thread for each value of a token, the others of a query.
  const bool isOfToken = p.kind >= 4;
  const uint own = isOfToken ? p.height : p.outHeight, others = isOfToken ? p.outHeight : p.height;
  const uint picture = pixel / own, place = pixel - picture * own;
  const uint first = (picture * (p.columns / p.group) + head) * p.outHeight * p.height;
  float sum = 0;
  for (uint other = 0; other < others; other++) {
    const uint weight = first + (isOfToken ? other * p.height + place : place * p.height + other);
    const float factor = p.kind == 1 || p.kind == 5 ? w[weight] * mask(weight) : w[weight];
    sum = fma(factor, r[p.rOffset + (picture * others + other) * p.rStride + column], sum);
  }
  const uint target = p.yOffset + pixel * p.yStride + column;
  y[target] = p.kind == 1 ? sum : y[target] + sum;
}
