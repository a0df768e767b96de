#version 460
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"
#include "gather.glsl"
// A dense convolution as a product over pixels: a workgroup computes TILE_ROWS pixels by TILE_COLUMNS output channels,
// a thread a block of them. Each sum runs over the taps and channels in their order, whatever the tile.
layout(local_size_x_id = 0) in;
layout(constant_id = 1) const uint TILE_ROWS = 64;
layout(constant_id = 2) const uint TILE_COLUMNS = 64;
layout(constant_id = 3) const uint DEPTH = 16;
layout(constant_id = 4) const uint ROWS = 8;
layout(constant_id = 5) const uint COLUMNS = 2;  // in values

const uint PITCH = TILE_ROWS + 1;
const uint TILE_VALUES = TILE_COLUMNS / 4, DEPTH_VALUES = DEPTH / 4;
shared float pixels[DEPTH * PITCH];
shared vec4 factors[DEPTH * TILE_VALUES];

void main() {
  const uint thread = gl_LocalInvocationID.x, threads = gl_WorkGroupSize.x;
  const uint firstRow = (gl_WorkGroupID.z * gl_NumWorkGroups.x + gl_WorkGroupID.x) * TILE_ROWS;
  const uint firstColumn = gl_WorkGroupID.y * TILE_VALUES;
  const uint across = TILE_VALUES / COLUMNS;
  const uint threadRow = thread / across * ROWS, threadColumn = thread % across;
  const uint depth = p.kernelHeight * p.kernelWidth * p.channels;  // in values

  // Each thread brings the same value of a row at every step, of rows that are a fixed distance apart.
  const uint part = thread % DEPTH_VALUES, rowStep = threads / DEPTH_VALUES;
  Tap tap = Tap(0, 0, 0);
  advance(tap, part);

  vec4 sums[ROWS][COLUMNS];
  [[unroll]] for (uint i = 0; i < ROWS; i++) [[unroll]] for (uint j = 0; j < COLUMNS; j++) sums[i][j] = vec4(0);

  for (uint first = 0; first < depth; first += DEPTH_VALUES) {
    [[unroll]] for (uint row = thread / DEPTH_VALUES; row < TILE_ROWS; row += rowStep) {
      const uint pixel = firstRow + row;
      vec4 value = vec4(0);
      if (pixel < p.rows && first + part < depth) value = vec4(gathered(pixel, tap));
      [[unroll]] for (uint i = 0; i < 4; i++) pixels[(4 * part + i) * PITCH + row] = value[i];
    }
    [[unroll]] for (uint e = thread; e < DEPTH * TILE_VALUES; e += threads) {
      const uint row = 4 * first + e / TILE_VALUES, column = firstColumn + e % TILE_VALUES;
      factors[e] = row < 4 * depth && column < p.columns ? vec4(w[row * p.columns + column]) : vec4(0);
    }
    advance(tap, DEPTH_VALUES);
    barrier();
    [[unroll]] for (uint k = 0; k < DEPTH; k++) {
      float own[ROWS];
      vec4 other[COLUMNS];
      [[unroll]] for (uint i = 0; i < ROWS; i++) own[i] = pixels[k * PITCH + threadRow + i];
      [[unroll]] for (uint j = 0; j < COLUMNS; j++) other[j] = factors[k * TILE_VALUES + threadColumn + j * across];
      [[unroll]] for (uint i = 0; i < ROWS; i++) {
        [[unroll]] for (uint j = 0; j < COLUMNS; j++) sums[i][j] = fma(vec4(own[i]), other[j], sums[i][j]);
      }
    }
    barrier();
  }
  [[unroll]] for (uint i = 0; i < ROWS; i++) {
    [[unroll]] for (uint j = 0; j < COLUMNS; j++) {
      const uint row = firstRow + threadRow + i, column = firstColumn + threadColumn + j * across;
      if (row < p.rows && column < p.columns) {
        y[p.yOffset + row * p.yStride + column] = STORED(finish(sums[i][j] + b[column], row, column));
      }
    }
  }
}
