/// Affine transforms of pictures of 8-bit pixels, three interleaved channels, as Pillow's `Image.transform` defines them.
///
/// The arithmetic is double precision without fused operations, in the reference's order, so that every implementation
/// gives the same bytes. Pictures are read and targets written up to 32 bytes past their last pixel: the memory must
/// reach that far. Nothing here allocates or keeps state.
#pragma once
#include <stdint.h>

/// Where the value of a target pixel is looked up: the centre of pixel `(x, y)`, at `(x + 0.5, y + 0.5)`, comes from
/// `(a * x + b * y + c, d * x + e * y + f)` in the source.
typedef struct {
  double a, b, c;
  double d, e, f;
} hg_affine;

/// Takes the pixel that a position lies in; positions outside give `fill`. Source and target are `height` × `width`.
///
/// A matrix that only scales and moves walks along rows and columns on its own; others walk in 16.16 fixed point where
/// that is wide enough, else in double precision. All three are part of the definition.
void hg_affine_nearest_u8(const uint8_t *source, uint8_t *target, int64_t height, int64_t width,
                          const hg_affine *matrix, const uint8_t *fill);

/// Interpolates between 2 × 2 pixels; the result is cut, not rounded.
void hg_affine_bilinear_u8(const uint8_t *source, uint8_t *target, int64_t height, int64_t width,
                           const hg_affine *matrix, const uint8_t *fill);
/// The plain version of the same.
void hg_affine_bilinear_u8_scalar(const uint8_t *source, uint8_t *target, int64_t height, int64_t width,
                                  const hg_affine *matrix, const uint8_t *fill);

/// Interpolates between 4 × 4 pixels by cubic convolution (a = −1); the result is clipped and cut, not rounded.
void hg_affine_bicubic_u8(const uint8_t *source, uint8_t *target, int64_t height, int64_t width,
                          const hg_affine *matrix, const uint8_t *fill);
/// The plain version of the same.
void hg_affine_bicubic_u8_scalar(const uint8_t *source, uint8_t *target, int64_t height, int64_t width,
                                 const hg_affine *matrix, const uint8_t *fill);
