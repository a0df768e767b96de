// One level of Strassen's product (Strassen, 1969) for wide 1×1 convolutions: seven products of half the extents where
// the plain form makes eight. Included once per instruction set, after product.h.
//
// Pixel i of an image is paired with pixel i + pixels / 2 of the same image, so that an image gives the same bits
// anywhere in a batch. Sums of activations are made once per block of channels; sums of weights by the first register
// block that needs them, whose multiplications hide the reading; results are added to one or two quarters of the output.

// Where a product is added.
typedef struct {
  float *output;
  float sign;
  const float *bias;            // NULL: add to what is in the output
  const float *residual;
  const hg_epilogue *epilogue;  // NULL: store as it is
} hg_quarter;

typedef struct {
  const float *rows;
  ptrdiff_t row_distance;       // floats between rows
  int64_t channels;
  const float *weights;
  const float *others;          // NULL, or weights to be added with other_sign; the sums are left in sums
  float other_sign;
  float *sums;                  // [panels][channels][16]
  int64_t panel_distance;       // floats between panels of weights and of others
  hg_quarter quarters[2];
  int quarter_count;
  ptrdiff_t output_stride;
  hg_ahead ahead;
} hg_strassen_block;

HG_INLINE void hg_quarter_add(const hg_quarter *q, hg_vector sum[][HG_BLOCK_PANELS * HG_VECTORS], ptrdiff_t stride,
                              const int R, const int V) {
  const hg_epilogue *e = q->epilogue;
  const hg_vector sign = hg_splat(q->sign);
  const hg_vector lower = hg_splat(e ? e->lower : 0), scale = hg_splat(e ? e->scale : 0), shift = hg_splat(e ? e->shift : 0);
  HG_UNROLL for (int r = 0; r < R; r++) {
    float *c = q->output + r * stride;
    const float *from = q->bias ? q->bias : c, *residual = q->residual ? q->residual + r * e->residual_stride : NULL;
    HG_UNROLL for (int v = 0; v < V; v++) {
      hg_vector x = hg_load(from + v * HG_LANES) + sign * sum[r][v];
      if (e) x = hg_max(x, lower) * scale + shift;
      if (residual) x += hg_load(residual + v * HG_LANES);
      hg_store(c + v * HG_LANES, x);
    }
  }
}

HG_INLINE void hg_strassen_run(const hg_strassen_block *b, const int R, const int P, const int is_summed) {
  hg_vector sum[HG_BLOCK_ROWS][HG_BLOCK_PANELS * HG_VECTORS];
  const int V = P * HG_VECTORS;
  const float *a[HG_BLOCK_ROWS];
  HG_UNROLL for (int r = 0; r < R; r++) {
    a[r] = b->rows + r * b->row_distance;
    HG_UNROLL for (int v = 0; v < V; v++) sum[r][v] = (hg_vector){0};
  }
  for (int i = 0; i < b->quarter_count; i++)
    HG_UNROLL for (int r = 0; r < R; r++)
      HG_UNROLL for (int p = 0; p < P; p++)
        __builtin_prefetch(b->quarters[i].output + r * b->output_stride + p * HG_PANEL, 1);
  const float *w = b->weights, *others = b->others;
  float *sums = b->sums;
  const hg_vector other_sign = hg_splat(b->other_sign);
  const int64_t count = b->channels, distance = b->panel_distance;
  const float *ahead = b->ahead.next ? b->ahead.next : w;
  const ptrdiff_t step = b->ahead.step;
  for (int64_t k = 0; k < count; k++, ahead += step) {
    __builtin_prefetch(ahead);
    hg_vector y[HG_BLOCK_PANELS * HG_VECTORS];
    HG_UNROLL for (int p = 0; p < P; p++)
      HG_UNROLL for (int v = 0; v < HG_VECTORS; v++) {
        hg_vector *at = &y[p * HG_VECTORS + v];
        *at = hg_load(w + p * distance + v * HG_LANES);
        if (!is_summed) continue;
        *at += other_sign * hg_load(others + p * distance + v * HG_LANES);
        hg_store(sums + p * count * HG_PANEL + v * HG_LANES, *at);
      }
    HG_UNROLL for (int r = 0; r < R; r++) {
      const hg_vector x = hg_splat(a[r][k]);
      HG_UNROLL for (int v = 0; v < V; v++) sum[r][v] += x * y[v];
    }
    w += HG_PANEL;
    if (is_summed) others += HG_PANEL, sums += HG_PANEL;
  }
  for (int i = 0; i < b->quarter_count; i++) hg_quarter_add(&b->quarters[i], sum, b->output_stride, R, V);
}

