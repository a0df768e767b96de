// Register-blocked products: rows of pixels times panels of 16 output channels. Included once per instruction set.
// Every sum runs over taps and channels in ascending order, whatever the blocking: the same bits for any cut.
//
// The first rows that meet a panel wait for its weights, which come from memory where the network is larger than the
// caches. So blocks of rows fetch panels to come while they multiply, each its share: evenly, since a block that fetches
// much waits for memory itself.
#include "blocks.h"

// Panels to come and how blocks of rows share them.
typedef struct {
  const float *panels;         // NULL: none
  int count;
  int halvings;                // of a panel among blocks, up to a value a channel
  int64_t channels;
  int64_t distance;            // floats between panels
} hg_fetch;

// One block's share: with each channel it moves on by a line, or a half, a quarter, … of one.
typedef struct {
  const float *next;           // NULL: nothing
  ptrdiff_t step;
} hg_ahead;

HG_INLINE hg_fetch hg_fetch_of(const float *panels, int count, int64_t channels, int64_t distance, int64_t rows) {
  const int64_t blocks = (rows + HG_BLOCK_ROWS - 1) / HG_BLOCK_ROWS;
  hg_fetch f = {.panels = panels, .count = count, .halvings = 0, .channels = channels, .distance = distance};
  while (f.halvings < 4 && (int64_t)count << (f.halvings + 1) <= blocks) f.halvings++;
  // A single block waits for its own weights as long as for others.
  if (blocks == 1) f.panels = NULL;
  return f;
}

HG_INLINE hg_ahead hg_fetch_share(const hg_fetch *f, int block) {
  const int panel = block >> f->halvings, part = block & ((1 << f->halvings) - 1);
  if (!f->panels || panel >= f->count) return (hg_ahead){0};
  const ptrdiff_t step = HG_PANEL >> f->halvings;
  return (hg_ahead){f->panels + panel * f->distance + part * f->channels * step, step};
}

typedef struct {
  const float *const *rows;    // [taps] pointers to the first row
  ptrdiff_t row_distance;      // floats between rows
  int taps;
  int64_t channels;
  const float *weights;        // of the first panel, at tap 0
  int64_t tap_distance;        // floats between the taps of a panel
  int64_t panel_distance;      // floats between panels
  const float *bias;           // NULL: continue from what is in the output
  float *output;
  ptrdiff_t output_stride;
  const float *residual;       // NULL without an epilogue
  const hg_epilogue *epilogue; // NULL: store as it is
  int columns;                 // valid columns of these panels
  hg_ahead ahead;
} hg_block;

