/// Shims over what Swift cannot import as it is: sleeping on a word of memory (CHGNetWaiting.h), unpacking
/// (CHGNetInflate.h), and here the system's picture libraries. libjpeg and libpng report errors by a jump that must not
/// cross Swift's frames, so it starts and ends here.
///
/// Every function is free of global state and may be called from several threads at once. A function that fails returns
/// a status other than `HGNET_PICTURE_OK` and leaves the library's words in `message`, always terminated. Sizes come
/// from outside: the caller reads the header first, judges it, allocates, and then decodes into its own memory.
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "CHGNetFetching.h"
#include "CHGNetForking.h"
#include "CHGNetInflate.h"
#include "CHGNetWaiting.h"

#define HGNET_MESSAGE_CAPACITY 256

enum {
  HGNET_PICTURE_OK = 0,
  /// The bytes do not follow the format.
  HGNET_PICTURE_MALFORMED = 1,
  /// The bytes end before the picture does.
  HGNET_PICTURE_TRUNCATED = 2,
  /// The format has this feature, but the library or the shim does not.
  HGNET_PICTURE_UNSUPPORTED = 3,
  /// The system has no memory left.
  HGNET_PICTURE_NO_MEMORY = 4,
};

typedef struct {
  uint32_t width;
  uint32_t height;
  /// Samples per pixel that the decoder writes, one byte each: 3, or 4 for a CMYK JPEG.
  int32_t channels;
  /// Bits per sample in the file.
  int32_t bit_depth;
  /// 1 when the file holds one grey sample per pixel (PNG: without alpha).
  int32_t is_grey;
  /// 1 when the file holds an alpha channel or a transparent colour.
  int32_t has_alpha;
  /// 1 for a file of several frames (WebP).
  int32_t is_animation;
  /// The fewest bytes that a complete file of this size can have.
  uint64_t minimum_bytes;
  /// The bytes of memory that the decoder takes besides the pixels, where they grow with the size of the picture.
  uint64_t working_bytes;
} hgnet_picture_header;

/// Reads the header of a JPEG file.
int hgnet_jpeg_header(const uint8_t *bytes, size_t count, hgnet_picture_header *header, char *message);
/// Decodes a JPEG file into rows of `channels` bytes per pixel: RGB, or CMYK as the file stores it.
int hgnet_jpeg_decode(const uint8_t *bytes, size_t count, uint8_t *pixels, size_t capacity, char *message);

/// Reads the header of a PNG file.
int hgnet_png_header(const uint8_t *bytes, size_t count, hgnet_picture_header *header, char *message);
/// Decodes a PNG file into RGB rows: palette and grey expanded, alpha dropped, 16 bits cut to the upper 8.
int hgnet_png_decode(const uint8_t *bytes, size_t count, uint8_t *pixels, size_t capacity, char *message);
/// Decodes a 16-bit grey PNG file into rows of one big-endian 16-bit sample per pixel.
int hgnet_png_decode_grey16(const uint8_t *bytes, size_t count, uint8_t *pixels, size_t capacity, char *message);

/// Reads the header of a WebP file.
int hgnet_webp_header(const uint8_t *bytes, size_t count, hgnet_picture_header *header, char *message);
/// Decodes a still WebP file into RGB rows, alpha dropped.
int hgnet_webp_decode(const uint8_t *bytes, size_t count, uint8_t *pixels, size_t capacity, char *message);

/// Encodes RGB rows as a baseline JPEG; `*bytes` is to be released with `hgnet_picture_free`.
int hgnet_jpeg_encode(const uint8_t *pixels, uint32_t width, uint32_t height, int quality, uint8_t **bytes,
                      size_t *count, char *message);
/// Encodes RGB rows as an 8-bit PNG; `*bytes` is to be released with `hgnet_picture_free`.
int hgnet_png_encode(const uint8_t *pixels, uint32_t width, uint32_t height, uint8_t **bytes, size_t *count,
                     char *message);
/// Releases what an encoder returned.
void hgnet_picture_free(uint8_t *bytes);
