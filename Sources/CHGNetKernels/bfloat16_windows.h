// Depthwise convolution, pooling and elementwise work in bfloat16, computed in float32: vectors run over channels.
// Included once per instruction set.

// The last steps of one vector of results.
HG_INLINE void hg_bfloat16_finish(const hg_bfloat16_geometry *g, const hg_bfloat16_epilogue *e, hg_vector x,
                                  int64_t pixel, int c, int lanes) {
  x = hg_bend(e, x);
  if (e->residual) x += hg_widen_some(e->residual + pixel * e->residual_stride + c, lanes);
  hg_write(g->output, g->is_float_output, pixel * g->output_stride + c, x, lanes);
}

// One row of outputs from x0, `count` ≤ T of them, for one vector of channels; K, S and T are constants.
HG_INLINE void hg_bfloat16_depthwise_run(const hg_bfloat16_depthwise *d, int64_t image, int y, int x0, int count, int c,
                                         int lanes, const int K, const int S, const int T) {
  const hg_bfloat16_geometry *g = &d->window;
  const ptrdiff_t stride = g->input_stride, row_stride = stride * g->width;
  const hg_bfloat16 *base = (const hg_bfloat16 *)g->input + image * g->height * row_stride + c;
  const int padded = HG_PADDED(g->channels);
  hg_vector sum[8];
  const hg_vector bias = hg_load(d->bias + c);
  HG_UNROLL for (int t = 0; t < T; t++) sum[t] = bias;
  const int left = x0 * S - g->padding_left;
  const int is_inside = left >= 0 && left + (T - 1) * S + K <= g->width && lanes >= HG_LANES;
  for (int i = 0; i < K; i++) {
    const int yy = y * S - g->padding_top + i;
    if (yy < 0 || yy >= g->height) continue;
    const hg_bfloat16 *row = base + yy * row_stride;
    const float *w = d->weights + (int64_t)i * K * padded + c;
    hg_vector v[8 * 2 + 5];
    if (is_inside) {
      HG_UNROLL for (int j = 0; j < (T - 1) * S + K; j++) v[j] = hg_widen(row + (left + j) * stride);
    } else {
      HG_UNROLL for (int j = 0; j < (T - 1) * S + K; j++) {
        const int x = left + j;
        v[j] = x >= 0 && x < g->width ? hg_widen_some(row + x * stride, lanes) : (hg_vector){0};
      }
    }
    HG_UNROLL for (int j = 0; j < K; j++) {
      const hg_vector ww = hg_load(w + (int64_t)j * padded);
      HG_UNROLL for (int t = 0; t < T; t++) sum[t] += ww * v[t * S + j];
    }
  }
  for (int t = 0; t < count; t++) {
    const int64_t pixel = (image * g->output_height + y) * g->output_width + x0 + t;
    hg_bfloat16_finish(g, &d->epilogue, sum[t], pixel, c, lanes);
  }
}

// Any window, one output at a time.
HG_INLINE void hg_bfloat16_depthwise_any(const hg_bfloat16_depthwise *d, int64_t image, int y, int x, int c, int lanes) {
  const hg_bfloat16_geometry *g = &d->window;
  const int padded = HG_PADDED(g->channels);
  hg_vector sum = hg_load(d->bias + c);
  for (int i = 0; i < g->kernel_height; i++)
    for (int j = 0; j < g->kernel_width; j++) {
      const int yy = y * g->stride_height - g->padding_top + i, xx = x * g->stride_width - g->padding_left + j;
      if (yy < 0 || yy >= g->height || xx < 0 || xx >= g->width) continue;
      const int64_t at = ((image * g->height + yy) * g->width + xx) * g->input_stride + c;
      sum += hg_load(d->weights + (int64_t)(i * g->kernel_width + j) * padded + c) *
             hg_read(g->input, g->is_float_input, at, lanes);
    }
  const int64_t pixel = (image * g->output_height + y) * g->output_width + x;
  hg_bfloat16_finish(g, &d->epilogue, sum, pixel, c, lanes);
}

