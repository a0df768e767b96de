#version 460
#extension GL_GOOGLE_include_directive : require
#include "training.glsl"
// The gradient of a layer normalisation, a row a workgroup: adds to y, the gradient of the input x, what the gradient w of
// the result makes of it with the factors b, where RESIDUAL says so; r receives mean and inverse deviation of each row.
layout(local_size_x = 64) in;
shared vec2 parts[64];

vec2 total(uint thread, vec2 part) {
  barrier();
  parts[thread] = part;
  barrier();
  [[unroll]] for (uint count = 32; count > 0; count /= 2) {
    if (thread < count) parts[thread] += parts[thread + count];
    barrier();
  }
  return parts[0];
}

void main() {
  const uint thread = gl_LocalInvocationID.x;
  const uint row = gl_WorkGroupID.z * gl_NumWorkGroups.x + gl_WorkGroupID.x;
  if (row >= p.rows) return;
  const uint source = p.xOffset + row * p.xStride, own = p.rOffset + row * p.rStride;
  const float count = float(p.columns);
  vec2 sum = vec2(0);
  for (uint c = thread; c < p.columns; c += 64) sum.x += x[source + c];
  const float mean = total(thread, sum).x / count;
  sum = vec2(0);
  for (uint c = thread; c < p.columns; c += 64) sum.x += (x[source + c] - mean) * (x[source + c] - mean);
  const float inverse = 1 / sqrt(total(thread, sum).x / count + p.scale);
  if (thread == 0) {
    r[2 * row] = mean;
    r[2 * row + 1] = inverse;
  }
  if ((p.flags & RESIDUAL) == 0) return;
  sum = vec2(0);
  for (uint c = thread; c < p.columns; c += 64) {
    const float gradient = w[own + c] * b[c];
    sum += vec2(gradient, gradient * (x[source + c] - mean) * inverse);
  }
  const vec2 both = total(thread, sum) / count;
  for (uint c = thread; c < p.columns; c += 64) {
    const float normal = (x[source + c] - mean) * inverse;
    y[p.yOffset + row * p.yStride + c] += inverse * (w[own + c] * b[c] - both.x - normal * both.y);
  }
}
