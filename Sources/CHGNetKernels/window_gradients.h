// The gradients of depthwise convolutions, pools and elementwise work. H is a constant: whether results and their gradients
// are in bfloat16. Included once per instruction set.

HG_INLINE void hg_depthwise_gradient_task(const hg_depthwise_gradient *d, int32_t task, int64_t gradient_stride,
                                          const int H) {
  const int c0 = task * HG_PANEL, taps = d->kernel_height * d->kernel_width;
  double sums[HG_MAXIMUM_TAPS][HG_PANEL] __attribute__((aligned(64)));
  __builtin_memset(sums, 0, sizeof(double) * (size_t)taps * HG_PANEL);
  for (int64_t image = 0; image < d->batch; image++)
    for (int y = 0; y < d->output_height; y++) {
      const int64_t dz = (image * d->output_height + y) * d->output_width * gradient_stride + c0;
      for (int i = 0; i < d->kernel_height; i++) {
        const int yy = y * d->stride_height - d->padding_top + i;
        if (yy < 0 || yy >= d->height) continue;
        const int64_t row = (image * d->height + yy) * (int64_t)d->width * d->input_stride + c0;
        for (int v = 0; v < HG_PANEL; v += HG_LANES) {
          const int lanes = d->channels - c0 - v;
          if (lanes <= 0) break;
          hg_vector sum[8] = {{0}};
          const int K = d->kernel_width < 8 ? d->kernel_width : 8;
          for (int x = 0; x < d->output_width; x++) {
            const hg_vector g = hg_read(d->gradient, !H, dz + x * gradient_stride + v, lanes);
            const int left = x * d->stride_width - d->padding_left;
            for (int j = 0; j < K; j++)
              if (left + j >= 0 && left + j < d->width)
                sum[j] += g * hg_read(d->input, !H, row + (left + j) * d->input_stride + v, lanes);
          }
          for (int j = 0; j < K; j++) hg_add_wide(&sums[i * d->kernel_width + j][v], sum[j]);
        }
      }
    }
  for (int c = c0; c < hg_min(c0 + HG_PANEL, d->channels); c++)
    for (int tap = 0; tap < taps; tap++) d->weight_gradient[(int64_t)c * taps + tap] += (float)sums[tap][c - c0];
}

// Values of `size` bytes.
HG_INLINE void hg_dilate_task(const hg_dilate *d, int32_t task, int64_t input_stride, const size_t size) {
  const int height = (d->height - 1) * d->stride_height + 1, width = (d->width - 1) * d->stride_width + 1;
  const int64_t image = task / height;
  const int y = task % height;
  char *out = (char *)d->output + (image * height + y) * (int64_t)width * d->channels * (int64_t)size;
  __builtin_memset(out, 0, size * (size_t)width * (size_t)d->channels);
  if (y % d->stride_height) return;
  const char *from = (const char *)d->input +
                     (image * d->height + y / d->stride_height) * (int64_t)d->width * input_stride * (int64_t)size;
  for (int x = 0; x < d->width; x++)
    __builtin_memcpy(out + (int64_t)x * d->stride_width * d->channels * (int64_t)size,
                     from + (int64_t)x * input_stride * (int64_t)size, size * (size_t)d->channels);
}

// One window: the gradient goes to the first pixel that has the maximum, each channel for itself. lanes of HG_LANES,
// height and width may be constants.
HG_INLINE void hg_maximum_gradient(const hg_maximum_pool_gradient *d, int64_t pixel, int c, hg_vector gradient, int height,
                                   int width, int lanes, const int H) {
  const int64_t input_step = d->input_stride, input_row = d->width * input_step;
  const int64_t target_step = d->input_gradient_stride, target_row = d->width * target_step;
  const int64_t input = pixel * input_step + c, target = pixel * target_step + c;
  hg_vector best = hg_splat(-__builtin_inff());
  for (int i = 0; i < height; i++)
    for (int j = 0; j < width; j++)
      best = hg_max(hg_read(d->input, !H, input + i * input_row + j * input_step, lanes), best);
  hg_mask open = best == best;
  for (int i = 0; i < height; i++)
    for (int j = 0; j < width; j++) {
      const hg_mask take = open & (hg_read(d->input, !H, input + i * input_row + j * input_step, lanes) == best);
      const int64_t at = target + i * target_row + j * target_step;
      const hg_vector before = hg_read(d->input_gradient, !H, at, lanes);
      hg_write(d->input_gradient, !H, at, before + (hg_vector)(take & (hg_mask)gradient), lanes);
      open &= ~take;
    }
}

