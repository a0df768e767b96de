/// Unpacking of what zlib packs, within a limit, since a small body can hold a large one; and packing.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum {
  HGNET_INFLATE_OK = 0,
  /// The bytes do not follow the format.
  HGNET_INFLATE_MALFORMED = 1,
  /// The bytes end before the stream does.
  HGNET_INFLATE_TRUNCATED = 2,
  /// There is more inside than the limit.
  HGNET_INFLATE_TOO_LARGE = 3,
  /// The system has no memory left.
  HGNET_INFLATE_NO_MEMORY = 4,
};

/// Unpacks a stream of gzip (RFC 1952, any number of members) or zlib (RFC 1950) that fills `bytes` entirely.
///
/// Free of global state; never holds more than twice `limit`.
///
/// @param limit the most bytes that may come out.
/// @param unpacked receives what came out, to be released with `hgnet_inflate_free`; NULL for any other status.
int hgnet_inflate(const uint8_t *bytes, size_t count, int is_gzip, size_t limit, uint8_t **unpacked,
                  size_t *unpacked_count);
/// Releases what `hgnet_inflate` returned.
void hgnet_inflate_free(uint8_t *unpacked);

/// The most bytes that packing `count` bytes gives; 0 for more than can be packed.
size_t hgnet_deflate_bound(size_t count);
/// Packs bytes as one stream, quickly rather than small.
///
/// @param gzip 1 for a member of gzip, 0 for a stream of zlib.
/// @param packed has room for `hgnet_deflate_bound(count)` bytes.
/// @return the number of bytes written; 0 where the system has no memory left.
size_t hgnet_deflate(const uint8_t *bytes, size_t count, int gzip, uint8_t *packed, size_t capacity);
