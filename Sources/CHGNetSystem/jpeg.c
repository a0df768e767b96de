#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

#include "CHGNetSystem.h"

typedef struct {
  struct jpeg_error_mgr base;
  jmp_buf jump;
  char *message;
  int status;
} jpeg_failure;

static int status_of(int code) {
  switch (code) {
  case JERR_OUT_OF_MEMORY: return HGNET_PICTURE_NO_MEMORY;
  case JERR_BAD_PRECISION:
  case JERR_SOF_UNSUPPORTED:
  case JERR_CONVERSION_NOTIMPL:
  case JERR_CCIR601_NOTIMPL:
  case JERR_FRACT_SAMPLE_NOTIMPL:
  case JERR_NOT_COMPILED: return HGNET_PICTURE_UNSUPPORTED;
  default: return HGNET_PICTURE_MALFORMED;
  }
}

static void fail(j_common_ptr codec) {
  jpeg_failure *failure = (jpeg_failure *)codec->err;
  char text[JMSG_LENGTH_MAX];
  codec->err->format_message(codec, text);
  snprintf(failure->message, HGNET_MESSAGE_CAPACITY, "%s", text);
  if (failure->status == HGNET_PICTURE_OK) failure->status = status_of(codec->err->msg_code);
  longjmp(failure->jump, 1);
}

// Warnings (a few stray bytes between segments, say) are silent, as in the reference decoders.
static void ignore_message(j_common_ptr codec, int level) {
  (void)codec;
  (void)level;
}

static void ignore_output(j_common_ptr codec) { (void)codec; }

static void install(jpeg_failure *failure, char *message) {
  jpeg_std_error(&failure->base);
  failure->base.error_exit = fail;
  failure->base.emit_message = ignore_message;
  failure->base.output_message = ignore_output;
  failure->message = message;
  failure->status = HGNET_PICTURE_OK;
  message[0] = 0;
}

static void source_nothing(j_decompress_ptr decoder) { (void)decoder; }

// The library asks for more bytes only when the file ends before its end marker does.
static boolean source_ended(j_decompress_ptr decoder) {
  ((jpeg_failure *)decoder->err)->status = HGNET_PICTURE_TRUNCATED;
  ERREXIT(decoder, JERR_INPUT_EOF);
  return FALSE;
}

static void source_skip(j_decompress_ptr decoder, long count) {
  if (count <= 0) return;
  if ((size_t)count > decoder->src->bytes_in_buffer) (void)source_ended(decoder);
  decoder->src->next_input_byte += count;
  decoder->src->bytes_in_buffer -= (size_t)count;
}

static void read_from(j_decompress_ptr decoder, struct jpeg_source_mgr *source, const uint8_t *bytes, size_t count) {
  memset(source, 0, sizeof *source);
  source->next_input_byte = bytes;
  source->bytes_in_buffer = count;
  source->init_source = source_nothing;
  source->fill_input_buffer = source_ended;
  source->skip_input_data = source_skip;
  source->resync_to_restart = jpeg_resync_to_restart;
  source->term_source = source_nothing;
  decoder->src = source;
}

// A progressive file may repeat scans without end, each at the cost of the whole picture.
static void limit_scans(j_common_ptr codec) {
  jpeg_failure *failure = (jpeg_failure *)codec->err;
  if (!codec->is_decompressor || ((j_decompress_ptr)codec)->input_scan_number <= 500) return;
  snprintf(failure->message, HGNET_MESSAGE_CAPACITY, "more than 500 scans");
  failure->status = HGNET_PICTURE_UNSUPPORTED;
  longjmp(failure->jump, 1);
}

static int channels_of(const struct jpeg_decompress_struct *decoder) {
  switch (decoder->jpeg_color_space) {
  case JCS_GRAYSCALE:
  case JCS_RGB:
  case JCS_YCbCr: return 3;
  case JCS_CMYK:
  case JCS_YCCK: return 4;
  default: return 0;
  }
}

