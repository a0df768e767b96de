/// Colour arithmetic on pictures of 8-bit RGB pixels, as Pillow's `ImageOps` and `ImageEnhance` define it.
///
/// Nothing here allocates or keeps state; memory is read and written inside the picture only.
#pragma once
#include <stdint.h>

/// Replaces every byte through its channel's table: `table[channel][value]`, 3 × 256 bytes.
void hg_lookup_u8(const uint8_t *source, uint8_t *target, int64_t pixels, const uint8_t *table);

/// Counts the values of every channel into `counts[channel][value]`, 3 × 256 numbers that are overwritten.
void hg_histogram_u8(const uint8_t *source, int64_t pixels, uint32_t *counts);

/// The sum of the grey values `(19595 r + 38470 g + 7471 b + 32768) >> 16`.
uint64_t hg_grey_sum_u8(const uint8_t *source, int64_t pixels);

/// Moves every pixel from its grey value by `factor`: `grey + factor * (value - grey)` in single precision, clipped and
/// cut to a byte.
void hg_blend_grey_u8(const uint8_t *source, uint8_t *target, int64_t pixels, float factor);

/// Moves every pixel from its smoothed value by `factor`; smoothing is the mean over 3 × 3 pixels in which the middle
/// counts five times, rounded, and leaves the border as it is.
void hg_blend_smooth_u8(const uint8_t *source, uint8_t *target, int64_t height, int64_t width, float factor);
