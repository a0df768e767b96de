#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "CHGNetSystem.h"

typedef struct {
  const uint8_t *bytes;
  size_t count;
  size_t offset;
  char *message;
  int status;
} png_source;

static void fail(png_structp codec, png_const_charp text) {
  png_source *source = png_get_error_ptr(codec);
  if (source->status == HGNET_PICTURE_OK) source->status = HGNET_PICTURE_MALFORMED;
  snprintf(source->message, HGNET_MESSAGE_CAPACITY, "%s", text);
  png_longjmp(codec, 1);
}

static void ignore_warning(png_structp codec, png_const_charp text) {
  (void)codec;
  (void)text;
}

static void read_bytes(png_structp codec, png_bytep target, size_t count) {
  png_source *source = png_get_io_ptr(codec);
  if (count > source->count - source->offset) {
    source->status = HGNET_PICTURE_TRUNCATED;
    png_error(codec, "the data ends early");
  }
  memcpy(target, source->bytes + source->offset, count);
  source->offset += count;
}

static png_structp open_source(png_source *source, png_infop *header) {
  source->message[0] = 0;
  png_structp codec = png_create_read_struct(PNG_LIBPNG_VER_STRING, source, fail, ignore_warning);
  *header = codec ? png_create_info_struct(codec) : NULL;
  if (!*header) {
    png_destroy_read_struct(&codec, NULL, NULL);
    snprintf(source->message, HGNET_MESSAGE_CAPACITY, "no memory for the decoder");
    source->status = HGNET_PICTURE_NO_MEMORY;
    return NULL;
  }
  png_set_read_fn(codec, source, read_bytes);
  // The caller has its own limits on the size of a picture; ancillary chunks get none of the memory.
  png_set_user_limits(codec, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_set_chunk_cache_max(codec, 64);
  png_set_chunk_malloc_max(codec, 1 << 23);
  png_set_keep_unknown_chunks(codec, PNG_HANDLE_CHUNK_NEVER, NULL, 0);
  return codec;
}

int hgnet_png_header(const uint8_t *bytes, size_t count, hgnet_picture_header *header, char *message) {
  png_source source = {.bytes = bytes, .count = count, .message = message};
  png_infop info = NULL;
  memset(header, 0, sizeof *header);
  png_structp codec = open_source(&source, &info);
  if (!codec) return source.status;
  if (setjmp(png_jmpbuf(codec))) {
    png_destroy_read_struct(&codec, &info, NULL);
    return source.status;
  }
  png_read_info(codec, info);
  png_byte colour = png_get_color_type(codec, info);
  header->width = png_get_image_width(codec, info);
  header->height = png_get_image_height(codec, info);
  header->channels = 3;
  header->bit_depth = png_get_bit_depth(codec, info);
  header->is_grey = colour == PNG_COLOR_TYPE_GRAY;
  header->has_alpha = (colour & PNG_COLOR_MASK_ALPHA) != 0 || png_get_valid(codec, info, PNG_INFO_tRNS);
  // Deflate packs at most 1032 bytes into one.
  header->minimum_bytes = (uint64_t)header->height * png_get_rowbytes(codec, info) / 1032;
  png_destroy_read_struct(&codec, &info, NULL);
  return HGNET_PICTURE_OK;
}

static int decode(const uint8_t *bytes, size_t count, uint8_t *pixels, size_t capacity, size_t bytes_per_pixel,
                  char *message) {
  png_source source = {.bytes = bytes, .count = count, .message = message};
  png_infop info = NULL;
  png_structp codec = open_source(&source, &info);
  if (!codec) return source.status;
  if (setjmp(png_jmpbuf(codec))) {
    png_destroy_read_struct(&codec, &info, NULL);
    return source.status;
  }
  png_read_info(codec, info);
  if (bytes_per_pixel == 3) {
    png_set_strip_16(codec);
    png_set_palette_to_rgb(codec);
    png_set_expand_gray_1_2_4_to_8(codec);
    png_set_gray_to_rgb(codec);
    png_set_strip_alpha(codec);
  }
  int passes = png_set_interlace_handling(codec);
  png_read_update_info(codec, info);
  size_t stride = png_get_rowbytes(codec, info);
  png_uint_32 height = png_get_image_height(codec, info);
  if (stride != (size_t)png_get_image_width(codec, info) * bytes_per_pixel || stride > capacity / height)
    png_error(codec, "the picture does not fit the memory that its header asked for");
  // Row by row: a table of rows takes more memory than a picture of one pixel's width.
  for (int pass = 0; pass < passes; pass++)
    for (png_uint_32 row = 0; row < height; row++) png_read_row(codec, pixels + stride * row, NULL);
  // Reads on to the end chunk, and so notices a file that has lost its tail.
  png_read_end(codec, NULL);
  png_destroy_read_struct(&codec, &info, NULL);
  return HGNET_PICTURE_OK;
}

int hgnet_png_decode(const uint8_t *bytes, size_t count, uint8_t *pixels, size_t capacity, char *message) {
  return decode(bytes, count, pixels, capacity, 3, message);
}

int hgnet_png_decode_grey16(const uint8_t *bytes, size_t count, uint8_t *pixels, size_t capacity, char *message) {
  return decode(bytes, count, pixels, capacity, 2, message);
}

typedef struct {
  uint8_t *bytes;
  size_t count;
  size_t capacity;
  char *message;
} png_target;

static void fail_writing(png_structp codec, png_const_charp text) {
  png_target *target = png_get_error_ptr(codec);
  snprintf(target->message, HGNET_MESSAGE_CAPACITY, "%s", text);
  png_longjmp(codec, 1);
}

static void write_bytes(png_structp codec, png_bytep bytes, size_t count) {
  png_target *target = png_get_io_ptr(codec);
  if (count > target->capacity - target->count) {
    size_t capacity = (target->capacity + count) * 2;
    uint8_t *larger = realloc(target->bytes, capacity);
    if (!larger) png_error(codec, "no memory for the file");
    target->bytes = larger;
    target->capacity = capacity;
  }
  memcpy(target->bytes + target->count, bytes, count);
  target->count += count;
}

static void flush_nothing(png_structp codec) { (void)codec; }

int hgnet_png_encode(const uint8_t *pixels, uint32_t width, uint32_t height, uint8_t **bytes, size_t *count,
                     char *message) {
  png_target target = {.message = message};
  message[0] = 0;
  *bytes = NULL;
  *count = 0;
  png_structp codec = png_create_write_struct(PNG_LIBPNG_VER_STRING, &target, fail_writing, ignore_warning);
  png_infop info = codec ? png_create_info_struct(codec) : NULL;
  if (!info) {
    png_destroy_write_struct(&codec, NULL);
    return HGNET_PICTURE_NO_MEMORY;
  }
  if (setjmp(png_jmpbuf(codec))) {
    free(target.bytes);
    png_destroy_write_struct(&codec, &info);
    return HGNET_PICTURE_MALFORMED;
  }
  png_set_write_fn(codec, &target, write_bytes, flush_nothing);
  png_set_IHDR(codec, info, width, height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  png_write_info(codec, info);
  for (uint32_t row = 0; row < height; row++) png_write_row(codec, pixels + (size_t)row * width * 3);
  png_write_end(codec, info);
  png_destroy_write_struct(&codec, &info);
  *bytes = target.bytes;
  *count = target.count;
  return HGNET_PICTURE_OK;
}

void hgnet_picture_free(uint8_t *bytes) { free(bytes); }
