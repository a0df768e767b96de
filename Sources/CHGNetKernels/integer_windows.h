// Depthwise convolution, pooling and elementwise work on 8-bit activations: vectors run over channels. Included once per
// instruction set.

// Depthwise: a unit of a channel holds HG_GROUP pixels side by side, from each pixel of a row on, so that one instruction
// multiplies as many taps. HG_LANES channels at a time, a ring of as many rows of units as the window has.

// The most results that are computed together.
#define HG_DEPTHWISE_MOST 8

// Units between rows: those that windows read, and what the last results that are thrown away read beyond.
HG_INLINE int64_t hg_unit_row(const hg_integer_geometry *g) {
  const int64_t groups = (g->kernel_width + HG_GROUP - 1) / HG_GROUP;
  return ((g->output_width + HG_DEPTHWISE_MOST) * (int64_t)g->stride_width + groups * HG_GROUP) * HG_LANES;
}

// The unit that begins one pixel further right.
HG_INLINE hg_units hg_shift_in(hg_units unit, const uint8_t *pixel, int lanes) {
#ifdef HG_MERGE_TOP_BYTE
  if (lanes >= HG_LANES) return HG_MERGE_TOP_BYTE(unit >> HG_ACTIVATION_BITS, pixel);
#endif
  const hg_units next = __builtin_convertvector(hg_load_bytes(pixel, lanes) ^ (uint8_t)HG_OFFSET, hg_units);
  return (unit >> HG_ACTIVATION_BITS) | (next << (32 - HG_ACTIVATION_BITS));
}

// The units of row y of an image, from column -left on; y may lie outside.
HG_INLINE void hg_make_units(const hg_integer_geometry *g, const uint8_t *image, int y, int c, int lanes, int zero,
                             uint32_t *to) {
  const int groups = (g->kernel_width + HG_GROUP - 1) / HG_GROUP;
  const int count = (g->output_width - 1) * g->stride_width + HG_GROUP * (groups - 1) + 1;
  const uint32_t border = (uint32_t)(zero ^ HG_OFFSET) * (HG_GROUP == 4 ? 0x01010101u : 0x00010001u);
  hg_units unit = border - (hg_units){0};
  if (y < 0 || y >= g->height) {
    for (int p = 0; p < count; p++) hg_store_units(to + p * HG_LANES, unit);
    return;
  }
  // Pixel x completes the unit that begins HG_GROUP - 1 before it.
  const int behind = g->padding_left - (HG_GROUP - 1);
  for (int p = 0; p < behind && p < count; p++) hg_store_units(to + p * HG_LANES, unit);
  const uint8_t *pixel = image + (int64_t)y * g->width * g->input_stride + c;
  int x = 0;
  for (; x < g->width && x + behind < 0; x++, pixel += g->input_stride) unit = hg_shift_in(unit, pixel, lanes);
  for (; x < g->width && x + behind < count; x++, pixel += g->input_stride) {
    unit = hg_shift_in(unit, pixel, lanes);
    hg_store_units(to + (x + behind) * HG_LANES, unit);
  }
  for (; x + behind < count; x++) {
    unit = (unit >> HG_ACTIVATION_BITS) | ((hg_units){0} + border) << (32 - HG_ACTIVATION_BITS);
    if (x + behind >= 0) hg_store_units(to + (x + behind) * HG_LANES, unit);
  }
}

