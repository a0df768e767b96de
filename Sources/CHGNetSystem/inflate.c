#include <limits.h>
#include <stdlib.h>

#include <zlib.h>

#include "CHGNetInflate.h"

// zlib's `windowBits`: the largest window, and 16 more for gzip's header and check sum.
enum { ZLIB_WINDOW = 15, GZIP_WINDOW = 15 + 16 };

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

static int unpack(z_stream *stream, const uint8_t *bytes, size_t count, size_t limit, uint8_t **memory, size_t *filled) {
  // One byte beyond the limit shows that there is more.
  size_t capacity = 0, most = limit < SIZE_MAX ? limit + 1 : limit, read = 0;
  int status = Z_OK;
  while (1) {
    if (*filled == capacity) {
      if (*filled > limit) return HGNET_INFLATE_TOO_LARGE;
      size_t next = least(most, capacity ? 2 * capacity : least(limit, 4 * count) + 64);
      uint8_t *grown = realloc(*memory, next);
      if (!grown) return HGNET_INFLATE_NO_MEMORY;
      *memory = grown;
      capacity = next;
    }
    stream->next_in = (Bytef *)(bytes + read);
    stream->avail_in = (uInt)least(count - read, UINT_MAX);
    stream->next_out = *memory + *filled;
    stream->avail_out = (uInt)least(capacity - *filled, UINT_MAX);
    status = inflate(stream, Z_NO_FLUSH);
    read = (size_t)(stream->next_in - bytes);
    *filled = (size_t)(stream->next_out - *memory);
    if (*filled > limit) return HGNET_INFLATE_TOO_LARGE;
    switch (status) {
    case Z_STREAM_END:
      if (read == count) return HGNET_INFLATE_OK;
      // Another member; zlib's form has none, and its header check fails.
      if (inflateReset(stream) != Z_OK) return HGNET_INFLATE_MALFORMED;
      break;
    case Z_OK:
    case Z_BUF_ERROR:
      if (read == count && *filled < capacity) return HGNET_INFLATE_TRUNCATED;
      break;
    case Z_MEM_ERROR: return HGNET_INFLATE_NO_MEMORY;
    default: return HGNET_INFLATE_MALFORMED;
    }
  }
}

int hgnet_inflate(const uint8_t *bytes, size_t count, int is_gzip, size_t limit, uint8_t **unpacked,
                  size_t *unpacked_count) {
  z_stream stream = {0};
  *unpacked = NULL;
  *unpacked_count = 0;
  if (count == 0) return HGNET_INFLATE_TRUNCATED;
  if (inflateInit2(&stream, is_gzip ? GZIP_WINDOW : ZLIB_WINDOW) != Z_OK) return HGNET_INFLATE_NO_MEMORY;
  int status = unpack(&stream, bytes, count, limit, unpacked, unpacked_count);
  inflateEnd(&stream);
  if (status != HGNET_INFLATE_OK) {
    free(*unpacked);
    *unpacked = NULL;
    *unpacked_count = 0;
  }
  return status;
}

void hgnet_inflate_free(uint8_t *unpacked) { free(unpacked); }