HG_INLINE void hg_block_run(const hg_block *b, const int R, const int P) {
  hg_vector sum[HG_BLOCK_ROWS][HG_BLOCK_PANELS * HG_VECTORS];
  const int V = P * HG_VECTORS;
  const int full = b->columns >= P * HG_PANEL;
  if (b->bias) {
    HG_UNROLL for (int v = 0; v < V; v++) {
      const hg_vector x = hg_load(b->bias + v * HG_LANES);
      HG_UNROLL for (int r = 0; r < R; r++) sum[r][v] = x;
    }
  } else {
    HG_UNROLL for (int r = 0; r < R; r++) {
      const float *c = b->output + r * b->output_stride;
      HG_UNROLL for (int v = 0; v < V; v++)
        sum[r][v] = full ? hg_load(c + v * HG_LANES) : hg_load_some(c + v * HG_LANES, b->columns - v * HG_LANES);
    }
  }
  const int64_t count = b->channels;
  for (int tap = 0; tap < b->taps; tap++) {
    const float *a[HG_BLOCK_ROWS];
    HG_UNROLL for (int r = 0; r < R; r++) a[r] = b->rows[tap] + r * b->row_distance;
    const float *w = b->weights + tap * b->tap_distance;
    const float *ahead = b->ahead.next ? b->ahead.next : w;
    const ptrdiff_t step = b->ahead.step;
    for (int64_t k = 0; k < count; k++, ahead += step) {
      __builtin_prefetch(ahead);
      hg_vector y[HG_BLOCK_PANELS * HG_VECTORS];
      HG_UNROLL for (int p = 0; p < P; p++)
        HG_UNROLL for (int v = 0; v < HG_VECTORS; v++)
          y[p * HG_VECTORS + v] = hg_load(w + p * b->panel_distance + v * HG_LANES);
      HG_UNROLL for (int r = 0; r < R; r++) {
        const hg_vector x = hg_splat(a[r][k]);
        HG_UNROLL for (int v = 0; v < V; v++) sum[r][v] += x * y[v];
      }
      w += HG_PANEL;
    }
  }
  const hg_epilogue *e = b->epilogue;
  if (e) {
    const hg_vector lower = hg_splat(e->lower), scale = hg_splat(e->scale), shift = hg_splat(e->shift);
    HG_UNROLL for (int r = 0; r < R; r++) {
      HG_UNROLL for (int v = 0; v < V; v++) sum[r][v] = hg_max(sum[r][v], lower) * scale + shift;
    }
  }
  if (full) {
    HG_UNROLL for (int r = 0; r < R; r++) {
      float *c = b->output + r * b->output_stride;
      if (b->residual) {
        const float *residual = b->residual + r * e->residual_stride;
        HG_UNROLL for (int v = 0; v < V; v++) sum[r][v] += hg_load(residual + v * HG_LANES);
      }
      HG_UNROLL for (int v = 0; v < V; v++) hg_store(c + v * HG_LANES, sum[r][v]);
    }
    return;
  }
  float spill[HG_BLOCK_ROWS][HG_BLOCK_PANELS * HG_PANEL];
  HG_UNROLL for (int r = 0; r < R; r++)
    HG_UNROLL for (int v = 0; v < V; v++) hg_store(spill[r] + v * HG_LANES, sum[r][v]);
  for (int r = 0; r < R; r++) {
    for (int n = 0; n < b->columns; n += HG_LANES) {
      hg_vector x = hg_load(spill[r] + n);
      if (b->residual) x += hg_load_some(b->residual + r * e->residual_stride + n, b->columns - n);
      hg_store_some(b->output + r * b->output_stride + n, x, b->columns - n);
    }
  }
}

// Half a panel: where no more than 8 columns are left, nothing is multiplied for the other 8.
typedef float hg_half __attribute__((vector_size(32)));
typedef float hg_unaligned_half __attribute__((vector_size(32), aligned(4)));
typedef int32_t hg_half_mask __attribute__((vector_size(32)));
#define HG_SPLAT_HALF(x) ((x) - (hg_half){0})

// Up to 8 values.
static __attribute__((noinline)) void hg_copy_few(float *to, const float *from, int count) {
  for (int i = 0; i < 8; i++)
    if (i < count) to[i] = from[i];
}

HG_INLINE void hg_half_run(const hg_block *b, const int R, const int P) {
  (void)P;
  hg_half sum[HG_BLOCK_ROWS];
  HG_UNROLL for (int r = 0; r < R; r++) {
    float some[HG_HALF] = {0};
    if (!b->bias) hg_copy_few(some, b->output + r * b->output_stride, b->columns);
    sum[r] = *(const hg_unaligned_half *)(b->bias ? b->bias : some);
  }
  const int64_t count = b->channels;
  for (int tap = 0; tap < b->taps; tap++) {
    const float *a[HG_BLOCK_ROWS];
    HG_UNROLL for (int r = 0; r < R; r++) a[r] = b->rows[tap] + r * b->row_distance;
    const float *w = b->weights + tap * b->tap_distance;
    for (int64_t k = 0; k < count; k++, w += HG_PANEL) {
      const hg_half y = *(const hg_unaligned_half *)w;
      HG_UNROLL for (int r = 0; r < R; r++) sum[r] += HG_SPLAT_HALF(a[r][k]) * y;
    }
  }
  const hg_epilogue *e = b->epilogue;
  HG_UNROLL for (int r = 0; r < R; r++) {
    hg_half x = sum[r];
    if (e) {
      const hg_half lower = HG_SPLAT_HALF(e->lower);
      const hg_half_mask take = lower > x;
      x = (hg_half)((take & (hg_half_mask)lower) | (~take & (hg_half_mask)x));
      x = x * HG_SPLAT_HALF(e->scale) + HG_SPLAT_HALF(e->shift);
    }
    if (b->residual) {
      float some[HG_HALF] = {0};
      hg_copy_few(some, b->residual + r * e->residual_stride, b->columns);
      x += *(const hg_unaligned_half *)some;
    }
    float *c = b->output + r * b->output_stride;
    if (b->columns == HG_HALF) {
      *(hg_unaligned_half *)c = x;
    } else {
      float some[HG_HALF];
      *(hg_unaligned_half *)some = x;
      hg_copy_few(c, some, b->columns);
    }
  }
}

