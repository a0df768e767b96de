// Products in bfloat16: rows of pixels times panels of 16 output channels, pairs of input channels at a time. Every sum
// runs over the channels in ascending order, whatever the blocking. Included once per instruction set.
//
// Without the instruction for pairs the panels are widened to float32 once for a task, a block of rows once for some
// panels, and the products are those of float32.

typedef struct {
  const hg_bfloat16 *const *rows;  // [taps] pointers to the first row
  ptrdiff_t row_distance;          // elements between rows
  int taps;
  int64_t pairs;                   // of a tap
  const hg_bfloat16 *weights;      // of the first panel
  int64_t panel_distance;          // elements between panels
  const float *bias;
  void *output;
  ptrdiff_t output_stride;
  int is_float;
  const hg_bfloat16 *residual;
  const hg_bfloat16_epilogue *epilogue;
  int columns;                     // valid columns of these panels
  const float *panels;             // the widened panels
  int64_t panel_floats;            // between them
  const float *widened_rows;       // NULL: not done yet
  float *widened;                  // room for widened rows and their sums
} hg_pair_block;

// One vector of sums of a row, from column n of the block, on its way to memory.
HG_INLINE void hg_store_sum(const hg_pair_block *b, int r, int n, hg_vector sum, const int is_full, const int is_float) {
  const hg_bfloat16_epilogue *e = b->epilogue;
  const int left = b->columns - n;
  const hg_bfloat16 *residual = b->residual ? b->residual + r * e->residual_stride + n : NULL;
  hg_vector x = hg_bend(e, sum);
  if (residual) x += is_full ? hg_widen(residual) : hg_widen_some(residual, left);
  if (is_full && is_float)
    hg_store((float *)b->output + r * b->output_stride + n, x);
  else if (is_full)
    *(hg_halves *)((hg_bfloat16 *)b->output + r * b->output_stride + n) = hg_narrow(x);
  else if (left > 0)
    hg_write(b->output, b->is_float, r * b->output_stride + n, x, left);
}

#if HG_PAIRS
#include "blocks.h"

HG_INLINE void hg_pair_run(const hg_pair_block *b, const int R, const int P) {
  hg_vector sum[HG_BLOCK_ROWS][HG_BLOCK_PANELS * HG_VECTORS];
  HG_UNROLL for (int p = 0; p < P; p++) {
    const hg_vector x = hg_load(b->bias + p * HG_LANES);
    HG_UNROLL for (int r = 0; r < R; r++) sum[r][p] = x;
  }
  const hg_bfloat16 *w = b->weights;
  for (int tap = 0; tap < b->taps; tap++) {
    const hg_bfloat16 *a[HG_BLOCK_ROWS];
    HG_UNROLL for (int r = 0; r < R; r++) a[r] = b->rows[tap] + r * b->row_distance;
    for (int64_t k = 0; k < b->pairs; k++, w += 2 * HG_PANEL) {
      __m512bh y[HG_BLOCK_PANELS];
      HG_UNROLL for (int p = 0; p < P; p++) y[p] = (__m512bh)_mm512_loadu_si512(w + p * b->panel_distance);
      HG_UNROLL for (int r = 0; r < R; r++) {
        int32_t pair;
        __builtin_memcpy(&pair, a[r] + 2 * k, 4);
        const __m512bh x = (__m512bh)_mm512_set1_epi32(pair);
        HG_UNROLL for (int p = 0; p < P; p++) sum[r][p] = (hg_vector)_mm512_dpbf16_ps((__m512)sum[r][p], y[p], x);
      }
    }
  }
  if (b->columns >= P * HG_PANEL && b->is_float) {
    HG_UNROLL for (int r = 0; r < R; r++)
      HG_UNROLL for (int p = 0; p < P; p++) hg_store_sum(b, r, p * HG_LANES, sum[r][p], 1, 1);
    return;
  }
  if (b->columns >= P * HG_PANEL) {
    HG_UNROLL for (int r = 0; r < R; r++)
      HG_UNROLL for (int p = 0; p < P; p++) hg_store_sum(b, r, p * HG_LANES, sum[r][p], 1, 0);
    return;
  }
  float spill[HG_BLOCK_ROWS][HG_BLOCK_PANELS * HG_PANEL];
  HG_UNROLL for (int r = 0; r < R; r++)
    HG_UNROLL for (int p = 0; p < P; p++) hg_store(spill[r] + p * HG_LANES, sum[r][p]);
  for (int r = 0; r < R; r++)
    for (int p = 0; p < P; p++) hg_store_sum(b, r, p * HG_LANES, hg_load(spill[r] + p * HG_LANES), 0, 0);
}

