// Register-blocked products of 8-bit activations and weights: rows of pixels times panels of 16 output channels. Included
// once per instruction set. Integers are exact, so no cut changes bits.

// Sums leave the registers here; the float part of the work is the same code for every height and width.
#define HG_BLOCK_COLUMNS (HG_BLOCK_PANELS * HG_INTEGER_PANEL)

typedef struct {
  const uint8_t *first;        // units of the first row
  ptrdiff_t row_distance;      // bytes between rows
  int runs;                    // runs of units that lie together: the rows of a window
  ptrdiff_t run_distance;      // bytes
  int64_t units;               // of a run
  const int8_t *weights;       // of the first panel; runs follow each other
  int64_t panel_distance;      // bytes
  const int32_t *start;
  int32_t *sums;               // [rows][HG_BLOCK_COLUMNS]
  const int8_t *ahead;         // weights to come, NULL for none
} hg_integer_block;

HG_INLINE void hg_integer_run(const hg_integer_block *b, const int R, const int P) {
  hg_integers sum[HG_BLOCK_ROWS][HG_BLOCK_PANELS * HG_VECTORS];
  const int V = P * HG_VECTORS;
  HG_UNROLL for (int v = 0; v < V; v++) {
    const hg_integers x = hg_load_integers(b->start + v * HG_LANES);
    HG_UNROLL for (int r = 0; r < R; r++) sum[r][v] = x;
  }
  const int8_t *w = b->weights;
  const int64_t distance = b->panel_distance, units = b->units;
  const int8_t *ahead = b->ahead ? b->ahead : w;
  const ptrdiff_t step = b->ahead ? 64 : 0;
  for (int run = 0; run < b->runs; run++) {
    const uint8_t *a[HG_BLOCK_ROWS];
    HG_UNROLL for (int r = 0; r < R; r++) a[r] = b->first + run * b->run_distance + r * b->row_distance;
    for (int64_t k = 0; k < units; k++, w += HG_INTEGER_PANEL * HG_GROUP, ahead += step) {
      __builtin_prefetch(ahead);
      hg_units y[HG_BLOCK_PANELS * HG_VECTORS];
      HG_UNROLL for (int p = 0; p < P; p++)
        HG_UNROLL for (int v = 0; v < HG_VECTORS; v++)
          y[p * HG_VECTORS + v] = hg_load_weights(w + p * distance + v * HG_LANES * HG_GROUP);
      HG_UNROLL for (int r = 0; r < R; r++) {
        const hg_units x = *(const hg_unaligned_unit *)(a[r] + k * 4) - (hg_units){0};
        HG_UNROLL for (int v = 0; v < V; v++) sum[r][v] = hg_dot(sum[r][v], x, y[v]);
      }
    }
  }
  HG_UNROLL for (int r = 0; r < R; r++)
    HG_UNROLL for (int v = 0; v < V; v++)
      hg_store_integers(b->sums + r * HG_BLOCK_COLUMNS + v * HG_LANES, sum[r][v]);
}

HG_DEFINE_BLOCKS(hg_integer_block, hg_integer_block, hg_integer_run)

// Finishes the sums of a block that begins at a row (pixel) and column of the output.
static __attribute__((noinline)) void HG_NAME(hg_integer_store)(
    const hg_integer_finish *f, const int32_t *sums, int64_t row, int rows, int column, int columns, void *output,
    ptrdiff_t output_stride) {
  const uint8_t *residual = f->residual ? f->residual + row * f->residual_stride + column : NULL;
  const ptrdiff_t first = row * output_stride + column;
  for (int n = 0; n < columns; n += HG_LANES) {
    const hg_vector factor = hg_load(f->factor + column + n), bias = hg_load(f->bias + column + n);
    if (residual || f->is_float || columns - n < HG_LANES) {
      for (int r = 0; r < rows; r++)
        hg_finish_sums(f, hg_load_integers(sums + r * HG_BLOCK_COLUMNS + n), factor, bias,
                       residual ? residual + r * f->residual_stride + n : NULL, output, first + r * output_stride + n,
                       columns - n);
    } else {
      const hg_vector lower = hg_splat(f->lower), upper = hg_splat(f->upper);
      uint8_t *to = (uint8_t *)output + first + n;
      for (int r = 0; r < rows; r++, to += output_stride) {
        const hg_vector y = __builtin_convertvector(hg_load_integers(sums + r * HG_BLOCK_COLUMNS + n), hg_vector) * factor;
        *(hg_unaligned_bytes *)to = hg_round(hg_bound(y + bias, lower, upper));
      }
    }
  }
}

