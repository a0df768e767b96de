// The gradient of dense weights over vector.h; included once per instruction set.
#include "gradient_windows.h"

// The address of each pixel of a block: the value is broadcast from one side and loaded as vectors from the other, so that
// neither is copied unless its rows lie badly in the cache.
typedef struct {
  const float *rows[HG_GRADIENT_PIXELS], *lanes[HG_GRADIENT_PIXELS];
} hg_gradient_addresses;

// output[HG_BLOCK_ROWS][P panels] += sum over the pixels, ascending, of rows × lanes.
HG_INLINE void hg_gradient_block(const hg_gradient_addresses *at, int64_t row, int64_t lane, int64_t panel_distance,
                                 int pixels, float *output, int64_t stride, const int P) {
  hg_vector sum[HG_BLOCK_ROWS][HG_BLOCK_PANELS * HG_VECTORS];
  const int V = P * HG_VECTORS;
  HG_UNROLL for (int r = 0; r < HG_BLOCK_ROWS; r++)
    HG_UNROLL for (int v = 0; v < V; v++) sum[r][v] = hg_load(output + r * stride + v * HG_LANES);
  for (int pixel = 0; pixel < pixels; pixel++) {
    const float *x = at->rows[pixel] + row, *y = at->lanes[pixel] + lane;
    hg_vector lanes[HG_BLOCK_PANELS * HG_VECTORS];
    HG_UNROLL for (int p = 0; p < P; p++)
      HG_UNROLL for (int v = 0; v < HG_VECTORS; v++)
        lanes[p * HG_VECTORS + v] = hg_load(y + p * panel_distance + v * HG_LANES);
    HG_UNROLL for (int r = 0; r < HG_BLOCK_ROWS; r++) {
      const hg_vector value = hg_splat(x[r]);
      HG_UNROLL for (int v = 0; v < V; v++) sum[r][v] += value * lanes[v];
    }
  }
  HG_UNROLL for (int r = 0; r < HG_BLOCK_ROWS; r++)
    HG_UNROLL for (int v = 0; v < V; v++) hg_store(output + r * stride + v * HG_LANES, sum[r][v]);
}

// sums[rows][padded lanes] += over a block of pixels. Groups of HG_BLOCK_ROWS rows are group_distance apart, panels of
// lanes panel_distance.
static void HG_NAME(hg_gradient_blocks)(const hg_gradient_addresses *at, int rows, int lanes, int64_t group_distance,
                                        int64_t panel_distance, int pixels, float *sums) {
  const int groups = (rows + HG_BLOCK_ROWS - 1) / HG_BLOCK_ROWS, panels = (lanes + HG_PANEL - 1) / HG_PANEL;
  const int64_t stride = (int64_t)panels * HG_PANEL;
  for (int p = 0; p < panels;) {
    const int P = hg_next_panels(panels - p);
    const int64_t lane = p * panel_distance;
    for (int g = 0; g < groups; g++) {
      float *to = sums + g * HG_BLOCK_ROWS * stride + p * HG_PANEL;
      switch (P) {
        case 1: hg_gradient_block(at, g * group_distance, lane, panel_distance, pixels, to, stride, 1); break;
#if HG_BLOCK_PANELS >= 2
        case 2: hg_gradient_block(at, g * group_distance, lane, panel_distance, pixels, to, stride, 2); break;
#endif
#if HG_BLOCK_PANELS >= 3
        case 3: hg_gradient_block(at, g * group_distance, lane, panel_distance, pixels, to, stride, 3); break;
#endif
      }
    }
    p += P;
  }
}

// Copies the lanes of each pixel into panels [panel][pixel][HG_PANEL] and points there.
static void HG_NAME(hg_gradient_pack)(hg_gradient_addresses *at, int lanes, int pixels, float *packed) {
  for (int first = 0; first < lanes; first += HG_PANEL, packed += HG_GRADIENT_PIXELS * HG_PANEL)
    for (int i = 0; i < pixels; i++)
      for (int v = 0; v < HG_PANEL; v += HG_LANES)
        hg_store(packed + i * HG_PANEL + v, hg_load_some(at->lanes[i] + first + v, lanes - first - v));
}

