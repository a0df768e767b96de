// The weight gradient of a 3×3 kernel with stride 1 by the transpose of Winograd F(4×4, 3×3):
// dw = Gᵀ [sum over tiles of (Bᵀ x B) ∘ (A g Aᵀ)] G, with x 6×6 input pixels and g 4×4 pixels of the gradient. The sums
// are 36 products of the kind of gradient.h. Included once per instruction set.

// One dimension of A g Aᵀ: four values at distance s to six at distance t.
HG_INLINE void hg_winograd_expand(const hg_vector *g, const int s, hg_vector *to, const int t) {
  const hg_vector two = hg_splat(2), four = hg_splat(4), eight = hg_splat(8);
  const hg_vector even = g[0] + g[2 * s], odd = g[s] + g[3 * s];
  const hg_vector wide_even = g[0] + four * g[2 * s], wide_odd = two * g[s] + eight * g[3 * s];
  to[0] = g[0];
  to[t] = even + odd;
  to[2 * t] = even - odd;
  to[3 * t] = wide_even + wide_odd;
  to[4 * t] = wide_even - wide_odd;
  to[5 * t] = g[3 * s];
}

// H, a constant: whether the input is in bfloat16.
HG_INLINE void hg_winograd_tiles_run(const hg_winograd_tiles *d, int32_t task, const int H) {
  const int C = d->channels, side = d->is_gradient ? 4 : 6;
  const ptrdiff_t row_stride = d->stride * d->width;
  const int64_t distance = (int64_t)d->tiles * C, tile0 = (int64_t)task * d->tiles_per_task;
  const int64_t tile1 = hg_min(tile0 + d->tiles_per_task, d->tiles), valid = (int64_t)d->batch * d->down * d->across;
  for (int64_t tile = tile0; tile < tile1; tile++) {
    const int64_t image = tile / ((int64_t)d->across * d->down);
    const int y0 = (int)(tile / d->across % d->down) * 4 - d->padding_top, x0 = (int)(tile % d->across) * 4 - d->padding_left;
    const ptrdiff_t size = H ? sizeof(hg_bfloat16) : sizeof(float);
    const char *base = (const char *)d->input + image * d->height * row_stride * size;
    const void *pixels[36];
    for (int i = 0; i < side; i++)
      for (int j = 0; j < side; j++) {
        const int y = y0 + i, x = x0 + j, outside = tile >= valid || y < 0 || y >= d->height || x < 0 || x >= d->width;
        pixels[i * side + j] = outside ? (const char *)d->zeros : base + (y * row_stride + x * d->stride) * size;
      }
    float *to = d->values + tile * C;
    if (!d->is_gradient) {
      hg_winograd_transform(pixels, C, to, distance, 4, H);
      continue;
    }
    for (int c = 0; c < C; c += HG_LANES) {
      hg_vector g[16], half[24], points[6];
      HG_UNROLL for (int i = 0; i < 4; i++) {
        HG_UNROLL for (int j = 0; j < 4; j++) g[i * 4 + j] = hg_winograd_load(pixels[i * 4 + j], c, H);
        hg_winograd_expand(g + i * 4, 1, half + i * 6, 1);
      }
      HG_UNROLL for (int j = 0; j < 6; j++) {
        hg_winograd_expand(half + j, 6, points, 1);
        HG_UNROLL for (int i = 0; i < 6; i++) hg_store(to + (i * 6 + j) * distance + c, points[i]);
      }
    }
  }
}

static void HG_NAME(hg_winograd_tiles)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_winograd_tiles *d = descriptor;
  if (d->is_bfloat16)
    hg_winograd_tiles_run(d, task, 1);
  else
    hg_winograd_tiles_run(d, task, 0);
}

// One dimension of Gᵀ M G: six values at distance s to three at distance t.
HG_INLINE void hg_winograd_contract(const hg_vector *m, const int s, hg_vector *to, const int t) {
  const hg_vector sixth = hg_splat(1.0f / 6), twelfth = hg_splat(1.0f / 12), quarter = hg_splat(0.25f);
  const hg_vector low = (m[s] + m[2 * s]) * sixth, high = m[3 * s] + m[4 * s];
  to[0] = m[0] * quarter + (high * (sixth * quarter) - low);
  to[t] = (m[2 * s] - m[s]) * sixth + (m[3 * s] - m[4 * s]) * twelfth;
  to[2 * t] = (high * sixth - low) + m[5 * s];
}

static void HG_NAME(hg_winograd_gradient_join)(const void *descriptor, int32_t task, float *scratch) {
  (void)scratch;
  const hg_weight_gradient_join *d = descriptor;
  const int64_t size = (int64_t)d->channels * d->columns;
  const int c0 = task * 16, C = hg_min(16, d->channels - c0);
  for (int n = 0; n < d->columns; n += HG_LANES) {
    float block[16][9][HG_LANES];
    for (int c = 0; c < C; c++) {
      const float *from = d->partial + (int64_t)(c0 + c) * d->columns + n;
      hg_vector half[18], w[9];
      HG_UNROLL for (int i = 0; i < 6; i++) {
        hg_vector m[6];
        HG_UNROLL for (int j = 0; j < 6; j++) {
          const float *at = from + (i * 6 + j) * d->chunks * size;
          m[j] = hg_load(at);
          for (int chunk = 1; chunk < d->chunks; chunk++) m[j] += hg_load(at + chunk * size);
        }
        hg_winograd_contract(m, 1, half + i * 3, 1);
      }
      HG_UNROLL for (int j = 0; j < 3; j++) hg_winograd_contract(half + j, 3, w + j, 3);
      HG_UNROLL for (int tap = 0; tap < 9; tap++) hg_store(block[c][tap], w[tap]);
    }
    for (int lane = 0; lane < HG_LANES; lane++) {
      float *to = d->gradient + (n + lane) * d->column_stride + c0 * d->channel_stride;
      for (int c = 0; c < C; c++)
        for (int tap = 0; tap < 9; tap++) to[c * d->channel_stride + tap] += block[c][tap][lane];
    }
  }
}
