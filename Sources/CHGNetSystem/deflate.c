#include <limits.h>

#include <zlib.h>

#include "CHGNetInflate.h"

// The largest window, 16 more of which stand for gzip's header and check sum; zlib's usual memory.
enum { WINDOW = 15, GZIP = 16, MEMORY_LEVEL = 8 };

// gzip's header and end, beside what zlib's own bound allows for its shorter ones.
enum { GZIP_SIZE = 32 };

size_t hgnet_deflate_bound(size_t count) {
  return count > UINT_MAX / 2 ? 0 : (size_t)compressBound((uLong)count) + GZIP_SIZE;
}

size_t hgnet_deflate(const uint8_t *bytes, size_t count, int gzip, uint8_t *packed, size_t capacity) {
  z_stream stream = {0};
  if (count > UINT_MAX / 2 || capacity > UINT_MAX) return 0;
  int window = gzip ? WINDOW + GZIP : WINDOW;
  if (deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, window, MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK) return 0;
  stream.next_in = (Bytef *)bytes;
  stream.avail_in = (uInt)count;
  stream.next_out = packed;
  stream.avail_out = (uInt)capacity;
  int status = deflate(&stream, Z_FINISH);
  size_t written = stream.total_out;
  deflateEnd(&stream);
  return status == Z_STREAM_END ? written : 0;
}