// T results side by side, of which `count` are stored; G groups of taps in a row, stride S; T, G and S are constants.
// rows: the rows of units under them, from the first unit of the first result.
HG_INLINE void hg_depthwise_results(const hg_integer_depthwise *d, const uint32_t *const *rows, int64_t first, int c,
                                    int lanes, int64_t pixel, int count, const int T, const int G, const int S) {
  const hg_integer_geometry *g = &d->window;
  const int64_t padded = HG_PADDED(g->channels);
  // Two sums of each result, so that no instruction waits for the one before.
  hg_integers sum[HG_DEPTHWISE_MOST], other[HG_DEPTHWISE_MOST];
  const hg_integers start = hg_load_integers(d->start + c);
  HG_UNROLL for (int t = 0; t < T; t++) sum[t] = start, other[t] = (hg_integers){0};
  const int8_t *w = d->weights + (int64_t)c * HG_GROUP;
  const int height = g->kernel_height;
  for (int i = 0; i < height; i++) {
    const uint32_t *units = rows[i] + first;
    HG_UNROLL for (int q = 0; q < G; q++, w += padded * HG_GROUP) {
      const hg_units y = hg_load_weights(w);
      HG_UNROLL for (int t = 0; t < T; t++) {
        const hg_units x = hg_load_units(units + (t * S + q * HG_GROUP) * HG_LANES);
        if (q == 1)
          other[t] = hg_dot(other[t], x, y);
        else
          sum[t] = hg_dot(sum[t], x, y);
      }
    }
  }
  if (G > 1) HG_UNROLL for (int t = 0; t < T; t++) sum[t] += other[t];
  const hg_integer_finish *f = &d->finish;
  const hg_vector factor = hg_load(f->factor + c), bias = hg_load(f->bias + c);
  if (f->residual || f->is_float || lanes < HG_LANES) {
    HG_UNROLL for (int t = 0; t < T; t++)
      if (t < count)
        hg_finish_sums(f, sum[t], factor, bias,
                       f->residual ? f->residual + (pixel + t) * f->residual_stride + c : NULL, g->output,
                       (pixel + t) * g->output_stride + c, lanes);
  } else {
    const hg_vector lower = hg_splat(f->lower), upper = hg_splat(f->upper);
    const ptrdiff_t stride = g->output_stride;
    uint8_t *to = (uint8_t *)g->output + pixel * stride + c;
    hg_bytes bytes[HG_DEPTHWISE_MOST];
    HG_UNROLL for (int t = 0; t < T; t++) {
      const hg_vector y = __builtin_convertvector(sum[t], hg_vector) * factor;
      bytes[t] = hg_round(hg_bound(y + bias, lower, upper));
    }
    HG_UNROLL for (int t = 0; t < T; t++, to += stride)
      if (t < count) *(hg_unaligned_bytes *)to = bytes[t];
  }
}

// Any window, one result at a time.
HG_INLINE void hg_depthwise_result(const hg_integer_depthwise *d, const uint32_t *const *rows, int64_t first, int c,
                                   int lanes, int64_t pixel) {
  const hg_integer_geometry *g = &d->window;
  const int groups = (g->kernel_width + HG_GROUP - 1) / HG_GROUP;
  const int64_t padded = HG_PADDED(g->channels);
  hg_integers sum = hg_load_integers(d->start + c);
  for (int i = 0; i < g->kernel_height; i++)
    for (int q = 0; q < groups; q++)
      sum = hg_dot(sum, hg_load_units(rows[i] + first + q * HG_GROUP * HG_LANES),
                   hg_load_weights(d->weights + ((int64_t)(i * groups + q) * padded + c) * HG_GROUP));
  const hg_integer_finish *f = &d->finish;
  hg_finish_sums(f, sum, hg_load(f->factor + c), hg_load(f->bias + c),
                 f->residual ? f->residual + pixel * f->residual_stride + c : NULL, g->output,
                 pixel * g->output_stride + c, lanes);
}

// One row of results. The kinds: taps in a row, stride, and how many results a step has.
#if HG_LANES >= 16
#define HG_DEPTHWISE_WIDTHS(G, S)                                                                                \
  if (g->output_width % 8 && g->output_width % 7 == 0)                                                           \
    for (; x < g->output_width; x += 7) hg_depthwise_results(d, rows, x * unit, c, lanes, pixel + x, 7, 7, G, S); \
  else                                                                                                           \
    for (; x < g->output_width; x += 8)                                                                          \
      hg_depthwise_results(d, rows, x * unit, c, lanes, pixel + x, g->output_width - x, 8, G, S);
