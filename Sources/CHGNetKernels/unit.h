// What kernels of training of every precision share. Included once per instruction set.
typedef double hg_wide __attribute__((vector_size(8 * HG_LANES), aligned(8)));

// Adds a float vector to doubles.
HG_INLINE void hg_add_wide(double *to, hg_vector v) {
  hg_wide *wide = (hg_wide *)to;
  *wide += __builtin_convertvector(v, hg_wide);
}

// Vectors side by side in sums over rows, so that a row gives whole runs of memory.
#define HG_SUM_VECTORS 4

// The gradient of y from that of the result, and y itself rectified.
HG_INLINE hg_vector hg_unit_gradient(const hg_unit *d, hg_vector z, hg_vector gradient, int c, hg_vector scale, hg_vector *r) {
  const hg_vector y = z * hg_load(d->k + c) + hg_load(d->o + c);
  if (!d->is_rectified) {
    *r = y;
    return gradient * scale;
  }
  const hg_mask on = y > (hg_vector){0};
  *r = (hg_vector)(on & (hg_mask)y);
  return (hg_vector)(on & (hg_mask)(gradient * scale));
}

// MARK: - Units. Z, O and G are constants: whether z, the output and the gradient of z are in bfloat16.

HG_INLINE void hg_unit_sums_run(const hg_unit *d, int64_t first, int count, int c, int lanes, double *sums, const int Z,
                                const int V) {
  hg_vector sum[HG_SUM_VECTORS] = {{0}}, squares[HG_SUM_VECTORS] = {{0}};
  for (int64_t row = first; row < first + count; row++)
    HG_UNROLL for (int v = 0; v < V; v++) {
      const hg_vector z = hg_read(d->z, !Z, row * d->channels + c + v * HG_LANES, V > 1 ? HG_LANES : lanes);
      sum[v] += z;
      squares[v] += z * z;
    }
  HG_UNROLL for (int v = 0; v < V; v++) {
    hg_add_wide(sums + c + v * HG_LANES, sum[v]);
    hg_add_wide(sums + HG_PADDED(d->channels) + c + v * HG_LANES, squares[v]);
  }
}

// Runs of 16 rows in float, then double.
HG_INLINE void hg_unit_sums_task(const hg_unit *d, int32_t task, const int Z) {
  const int padded = HG_PADDED(d->channels), C = d->channels, wide = HG_SUM_VECTORS * HG_LANES;
  double *sums = d->sums + (int64_t)task * 4 * padded;
  const int64_t row0 = (int64_t)task * d->rows_per_chunk, row1 = hg_min(row0 + d->rows_per_chunk, d->rows);
  __builtin_memset(sums, 0, sizeof(double) * 4 * (size_t)padded);
  for (int64_t first = row0; first < row1; first += 16) {
    const int count = hg_min(16, row1 - first);
    int c = 0;
    for (; c + wide <= C; c += wide) hg_unit_sums_run(d, first, count, c, HG_LANES, sums, Z, HG_SUM_VECTORS);
    for (; c < C; c += HG_LANES) hg_unit_sums_run(d, first, count, c, C - c, sums, Z, 1);
  }
}

HG_INLINE void hg_unit_apply_task(const hg_unit *d, int32_t task, int is_half_residual, const int Z, const int O) {
  const int64_t row0 = (int64_t)task * d->rows_per_task, row1 = hg_min(row0 + d->rows_per_task, d->rows);
  const hg_vector lower = hg_splat(d->is_rectified ? 0 : -__builtin_inff());
  const hg_vector scale = hg_splat(d->scale ? *d->scale : 1), shift = hg_splat(d->shift ? *d->shift : 0);
  const int C = d->channels;
  for (int64_t row = row0; row < row1; row++)
    for (int c = 0; c < C; c += HG_LANES) {
      const int lanes = C - c;
      hg_vector y = hg_read(d->z, !Z, row * C + c, lanes) * hg_load(d->k + c) + hg_load(d->o + c);
      y = hg_max(y, lower) * scale + shift;
      if (d->residual) y += hg_read(d->residual, !is_half_residual, row * d->residual_stride + c, lanes);
      hg_write(d->output, !O, row * d->output_stride + c, y, lanes);
    }
}

