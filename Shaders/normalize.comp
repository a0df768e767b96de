#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// A workgroup normalises one pixel over its channels: (x - mean) / sqrt(variance + epsilon) * w + b.
layout(local_size_x = 64) in;
shared float parts[64];

float total(uint thread, float part) {
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
  const uint source = p.xOffset + row * p.xStride;
  float sum = 0;
  for (uint c = thread; c < p.columns; c += 64) sum += float(x[source + c]);
  const float mean = total(thread, sum) / float(p.columns);
  sum = 0;
  for (uint c = thread; c < p.columns; c += 64) {
    const float distance = float(x[source + c]) - mean;
    sum += distance * distance;
  }
  const float factor = inversesqrt(total(thread, sum) / float(p.columns) + p.scale);
  for (uint c = thread; c < p.columns; c += 64) {
    y[p.yOffset + row * p.yStride + c] = STORED((float(x[source + c]) - mean) * factor * float(w[c]) + b[c]);
  }
}