HG_DEFINE_BLOCKS(hg_pair_block, hg_pair_block, hg_pair_run)

// What a task does once for all of its rows, and once for some panels: nothing.
HG_INLINE void hg_prepare_rows(const hg_bfloat16 *rows, ptrdiff_t stride, int64_t count, int64_t channels, float *to) {
  (void)rows, (void)stride, (void)count, (void)channels, (void)to;
}
HG_INLINE void hg_prepare_panels(const hg_bfloat16 *weights, int64_t panel_distance, int64_t pairs, int P, float *to) {
  (void)weights, (void)panel_distance, (void)pairs, (void)P, (void)to;
}
#else
#include "product.h"

HG_INLINE void hg_prepare_panels(const hg_bfloat16 *weights, int64_t panel_distance, int64_t pairs, int P, float *to) {
  for (int p = 0; p < P; p++) {
    const hg_bfloat16 *w = weights + p * panel_distance;
    for (int64_t k = 0; k < pairs; k++, w += 2 * HG_PANEL, to += 2 * HG_PANEL)
      HG_UNROLL for (int v = 0; v < HG_VECTORS; v++) {
        const hg_bits y = *(const hg_unaligned_bits *)(w + v * 2 * HG_LANES);
        hg_store(to + v * HG_LANES, (hg_vector)(y << 16));
        hg_store(to + HG_PANEL + v * HG_LANES, (hg_vector)(y & 0xffff0000u));
      }
  }
}

HG_INLINE void hg_widen_run(const hg_bfloat16 *from, int64_t count, float *to) {
  int64_t k = 0;
  for (; k + HG_LANES <= count; k += HG_LANES) hg_store(to + k, hg_widen(from + k));
  for (; k < count; k++) to[k] = hg_float_of_bfloat16(from[k]);
}

HG_INLINE void hg_prepare_rows(const hg_bfloat16 *rows, ptrdiff_t stride, int64_t count, int64_t channels, float *to) {
  for (int64_t row = 0; row < count; row++) hg_widen_run(rows + row * stride, channels, to + row * channels);
}

HG_INLINE void hg_pair_block_dispatch(const hg_pair_block *b, int rows, int panels) {
  const int64_t channels = 2 * b->pairs * b->taps;
  float *first = b->widened, *sums = b->widened_rows ? first : first + HG_BLOCK_ROWS * channels;
  for (int r = 0; r < rows && !b->widened_rows; r++)
    for (int tap = 0; tap < b->taps; tap++)
      hg_widen_run(b->rows[tap] + r * b->row_distance, 2 * b->pairs, first + r * channels + tap * 2 * b->pairs);
  const float *row = b->widened_rows ? b->widened_rows : first;
  const hg_block block = {.rows = &row, .row_distance = channels, .taps = 1, .channels = channels,
                          .weights = b->panels, .panel_distance = b->panel_floats, .bias = b->bias, .output = sums,
                          .output_stride = HG_BLOCK_PANELS * HG_PANEL, .columns = panels * HG_PANEL};
  hg_full_block_dispatch(&block, rows, panels);
  const int is_full = b->columns >= panels * HG_PANEL && !b->is_float;
  for (int r = 0; r < rows; r++, sums += HG_BLOCK_PANELS * HG_PANEL)
    for (int n = 0; n < panels * HG_PANEL; n += HG_LANES) {
      if (is_full)
        hg_store_sum(b, r, n, hg_load(sums + n), 1, 0);
      else
        hg_store_sum(b, r, n, hg_load(sums + n), 0, 0);
    }
}
#endif

