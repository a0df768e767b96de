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
