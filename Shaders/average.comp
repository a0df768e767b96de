#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// The mean of a picture: a workgroup computes 8 values, each in 16 parts of the sum.
layout(local_size_x = 128) in;
shared VALUE parts[128];

void main() {
  const uint thread = gl_LocalInvocationID.x, own = thread % 8, slice = thread / 8;
  const uint picture = gl_WorkGroupID.z * gl_NumWorkGroups.x + gl_WorkGroupID.x, column = gl_WorkGroupID.y * 8 + own;
  const uint area = p.height * p.width;
  VALUE sum = VALUE(0);
  if (picture < p.rows && column < p.columns) {
    for (uint place = slice; place < area; place += 16) {
      sum += VALUE(x[p.xOffset + (picture * area + place) * p.xStride + column]);
    }
  }
  parts[thread] = sum;
  barrier();
  [[unroll]] for (uint count = 8; count > 0; count /= 2) {
    if (slice < count) parts[thread] += parts[thread + count * 8];
    barrier();
  }
  if (slice == 0 && picture < p.rows && column < p.columns) {
    y[p.yOffset + picture * p.yStride + column] = STORED(parts[thread] / float(area));
  }
}
