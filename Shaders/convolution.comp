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
// A driver that compiles on the processor takes its time for each copy of the body.
const uint UNROLLED = 4;
const uint TILE_VALUES = TILE_COLUMNS / 4, DEPTH_VALUES = DEPTH / 4;
const uint ROW_STEP = gl_WorkGroupSize.x / DEPTH_VALUES, GATHERED = (TILE_ROWS + ROW_STEP - 1) / ROW_STEP;
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
  const uint part = thread % DEPTH_VALUES;
  Window windows[GATHERED];
  [[unroll]] for (uint i = 0; i < GATHERED; i++) windows[i] = window(firstRow + thread / DEPTH_VALUES + i * ROW_STEP);
  Tap tap = Tap(0, 0, 0);
  advance(tap, part);

  vec4 sums[ROWS][COLUMNS];
  [[unroll]] for (uint i = 0; i < ROWS; i++) [[unroll]] for (uint j = 0; j < COLUMNS; j++) sums[i][j] = vec4(0);

  for (uint first = 0; first < depth; first += DEPTH_VALUES) {
    [[unroll]] for (uint i = 0; i < GATHERED; i++) {
      const uint row = thread / DEPTH_VALUES + i * ROW_STEP;
      if (TILE_ROWS % ROW_STEP != 0 && row >= TILE_ROWS) break;
      vec4 value = vec4(0);
      if (first + part < depth) value = vec4(gathered(windows[i], tap));
      [[unroll]] for (uint c = 0; c < 4; c++) pixels[(4 * part + c) * PITCH + row] = value[c];
    }
    [[dont_unroll]] for (uint e = thread; e < DEPTH * TILE_VALUES; e += threads) {
      const uint row = 4 * first + e / TILE_VALUES, column = firstColumn + e % TILE_VALUES;
      factors[e] = row < 4 * depth && column < p.columns ? vec4(w[row * p.columns + column]) : vec4(0);
    }
    advance(tap, DEPTH_VALUES);
    barrier();
    [[dont_unroll]] for (uint block = 0; block < DEPTH; block += UNROLLED) {
      [[unroll]] for (uint k = block; k < block + UNROLLED; k++) {
        float own[ROWS];
        vec4 other[COLUMNS];
        [[unroll]] for (uint i = 0; i < ROWS; i++) own[i] = pixels[k * PITCH + threadRow + i];
        [[unroll]] for (uint j = 0; j < COLUMNS; j++) other[j] = factors[k * TILE_VALUES + threadColumn + j * across];
        [[unroll]] for (uint i = 0; i < ROWS; i++) {
          [[unroll]] for (uint j = 0; j < COLUMNS; j++) sums[i][j] = fma(vec4(own[i]), other[j], sums[i][j]);
        }
      }
    }
    barrier();
  }
  vec4 addends[COLUMNS];
  [[unroll]] for (uint j = 0; j < COLUMNS; j++) addends[j] = b[min(firstColumn + threadColumn + j * across, p.columns - 1)];
  [[unroll]] for (uint i = 0; i < ROWS; i++) {
    const uint row = firstRow + threadRow + i;
    if (row >= p.rows) continue;
    [[unroll]] for (uint j = 0; j < COLUMNS; j++) {
      const uint column = firstColumn + threadColumn + j * across;
      if (column < p.columns) y[p.yOffset + row * p.yStride + column] = STORED(finish(sums[i][j] + addends[j], row, column));
    }
  }
}
