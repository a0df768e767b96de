#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require
#include "common.glsl"
#include "gather.glsl"
// The product of convolution.comp on matrix units: float16 factors, float32 sums. A workgroup computes TILE_ROWS pixels by
// TILE_COLUMNS output channels, each subgroup PART_ROWS by PART_COLUMNS of them in blocks of M by N by K.
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint TILE_ROWS = 64;
layout(constant_id = 2) const uint TILE_COLUMNS = 64;
layout(constant_id = 3) const uint DEPTH = 32;
layout(constant_id = 4) const uint PART_ROWS = 32;
layout(constant_id = 5) const uint PART_COLUMNS = 32;
layout(constant_id = 6) const uint M = 16;
layout(constant_id = 7) const uint N = 16;
layout(constant_id = 8) const uint K = 16;

const uint SUBGROUPS = TILE_ROWS / PART_ROWS * (TILE_COLUMNS / PART_COLUMNS);
const uint TILE_VALUES = TILE_COLUMNS / 4, DEPTH_VALUES = DEPTH / 4;
// Rows begin at multiples of 16 bytes and in different banks.
const uint PIXEL_PITCH = DEPTH_VALUES + 2, FACTOR_PITCH = TILE_VALUES + 2;
const uint BLOCK_ROWS = PART_ROWS / M, BLOCK_COLUMNS = PART_COLUMNS / N;
shared f16vec4 pixels[TILE_ROWS * PIXEL_PITCH];
shared f16vec4 factors[DEPTH * FACTOR_PITCH];
shared float sums[SUBGROUPS * M * N];

void main() {
  const uint thread = gl_LocalInvocationID.x, threads = gl_WorkGroupSize.x;
  const uint firstRow = (gl_WorkGroupID.z * gl_NumWorkGroups.x + gl_WorkGroupID.x) * TILE_ROWS;
  const uint firstColumn = gl_WorkGroupID.y * TILE_VALUES;
  const uint across = TILE_COLUMNS / PART_COLUMNS;
  const uint partRow = gl_SubgroupID / across * PART_ROWS, partColumn = gl_SubgroupID % across * PART_COLUMNS;
  const uint depth = p.kernelHeight * p.kernelWidth * p.channels;  // in values

  const uint part = thread % DEPTH_VALUES, rowStep = threads / DEPTH_VALUES;
  Tap tap = Tap(0, 0, 0);
  advance(tap, part);

  coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator> blocks[BLOCK_ROWS * BLOCK_COLUMNS];
  [[unroll]] for (uint i = 0; i < BLOCK_ROWS * BLOCK_COLUMNS; i++) {
    blocks[i] = coopmat<float, gl_ScopeSubgroup, M, N, gl_MatrixUseAccumulator>(0.0);
  }
  for (uint first = 0; first < depth; first += DEPTH_VALUES) {
    for (uint row = thread / DEPTH_VALUES; row < TILE_ROWS; row += rowStep) {
      const uint pixel = firstRow + row;
      f16vec4 value = f16vec4(0);
      if (pixel < p.rows && first + part < depth) value = gathered(pixel, tap);
      pixels[row * PIXEL_PITCH + part] = value;
    }
    for (uint e = thread; e < DEPTH * TILE_VALUES; e += threads) {
      const uint own = e / TILE_VALUES, row = 4 * first + own, column = e % TILE_VALUES;
      factors[own * FACTOR_PITCH + column] =
          row < 4 * depth && firstColumn + column < p.columns ? w[row * p.columns + firstColumn + column] : f16vec4(0);
    }
    advance(tap, DEPTH_VALUES);
    barrier();
    [[unroll]] for (uint k = 0; k < DEPTH; k += K) {
      coopmat<float16_t, gl_ScopeSubgroup, K, N, gl_MatrixUseB> other[BLOCK_COLUMNS];
      [[unroll]] for (uint j = 0; j < BLOCK_COLUMNS; j++) {
        coopMatLoad(
            other[j], factors, k * FACTOR_PITCH + (partColumn + j * N) / 4, FACTOR_PITCH,
            gl_CooperativeMatrixLayoutRowMajor);
      }
      [[unroll]] for (uint i = 0; i < BLOCK_ROWS; i++) {
        coopmat<float16_t, gl_ScopeSubgroup, M, K, gl_MatrixUseA> own;
        coopMatLoad(
            own, pixels, (partRow + i * M) * PIXEL_PITCH + k / 4, PIXEL_PITCH, gl_CooperativeMatrixLayoutRowMajor);
        [[unroll]] for (uint j = 0; j < BLOCK_COLUMNS; j++) {
          blocks[i * BLOCK_COLUMNS + j] = coopMatMulAdd(own, other[j], blocks[i * BLOCK_COLUMNS + j]);
        }
      }
    }
    barrier();
  }
  const uint stage = gl_SubgroupID * M * N;
  [[unroll]] for (uint i = 0; i < BLOCK_ROWS; i++) {
    [[unroll]] for (uint j = 0; j < BLOCK_COLUMNS; j++) {
      coopMatStore(blocks[i * BLOCK_COLUMNS + j], sums, stage, N, gl_CooperativeMatrixLayoutRowMajor);
      barrier();
      for (uint e = gl_SubgroupInvocationID; e < M * N / 4; e += gl_SubgroupSize) {
        const uint source = stage + 4 * e;
        const uint row = firstRow + partRow + i * M + e / (N / 4);
        const uint column = firstColumn + (partColumn + j * N) / 4 + e % (N / 4);
        if (row < p.rows && column < p.columns) {
          const vec4 sum = vec4(sums[source], sums[source + 1], sums[source + 2], sums[source + 3]);
          y[p.yOffset + row * p.yStride + column] = STORED(finish(sum + b[column], row, column));
        }
      }
      barrier();
    }
  }
}