HG_INLINE void hg_strassen_plain(const hg_strassen_block *b, const int R, const int P) { hg_strassen_run(b, R, P, 0); }
HG_DEFINE_BLOCKS(hg_strassen, hg_strassen_block, hg_strassen_plain)

// The block that makes the sums of weights: always of full height.
static __attribute__((noinline)) void HG_NAME(hg_strassen_first)(const hg_strassen_block *b, int panels) {
#if HG_BLOCK_PANELS >= 3
  if (panels == 3) { hg_strassen_run(b, HG_BLOCK_ROWS, 3, 1); return; }
  if (panels == 2) { hg_strassen_run(b, HG_BLOCK_ROWS, 2, 1); return; }
#endif
  (void)panels;
  hg_strassen_run(b, HG_BLOCK_ROWS, 1, 1);
}

// The five sums of quarters of the activations, each [rows][channels], in the order of their use.
static void HG_NAME(hg_strassen_sums)(const float *const quarters[4], ptrdiff_t stride, int rows, int64_t channels,
                                      float *sums) {
  const int64_t next = rows * channels;
  for (int row = 0; row < rows; row++) {
    const float *a = quarters[0] + row * stride, *b = quarters[1] + row * stride;
    const float *c = quarters[2] + row * stride, *d = quarters[3] + row * stride;
    float *to = sums + row * channels;
    for (int64_t k = 0; k < channels; k += HG_LANES) {
      const int left = hg_min(channels - k, HG_LANES);
      const hg_vector w = hg_load_some(a + k, left), x = hg_load_some(b + k, left);
      const hg_vector y = hg_load_some(c + k, left), z = hg_load_some(d + k, left);
      hg_store_some(to + k, w + z, left);
      hg_store_some(to + next + k, y + z, left);
      hg_store_some(to + 2 * next + k, w + x, left);
      hg_store_some(to + 3 * next + k, y - w, left);
      hg_store_some(to + 4 * next + k, x - z, left);
    }
  }
}

// The seven products. Quarters are 0 … 3, row by row; -1 is none. The sums of activations are those of the function above.
typedef struct {
  int8_t activation, is_sum, weight, other_weight, other_sign, quarter, sign, other_quarter, other_quarter_sign;
} hg_term;
static const hg_term hg_terms[7] = {
    {0, 1, 0, 3, 1, 0, 1, 3, 1},     // (A11 + A22) (B11 + B22): C11, C22
    {2, 1, 0, -1, 0, 2, 1, 3, -1},   // (A21 + A22) B11: C21, -C22
    {0, 0, 1, 3, -1, 1, 1, 3, 1},    // A11 (B12 - B22): C12, C22
    {3, 0, 2, 0, -1, 0, 1, 2, 1},    // A22 (B21 - B11): C11, C21
    {0, 1, 3, -1, 0, 1, 1, 0, -1},   // (A11 + A12) B22: C12, -C11
    {2, 1, 0, 1, 1, 3, 1, -1, 0},    // (A21 - A11) (B11 + B12): C22
    {1, 1, 2, 3, 1, 0, 1, -1, 0},    // (A12 - A22) (B21 + B22): C11
};
// The first and the last product into each quarter of the output.
static const int8_t hg_first_term[4] = {0, 2, 1, 0}, hg_last_term[4] = {6, 4, 3, 5};
// The quarter of the weights that is fetched under each product: the last two of these panels, the first two of the next.
static const int8_t hg_fetched[7] = {1, 2, -1, -1, 0, 3, -1};

