// Values and weights rounded as the precision int8 does, for training; included once per instruction set.

// Adding and subtracting it rounds a float of at most 2^22 to a whole number, ties to even.
#define HG_ROUNDING 12582912.0f

static void HG_NAME(hg_quantize_task)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_quantize *d = descriptor;
  const int64_t row0 = (int64_t)task * d->rows_per_task, row1 = hg_min(row0 + d->rows_per_task, d->rows);
  const hg_byte_scale bytes = hg_byte_scale_of(d->range);
  const float scale = bytes.scale, inverse = 1 / scale, least = (float)-bytes.zero, greatest = (float)(255 - bytes.zero);
  const int channels = d->channels;
  for (int64_t row = row0; row < row1; row++) {
    float *restrict x = d->values + row * d->stride;
    uint8_t *restrict outside = d->outside ? d->outside + row * channels : NULL;
    if (outside)
      for (int c = 0; c < channels; c++) {
        const float steps = x[c] * inverse;
        outside[c] = (uint8_t)((steps < least - HG_OUTSIDE) | (steps > greatest + HG_OUTSIDE) << 1);
      }
    // A value that is no number stays none.
    for (int c = 0; c < channels; c++) {
      float steps = x[c] * inverse;
      steps = steps < least ? least : steps;
      steps = steps > greatest ? greatest : steps;
      x[c] = (steps + HG_ROUNDING - HG_ROUNDING) * scale;
    }
  }
}

static void HG_NAME(hg_quantize_gradient_task)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_quantize_gradient *d = descriptor;
  const int64_t row0 = (int64_t)task * d->rows_per_task, row1 = hg_min(row0 + d->rows_per_task, d->rows);
  double sums[2] = {0, 0};
  for (int64_t row = row0; row < row1; row++) {
    float *gradient = d->gradient + row * d->stride;
    const uint8_t *outside = d->outside + row * d->channels;
    // Few values lie outside: eight at a time are passed over.
    for (int c = 0; c < d->channels; c += 8) {
      const int count = hg_min(8, d->channels - c);
      uint64_t flags = 0;
      __builtin_memcpy(&flags, outside + c, (size_t)count);
      if (!flags) continue;
      for (int i = c; i < c + count; i++)
        if (outside[i]) {
          sums[outside[i] - 1] += (double)gradient[i];
          gradient[i] = 0;
        }
    }
  }
  d->sums[2 * task] = sums[0];
  d->sums[2 * task + 1] = sums[1];
}

static void HG_NAME(hg_quantize_weights_task)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_quantize_weights *d = descriptor;
  const int first = task * HG_PANEL, last = hg_min(first + HG_PANEL, d->channels);
  for (int channel = first; channel < last; channel++) {
    const float *w = d->weights + channel * d->channel_stride;
    float *to = d->rounded + channel * d->channel_stride;
    float largest = 0;
    for (int64_t i = 0; i < d->count; i++) {
      const float size = __builtin_fabsf(w[i * d->value_stride]);
      largest = size > largest ? size : largest;
    }
    float scale = largest / 127;
    if (!__builtin_isnormal(scale)) scale = 1;
    for (int64_t i = 0; i < d->count; i++) {
      float steps = w[i * d->value_stride] / scale;
      steps = steps < -127 ? -127 : steps;
      steps = steps > 127 ? 127 : steps;
      to[i * d->value_stride] = (steps + HG_ROUNDING - HG_ROUNDING) * scale;
    }
  }
}