int hgnet_jpeg_header(const uint8_t *bytes, size_t count, hgnet_picture_header *header, char *message) {
  struct jpeg_decompress_struct decoder;
  struct jpeg_source_mgr source;
  jpeg_failure failure;
  memset(header, 0, sizeof *header);
  memset(&decoder, 0, sizeof decoder);
  install(&failure, message);
  decoder.err = &failure.base;
  if (setjmp(failure.jump)) {
    jpeg_destroy_decompress(&decoder);
    return failure.status;
  }
  jpeg_create_decompress(&decoder);
  read_from(&decoder, &source, bytes, count);
  jpeg_read_header(&decoder, TRUE);
  header->width = decoder.image_width;
  header->height = decoder.image_height;
  header->channels = channels_of(&decoder);
  header->bit_depth = decoder.data_precision;
  header->is_grey = decoder.jpeg_color_space == JCS_GRAYSCALE;
  if (header->channels == 0) {
    snprintf(message, HGNET_MESSAGE_CAPACITY, "%d components of an unknown colour space", decoder.num_components);
    failure.status = HGNET_PICTURE_UNSUPPORTED;
  }
  // Each 8×8 block of each component takes at least one Huffman code, that is one bit, for its constant term. An
  // arithmetic coder can go lower.
  uint64_t blocks = 0;
  for (int index = 0; index < decoder.num_components; index++) {
    const jpeg_component_info *component = &decoder.comp_info[index];
    blocks += (uint64_t)component->width_in_blocks * component->height_in_blocks;
  }
  header->minimum_bytes = decoder.arith_code ? 0 : blocks / 8;
  // A picture of several scans is held as coefficients of 16 bits; CMYK goes through memory of its own.
  int holds_coefficients = decoder.progressive_mode || decoder.comps_in_scan < decoder.num_components;
  header->working_bytes = holds_coefficients ? blocks * DCTSIZE2 * sizeof(JCOEF) : 0;
  if (header->channels == 4) header->working_bytes += (uint64_t)header->width * header->height * 4;
  jpeg_destroy_decompress(&decoder);
  return failure.status;
}

int hgnet_jpeg_decode(const uint8_t *bytes, size_t count, uint8_t *pixels, size_t capacity, char *message) {
  struct jpeg_decompress_struct decoder;
  struct jpeg_source_mgr source;
  struct jpeg_progress_mgr progress = {.progress_monitor = limit_scans};
  jpeg_failure failure;
  memset(&decoder, 0, sizeof decoder);
  install(&failure, message);
  decoder.err = &failure.base;
  if (setjmp(failure.jump)) {
    jpeg_destroy_decompress(&decoder);
    return failure.status;
  }
  jpeg_create_decompress(&decoder);
  read_from(&decoder, &source, bytes, count);
  decoder.progress = &progress;
  jpeg_read_header(&decoder, TRUE);
  int channels = channels_of(&decoder);
  decoder.out_color_space = channels == 4 ? JCS_CMYK : JCS_RGB;
  jpeg_start_decompress(&decoder);
  size_t stride = (size_t)decoder.output_width * (size_t)decoder.output_components;
  if (channels == 0 || decoder.output_components != channels || stride > capacity / decoder.output_height) {
    snprintf(message, HGNET_MESSAGE_CAPACITY, "the picture does not fit the memory that its header asked for");
    jpeg_destroy_decompress(&decoder);
    return HGNET_PICTURE_MALFORMED;
  }
  while (decoder.output_scanline < decoder.output_height) {
    JSAMPROW row = pixels + stride * decoder.output_scanline;
    jpeg_read_scanlines(&decoder, &row, 1);
  }
  // Reads on to the end marker, and so notices a file that has lost its tail.
  jpeg_finish_decompress(&decoder);
  jpeg_destroy_decompress(&decoder);
  return HGNET_PICTURE_OK;
}

int hgnet_jpeg_encode(const uint8_t *pixels, uint32_t width, uint32_t height, int quality, uint8_t **bytes,
                      size_t *count, char *message) {
  struct jpeg_compress_struct encoder;
  jpeg_failure failure;
  unsigned char *volatile memory = NULL;
  unsigned long size = 0;
  memset(&encoder, 0, sizeof encoder);
  install(&failure, message);
  *bytes = NULL;
  *count = 0;
  encoder.err = &failure.base;
  if (setjmp(failure.jump)) {
    jpeg_destroy_compress(&encoder);
    free(memory);
    return failure.status;
  }
  jpeg_create_compress(&encoder);
  jpeg_mem_dest(&encoder, (unsigned char **)&memory, &size);
  encoder.image_width = width;
  encoder.image_height = height;
  encoder.input_components = 3;
  encoder.in_color_space = JCS_RGB;
  jpeg_set_defaults(&encoder);
  jpeg_set_quality(&encoder, quality, TRUE);
  jpeg_start_compress(&encoder, TRUE);
  while (encoder.next_scanline < height) {
    JSAMPROW row = (JSAMPROW)(uintptr_t)(pixels + (size_t)width * 3 * encoder.next_scanline);
    jpeg_write_scanlines(&encoder, &row, 1);
  }
  jpeg_finish_compress(&encoder);
  jpeg_destroy_compress(&encoder);
  *bytes = memory;
  *count = size;
  return HGNET_PICTURE_OK;
}