static void HG_NAME(hg_strassen)(const void *descriptor, int32_t task, float *scratch) {
  const hg_strassen *d = descriptor;
  const int64_t K = d->channels, half = K / 2, pairs = d->pixels / 2;
  const int half_panels = d->columns / HG_PANEL / 2, row_task = task / d->column_tasks;
  const int part = row_task % d->tasks_per_image;
  const int64_t pair0 = pairs * part / d->tasks_per_image;
  const int64_t row0 = (int64_t)(row_task / d->tasks_per_image) * d->pixels + pair0;
  const int M = (int)(pairs * (part + 1) / d->tasks_per_image - pair0);
  const int panel0 = task % d->column_tasks * d->panels_per_task, panel1 = hg_min(panel0 + d->panels_per_task, half_panels);
  const float *input = d->input + row0 * d->input_stride, *residual = d->epilogue.residual;
  float *output = d->output + row0 * d->output_stride;
  if (residual) residual += row0 * d->epilogue.residual_stride;
  float *sums = scratch, *weight_sums = scratch + 5 * (int64_t)M * d->channels_per_block;
  for (int64_t k0 = 0; k0 < half; k0 += d->channels_per_block) {
    const int64_t count = hg_min(d->channels_per_block, half - k0);
    const float *lower = input + pairs * d->input_stride;
    const float *quarters[4] = {input + k0, input + k0 + half, lower + k0, lower + k0 + half};
    HG_NAME(hg_strassen_sums)(quarters, d->input_stride, M, count, sums);
    for (int p = panel0, P; p < panel1; p += P) {
      P = hg_next_panels(panel1 - p);
      const float *left = d->weights + (p * K + k0) * HG_PANEL, *right = left + half_panels * K * HG_PANEL;
      const float *weights[4] = {left, right, left + half * HG_PANEL, right + half * HG_PANEL};
      const float *next = p + P < panel1      ? left + P * K * HG_PANEL
                          : k0 + count < half ? d->weights + (panel0 * K + k0 + count) * HG_PANEL
                                              : NULL;
      const float *sum = sums;
      for (int t = 0; t < 7; t++) {
        const hg_term *term = &hg_terms[t];
        const float *panels = hg_fetched[t] < 0 ? NULL : t < 2 ? left : next;
        if (panels) panels += weights[hg_fetched[t]] - left;
        const hg_fetch fetch = hg_fetch_of(panels, P, count, K * HG_PANEL, M);
        const float *rows = term->is_sum ? sum : quarters[term->activation];
        if (term->is_sum) sum += M * count;
        hg_strassen_block b = {.row_distance = term->is_sum ? count : d->input_stride, .channels = count,
                               .weights = weights[term->weight], .panel_distance = K * HG_PANEL, .sums = weight_sums,
                               .others = term->other_weight < 0 ? NULL : weights[term->other_weight],
                               .other_sign = term->other_sign, .quarter_count = term->other_quarter < 0 ? 1 : 2,
                               .output_stride = d->output_stride};
        for (int m = 0, R, block = 0; m < M; m += R, block++) {
          const int is_first = b.others && m == 0;
          R = is_first ? HG_BLOCK_ROWS : hg_next_rows(M - m);
          b.rows = rows + m * b.row_distance;
          b.ahead = hg_fetch_share(&fetch, block);
          for (int i = 0; i < b.quarter_count; i++) {
            const int quarter = i ? term->other_quarter : term->quarter;
            const int column = (p + (quarter & 1) * half_panels) * HG_PANEL;
            const int64_t row = m + (quarter >> 1) * pairs;
            const int is_last = k0 + count == half && t == hg_last_term[quarter];
            b.quarters[i] = (hg_quarter){
                .output = output + row * d->output_stride + column, .sign = i ? term->other_quarter_sign : term->sign,
                .bias = !k0 && !d->is_added && t == hg_first_term[quarter] ? d->bias + column : NULL,
                .residual = is_last && residual ? residual + row * d->epilogue.residual_stride + column : NULL,
                .epilogue = is_last ? &d->epilogue : NULL};
          }
          if (is_first) {
            HG_NAME(hg_strassen_first)(&b, P);
            b.weights = weight_sums, b.panel_distance = count * HG_PANEL;
          } else {
            hg_strassen_dispatch(&b, R, P);
          }
        }
      }
    }
  }
}
