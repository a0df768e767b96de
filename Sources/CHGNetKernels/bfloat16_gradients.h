// The gradients of depthwise convolutions, pools and elementwise work in bfloat16. Included once per instruction set.

static void HG_NAME(hg_bfloat16_depthwise_gradient)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_bfloat16_depthwise_gradient *h = descriptor;
  const hg_depthwise_gradient *d = &h->depthwise;
  const hg_bfloat16 *input = (const hg_bfloat16 *)d->input, *gradient = (const hg_bfloat16 *)d->gradient;
  const int c0 = task * HG_PANEL, taps = d->kernel_height * d->kernel_width;
  double sums[HG_MAXIMUM_TAPS][HG_PANEL] __attribute__((aligned(64)));
  __builtin_memset(sums, 0, sizeof(double) * (size_t)taps * HG_PANEL);
  for (int64_t image = 0; image < d->batch; image++)
    for (int y = 0; y < d->output_height; y++) {
      const hg_bfloat16 *dz = gradient + (image * d->output_height + y) * d->output_width * h->gradient_stride + c0;
      for (int i = 0; i < d->kernel_height; i++) {
        const int yy = y * d->stride_height - d->padding_top + i;
        if (yy < 0 || yy >= d->height) continue;
        const hg_bfloat16 *row = input + (image * d->height + yy) * (int64_t)d->width * d->input_stride + c0;
        for (int v = 0; v < HG_PANEL; v += HG_LANES) {
          const int lanes = d->channels - c0 - v;
          if (lanes <= 0) break;
          hg_vector sum[8] = {{0}};
          const int K = d->kernel_width < 8 ? d->kernel_width : 8;
          for (int x = 0; x < d->output_width; x++) {
            const hg_vector g = hg_widen_some(dz + (int64_t)x * h->gradient_stride + v, lanes);
            const int left = x * d->stride_width - d->padding_left;
            for (int j = 0; j < K; j++)
              if (left + j >= 0 && left + j < d->width)
                sum[j] += g * hg_widen_some(row + (left + j) * d->input_stride + v, lanes);
          }
          for (int j = 0; j < K; j++) hg_add_wide(&sums[i * d->kernel_width + j][v], sum[j]);
        }
      }
    }
  for (int c = c0; c < hg_min(c0 + HG_PANEL, d->channels); c++)
    for (int tap = 0; tap < taps; tap++) d->weight_gradient[(int64_t)c * taps + tap] += (float)sums[tap][c - c0];
}

static void HG_NAME(hg_bfloat16_dilate)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_bfloat16_dilate *h = descriptor;
  const hg_dilate *d = &h->dilate;
  const int height = (d->height - 1) * d->stride_height + 1, width = (d->width - 1) * d->stride_width + 1;
  const int64_t image = task / height;
  const int y = task % height;
  const size_t size = sizeof(hg_bfloat16) * (size_t)d->channels;
  hg_bfloat16 *out = (hg_bfloat16 *)d->output + (image * height + y) * (int64_t)width * d->channels;
  __builtin_memset(out, 0, size * (size_t)width);
  if (y % d->stride_height) return;
  const hg_bfloat16 *from =
      (const hg_bfloat16 *)d->input + (image * d->height + y / d->stride_height) * (int64_t)d->width * h->input_stride;
  for (int x = 0; x < d->width; x++)
    __builtin_memcpy(out + (int64_t)x * d->stride_width * d->channels, from + (int64_t)x * h->input_stride, size);
}

// One window: the gradient goes to the first pixel that has the maximum, each channel for itself. lanes of HG_LANES,
// height and width may be constants.
HG_INLINE void hg_half_maximum_gradient(const hg_bfloat16 *input, ptrdiff_t input_step, ptrdiff_t input_row,
                                        hg_bfloat16 *target, ptrdiff_t target_step, ptrdiff_t target_row,
                                        hg_vector gradient, int height, int width, int lanes) {
  hg_vector best = hg_splat(-__builtin_inff());
  for (int i = 0; i < height; i++)
    for (int j = 0; j < width; j++) best = hg_max(hg_widen_some(input + i * input_row + j * input_step, lanes), best);
  hg_mask open = best == best;
  for (int i = 0; i < height; i++)
    for (int j = 0; j < width; j++) {
      const hg_mask take = open & (hg_widen_some(input + i * input_row + j * input_step, lanes) == best);
      hg_bfloat16 *at = target + i * target_row + j * target_step;
      hg_write(at, 0, 0, hg_widen_some(at, lanes) + (hg_vector)(take & (hg_mask)gradient), lanes);
      open &= ~take;
    }
}

