#version 460
#extension GL_GOOGLE_include_directive : require
#include "training.glsl"
// What a gradient is shortened by. Kind 0: y receives the sums of the squares of x, one for each workgroup. Kind 1, in one
// workgroup: of these, x, the factor y that makes the norm at most `scale`, once the gradient is multiplied by `shift`.
layout(local_size_x = 128) in;
shared float parts[128];

void main() {
  const uint thread = gl_LocalInvocationID.x;
  const uint first = p.kind == 0 ? gl_WorkGroupID.x * 128 + thread : thread;
  const uint step = p.kind == 0 ? gl_NumWorkGroups.x * 128 : 128;
  float sum = 0;
  for (uint index = first; index < p.rows; index += step) sum += p.kind == 0 ? x[index] * x[index] : x[index];
  parts[thread] = sum;
  barrier();
  [[unroll]] for (uint count = 64; count > 0; count /= 2) {
    if (thread < count) parts[thread] += parts[thread + count];
    barrier();
  }
  if (thread != 0) return;
  if (p.kind == 0) {
    y[gl_WorkGroupID.x] = parts[0];
    return;
  }
  const float norm = sqrt(parts[0]) * abs(p.shift);
  y[0] = norm > p.scale ? p.scale / norm : 1.0;
}