HG_INLINE void hg_unit_gradient_sums_run(const hg_unit *d, int64_t first, int count, int c, int lanes, double *sums,
                                         const int Z, const int O, const int V) {
  const int padded = HG_PADDED(d->channels);
  const hg_vector scale = hg_splat(d->scale ? *d->scale : 1);
  hg_vector plain[HG_SUM_VECTORS] = {{0}}, centred[HG_SUM_VECTORS] = {{0}};
  hg_vector rectified[HG_SUM_VECTORS] = {{0}}, all[HG_SUM_VECTORS] = {{0}};
  for (int64_t row = first; row < first + count; row++)
    HG_UNROLL for (int v = 0; v < V; v++) {
      const int at = c + v * HG_LANES, some = V > 1 ? HG_LANES : lanes;
      const hg_vector value = hg_read(d->z, !Z, row * d->channels + at, some);
      const hg_vector g = hg_read(d->output, !O, row * d->output_stride + at, some);
      hg_vector r;
      const hg_vector dy = hg_unit_gradient(d, value, g, at, scale, &r);
      plain[v] += dy;
      centred[v] += dy * (value - hg_load(d->mean + at));
      rectified[v] += g * r;
      all[v] += g;
    }
  HG_UNROLL for (int v = 0; v < V; v++) {
    double *to = sums + c + v * HG_LANES;
    hg_add_wide(to, plain[v]);
    hg_add_wide(to + padded, centred[v]);
    hg_add_wide(to + 2 * padded, rectified[v]);
    hg_add_wide(to + 3 * padded, all[v]);
  }
}

HG_INLINE void hg_unit_gradient_sums_task(const hg_unit *d, int32_t task, const int Z, const int O) {
  const int padded = HG_PADDED(d->channels), C = d->channels, wide = HG_SUM_VECTORS * HG_LANES;
  double *sums = d->sums + (int64_t)task * 4 * padded;
  const int64_t row0 = (int64_t)task * d->rows_per_chunk, row1 = hg_min(row0 + d->rows_per_chunk, d->rows);
  __builtin_memset(sums, 0, sizeof(double) * 4 * (size_t)padded);
  for (int64_t first = row0; first < row1; first += 16) {
    const int count = hg_min(16, row1 - first);
    int c = 0;
    for (; c + wide <= C; c += wide)
      hg_unit_gradient_sums_run(d, first, count, c, HG_LANES, sums, Z, O, HG_SUM_VECTORS);
    for (; c < C; c += HG_LANES) hg_unit_gradient_sums_run(d, first, count, c, C - c, sums, Z, O, 1);
  }
}

HG_INLINE void hg_unit_gradient_apply_task(const hg_unit *d, int32_t task, int is_half_output, const int Z, const int G) {
  const int64_t row0 = (int64_t)task * d->rows_per_task, row1 = hg_min(row0 + d->rows_per_task, d->rows);
  const hg_vector scale = hg_splat(d->scale ? *d->scale : 1);
  const int C = d->channels;
  // A row in bfloat16 lies where its row in float32 began: what is written has been read.
  const int64_t distance = G && !Z ? 2 * (int64_t)C : C;
  for (int64_t row = row0; row < row1; row++)
    for (int c = 0; c < C; c += HG_LANES) {
      const int lanes = C - c;
      const hg_vector z = hg_read(d->z, !Z, row * C + c, lanes);
      const hg_vector g = hg_read(d->output, !is_half_output, row * d->output_stride + c, lanes);
      hg_vector r;
      const hg_vector dy = hg_unit_gradient(d, z, g, c, scale, &r);
      hg_write(d->z, !G, row * distance + c, dy * hg_load(d->k + c) + (z * hg_load(d->alpha + c) + hg_load(d->beta + c)),
               lanes);
    }
}

typedef float hg_four __attribute__((vector_size(16), aligned(4)));

// A block of 4×4 values turned round.
HG_INLINE void hg_transpose_4(const float *from, int64_t from_stride, float *to, int64_t to_stride) {
  const hg_four a = *(const hg_four *)from, b = *(const hg_four *)(from + from_stride);
  const hg_four c = *(const hg_four *)(from + 2 * from_stride), d = *(const hg_four *)(from + 3 * from_stride);
  const hg_four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), AB = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const hg_four cd = __builtin_shufflevector(c, d, 0, 4, 1, 5), CD = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  *(hg_four *)to = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
  *(hg_four *)(to + to_stride) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
  *(hg_four *)(to + 2 * to_stride) = __builtin_shufflevector(AB, CD, 0, 1, 4, 5);
  *(hg_four *)(to + 3 * to_stride) = __builtin_shufflevector(AB, CD, 2, 3, 6, 7);
}

// One dimension of U = G g Gᵀ for a panel: three values at distance s to tile + 2 at distance t.
HG_INLINE void hg_winograd_weights(float (*g)[HG_PANEL], int s, float (*u)[HG_PANEL], int t, const int tile) {
  for (int n = 0; n < HG_PANEL; n++) {
    const float a = g[0][n], b = g[s][n], e = g[2 * s][n];
    if (tile == 2) {
      const float even = (a + e) / 2, odd = b / 2;
      u[0][n] = a, u[t][n] = even + odd, u[2 * t][n] = even - odd, u[3 * t][n] = e;
      continue;
    }
    const float even = (a + e) / -6, odd = b / 6, low = a / 24 + e / 6, middle = b / 12;
    u[0][n] = a / 4, u[t][n] = even - odd, u[2 * t][n] = even + odd;
    u[3 * t][n] = low + middle, u[4 * t][n] = low - middle, u[5 * t][n] = e;
  }
}