// An element of an array of either type.
HG_INLINE void *hg_place(void *p, int is_float, int64_t at) {
  return is_float ? (void *)((float *)p + at) : (void *)((hg_bfloat16 *)p + at);
}

static void HG_NAME(hg_bfloat16_product)(const void *descriptor, int32_t task, float *scratch) {
  const hg_bfloat16_product *d = descriptor;
  const int panels = (d->columns + HG_PANEL - 1) / HG_PANEL;
  const int64_t row0 = (int64_t)(task / d->column_tasks) * d->rows_per_task;
  const int64_t row1 = hg_min(row0 + d->rows_per_task, d->rows);
  const int panel0 = (task % d->column_tasks) * d->panels_per_task;
  const int panel1 = hg_min(panel0 + d->panels_per_task, panels);
  const int64_t panel_distance = (int64_t)d->channels * HG_PANEL;
  float *room = scratch + HG_BLOCK_PANELS * panel_distance, *rows = room + HG_BLOCK_ROWS * HG_BLOCK_PANELS * HG_PANEL;
  hg_prepare_rows(d->input + row0 * d->input_stride, d->input_stride, row1 - row0, d->channels, rows);
  for (int p = panel0; p < panel1;) {
    const int P = hg_next_panels(panel1 - p), column = p * HG_PANEL;
    const hg_bfloat16 *weights = d->weights + (int64_t)column * d->channels;
    hg_prepare_panels(weights, panel_distance, d->channels / 2, P, scratch);
    for (int64_t row = row0; row < row1;) {
      const int R = hg_next_rows(row1 - row);
      const hg_bfloat16 *first = d->input + row * d->input_stride;
      const hg_pair_block b = {
          .rows = &first, .row_distance = d->input_stride, .taps = 1, .pairs = d->channels / 2, .weights = weights,
          .panel_distance = panel_distance, .panels = scratch, .panel_floats = panel_distance, .bias = d->bias + column,
          .output = hg_place(d->output, d->is_float_output, row * d->output_stride + column),
          .output_stride = d->output_stride, .is_float = d->is_float_output,
          .residual = d->epilogue.residual ? d->epilogue.residual + row * d->epilogue.residual_stride + column : NULL,
          .epilogue = &d->epilogue, .columns = d->columns - column,
          .widened_rows = rows + (row - row0) * d->channels, .widened = room};
      hg_pair_block_dispatch(&b, R, P);
      row += R;
    }
    p += P;
  }
}

#ifndef HG_MAXIMUM_TAPS
#define HG_MAXIMUM_TAPS 64
#endif

// The rows of a window of R output pixels, made dense, with zeros outside the picture.
HG_INLINE void hg_gather(const hg_bfloat16_geometry *g, int64_t image, int top, int left, int R, int i0, int i1,
                         hg_bfloat16 *to) {
  const int C = g->channels;
  const size_t size = sizeof(hg_bfloat16) * (size_t)C;
  for (int i = i0; i < i1; i++)
    for (int r = 0; r < R; r++)
      for (int j = 0; j < g->kernel_width; j++, to += C) {
        const int x = left + r * g->stride_width + j;
        const int64_t at = ((image * g->height + top + i) * g->width + x) * g->input_stride;
        if ((uint32_t)x < (uint32_t)g->width)
          __builtin_memcpy(to, (const hg_bfloat16 *)g->input + at, size);
        else
          __builtin_memset(to, 0, size);
      }
}

