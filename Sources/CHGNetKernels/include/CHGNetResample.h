/// Inner loops of picture resampling, on 8-bit pixels of three interleaved channels.
///
/// All arithmetic that decides a bit is integer (or, where said, single precision in a fixed order without fused
/// operations), so every implementation gives the same bytes. Sources and targets are read and written up to 32 bytes
/// past their last pixel: the memory must reach that far. Nothing here allocates or keeps state.
#pragma once
#include <stdint.h>

/// Where one output position looks: `count` input positions from `first`.
typedef struct {
  int32_t first;
  int32_t count;
} hg_resample_window;

/// Weighted sums along rows with weights of 22 fractional bits, rounded and clipped to bytes.
///
/// `weights` holds `taps` numbers for each of `target_width` outputs.
void hg_resample_horizontal_u8(const uint8_t *source, int64_t source_stride, uint8_t *target, int64_t target_width,
                               int64_t rows, const hg_resample_window *windows, const int32_t *weights, int64_t taps);
/// The plain version of the same.
void hg_resample_horizontal_u8_scalar(const uint8_t *source, int64_t source_stride, uint8_t *target,
                                      int64_t target_width, int64_t rows, const hg_resample_window *windows,
                                      const int32_t *weights, int64_t taps);

/// One output row: the weighted sum of `count` rows of `width` bytes, weights of 22 fractional bits.
void hg_resample_vertical_u8(const uint8_t *source, int64_t source_stride, uint8_t *target, int64_t width,
                             const int32_t *weights, int64_t count);
/// The plain version of the same.
void hg_resample_vertical_u8_scalar(const uint8_t *source, int64_t source_stride, uint8_t *target, int64_t width,
                                    const int32_t *weights, int64_t count);

/// One row interpolated between neighbours: `source[x] * w[0] + source[x + 1] * w[1]` with 11 fractional bits.
///
/// `target` holds `width` pixels of three sums and is written up to 16 bytes past its end.
void hg_resample_linear_row_u8(const uint8_t *source, int32_t *target, int64_t width, const int32_t *offsets,
                               const int16_t *weights);
/// The plain version of the same.
void hg_resample_linear_row_u8_scalar(const uint8_t *source, int32_t *target, int64_t width, const int32_t *offsets,
                                      const int16_t *weights);

/// Two such rows blended into bytes: `((w0 * (upper >> 4)) >> 16) + ((w1 * (lower >> 4)) >> 16)`, two bits rounded off.
void hg_resample_linear_blend_u8(const int32_t *upper, const int32_t *lower, uint8_t *target, int64_t count,
                                 int32_t upper_weight, int32_t lower_weight);
/// The plain version of the same.
void hg_resample_linear_blend_u8_scalar(const int32_t *upper, const int32_t *lower, uint8_t *target, int64_t count,
                                        int32_t upper_weight, int32_t lower_weight);

/// One row of sums over `taps` pixels with weights of 11 fractional bits; positions outside repeat the border.
void hg_resample_taps_row_u8(const uint8_t *source, int64_t source_width, int32_t *target, int64_t width,
                             const int32_t *offsets, const int16_t *weights, int64_t taps);
/// `taps` such rows summed with weights of 11 fractional bits, rounded and clipped to bytes.
void hg_resample_taps_sum_u8(const int32_t *const *rows, uint8_t *target, int64_t first, int64_t count,
                             const int16_t *weights, int64_t taps);
/// Four such rows summed in single precision from the last to the first, rounded half to even and clipped to bytes.
void hg_resample_cubic_sum_u8(const int32_t *const *rows, uint8_t *target, int64_t count, const int16_t *weights);

/// Adds one input row into single-precision sums: `target[places[i].first] += source[places[i].count] * weights[i]`.
void hg_resample_area_row_u8(const uint8_t *source, float *target, const hg_resample_window *places, const float *weights,
                             int64_t count);
/// `target = target + weight * source` in single precision.
void hg_resample_area_add(const float *source, float *target, int64_t count, float weight);
/// Single-precision sums rounded half to even and clipped to bytes.
void hg_resample_area_store_u8(const float *source, uint8_t *target, int64_t count);
/// One output row of the mean over cells of `cell_height` × `cell_width` pixels.
void hg_resample_cells_u8(const uint8_t *source, int64_t source_stride, uint8_t *target, int64_t width,
                          int64_t cell_height, int64_t cell_width);

/// `(value * scale - mean) / deviation` for each pixel of three channels, three roundings, as NumPy does it.
void hg_normalize_u8(const uint8_t *source, float *target, int64_t pixels, float scale, const float *mean,
                     const float *deviation);
