// Winograd F(M×M, 3×3) for stride 1, M = 4 or 2 (Lavin and Gray, 2015, with interpolation points 0, ±1, ±2). Included
// once per instruction set. A tile is M×M output pixels and the M + 2 by M + 2 input pixels under them; each is computed
// in the same way wherever it is. M is a constant.

// Three of the six values of the transform for M = 4, the first or the last, from the five that they need.
HG_INLINE void hg_winograd_input_part(const hg_vector *x, hg_vector *to, const int is_last) {
  const hg_vector four = hg_splat(4), five = hg_splat(5), two = hg_splat(2);
  if (is_last) {
    const hg_vector c = x[3] - x[1], e = x[2] - x[0];
    to[0] = two * e + c;
    to[1] = c - two * e;
    to[2] = four * x[0] + (x[4] - five * x[2]);
  } else {
    const hg_vector a = x[4] - four * x[2], b = x[3] - four * x[1];
    to[0] = four * x[0] + (x[4] - five * x[2]);
    to[1] = a + b;
    to[2] = a - b;
  }
}

// One dimension of the input transform, M + 2 values at distance s, in place.
HG_INLINE void hg_winograd_input(hg_vector *d, const int s, const int M) {
  if (M == 2) {
    const hg_vector d0 = d[0], d1 = d[s], d2 = d[2 * s], d3 = d[3 * s];
    d[0] = d0 - d2;
    d[s] = d1 + d2;
    d[2 * s] = d2 - d1;
    d[3 * s] = d1 - d3;
    return;
  }
  hg_vector x[6], y[6];
  HG_UNROLL for (int i = 0; i < 6; i++) x[i] = d[i * s];
  hg_winograd_input_part(x, y, 0);
  hg_winograd_input_part(x + 1, y + 3, 1);
  HG_UNROLL for (int i = 0; i < 6; i++) d[i * s] = y[i];
}

// A vector of channels of a pixel, in float32 or with H in bfloat16.
HG_INLINE hg_vector hg_winograd_load(const void *pixel, int c, const int H) {
  return H ? hg_widen((const hg_bfloat16 *)pixel + c) : hg_load((const float *)pixel + c);
}

// The input transform of one tile; its points lie `distance` apart.
HG_INLINE void hg_winograd_transform(const void *const *pixels, int channels, float *to, int64_t distance, const int M,
                                     const int H) {
  const int P = M + 2;
  for (int c = 0; c < channels; c += HG_LANES) {
    hg_vector v[18];
    if (M == 2) {
      HG_UNROLL for (int i = 0; i < P; i++) {
        HG_UNROLL for (int j = 0; j < P; j++) v[i * P + j] = hg_winograd_load(pixels[i * P + j], c, H);
        hg_winograd_input(v + i * P, 1, M);
      }
      HG_UNROLL for (int j = 0; j < P; j++) {
        hg_winograd_input(v + j, P, M);
        HG_UNROLL for (int i = 0; i < P; i++) hg_store(to + (i * P + j) * distance + c, v[i * P + j]);
      }
      continue;
    }
    // Half of the columns at a time: all 36 values would not stay in registers.
    HG_UNROLL for (int part = 0; part < 2; part++) {
      HG_UNROLL for (int i = 0; i < 6; i++) {
        hg_vector x[5];
        HG_UNROLL for (int j = 0; j < 5; j++) x[j] = hg_winograd_load(pixels[i * 6 + part + j], c, H);
        hg_winograd_input_part(x, v + i * 3, part);
      }
      HG_UNROLL for (int j = 0; j < 3; j++) {
        hg_winograd_input(v + j, 3, M);
        HG_UNROLL for (int i = 0; i < 6; i++) hg_store(to + (i * 6 + part * 3 + j) * distance + c, v[i * 3 + j]);
      }
    }
  }
}

// One dimension of the output transform: M + 2 values at distance s to M at distance t.
HG_INLINE void hg_winograd_output(const hg_vector *m, const int s, hg_vector *o, const int t, const int M) {
  if (M == 2) {
    o[0] = (m[0] + m[s]) + m[2 * s];
    o[t] = (m[s] - m[2 * s]) - m[3 * s];
    return;
  }
  const hg_vector s12 = m[s] + m[2 * s], d12 = m[s] - m[2 * s], s34 = m[3 * s] + m[4 * s], d34 = m[3 * s] - m[4 * s];
  o[0] = (m[0] + s12) + s34;
  o[t] = d12 + hg_splat(2) * d34;
  o[2 * t] = s12 + hg_splat(4) * s34;
  o[3 * t] = (d12 + hg_splat(8) * d34) + m[5 * s];
}

// The products over T tiles, one for each point, of some panels from panel0 on.
HG_INLINE void hg_winograd_product(const hg_winograd *d, int panel0, int panels, const int T, const int points,
                                   const float *input, float *product) {
  const int C = d->window.channels, all_panels = (d->columns + HG_PANEL - 1) / HG_PANEL, N = panels * HG_PANEL;
  static const float none[HG_PANEL * 4];
  for (int point = 0; point < points; point++) {
    const float *from = input + (int64_t)point * d->tiles_per_task * C;
    const float *weights = d->weights + ((int64_t)point * all_panels + panel0) * C * HG_PANEL;
    float *to = product + (int64_t)point * d->tiles_per_task * N;
    for (int p = 0; p < panels;) {
      const int P = hg_next_panels(panels - p);
      // The panels of a point lie after those of the point before.
      const hg_fetch fetch = hg_fetch_of(weights + (int64_t)(p + P) * C * HG_PANEL, P, C, (int64_t)C * HG_PANEL, T);
      int block = 0;
      for (int t = 0; t < T; block++) {
        const int R = hg_next_rows(T - t);
        const float *first = from + (int64_t)t * C;
        hg_block b = {.rows = &first, .row_distance = C, .taps = 1, .channels = C,
                      .weights = weights + (int64_t)p * C * HG_PANEL, .tap_distance = 0,
                      .panel_distance = (int64_t)C * HG_PANEL, .bias = none,
                      .output = to + (int64_t)t * N + p * HG_PANEL, .output_stride = N, .residual = NULL,
                      .epilogue = NULL, .columns = P * HG_PANEL,
                      .ahead = hg_fetch_share(&fetch, block)};
        hg_block_dispatch(&b, R, P);
        t += R;
      }
      p += P;
    }
  }
}

