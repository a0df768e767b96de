// The numbers of a step: as hgv_step in CHGNetVulkan.h; 128 bytes are what every device has.
layout(push_constant) uniform Step {
  uint xOffset, xStride, height, width, channels;
  uint yOffset, yStride, outHeight, outWidth, columns;
  uint rOffset, rStride;
  uint kernelHeight, kernelWidth, strideHeight, strideWidth, top, left;
  // What stands in rows of pixels, and the channels of a group of a convolution.
  uint rows, group;
  uint flags, kind;
  float scale, shift;
} p;

// A number for each thread of workgroups of 64, which may stand in several rows of the grid.
uint flatIndex() {
  return (gl_WorkGroupID.z * gl_NumWorkGroups.x + gl_WorkGroupID.x) * 64 + gl_LocalInvocationID.x;
}
