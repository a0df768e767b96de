#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// A workgroup computes exp(x) / sum(exp(x)) of one pixel.
layout(local_size_x = 128) in;
shared float parts[128];

void main() {
  const uint thread = gl_LocalInvocationID.x;
  const uint row = gl_WorkGroupID.z * gl_NumWorkGroups.x + gl_WorkGroupID.x;
  if (row >= p.rows) return;
  const uint source = p.xOffset + row * p.xStride;
  float largest = float(x[source]);
  for (uint c = thread; c < p.columns; c += 128) largest = max(largest, float(x[source + c]));
  parts[thread] = largest;
  barrier();
  [[unroll]] for (uint count = 64; count > 0; count /= 2) {
    if (thread < count) parts[thread] = max(parts[thread], parts[thread + count]);
    barrier();
  }
  largest = parts[0];
  barrier();
  float sum = 0;
  for (uint c = thread; c < p.columns; c += 128) sum += exp(float(x[source + c]) - largest);
  parts[thread] = sum;
  barrier();
  [[unroll]] for (uint count = 64; count > 0; count /= 2) {
    if (thread < count) parts[thread] += parts[thread + count];
    barrier();
  }
  sum = parts[0];
  for (uint c = thread; c < p.columns; c += 128) {
    y[p.yOffset + row * p.yStride + c] = STORED(exp(float(x[source + c]) - largest) / sum);
  }
}