static void HG_NAME(hg_bfloat16_depthwise)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_bfloat16_depthwise *d = descriptor;
  const hg_bfloat16_geometry *g = &d->window;
  const int channel_tasks = (g->channels + d->channels_per_task - 1) / d->channels_per_task;
  const int row_tasks = (g->output_height + d->rows_per_task - 1) / d->rows_per_task;
  const int c0 = task % channel_tasks * d->channels_per_task, c1 = hg_min(c0 + d->channels_per_task, g->channels);
  const int y0 = task / channel_tasks % row_tasks * d->rows_per_task;
  const int y1 = hg_min(y0 + d->rows_per_task, g->output_height);
  const int64_t image = task / channel_tasks / row_tasks;
  const int is_square = g->kernel_height == g->kernel_width && g->stride_height == g->stride_width;
  const int kind = is_square && !g->is_float_input ? g->kernel_height * 10 + g->stride_height : 0;
  for (int c = c0; c < c1; c += HG_LANES) {
    const int lanes = c1 - c;
    for (int y = y0; y < y1; y++)
      for (int x = 0; x < g->output_width;) {
        const int count = hg_min(HG_DEPTHWISE_RUN, g->output_width - x);
        switch (kind) {
          case 51: hg_bfloat16_depthwise_run(d, image, y, x, count, c, lanes, 5, 1, HG_DEPTHWISE_RUN); break;
          case 31: hg_bfloat16_depthwise_run(d, image, y, x, count, c, lanes, 3, 1, HG_DEPTHWISE_RUN); break;
          case 32: hg_bfloat16_depthwise_run(d, image, y, x, count, c, lanes, 3, 2, HG_DEPTHWISE_RUN); break;
          default:
            for (int t = 0; t < count; t++) hg_bfloat16_depthwise_any(d, image, y, x + t, c, lanes);
        }
        x += count;
      }
  }
}

// The maximum of a window of `count` pixels; a constant count unrolls. Halves are compared as the floats that they are.
HG_INLINE void hg_bfloat16_maximum(const hg_bfloat16_geometry *g, const int64_t *pixels, const int count, int64_t to) {
  for (int c = 0; c < g->channels; c += HG_LANES) {
    const int lanes = g->channels - c;
    hg_vector best = hg_read(g->input, g->is_float_input, pixels[0] + c, lanes);
    for (int i = 1; i < count; i++) best = hg_max(hg_read(g->input, g->is_float_input, pixels[i] + c, lanes), best);
    hg_write(g->output, g->is_float_output, to + c, best, lanes);
  }
}

// The same of halves for four pixels and whole vectors, for `run` windows side by side.
HG_INLINE void hg_bfloat16_maximum_of_four(const hg_bfloat16 *const *pixels, int64_t distance, int run, int channels,
                                           hg_bfloat16 *output, ptrdiff_t output_stride) {
  for (int64_t at = 0; run > 0; run--, at += distance, output += output_stride)
    for (int c = 0; c < channels; c += HG_LANES) {
      const hg_vector a = hg_max(hg_widen(pixels[1] + at + c), hg_widen(pixels[0] + at + c));
      const hg_vector b = hg_max(hg_widen(pixels[3] + at + c), hg_widen(pixels[2] + at + c));
      // The upper halves as they are: nothing is rounded.
      *(hg_halves *)(output + c) = __builtin_convertvector((hg_bits)hg_max(b, a) >> 16, hg_halves);
    }
}