// One pixel's channels as units, padded with zeros to a multiple of 4 channels.
HG_INLINE void hg_prepare(uint8_t *to, const uint8_t *from, int channels) {
#if HG_GROUP == 4
  typedef uint8_t sixteen __attribute__((vector_size(16), aligned(1)));
  int c = 0;
  for (; c + 16 <= channels; c += 16) *(sixteen *)(to + c) = *(const sixteen *)(from + c) ^ (uint8_t)HG_OFFSET;
  if (c < channels && c >= 16 && channels % 4 == 0) {
    // The last vector overlaps the one before.
    *(sixteen *)(to + channels - 16) = *(const sixteen *)(from + channels - 16) ^ (uint8_t)HG_OFFSET;
    return;
  }
  for (; c + 4 <= channels; c += 4) *(hg_unaligned_unit *)(to + c) = *(const hg_unaligned_unit *)(from + c) ^ (HG_OFFSET * 0x01010101u);
  if (c < channels) {
    uint32_t last = from[c];
    if (c + 1 < channels) last |= (uint32_t)from[c + 1] << 8;
    if (c + 2 < channels) last |= (uint32_t)from[c + 2] << 16;
    *(hg_unaligned_unit *)(to + c) = last ^ (HG_OFFSET * 0x01010101u);
  }
#else
  typedef uint8_t eight __attribute__((vector_size(8), aligned(1)));
  typedef int16_t eight_wide __attribute__((vector_size(16), aligned(1)));
  typedef int16_t eight_values __attribute__((vector_size(16)));
  int c = 0;
  for (; c + 8 <= channels; c += 8)
    *(eight_wide *)(to + 2 * c) = __builtin_convertvector(*(const eight *)(from + c), eight_values);
  int16_t some[4];
  for (; c < channels; c += 4) {
    for (int i = 0; i < 4; i++) some[i] = c + i < channels ? from[c + i] : 0;
    __builtin_memcpy(to + 2 * c, some, 8);
  }
#endif
}

// Pixels of three channels that lie together, four at a time; may read 4 bytes behind them.
HG_INLINE int hg_prepare_threes(uint8_t *to, const uint8_t *from, int pixels) {
  typedef uint8_t sixteen __attribute__((vector_size(16)));
  typedef uint8_t unaligned __attribute__((vector_size(16), aligned(1)));
  int x = 0;
  for (; x + 4 <= pixels; x += 4) {
    const sixteen v = *(const unaligned *)(from + 3 * x);
    const sixteen wide = __builtin_shufflevector(v, (sixteen){0}, 0, 1, 2, 16, 3, 4, 5, 16, 6, 7, 8, 16, 9, 10, 11, 16);
#if HG_GROUP == 4
    *(unaligned *)(to + 4 * x) = wide ^ (uint8_t)HG_OFFSET;
#else
    typedef uint8_t eight __attribute__((vector_size(8)));
    typedef int16_t eight_values __attribute__((vector_size(16)));
    typedef int16_t eight_wide __attribute__((vector_size(16), aligned(1)));
    const eight low = __builtin_shufflevector(wide, wide, 0, 1, 2, 3, 4, 5, 6, 7);
    const eight high = __builtin_shufflevector(wide, wide, 8, 9, 10, 11, 12, 13, 14, 15);
    *(eight_wide *)(to + 8 * x) = __builtin_convertvector(low, eight_values);
    *(eight_wide *)(to + 8 * x + 16) = __builtin_convertvector(high, eight_values);
#endif
  }
  return x;
}

HG_INLINE int hg_padded_channels(int channels) { return (channels + 3) / 4 * 4; }