HG_DEFINE_ROWS(hg_block_half, hg_block, hg_half_run, 1)
HG_DEFINE_BLOCKS(hg_full_block, hg_block, hg_block_run)

HG_INLINE void hg_block_dispatch(const hg_block *b, int rows, int panels) {
  if (panels == 1 && b->columns <= HG_HALF)
    HG_NAME(hg_block_half)(b, rows);
  else
    hg_full_block_dispatch(b, rows, panels);
}

static void HG_NAME(hg_product)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_product *d = descriptor;
  const int panels = (d->columns + HG_PANEL - 1) / HG_PANEL;
  const int64_t row0 = (int64_t)(task / d->column_tasks) * d->rows_per_task;
  const int64_t row1 = hg_min(row0 + d->rows_per_task, d->rows);
  const int panel0 = (task % d->column_tasks) * d->panels_per_task;
  const int panel1 = hg_min(panel0 + d->panels_per_task, panels);
  const int64_t K = d->channels;
  for (int64_t k0 = 0; k0 < K; k0 += d->channels_per_block) {
    const int64_t k1 = k0 + d->channels_per_block < K ? k0 + d->channels_per_block : K;
    for (int p = panel0; p < panel1;) {
      const int P = hg_next_panels_of(panel1 - p, hg_min((int64_t)panel1 * HG_PANEL, d->columns));
      // The panels after these, and after the last ones the first of the next channels.
      const int left = panel1 - p - P;
      const float *next = left > 0 ? d->weights + ((int64_t)(p + P) * K + k0) * HG_PANEL
                          : k1 < K ? d->weights + ((int64_t)panel0 * K + k1) * HG_PANEL
                                   : NULL;
      const hg_fetch fetch = hg_fetch_of(next, hg_min(left > 0 ? left : panel1 - panel0, HG_BLOCK_PANELS), k1 - k0,
                                         K * HG_PANEL, row1 - row0);
      int block = 0;
      for (int64_t row = row0; row < row1; block++) {
        const int R = hg_next_rows(row1 - row);
        const float *first = d->input + row * d->input_stride + k0;
        hg_block b = {
            .rows = &first, .row_distance = d->input_stride, .taps = 1, .channels = k1 - k0,
            .weights = d->weights + ((int64_t)p * K + k0) * HG_PANEL, .tap_distance = 0,
            .panel_distance = K * HG_PANEL, .bias = k0 || d->is_added ? NULL : d->bias + p * HG_PANEL,
            .output = d->output + row * d->output_stride + p * HG_PANEL, .output_stride = d->output_stride,
            .residual = k1 == K && d->epilogue.residual
                ? d->epilogue.residual + row * d->epilogue.residual_stride + p * HG_PANEL : NULL,
            .epilogue = k1 == K ? &d->epilogue : NULL, .columns = d->columns - p * HG_PANEL,
            .ahead = hg_fetch_share(&fetch, block)};
        hg_block_dispatch(&b, R, P);
        row += R;
      }
      p += P;
    }
  }
}

#define HG_MAXIMUM_TAPS 64

