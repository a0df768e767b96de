#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
// A product of one pixel a picture: a workgroup computes 8 values of one row, each in 16 parts of the sum.
layout(local_size_x = 128) in;
shared vec4 parts[128];

void main() {
  const uint thread = gl_LocalInvocationID.x, own = thread % 8, slice = thread / 8;
  const uint row = gl_WorkGroupID.z * gl_NumWorkGroups.x + gl_WorkGroupID.x, column = gl_WorkGroupID.y * 8 + own;
  vec4 sum = vec4(0);
  if (row < p.rows && column < p.columns) {
    for (uint c = slice; c < p.channels; c += 16) {
      const vec4 value = vec4(x[p.xOffset + row * p.xStride + c]);
      [[unroll]] for (uint i = 0; i < 4; i++) {
        sum = fma(vec4(value[i]), vec4(w[(4 * c + i) * p.columns + column]), sum);
      }
    }
  }
  parts[thread] = sum;
  barrier();
  [[unroll]] for (uint count = 8; count > 0; count /= 2) {
    if (slice < count) parts[thread] += parts[thread + count * 8];
    barrier();
  }
  if (slice == 0 && row < p.rows && column < p.columns) {
    y[p.yOffset + row * p.yStride + column] = STORED(finish(parts[thread] + b[column], row, column));
  }
}