static void HG_NAME(hg_integer_product)(const void *descriptor, int32_t task, float *scratch) {
  const hg_integer_product *d = descriptor;
  const int panels = (d->columns + HG_INTEGER_PANEL - 1) / HG_INTEGER_PANEL;
  const int64_t row0 = (int64_t)(task / d->column_tasks) * d->rows_per_task;
  const int64_t row1 = hg_least(row0 + d->rows_per_task, d->rows);
  const int panel0 = (task % d->column_tasks) * d->panels_per_task;
  const int panel1 = (int)hg_least(panel0 + d->panels_per_task, panels);
  const int channels = hg_padded_channels(d->channels);
  const uint8_t *rows = d->input + row0 * d->input_stride;
  ptrdiff_t distance = d->input_stride;
  if (HG_GROUP == 2 || HG_OFFSET != 0 || d->channels % 4) {
    distance = (ptrdiff_t)channels * HG_ACTIVATION_BYTES;
    for (int64_t row = row0; row < row1; row++)
      hg_prepare((uint8_t *)scratch + (row - row0) * distance, d->input + row * d->input_stride, d->channels);
    rows = (const uint8_t *)scratch;
  }
  int32_t sums[HG_BLOCK_ROWS * HG_BLOCK_COLUMNS];
  const int64_t panel_bytes = (int64_t)channels * HG_INTEGER_PANEL;
  for (int p = panel0; p < panel1;) {
    const int P = hg_next_panels(panel1 - p);
    const int columns = (int)hg_least(d->columns - p * HG_INTEGER_PANEL, P * HG_INTEGER_PANEL);
    // Blocks of rows fetch the panels after these, a panel each.
    const int next = (int)hg_least(panel1 - p - P, HG_BLOCK_PANELS);
    int block = 0;
    for (int64_t row = row0; row < row1; block++) {
      const int R = hg_next_rows(row1 - row);
      const int8_t *weights = d->weights + p * panel_bytes;
      hg_integer_block b = {
          .first = rows + (row - row0) * distance, .row_distance = distance, .runs = 1, .units = channels / HG_GROUP,
          .weights = weights, .panel_distance = panel_bytes, .start = d->start + p * HG_INTEGER_PANEL, .sums = sums,
          .ahead = block < next ? weights + (P + block) * panel_bytes : NULL};
      hg_integer_block_dispatch(&b, R, P);
      HG_NAME(hg_integer_store)(&d->finish, sums, row, R, p * HG_INTEGER_PANEL, columns, d->output, d->output_stride);
      row += R;
    }
    p += P;
  }
}

// A row of the picture from column -left on as units, with its border; y may lie outside. `bytes` has room for a row and 4
// bytes behind it.
HG_INLINE void hg_prepare_row(const hg_integer_convolution *d, int64_t image, int y, int columns, uint8_t *to,
                              uint8_t *bytes) {
  const hg_integer_geometry *g = &d->window;
  const int C = g->channels, left = g->padding_left;
  const ptrdiff_t distance = (ptrdiff_t)hg_padded_channels(C) * HG_ACTIVATION_BYTES;
  const int is_inside = y >= 0 && y < g->height;
  const int first = is_inside ? (int)hg_least(left, columns) : columns;
  const int end = is_inside ? (int)hg_least(columns, (int64_t)g->width + left) : columns;
  const uint8_t *from = NULL;
  ptrdiff_t stride = g->input_stride;
  const int64_t at = (image * g->height + y) * g->width * stride;
  if (is_inside && d->is_float_input) {
    const float *values = (const float *)g->input + at;
    const int count = C == stride ? C * g->width : C, repeats = C == stride ? 1 : g->width;
    for (int i = 0; i < repeats; i++)
      for (int c = 0; c < count; c += HG_LANES) {
        const hg_vector x = hg_load_some(values + i * stride + c, count - c) * hg_splat(d->input_factor);
        const hg_vector bounded = hg_bound(x + hg_splat(d->input_shift), hg_splat(0), hg_splat(255));
        hg_store_bytes(bytes + (int64_t)i * C + c, hg_round(bounded), count - c);
      }
    from = bytes, stride = C;
  } else if (is_inside) {
    from = (const uint8_t *)g->input + at;
  }
  // The border: one pixel of it, then copies.
  for (int x = 0; x < columns; x++) {
    if (x == first) x = end;
    if (x >= columns) break;
    uint8_t *pixel = to + x * distance;
    for (ptrdiff_t i = 0; i < distance; i += HG_ACTIVATION_BYTES) {
      pixel[i] = (uint8_t)(d->zero ^ HG_OFFSET);
      if (HG_ACTIVATION_BYTES == 2) pixel[i + 1] = 0;
    }
  }
  if (!is_inside) return;
  if (HG_GROUP == 4 && !HG_OFFSET && stride == C && C % 4 == 0)
    __builtin_memcpy(to + first * distance, from + (first - left) * stride, (size_t)((end - first) * stride));
  else {
    int x = first;
    if (C == 3 && from == bytes) x += hg_prepare_threes(to + first * distance, from + (first - left) * stride, end - first);
    for (; x < end; x++) hg_prepare(to + x * distance, from + (x - left) * stride, C);
  }
}