#else
#define HG_DEPTHWISE_WIDTHS(G, S)                                                                                \
  for (; x < g->output_width; x += 4)                                                                            \
    hg_depthwise_results(d, rows, x * unit, c, lanes, pixel + x, g->output_width - x, 4, G, S);
#endif

static __attribute__((noinline)) void HG_NAME(hg_depthwise_row)(
    const hg_integer_depthwise *d, const uint32_t *const *rows, int c, int lanes, int64_t pixel) {
  const hg_integer_geometry *g = &d->window;
  const int64_t unit = (int64_t)g->stride_width * HG_LANES;
  const int groups = (g->kernel_width + HG_GROUP - 1) / HG_GROUP;
  int x = 0;
  if (groups == 1 && g->stride_width == 1) {
    HG_DEPTHWISE_WIDTHS(1, 1)
  } else if (groups == 2 && g->stride_width == 1) {
    HG_DEPTHWISE_WIDTHS(2, 1)
  } else if (groups == 1 && g->stride_width == 2) {
    HG_DEPTHWISE_WIDTHS(1, 2)
#if HG_GROUP == 2
  } else if (groups == 2 && g->stride_width == 2) {
    HG_DEPTHWISE_WIDTHS(2, 2)
  } else if (groups == 3 && g->stride_width == 1) {
    HG_DEPTHWISE_WIDTHS(3, 1)
#endif
  } else {
    for (; x < g->output_width; x++) hg_depthwise_result(d, rows, x * unit, c, lanes, pixel + x);
  }
}

static void HG_NAME(hg_integer_depthwise)(const void *descriptor, int32_t task, float *scratch) {
  const hg_integer_depthwise *d = descriptor;
  const hg_integer_geometry *g = &d->window;
  const int channel_tasks = (g->channels + d->channels_per_task - 1) / d->channels_per_task;
  const int row_tasks = (g->output_height + d->rows_per_task - 1) / d->rows_per_task;
  const int c0 = task % channel_tasks * d->channels_per_task;
  const int c1 = (int)hg_least(c0 + d->channels_per_task, g->channels);
  const int y0 = task / channel_tasks % row_tasks * d->rows_per_task;
  const int y1 = (int)hg_least(y0 + d->rows_per_task, g->output_height);
  const int64_t number = task / channel_tasks / row_tasks, row = hg_unit_row(g);
  const uint8_t *image = (const uint8_t *)g->input + number * g->height * g->width * g->input_stride;
  uint32_t *ring = (uint32_t *)scratch;
  const uint32_t *rows[HG_INTEGER_TAPS];
  for (int c = c0; c < c1; c += HG_LANES) {
    int made = y0 * g->stride_height - g->padding_top;
    for (int y = y0; y < y1; y++) {
      const int top = y * g->stride_height - g->padding_top, end = top + g->kernel_height;
      if (made < top) made = top;
      for (; made < end; made++)
        hg_make_units(g, image, made, c, c1 - c, d->zero,
                      ring + (made + g->padding_top) % g->kernel_height * row);
      for (int i = 0; i < g->kernel_height; i++) rows[i] = ring + (top + i + g->padding_top) % g->kernel_height * row;
      HG_NAME(hg_depthwise_row)(d, rows, c, c1 - c, (number * g->output_height + y) * g->output_width);
    }
  }
}

// The maxima of `run` windows of `count` pixels, each `distance` after the one before; a constant count unrolls.
#define HG_DEFINE_MAXIMUM(bytes)                                                                                   \
  HG_INLINE void hg_maximum_##bytes(const uint8_t *const *pixels, const int count, int run, ptrdiff_t distance,    \
                                    uint8_t *output, ptrdiff_t output_stride, int c) {                             \
    typedef uint8_t vector __attribute__((vector_size(bytes)));                                                    \
    typedef uint8_t unaligned __attribute__((vector_size(bytes), aligned(1)));                                     \
    for (ptrdiff_t at = c; run > 0; run--, at += distance, output += output_stride) {                              \
      vector best = *(const unaligned *)(pixels[0] + at);                                                          \
      for (int i = 1; i < count; i++) best = __builtin_elementwise_max(best, (vector) * (const unaligned *)(pixels[i] + at)); \
      *(unaligned *)(output + c) = best;                                                                           \
    }                                                                                                              \
  }