// Copies the rows of each pixel into groups [group][pixel][HG_BLOCK_ROWS], the groups HG_GROUP_DISTANCE apart, and points
// there. Pixels whose distance is a multiple of a large power of two share a few sets of the caches.
#define HG_GROUP_DISTANCE (HG_GRADIENT_PIXELS * HG_BLOCK_ROWS + HG_PANEL)
static void HG_NAME(hg_gradient_pack_rows)(hg_gradient_addresses *at, int groups, int pixels, float *packed) {
  for (int i = 0; i < pixels; i++) {
    float *to = packed + i * HG_BLOCK_ROWS;
    for (int g = 0; g < groups; g++)
      __builtin_memcpy(to + (int64_t)g * HG_GROUP_DISTANCE, at->rows[i] + g * HG_BLOCK_ROWS, sizeof(float) * HG_BLOCK_ROWS);
    at->rows[i] = to;
  }
}

// A row of a window is one run of memory, and its values are the lanes; the rows are the columns of the gradient.
static void HG_NAME(hg_weight_gradient_runs)(const hg_weight_gradient *d, int32_t chunk, float *scratch) {
  const int C = d->channels, N = d->columns, run = d->kernel_width * C, padded = HG_PADDED(run);
  const int64_t size = (int64_t)(N + HG_BLOCK_ROWS - 1) / HG_BLOCK_ROWS * HG_BLOCK_ROWS * padded;
  const int64_t pixels = (int64_t)d->batch * d->output_height * d->output_width;
  const int64_t pixel0 = (int64_t)chunk * d->pixels_per_chunk, pixel1 = hg_min(pixel0 + d->pixels_per_chunk, pixels);
  float *sums = scratch, *edges = sums + d->kernel_height * size;
  __builtin_memset(sums, 0, sizeof(float) * (size_t)(d->kernel_height * size));
  hg_gradient_addresses at;
  hg_gradient_windows windows;
  for (int64_t first = pixel0; first < pixel1; first += HG_GRADIENT_PIXELS) {
    const int count = hg_min(HG_GRADIENT_PIXELS, pixel1 - first);
    hg_gradient_find(d, first, count, &windows);
    for (int i = 0; i < count; i++) at.rows[i] = d->gradient + (first + i) * d->gradient_stride;
    for (int down = 0; down < d->kernel_height; down++) {
      float *edge = edges;
      for (int i = 0; i < count; i++) {
        const int left = windows.lefts[i];
        const float *from = d->input + windows.corners[i] + (int64_t)down * d->width * d->input_stride;
        at.lanes[i] = from;
        if ((uint32_t)(windows.tops[i] + down) >= (uint32_t)d->height) {
          at.lanes[i] = d->zeros;
        } else if (left < 0 || left + d->kernel_width > d->width) {
          for (int right = 0; right < d->kernel_width; right++)
            for (int c = 0; c < C; c++)
              edge[right * C + c] = (uint32_t)(left + right) < (uint32_t)d->width ? from[right * C + c] : 0;
          at.lanes[i] = edge;
          edge += padded;
        }
      }
      HG_NAME(hg_gradient_blocks)(&at, N, run, HG_BLOCK_ROWS, HG_PANEL, count, sums + down * size);
    }
  }
  for (int down = 0; down < d->kernel_height; down++)
    for (int k = 0; k < run; k++) {
      float *out = d->partial + (((int64_t)chunk * d->kernel_height + down) * run + k) * N;
      for (int n = 0; n < N; n++) out[n] = sums[down * size + (int64_t)n * padded + k];
    }
}

