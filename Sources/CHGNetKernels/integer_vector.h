// Vectors of 8-bit activations and of their sums for one instruction set; included behind vector.h.
//
// HG_GROUP activations lie in the 32 bits of a unit: four bytes where the processor multiplies and adds four bytes at a
// time, or two values of 16 bits. Widening is how saturation is avoided: the one instruction that multiplies bytes
// without VNNI (vpmaddubsw) adds two products in 16 bits, which 255 * 127 * 2 does not fit; vpmaddwd adds in 32.
#pragma clang fp contract(off)

typedef int32_t hg_integers __attribute__((vector_size(4 * HG_LANES)));
typedef int32_t hg_unaligned_integers __attribute__((vector_size(4 * HG_LANES), aligned(4)));
typedef uint32_t hg_units __attribute__((vector_size(4 * HG_LANES)));
typedef uint32_t hg_unaligned_units __attribute__((vector_size(4 * HG_LANES), aligned(4)));
typedef uint8_t hg_bytes __attribute__((vector_size(HG_LANES)));
typedef uint8_t hg_unaligned_bytes __attribute__((vector_size(HG_LANES), aligned(1)));
typedef int8_t hg_unaligned_weights __attribute__((vector_size(HG_GROUP * HG_LANES), aligned(1)));
typedef uint32_t hg_unaligned_unit __attribute__((aligned(1)));

// Bytes of an activation in a unit, and its bits.
#define HG_ACTIVATION_BYTES (4 / HG_GROUP)
#define HG_ACTIVATION_BITS (32 / HG_GROUP)

HG_INLINE int64_t hg_least(int64_t a, int64_t b) { return a < b ? a : b; }

HG_INLINE hg_integers hg_load_integers(const int32_t *p) { return *(const hg_unaligned_integers *)p; }
HG_INLINE void hg_store_integers(int32_t *p, hg_integers v) { *(hg_unaligned_integers *)p = v; }
HG_INLINE hg_units hg_load_units(const uint32_t *p) { return *(const hg_unaligned_units *)p; }
HG_INLINE void hg_store_units(uint32_t *p, hg_units v) { *(hg_unaligned_units *)p = v; }

// The weights of HG_LANES columns, a group each, as they are multiplied.
HG_INLINE hg_units hg_load_weights(const int8_t *p) {
#if HG_GROUP == 4
  return (hg_units)*(const hg_unaligned_weights *)p;
#else
  typedef int16_t hg_wide __attribute__((vector_size(4 * HG_LANES)));
  return (hg_units)__builtin_convertvector(*(const hg_unaligned_weights *)p, hg_wide);
#endif
}

// The result of each lane is bounded already: its integer is in the last bits of 2^23 and it, rounded half to even.
HG_INLINE hg_bytes hg_round(hg_vector y) {
  return __builtin_convertvector((hg_units)(y + hg_splat(8388608.0f)), hg_bytes);
}
// min(max(y, lower), upper), one instruction each; no number becomes the lower bound.
HG_INLINE hg_vector hg_bound(hg_vector y, hg_vector lower, hg_vector upper) {
  const hg_mask above = y > lower;
  y = (hg_vector)((above & (hg_mask)y) | (~above & (hg_mask)lower));
  const hg_mask below = y < upper;
  return (hg_vector)((below & (hg_mask)y) | (~below & (hg_mask)upper));
}

// Fewer bytes than a vector has lanes, in pieces of constant size.
HG_INLINE void hg_copy_some_bytes(uint8_t *to, const uint8_t *from, int count) {
  if (HG_LANES > 8 && count & 8) __builtin_memcpy(to, from, 8), to += 8, from += 8;
  if (HG_LANES > 4 && count & 4) __builtin_memcpy(to, from, 4), to += 4, from += 4;
  if (count & 2) __builtin_memcpy(to, from, 2), to += 2, from += 2;
  if (count & 1) *to = *from;
}
HG_INLINE hg_bytes hg_load_bytes(const uint8_t *p, int count) {
  if (count >= HG_LANES) return *(const hg_unaligned_bytes *)p;
  uint8_t lanes[HG_LANES] = {0};
  if (count > 0) hg_copy_some_bytes(lanes, p, count);
  return *(const hg_unaligned_bytes *)lanes;
}
HG_INLINE void hg_store_bytes(uint8_t *p, hg_bytes v, int count) {
  if (count >= HG_LANES) {
    *(hg_unaligned_bytes *)p = v;
    return;
  }
  uint8_t lanes[HG_LANES];
  *(hg_unaligned_bytes *)lanes = v;
  if (count > 0) hg_copy_some_bytes(p, lanes, count);
}
HG_INLINE hg_vector hg_floats(hg_bytes v) { return __builtin_convertvector(__builtin_convertvector(v, hg_integers), hg_vector); }

// What a vector of sums goes through; `at` counts values from the start of the output.
HG_INLINE void hg_finish_sums(const hg_integer_finish *f, hg_integers sum, hg_vector factor, hg_vector bias,
                              const uint8_t *residual, void *output, ptrdiff_t at, int count) {
  hg_vector y = __builtin_convertvector(sum, hg_vector) * factor;
  y = hg_bound(y + bias, hg_splat(f->lower), hg_splat(f->upper));
  if (residual) {
    const hg_vector addend = hg_floats(hg_load_bytes(residual, count)) * hg_splat(f->residual_factor);
    y = y + addend;
    if (!f->is_float) y = hg_bound(y, hg_splat(0), hg_splat(255));
  }
  if (f->is_float)
    hg_store_some((float *)output + at, y, count);
  else
    hg_store_bytes((uint8_t *)output + at, hg_round(y), count);
}