static void HG_NAME(hg_bfloat16_maximum_pool)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_bfloat16_maximum_pool *d = descriptor;
  const hg_bfloat16_geometry *g = &d->window;
  const int row_tasks = (g->output_height + d->rows_per_task - 1) / d->rows_per_task;
  const int64_t image = task / row_tasks;
  const int y0 = task % row_tasks * d->rows_per_task, y1 = hg_min(y0 + d->rows_per_task, g->output_height);
  const int is_plain = !g->is_float_input && !g->is_float_output && g->channels % HG_LANES == 0;
  for (int y = y0; y < y1; y++) {
    const int top = y * g->stride_height - g->padding_top;
    const int i0 = top < 0 ? 0 : top, i1 = hg_min(top + g->kernel_height, g->height);
    for (int x = 0, run; x < g->output_width; x += run) {
      run = 1;
      const int left = x * g->stride_width - g->padding_left;
      const int j0 = left < 0 ? 0 : left, j1 = hg_min(left + g->kernel_width, g->width);
      if (i0 >= i1 || j0 >= j1) continue;  // Wholly in the border: the engine refuses such a geometry.
      const int64_t pixel = (image * g->output_height + y) * g->output_width + x;
      int64_t pixels[HG_MAXIMUM_TAPS];
      int count = 0;
      for (int i = i0; i < i1; i++)
        for (int j = j0; j < j1; j++)
          pixels[count++] = ((image * g->height + i) * g->width + j) * g->input_stride;
      if (is_plain && count == 4 && j1 - j0 == g->kernel_width) {
        // Windows that leave the picture neither left nor right need one list for all.
        run = hg_min((g->width - j1) / g->stride_width + 1, g->output_width - x);
        const hg_bfloat16 *input = g->input, *four[4];
        for (int i = 0; i < 4; i++) four[i] = input + pixels[i];
        hg_bfloat16_maximum_of_four(four, (int64_t)g->stride_width * g->input_stride, run, g->channels,
                                    (hg_bfloat16 *)g->output + pixel * g->output_stride, g->output_stride);
      } else {
        hg_bfloat16_maximum(g, pixels, count, pixel * g->output_stride);
      }
    }
  }
}

static void HG_NAME(hg_bfloat16_average_pool)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_bfloat16_average_pool *d = descriptor;
  const int channel_tasks = (d->channels + d->channels_per_task - 1) / d->channels_per_task;
  const int c0 = task % channel_tasks * d->channels_per_task, c1 = hg_min(c0 + d->channels_per_task, d->channels);
  const int image = task / channel_tasks;
  const hg_bfloat16 *base = d->input + (int64_t)image * d->pixels * d->input_stride;
  for (int c = c0; c < c1; c += HG_LANES) {
    const int lanes = c1 - c;
    hg_vector sum = {0};
    for (int pixel = 0; pixel < d->pixels; pixel++) sum += hg_widen_some(base + pixel * d->input_stride + c, lanes);
    hg_write(d->output, d->is_float_output, image * d->output_stride + c, sum / hg_splat((float)d->pixels), lanes);
  }
}

static void HG_NAME(hg_bfloat16_elementwise)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_bfloat16_elementwise *d = descriptor;
  const int64_t row0 = (int64_t)task * d->rows_per_task, row1 = hg_min(row0 + d->rows_per_task, d->rows);
  for (int64_t row = row0; row < row1; row++) {
    const int64_t other = (d->kind == HG_GATE ? row / d->rows_per_image : row) * d->other_stride;
    for (int c = 0; c < d->channels; c += HG_LANES) {
      const int lanes = d->channels - c;
      hg_vector x = hg_read(d->input, d->is_float_input, row * d->input_stride + c, lanes);
      if (d->kind == HG_ADD) x += hg_read(d->other, d->is_float_other, other + c, lanes);
      if (d->kind == HG_GATE) x *= hg_read(d->other, d->is_float_other, other + c, lanes);
      x = hg_bend(&d->epilogue, x);
      const hg_bfloat16 *residual = d->epilogue.residual;
      if (residual) x += hg_widen_some(residual + row * d->epilogue.residual_stride + c, lanes);
      hg_write(d->output, d->is_float_output, row * d->output_stride + c, x, lanes);
    }
  }
}