static void HG_NAME(hg_weight_gradient)(const void *descriptor, int32_t task, float *scratch) {
  const hg_weight_gradient *d = descriptor;
  if (d->is_run) {
    HG_NAME(hg_weight_gradient_runs)(d, task, scratch);
    return;
  }
  const int row_blocks = (d->channels + d->channels_per_task - 1) / d->channels_per_task;
  const int lane_blocks = (d->columns + d->columns_per_task - 1) / d->columns_per_task;
  const int c0 = task % row_blocks * d->channels_per_task, C = hg_min(d->channels_per_task, d->channels - c0);
  const int n0 = task / row_blocks % lane_blocks * d->columns_per_task, N = hg_min(d->columns_per_task, d->columns - n0);
  const int chunk = task / row_blocks / lane_blocks, taps = d->kernel_height * d->kernel_width;
  const int64_t pixels = (int64_t)d->batch * d->output_height * d->output_width;
  const int64_t pixel0 = (int64_t)chunk * d->pixels_per_chunk, pixel1 = hg_min(pixel0 + d->pixels_per_chunk, pixels);
  const int groups = (C + HG_BLOCK_ROWS - 1) / HG_BLOCK_ROWS, padded = HG_PADDED(N);
  const int64_t size = (int64_t)groups * HG_BLOCK_ROWS * padded;
  float *sums = scratch, *packed = sums + taps * size, *grouped = packed + (int64_t)padded * HG_GRADIENT_PIXELS;
  __builtin_memset(sums, 0, sizeof(float) * (size_t)(taps * size));
  // A few vectors that are read again and again need not be copied, if they are whole.
  const int is_packed = N % HG_PANEL || groups * taps > 4, is_grouped = d->input_stride % 128 == 0 && N > 2 * HG_PANEL;

  hg_gradient_addresses at;
  hg_gradient_windows windows;
  for (int64_t first = pixel0; first < pixel1; first += HG_GRADIENT_PIXELS) {
    const int count = hg_min(HG_GRADIENT_PIXELS, pixel1 - first);
    hg_gradient_find(d, first, count, &windows);
    for (int i = 0; i < count; i++) at.lanes[i] = d->gradient + (first + i) * d->gradient_stride + n0;
    if (is_packed) {
      HG_NAME(hg_gradient_pack)(&at, N, count, packed);
      for (int i = 0; i < count; i++) at.lanes[i] = packed + i * HG_PANEL;
    }
    const int64_t panel_distance = is_packed ? HG_GRADIENT_PIXELS * HG_PANEL : HG_PANEL;
    for (int tap = 0; tap < taps; tap++) {
      const int down = tap / d->kernel_width, right = tap % d->kernel_width;
      const int64_t step = ((int64_t)down * d->width + right) * d->input_stride + c0;
      for (int i = 0; i < count; i++) {
        const int is_inside = (uint32_t)(windows.tops[i] + down) < (uint32_t)d->height &&
                              (uint32_t)(windows.lefts[i] + right) < (uint32_t)d->width;
        at.rows[i] = is_inside ? d->input + windows.corners[i] + step : d->zeros;
      }
      if (is_grouped) HG_NAME(hg_gradient_pack_rows)(&at, groups, count, grouped);
      HG_NAME(hg_gradient_blocks)(&at, C, N, is_grouped ? HG_GROUP_DISTANCE : HG_BLOCK_ROWS, panel_distance, count,
                                  sums + tap * size);
    }
  }
  for (int tap = 0; tap < taps; tap++) {
    const float *from = sums + tap * size;
    float *out = d->partial + (((int64_t)chunk * taps + tap) * d->channels + c0) * d->columns + n0;
    for (int c = 0; c < C; c++, out += d->columns, from += padded) {
      if (!d->is_added)
        __builtin_memcpy(out, from, sizeof(float) * (size_t)N);
      else
        for (int n = 0; n < N; n++) out[n] += from[n];
    }
  }
}