static void HG_NAME(hg_integer_convolution)(const void *descriptor, int32_t task, float *scratch) {
  const hg_integer_convolution *d = descriptor;
  const hg_integer_geometry *g = &d->window;
  const int row_tasks = (g->output_height + d->rows_per_task - 1) / d->rows_per_task;
  const int64_t image = task / d->column_tasks / row_tasks;
  const int y0 = task / d->column_tasks % row_tasks * d->rows_per_task;
  const int y1 = (int)hg_least(y0 + d->rows_per_task, g->output_height);
  const int panels = (d->columns + HG_INTEGER_PANEL - 1) / HG_INTEGER_PANEL;
  const int panel0 = (task % d->column_tasks) * d->panels_per_task;
  const int panel1 = (int)hg_least(panel0 + d->panels_per_task, panels);
  // The rows of the picture under these results, whole: no window needs to know of borders, and each row of one is a run.
  const int columns = (g->output_width - 1) * g->stride_width + g->kernel_width;
  const int rows = (y1 - y0 - 1) * g->stride_height + g->kernel_height;
  const ptrdiff_t pixel = (ptrdiff_t)hg_padded_channels(g->channels) * HG_ACTIVATION_BYTES, row = pixel * columns;
  uint8_t *units = (uint8_t *)scratch;
  for (int i = 0; i < rows; i++)
    hg_prepare_row(d, image, y0 * g->stride_height - g->padding_top + i, columns, units + i * row, units + rows * row);
  int32_t sums[HG_BLOCK_ROWS * HG_BLOCK_COLUMNS];
  const int64_t channels = hg_padded_channels(g->channels);
  const int64_t panel_bytes = channels * g->kernel_height * g->kernel_width * HG_INTEGER_PANEL;
  for (int p = panel0; p < panel1;) {
    const int P = hg_next_panels(panel1 - p);
    const int valid = (int)hg_least(d->columns - p * HG_INTEGER_PANEL, P * HG_INTEGER_PANEL);
    for (int y = y0; y < y1; y++)
      for (int x = 0; x < g->output_width;) {
        const int R = hg_next_rows(g->output_width - x);
        hg_integer_block b = {
            .first = units + (y - y0) * g->stride_height * row + x * g->stride_width * pixel,
            .row_distance = g->stride_width * pixel, .runs = g->kernel_height, .run_distance = row,
            .units = channels * g->kernel_width / HG_GROUP, .weights = d->weights + p * panel_bytes,
            .panel_distance = panel_bytes, .start = d->start + p * HG_INTEGER_PANEL, .sums = sums};
        hg_integer_block_dispatch(&b, R, P);
        const int64_t at = (image * g->output_height + y) * g->output_width + x;
        HG_NAME(hg_integer_store)(&d->finish, sums, at, R, p * HG_INTEGER_PANEL, valid, g->output, g->output_stride);
        x += R;
      }
    p += P;
  }
}
