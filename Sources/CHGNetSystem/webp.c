#include <stdio.h>
#include <string.h>

#include <webp/decode.h>

#include "CHGNetSystem.h"

static int translate(VP8StatusCode status, char *message) {
  switch (status) {
  case VP8_STATUS_OK: return HGNET_PICTURE_OK;
  case VP8_STATUS_OUT_OF_MEMORY:
    snprintf(message, HGNET_MESSAGE_CAPACITY, "no memory for the picture");
    return HGNET_PICTURE_NO_MEMORY;
  case VP8_STATUS_UNSUPPORTED_FEATURE:
    snprintf(message, HGNET_MESSAGE_CAPACITY, "a feature that the decoder does not have");
    return HGNET_PICTURE_UNSUPPORTED;
  case VP8_STATUS_SUSPENDED:
  case VP8_STATUS_NOT_ENOUGH_DATA:
    snprintf(message, HGNET_MESSAGE_CAPACITY, "the data ends early");
    return HGNET_PICTURE_TRUNCATED;
  default:
    snprintf(message, HGNET_MESSAGE_CAPACITY, "the bit stream is broken");
    return HGNET_PICTURE_MALFORMED;
  }
}

int hgnet_webp_header(const uint8_t *bytes, size_t count, hgnet_picture_header *header, char *message) {
  WebPBitstreamFeatures features;
  memset(header, 0, sizeof *header);
  message[0] = 0;
  int status = translate(WebPGetFeatures(bytes, count, &features), message);
  if (status != HGNET_PICTURE_OK) return status;
  header->width = (uint32_t)features.width;
  header->height = (uint32_t)features.height;
  header->channels = 3;
  header->bit_depth = 8;
  header->has_alpha = features.has_alpha;
  header->is_animation = features.has_animation;
  // Lossless pictures are decoded into 32 bits per pixel, others and their alpha into little more than what they show.
  header->working_bytes = (uint64_t)features.width * (uint64_t)features.height * 4;
  return HGNET_PICTURE_OK;
}

int hgnet_webp_decode(const uint8_t *bytes, size_t count, uint8_t *pixels, size_t capacity, char *message) {
  WebPDecoderConfig configuration;
  message[0] = 0;
  if (!WebPInitDecoderConfig(&configuration)) {
    snprintf(message, HGNET_MESSAGE_CAPACITY, "the installed libwebp does not match its header");
    return HGNET_PICTURE_UNSUPPORTED;
  }
  int status = translate(WebPGetFeatures(bytes, count, &configuration.input), message);
  if (status != HGNET_PICTURE_OK) return status;
  configuration.output.colorspace = MODE_RGB;
  configuration.output.is_external_memory = 1;
  configuration.output.u.RGBA.rgba = pixels;
  configuration.output.u.RGBA.stride = configuration.input.width * 3;
  configuration.output.u.RGBA.size = capacity;
  status = translate(WebPDecode(bytes, count, &configuration), message);
  WebPFreeDecBuffer(&configuration.output);
  return status;
}