HG_INLINE void hg_maximum_pool_gradient_task(const hg_maximum_pool_gradient *d, int32_t task, const int H) {
  const int blocks = (d->channels + HG_PANEL - 1) / HG_PANEL, c0 = task % blocks * HG_PANEL;
  const int64_t image = task / blocks;
  for (int y = 0; y < d->output_height; y++)
    for (int x = 0; x < d->output_width; x++) {
      const int top = y * d->stride_height - d->padding_top, left = x * d->stride_width - d->padding_left;
      const int i0 = top < 0 ? 0 : top, height = hg_min(top + d->kernel_height, d->height) - i0;
      const int j0 = left < 0 ? 0 : left, width = hg_min(left + d->kernel_width, d->width) - j0;
      const int64_t pixel = (image * d->height + i0) * d->width + j0;
      const int64_t from = ((image * d->output_height + y) * d->output_width + x) * d->gradient_stride;
      for (int c = c0; c < hg_min(c0 + HG_PANEL, d->channels); c += HG_LANES) {
        const int lanes = d->channels - c;
        const hg_vector gradient = hg_read(d->gradient, !H, from + c, lanes);
        if (lanes < HG_LANES) hg_maximum_gradient(d, pixel, c, gradient, height, width, lanes, H);
        else if (height == 2 && width == 2) hg_maximum_gradient(d, pixel, c, gradient, 2, 2, HG_LANES, H);
        else hg_maximum_gradient(d, pixel, c, gradient, height, width, HG_LANES, H);
      }
    }
}

// T, G and F: whether target, gradient and factor are in bfloat16.
HG_INLINE void hg_elementwise_gradient_task(const hg_elementwise_gradient *d, int32_t task, const int T, const int G,
                                            const int F) {
  const int64_t row0 = (int64_t)task * d->rows_per_task, row1 = hg_min(row0 + d->rows_per_task, d->rows);
  const hg_vector share = hg_splat(1 / (float)d->rows_per_image);
  for (int64_t row = row0; row < row1; row++) {
    const int64_t image = row / d->rows_per_image, target = row * d->target_stride;
    const int64_t gradient = (d->kind == HG_GRADIENT_MEAN ? image : row) * d->gradient_stride;
    const int64_t factor = (d->kind == HG_GRADIENT_GATED ? image : row) * d->factor_stride;
    for (int c = 0; c < d->channels; c += HG_LANES) {
      const int lanes = d->channels - c;
      hg_vector x = {0}, g = {0}, f = {0};
      if (d->kind != HG_GRADIENT_ZERO) x = hg_read(d->target, !T, target + c, lanes);
      if (d->gradient) g = hg_read(d->gradient, !G, gradient + c, lanes);
      if (d->factor) f = hg_read(d->factor, !F, factor + c, lanes);
      switch (d->kind) {
        case HG_GRADIENT_ADD: x += g; break;
        case HG_GRADIENT_MEAN: x += g * share; break;
        case HG_GRADIENT_GATED: x += g * f; break;
        case HG_GRADIENT_MASK: x *= f; break;
        case HG_GRADIENT_ZERO: break;
        default: x += hg_pointwise_gradient(d->kind - HG_GRADIENT_POINTWISE, g, f); break;
      }
      hg_write(d->target, !T, target + c, x, lanes);
    }
  }
}

// I, G and T: whether input, gradient and target are in bfloat16.
HG_INLINE void hg_gate_gradient_task(const hg_gate_gradient *d, int32_t task, const int I, const int G, const int T) {
  const int64_t first = (int64_t)task * d->pixels;
  for (int c = 0; c < d->channels; c += HG_LANES) {
    const int lanes = d->channels - c;
    hg_vector sum = {0};
    for (int pixel = 0; pixel < d->pixels; pixel++)
      sum += hg_read(d->input, !I, (first + pixel) * d->input_stride + c, lanes) *
             hg_read(d->gradient, !G, (first + pixel) * d->gradient_stride + c, lanes);
    const int64_t target = task * d->target_stride + c;
    hg_write(d->target, !T, target, hg_read(d->target, !T, target, lanes) + sum, lanes);
  }
}
