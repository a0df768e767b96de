// Vector types for one instruction set; included after HG_LANES is defined and inside the target attribute.
typedef float hg_vector __attribute__((vector_size(4 * HG_LANES)));
typedef float hg_unaligned __attribute__((vector_size(4 * HG_LANES), aligned(4)));
typedef int32_t hg_mask __attribute__((vector_size(4 * HG_LANES)));

#define HG_INLINE static inline __attribute__((always_inline))
#define HG_UNROLL _Pragma("clang loop unroll(full)")
#define HG_VECTORS (HG_PANEL / HG_LANES)
#define HG_PADDED(channels) (((channels) + HG_PANEL - 1) / HG_PANEL * HG_PANEL)

HG_INLINE hg_vector hg_load(const float *p) { return *(const hg_unaligned *)p; }
HG_INLINE void hg_store(float *p, hg_vector v) { *(hg_unaligned *)p = v; }
HG_INLINE hg_vector hg_splat(float x) { return x - (hg_vector){0}; }
// lower > x ? lower : x, one instruction; NaN in x stays NaN.
HG_INLINE hg_vector hg_max(hg_vector x, hg_vector lower) {
  const hg_mask take = lower > x;
  return (hg_vector)((take & (hg_mask)lower) | (~take & (hg_mask)x));
}

// Fewer values than a vector has lanes, in pieces of constant size.
HG_INLINE void hg_copy_some(float *to, const float *from, int count) {
  if (HG_LANES > 8 && count & 8) __builtin_memcpy(to, from, 32), to += 8, from += 8;
  if (HG_LANES > 4 && count & 4) __builtin_memcpy(to, from, 16), to += 4, from += 4;
  if (count & 2) __builtin_memcpy(to, from, 8), to += 2, from += 2;
  if (count & 1) *to = *from;
}

HG_INLINE hg_vector hg_load_some(const float *p, int count) {
  if (count >= HG_LANES) return hg_load(p);
  float lanes[HG_LANES] = {0};
  if (count > 0) hg_copy_some(lanes, p, count);
  return hg_load(lanes);
}
HG_INLINE void hg_store_some(float *p, hg_vector v, int count) {
  if (count >= HG_LANES) {
    hg_store(p, v);
    return;
  }
  float lanes[HG_LANES];
  hg_store(lanes, v);
  if (count > 0) hg_copy_some(p, lanes, count);
}

// The epilogue of one vector; residual is NULL or points at its first value.
HG_INLINE void hg_finish(const hg_epilogue *e, hg_vector x, const float *residual, float *output, int count) {
  x = hg_max(x, hg_splat(e->lower));
  x = x * hg_splat(e->scale) + hg_splat(e->shift);
  if (residual) x = x + hg_load_some(residual, count);
  hg_store_some(output, x, count);
}

// Values in bfloat16: the upper halves of floats, rounded to nearest, ties to even; a NaN stays one.
typedef uint16_t hg_halves __attribute__((vector_size(2 * HG_LANES), aligned(2)));
typedef uint32_t hg_bits __attribute__((vector_size(4 * HG_LANES)));
typedef uint32_t hg_unaligned_bits __attribute__((vector_size(4 * HG_LANES), aligned(2)));

HG_INLINE hg_vector hg_widen(const hg_bfloat16 *p) {
  return (hg_vector)(__builtin_convertvector(*(const hg_halves *)p, hg_bits) << 16);
}
HG_INLINE hg_halves hg_narrow(hg_vector x) {
  const hg_bits bits = (hg_bits)x, rounded = bits + 0x7fff + (bits >> 16 & 1);
  const hg_bits is_number = (hg_bits)(x == x);
  return __builtin_convertvector(((rounded & is_number) | ((bits | 0x400000) & ~is_number)) >> 16, hg_halves);
}

HG_INLINE hg_vector hg_widen_some(const hg_bfloat16 *p, int count) {
  if (count >= HG_LANES) return hg_widen(p);
  hg_bfloat16 lanes[HG_LANES] = {0};
  for (int i = 0; i < HG_LANES; i++)
    if (i < count) lanes[i] = p[i];
  return hg_widen(lanes);
}
HG_INLINE void hg_narrow_some(hg_bfloat16 *p, hg_vector x, int count) {
  if (count >= HG_LANES) {
    *(hg_halves *)p = hg_narrow(x);
    return;
  }
  hg_bfloat16 lanes[HG_LANES];
  *(hg_halves *)lanes = hg_narrow(x);
  for (int i = 0; i < HG_LANES; i++)
    if (i < count) p[i] = lanes[i];
}

#if HG_PAIRS
// The processor's own rounding.
#define hg_narrow(x) ((hg_halves)_mm512_cvtneps_pbh((__m512)(x)))
#endif

// A vector from or to an array of either type, at an element.
HG_INLINE hg_vector hg_read(const void *p, int is_float, int64_t at, int count) {
  return is_float ? hg_load_some((const float *)p + at, count) : hg_widen_some((const hg_bfloat16 *)p + at, count);
}
HG_INLINE void hg_write(void *p, int is_float, int64_t at, hg_vector x, int count) {
  if (is_float)
    hg_store_some((float *)p + at, x, count);
  else if (count >= HG_LANES)
    *(hg_halves *)((hg_bfloat16 *)p + at) = hg_narrow(x);
  else
    hg_narrow_some((hg_bfloat16 *)p + at, x, count);
}