// The last steps of one vector of results in bfloat16.
HG_INLINE void hg_winograd_finish_halves(const hg_winograd *d, const hg_epilogue *e, hg_vector x, int64_t pixel, int column,
                                         int left) {
  x = hg_max(x, hg_splat(e->lower)) * hg_splat(e->scale) + hg_splat(e->shift);
  if (e->residual) x += hg_widen_some((const hg_bfloat16 *)e->residual + pixel * e->residual_stride + column, left);
  hg_narrow_some((hg_bfloat16 *)d->window.output + pixel * d->window.output_stride + column, x, left);
}

HG_INLINE void hg_winograd_run(const hg_winograd *d, int32_t task, float *scratch, const int M, const int H) {
  const hg_geometry *g = &d->window;
  const int P1 = M + 2, P2 = P1 * P1, C = g->channels, all_panels = (d->columns + HG_PANEL - 1) / HG_PANEL;
  const int panel0 = (task % d->column_tasks) * d->panels_per_task;
  const int panel1 = hg_min(panel0 + d->panels_per_task, all_panels), N = (panel1 - panel0) * HG_PANEL;
  const int across = (g->output_width + M - 1) / M, down = (g->output_height + M - 1) / M;
  const int64_t tile0 = (int64_t)(task / d->column_tasks) * d->tiles_per_task;
  const int T = hg_min(d->tiles_per_task, (int64_t)across * down * g->batch - tile0);
  float *input = scratch, *product = scratch + P2 * (int64_t)d->tiles_per_task * C;
  const ptrdiff_t stride = g->input_stride, row_stride = stride * g->width;

  for (int t = 0; t < T; t++) {
    const int64_t tile = tile0 + t, image = tile / ((int64_t)across * down);
    const int y0 = (int)(tile / across % down) * M - g->padding_top, x0 = (int)(tile % across) * M - g->padding_left;
    const void *pixels[36];
    const size_t size = H ? sizeof(hg_bfloat16) : sizeof(float);
    const char *base = (const char *)g->input + image * g->height * row_stride * (ptrdiff_t)size;
    for (int i = 0; i < P1; i++) {
      const int is_inside = (uint32_t)(y0 + i) < (uint32_t)g->height;
      const char *row = base + ((y0 + i) * row_stride + x0 * stride) * (ptrdiff_t)size;
      for (int j = 0; j < P1; j++)
        pixels[i * P1 + j] = is_inside && (uint32_t)(x0 + j) < (uint32_t)g->width ? row + j * stride * (ptrdiff_t)size : (const char *)d->zeros;
    }
    hg_winograd_transform(pixels, C, input + (int64_t)t * C, (int64_t)d->tiles_per_task * C, M, H);
  }

  hg_winograd_product(d, panel0, panel1 - panel0, T, P2, input, product);

  const hg_epilogue finish = d->epilogue;  // A copy, which no store can change.
  for (int t = 0; t < T; t++) {
    const int64_t tile = tile0 + t, image = tile / ((int64_t)across * down);
    const int y0 = (int)(tile / across % down) * M, x0 = (int)(tile % across) * M;
    const int rows = hg_min(M, g->output_height - y0), columns = hg_min(M, g->output_width - x0);
    const int64_t pixel0 = (image * g->output_height + y0) * g->output_width + x0;
    const float *from = product + (int64_t)t * N;
    const int64_t distance = (int64_t)d->tiles_per_task * N;
    for (int n = 0; n < N; n += HG_LANES) {
      const int column = panel0 * HG_PANEL + n, left = d->columns - column;
      if (left <= 0) break;
      hg_vector half[24];
      HG_UNROLL for (int j = 0; j < P1; j++) {
        hg_vector m[6];
        HG_UNROLL for (int i = 0; i < P1; i++) m[i] = hg_load(from + (i * P1 + j) * distance + n);
        hg_winograd_output(m, 1, half + j, P1, M);
      }
      const hg_vector bias = hg_load(d->bias + column);
      HG_UNROLL for (int i = 0; i < M; i++) {
        hg_vector y[4];
        hg_winograd_output(half + i * P1, 1, y, 1, M);
        if (i >= rows) continue;
        for (int j = 0; j < columns; j++) {
          const int64_t pixel = pixel0 + (int64_t)i * g->output_width + j;
          if (H) {
            hg_winograd_finish_halves(d, &finish, y[j] + bias, pixel, column, left);
            continue;
          }
          const float *residual = finish.residual ? finish.residual + pixel * finish.residual_stride + column : NULL;
          hg_finish(&finish, y[j] + bias, residual, g->output + pixel * g->output_stride + column, left);
        }
      }
    }
  }
}

static void HG_NAME(hg_winograd)(const void *descriptor, int32_t task, float *scratch) {
  const hg_winograd *d = descriptor;
  if (d->tile == 2)
    hg_winograd_run(d, task, scratch, 2, 0);
  else if (d->is_bfloat16)
    hg_winograd_run(d, task, scratch, 4, 1);
  else
    hg_winograd_run(d, task, scratch, 4, 0);
}