// A block of R output pixels side by side, from column x of row y of an image.
static void HG_NAME(hg_convolution_block)(const hg_convolution *d, int64_t image, int y, int x, int R, float *scratch) {
  const hg_geometry *g = &d->window;
  const ptrdiff_t stride = g->input_stride, row_stride = stride * g->width;
  const int C = g->channels, run = g->kernel_width * C, taps = g->kernel_height * g->kernel_width;
  const int top = y * g->stride_height - g->padding_top, left = x * g->stride_width - g->padding_left;
  // Rows of the window above and below the picture add nothing.
  const int i0 = top < 0 ? -top : 0, i1 = hg_min(g->kernel_height, g->height - top);
  const float *from = g->input + (image * g->height + top) * row_stride + left * stride;
  const float *rows[HG_MAXIMUM_TAPS];
  // A row of a window is one run of memory where pixels are dense and the window is inside; at the edges it is made so.
  int is_run = stride == C, count = 0;
  ptrdiff_t row_distance = g->stride_width * stride;
  if (left < 0 || left + (R - 1) * g->stride_width + g->kernel_width > g->width) {
    is_run = 1, row_distance = run;
    for (int i = i0; i < i1; i++) {
      rows[count++] = scratch;
      for (int r = 0; r < R; r++)
        for (int j = 0; j < g->kernel_width; j++, scratch += C) {
          const int column = left + r * g->stride_width + j;
          if ((uint32_t)column < (uint32_t)g->width)
            __builtin_memcpy(scratch, from + i * row_stride + (r * g->stride_width + j) * stride, sizeof(float) * (size_t)C);
          else
            __builtin_memset(scratch, 0, sizeof(float) * (size_t)C);
        }
    }
  } else {
    const int columns = is_run ? 1 : g->kernel_width;
    for (int i = i0; i < i1; i++)
      for (int j = 0; j < columns; j++) rows[count++] = from + i * row_stride + j * stride;
  }
  const int64_t pixel = (image * g->output_height + y) * g->output_width + x;
  const int panels = (d->columns + HG_PANEL - 1) / HG_PANEL;
  for (int p = 0; p < panels;) {
    const int P = hg_next_panels_of(panels - p, d->columns);
    hg_block b = {
        .rows = rows, .row_distance = row_distance, .taps = count, .channels = is_run ? run : C,
        .weights = d->weights + ((int64_t)p * taps * C + (int64_t)i0 * run) * HG_PANEL,
        .tap_distance = (int64_t)(is_run ? run : C) * HG_PANEL, .panel_distance = (int64_t)taps * C * HG_PANEL,
        .bias = d->bias + p * HG_PANEL, .output = g->output + pixel * g->output_stride + p * HG_PANEL,
        .output_stride = g->output_stride,
        .residual = d->epilogue.residual ? d->epilogue.residual + pixel * d->epilogue.residual_stride + p * HG_PANEL : NULL,
        .epilogue = &d->epilogue, .columns = d->columns - p * HG_PANEL};
    hg_block_dispatch(&b, R, P);
    p += P;
  }
}

static void HG_NAME(hg_convolution)(const void *descriptor, int32_t task, float *scratch) {
  const hg_convolution *d = descriptor;
  const hg_geometry *g = &d->window;
  const int64_t image_pixels = (int64_t)g->output_height * g->output_width;
  const int64_t pixel0 = (int64_t)task * d->pixels_per_task;
  int64_t left = hg_min(pixel0 + d->pixels_per_task, image_pixels * g->batch) - pixel0, image = pixel0 / image_pixels;
  int y = (int)(pixel0 % image_pixels / g->output_width), x = (int)(pixel0 % g->output_width);
  while (left > 0) {
    const int R = hg_next_rows(hg_min(left, g->output_width - x));
    HG_NAME(hg_convolution_block)(d, image, y, x, R, scratch);
    left -= R, x += R;
    if (x < g->output_width) continue;
    x = 0;
    if (++y == g->output_height) y = 0, image++;
  }
}