HG_DEFINE_MAXIMUM(16)
#if HG_LANES >= 8
HG_DEFINE_MAXIMUM(32)
#endif
#if HG_LANES >= 16
HG_DEFINE_MAXIMUM(64)
#endif

HG_INLINE void hg_maxima(const uint8_t *const *pixels, const int count, int run, ptrdiff_t distance, uint8_t *output,
                         ptrdiff_t output_stride, int channels) {
  int c = 0;
#if HG_LANES >= 16
  for (; c + 64 <= channels; c += 64) hg_maximum_64(pixels, count, run, distance, output, output_stride, c);
#endif
#if HG_LANES >= 8
  for (; c + 32 <= channels; c += 32) hg_maximum_32(pixels, count, run, distance, output, output_stride, c);
#endif
  for (; c + 16 <= channels; c += 16) hg_maximum_16(pixels, count, run, distance, output, output_stride, c);
  for (; c < channels; c++)
    for (int r = 0; r < run; r++) {
      uint8_t best = 0;
      for (int i = 0; i < count; i++) best = pixels[i][r * distance + c] > best ? pixels[i][r * distance + c] : best;
      output[r * output_stride + c] = best;
    }
}

HG_INLINE void hg_requantize(uint8_t *p, int channels, float factor, float shift) {
  for (int c = 0; c < channels; c += HG_LANES) {
    const hg_vector x = hg_floats(hg_load_bytes(p + c, channels - c)) * hg_splat(factor);
    hg_store_bytes(p + c, hg_round(hg_bound(x + hg_splat(shift), hg_splat(0), hg_splat(255))), channels - c);
  }
}

static void HG_NAME(hg_integer_maximum_pool)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_integer_maximum_pool *d = descriptor;
  const hg_integer_geometry *g = &d->window;
  const int row_tasks = (g->output_height + d->rows_per_task - 1) / d->rows_per_task;
  const int64_t image = task / row_tasks;
  const int y0 = task % row_tasks * d->rows_per_task, y1 = (int)hg_least(y0 + d->rows_per_task, g->output_height);
  const ptrdiff_t stride = g->input_stride, row_stride = stride * g->width;
  const uint8_t *base = (const uint8_t *)g->input + image * g->height * row_stride;
  const int C = g->channels, is_same = d->factor == 1 && d->shift == 0;
  for (int y = y0; y < y1; y++) {
    const int top = y * g->stride_height - g->padding_top;
    const int i0 = top < 0 ? 0 : top, i1 = (int)hg_least(top + g->kernel_height, g->height);
    uint8_t *out = (uint8_t *)g->output + (image * g->output_height + y) * g->output_width * g->output_stride;
    for (int x = 0, run; x < g->output_width; x += run, out += run * g->output_stride) {
      const int left = x * g->stride_width - g->padding_left;
      const int j0 = left < 0 ? 0 : left, j1 = (int)hg_least(left + g->kernel_width, g->width);
      const uint8_t *pixels[HG_INTEGER_TAPS];
      int count = 0;
      for (int i = i0; i < i1; i++)
        for (int j = j0; j < j1; j++) pixels[count++] = base + i * row_stride + j * stride;
      // Windows that leave the picture neither left nor right need one list for all.
      const int is_inside = j1 - j0 == g->kernel_width;
      run = is_inside ? (int)hg_least((g->width - j1) / g->stride_width + 1, g->output_width - x) : 1;
      const ptrdiff_t distance = g->stride_width * stride;
      switch (count) {
        case 0: break;  // A window wholly in the border: the engine refuses such a geometry.
        case 4: hg_maxima(pixels, 4, run, distance, out, g->output_stride, C); break;
        case 9: hg_maxima(pixels, 9, run, distance, out, g->output_stride, C); break;
        default: hg_maxima(pixels, count, run, distance, out, g->output_stride, C);
      }
      if (!is_same)
        for (int r = 0; r < run; r++) hg_requantize(out + r * g->output_stride, C, d->factor, d->shift);
    }
  }
}