// A block of R output pixels side by side, from column x of row y of an image, for P panels from p on.
static void HG_NAME(hg_bfloat16_convolution_block)(const hg_bfloat16_convolution *d, int64_t image, int y, int x, int R,
                                                   int p, int P, float *scratch) {
  const hg_bfloat16_geometry *g = &d->window;
  const ptrdiff_t stride = g->input_stride, row_stride = stride * g->width;
  const int C = g->channels, run = g->kernel_width * C;
  const int64_t panel_distance = (int64_t)g->kernel_height * run * HG_PANEL;
  const int top = y * g->stride_height - g->padding_top, left = x * g->stride_width - g->padding_left;
  const int i0 = top < 0 ? -top : 0, i1 = hg_min(g->kernel_height, g->height - top);
  const hg_bfloat16 *rows[HG_MAXIMUM_TAPS];
  int count = 0, pairs = run / 2;
  ptrdiff_t row_distance = g->stride_width * stride;
  float *room = scratch + HG_BLOCK_PANELS * panel_distance;
  const int is_inside = left >= 0 && left + (R - 1) * g->stride_width + g->kernel_width <= g->width;
  if (!is_inside) {
    hg_bfloat16 *gathered = (hg_bfloat16 *)room;
    hg_gather(g, image, top, left, R, i0, i1, gathered);
    row_distance = run;
    for (int i = i0; i < i1; i++) rows[count++] = gathered + (int64_t)(i - i0) * R * run;
    // Two halves to a float.
    room += (int64_t)(i1 - i0) * R * run / 2 + HG_PANEL;
  } else {
    const hg_bfloat16 *from = (const hg_bfloat16 *)g->input + (image * g->height + top) * row_stride + left * stride;
    const int columns = stride == C ? 1 : g->kernel_width;
    if (columns > 1) pairs = C / 2;
    for (int i = i0; i < i1; i++)
      for (int j = 0; j < columns; j++) rows[count++] = from + i * row_stride + j * stride;
  }
  const int64_t pixel = (image * g->output_height + y) * g->output_width + x, skipped = (int64_t)i0 * run * HG_PANEL;
  const int column = p * HG_PANEL;
  const hg_pair_block b = {
      .rows = rows, .row_distance = row_distance, .taps = count, .pairs = pairs,
      .weights = d->weights + p * panel_distance + skipped, .panel_distance = panel_distance,
      .panels = scratch + skipped, .panel_floats = panel_distance, .bias = d->bias + column,
      .output = hg_place(g->output, g->is_float_output, pixel * g->output_stride + column),
      .output_stride = g->output_stride, .is_float = g->is_float_output,
      .residual = d->epilogue.residual ? d->epilogue.residual + pixel * d->epilogue.residual_stride + column : NULL,
      .epilogue = &d->epilogue, .columns = d->columns - column, .widened = room};
  hg_pair_block_dispatch(&b, R, P);
}

static void HG_NAME(hg_bfloat16_convolution)(const void *descriptor, int32_t task, float *scratch) {
  const hg_bfloat16_convolution *d = descriptor;
  const hg_bfloat16_geometry *g = &d->window;
  const int64_t image_pixels = (int64_t)g->output_height * g->output_width;
  const int64_t pixel0 = (int64_t)task * d->pixels_per_task;
  const int64_t pixels = hg_min(pixel0 + d->pixels_per_task, image_pixels * g->batch) - pixel0;
  const int64_t pairs = (int64_t)g->kernel_height * g->kernel_width * g->channels / 2;
  const int panels = (d->columns + HG_PANEL - 1) / HG_PANEL;
  for (int p = 0; p < panels;) {
    const int P = hg_next_panels(panels - p);
    hg_prepare_panels(d->weights + p * pairs * 2 * HG_PANEL, pairs * 2 * HG_PANEL, pairs, P, scratch);
    int64_t left = pixels, image = pixel0 / image_pixels;
    int y = (int)(pixel0 % image_pixels / g->output_width), x = (int)(pixel0 % g->output_width);
    while (left > 0) {
      const int R = hg_next_rows(hg_min(left, g->output_width - x));
      HG_NAME(hg_bfloat16_convolution_block)(d, image, y, x, R, p, P, scratch);
      left -= R, x += R;
      if (x < g->output_width) continue;
      x = 0;
      if (++y == g->output_height) y = 0, image++;
    }
    p += P;
  }
}