static void HG_NAME(hg_bfloat16_maximum_pool_gradient)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_maximum_pool_gradient *d = descriptor;
  const int blocks = (d->channels + HG_PANEL - 1) / HG_PANEL, c0 = task % blocks * HG_PANEL;
  const int64_t image = task / blocks;
  const ptrdiff_t input_step = d->input_stride, input_row = d->width * input_step;
  const ptrdiff_t target_step = d->input_gradient_stride, target_row = d->width * target_step;
  for (int y = 0; y < d->output_height; y++)
    for (int x = 0; x < d->output_width; x++) {
      const int top = y * d->stride_height - d->padding_top, left = x * d->stride_width - d->padding_left;
      const int i0 = top < 0 ? 0 : top, height = hg_min(top + d->kernel_height, d->height) - i0;
      const int j0 = left < 0 ? 0 : left, width = hg_min(left + d->kernel_width, d->width) - j0;
      const int64_t pixel = (image * d->height + i0) * d->width + j0;
      const hg_bfloat16 *gradient = (const hg_bfloat16 *)d->gradient +
                                    ((image * d->output_height + y) * d->output_width + x) * d->gradient_stride;
      for (int c = c0; c < hg_min(c0 + HG_PANEL, d->channels); c += HG_LANES) {
        const int lanes = d->channels - c;
        const hg_bfloat16 *from = (const hg_bfloat16 *)d->input + pixel * input_step + c;
        hg_bfloat16 *to = (hg_bfloat16 *)d->input_gradient + pixel * target_step + c;
        const hg_vector g = hg_widen_some(gradient + c, lanes);
        if (lanes < HG_LANES)
          hg_half_maximum_gradient(from, input_step, input_row, to, target_step, target_row, g, height, width, lanes);
        else if (height == 2 && width == 2)
          hg_half_maximum_gradient(from, input_step, input_row, to, target_step, target_row, g, 2, 2, HG_LANES);
        else
          hg_half_maximum_gradient(from, input_step, input_row, to, target_step, target_row, g, height, width, HG_LANES);
      }
    }
}

static void HG_NAME(hg_bfloat16_elementwise_gradient)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_bfloat16_elementwise_gradient *h = descriptor;
  const hg_elementwise_gradient *d = &h->elementwise;
  const int64_t row0 = (int64_t)task * d->rows_per_task, row1 = hg_min(row0 + d->rows_per_task, d->rows);
  const hg_vector share = hg_splat(1 / (float)d->rows_per_image);
  for (int64_t row = row0; row < row1; row++) {
    const int64_t image = row / d->rows_per_image, to = row * d->target_stride;
    const int64_t gradient = (d->kind == HG_GRADIENT_MEAN ? image : row) * d->gradient_stride;
    const int64_t factor = (d->kind == HG_GRADIENT_GATED ? image : row) * d->factor_stride;
    for (int c = 0; c < d->channels; c += HG_LANES) {
      const int lanes = d->channels - c;
      hg_vector x = {0}, g = {0}, f = {0};
      if (d->kind != HG_GRADIENT_ZERO) x = hg_read(d->target, !h->is_half_target, to + c, lanes);
      if (d->gradient) g = hg_read(d->gradient, !h->is_half_gradient, gradient + c, lanes);
      if (d->factor) f = hg_read(d->factor, !h->is_half_factor, factor + c, lanes);
      switch (d->kind) {
        case HG_GRADIENT_ADD: x += g; break;
        case HG_GRADIENT_MEAN: x += g * share; break;
        case HG_GRADIENT_GATED: x += g * f; break;
        case HG_GRADIENT_MASK: x *= f; break;
        default: break;
      }
      hg_write(d->target, !h->is_half_target, to + c, x, lanes);
    }
  }
}

static void HG_NAME(hg_bfloat16_gate_gradient)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_bfloat16_gate_gradient *h = descriptor;
  const hg_gate_gradient *d = &h->gate;
  const int64_t first = (int64_t)task * d->pixels;
  for (int c = 0; c < d->channels; c += HG_LANES) {
    const int lanes = d->channels - c;
    hg_vector sum = {0};
    for (int pixel = 0; pixel < d->pixels; pixel++)
      sum += hg_read(d->input, !h->is_half_input, (first + pixel) * d->input_stride + c, lanes) *
             hg_read(d->gradient, !h->is_half_gradient, (first + pixel) * d->gradient_stride + c, lanes);
    const int64_t to = task * d->target_stride + c;
    hg_write(d->target, !h->is_half_target, to, hg_read(d->target, !h->is_half_target, to, lanes) + sum, lanes);
  }
}