static void HG_NAME(hg_integer_average_pool)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_integer_average_pool *d = descriptor;
  const int channel_tasks = (d->channels + d->channels_per_task - 1) / d->channels_per_task;
  const int c0 = task % channel_tasks * d->channels_per_task;
  const int c1 = (int)hg_least(c0 + d->channels_per_task, d->channels);
  const int64_t image = task / channel_tasks;
  const uint8_t *base = d->input + image * d->pixels * d->input_stride;
  for (int c = c0; c < c1; c += HG_LANES) {
    const int lanes = c1 - c;
    hg_integers sum = {0};
    for (int pixel = 0; pixel < d->pixels; pixel++)
      sum += __builtin_convertvector(hg_load_bytes(base + pixel * d->input_stride + c, lanes), hg_integers);
    const hg_vector x = __builtin_convertvector(sum, hg_vector) * hg_splat(d->factor);
    const hg_vector y = hg_bound(x + hg_splat(d->shift), hg_splat(d->lower), hg_splat(d->upper));
    const ptrdiff_t at = image * d->output_stride + c;
    if (d->is_float)
      hg_store_some((float *)d->output + at, y, lanes);
    else
      hg_store_bytes((uint8_t *)d->output + at, hg_round(y), lanes);
  }
}

static void HG_NAME(hg_integer_elementwise)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_integer_elementwise *d = descriptor;
  const int64_t row0 = (int64_t)task * d->rows_per_task, row1 = hg_least(row0 + d->rows_per_task, d->rows);
  const hg_vector factor = hg_splat(d->factor), shift = hg_splat(d->shift), by = hg_splat(d->other_factor);
  const hg_vector lower = hg_splat(d->lower), upper = hg_splat(d->upper);
  for (int64_t row = row0; row < row1; row++) {
    const ptrdiff_t in = row * d->input_stride, out = row * d->output_stride;
    const ptrdiff_t other = (d->kind == HG_INTEGER_GATE ? row / d->rows_per_image : row) * d->other_stride;
    for (int c = 0; c < d->channels; c += HG_LANES) {
      const int lanes = d->channels - c;
      hg_vector y = d->is_float_input ? hg_load_some((const float *)d->input + in + c, lanes)
                                      : hg_floats(hg_load_bytes((const uint8_t *)d->input + in + c, lanes));
      y = y * factor;
      y = y + shift;
      if (d->kind == HG_INTEGER_ADD) {
        const hg_vector addend = hg_floats(hg_load_bytes((const uint8_t *)d->other + other + c, lanes)) * by;
        y = y + addend;
      }
      if (d->kind == HG_INTEGER_GATE) {
        y = y * hg_load_some((const float *)d->other + other + c, lanes);
        y = y + by;
      }
      y = hg_bound(y, lower, upper);
      if (d->is_float_output)
        hg_store_some((float *)d->output + out + c, y, lanes);
      else
        hg_store_bytes((uint8_t *)d->output + out + c, hg_round(y), lanes);
    }
  }
}

const hg_integer_kernels HG_NAME(hg_integer_kernels) = {
    .name = HG_ISA_NAME, .block_rows = HG_BLOCK_ROWS, .block_panels = HG_BLOCK_PANELS, .lanes = HG_LANES,
    .group = HG_GROUP, .offset = HG_OFFSET, .product = HG_NAME(hg_integer_product),
    .convolution = HG_NAME(hg_integer_convolution), .depthwise = HG_NAME(hg_integer_depthwise),
    .maximum_pool = HG_NAME(hg_integer_maximum_pool), .average_pool = HG_NAME(hg_integer_average_pool),
    .elementwise = HG_NAME(hg_integer_elementwise)};
