import CHGNetSystem
import HGNetCore

/// How bytes are packed on their way.
///
/// Threads: a value, safe to share.
package enum Packing: Sendable, CaseIterable {
  /// RFC 1952, one member or several.
  case gzip
  /// RFC 1950: what HTTP calls deflate.
  case zlib

  /// The bytes that were packed.
  ///
  /// - Parameters:
  ///   - packed: one whole stream.
  ///   - limit: the most bytes that may come out; no more than twice as many are ever held.
  /// - Throws: `HGNetError.Code.limitExceeded` for more than `limit` bytes, `malformedData` for bytes that follow another
  ///   format, end early or go on after the end.
  package func unpack(_ packed: BlobSlice, limit: Int) throws(HGNetError) -> Blob {
    var memory: UnsafeMutablePointer<UInt8>?
    var count = 0
    let status = packed.withUnsafeBytes { bytes in
      hgnet_inflate(
        bytes.bindMemory(to: UInt8.self).baseAddress, bytes.count, self == .gzip ? 1 : 0, limit, &memory, &count)
    }
    defer { hgnet_inflate_free(memory) }
    switch Int(status) {
    case HGNET_INFLATE_OK:
      return try Blob(allocating: count, for: "what comes out of a \(self) stream") {
        $0.copyMemory(from: UnsafeRawBufferPointer(start: memory, count: count))
      }
    case HGNET_INFLATE_TOO_LARGE:
      throw HGNetError(.limitExceeded, "expected at most \(limit) bytes when unpacked, found more")
    case HGNET_INFLATE_TRUNCATED:
      throw HGNetError(.malformedData, "expected a whole stream of \(self), found one that ends early")
    case HGNET_INFLATE_NO_MEMORY:
      throw HGNetError(.limitExceeded, "the system has no memory to unpack a stream of \(self)")
    default:
      throw HGNetError(.malformedData, "expected a stream of \(self), found bytes that do not follow it")
    }
  }

  /// The bytes that were packed; the whole of `packed` is one stream.
  ///
  /// - Throws: as `unpack(_:limit:)` of a slice.
  package func unpack(_ packed: Blob, limit: Int) throws(HGNetError) -> Blob {
    try unpack(BlobSlice(packed), limit: limit)
  }

  /// Bytes as one stream, packed quickly rather than small; nil where there is no memory for it.
  package func pack(_ bytes: [UInt8]) -> [UInt8]? {
    let bound = hgnet_deflate_bound(bytes.count)
    guard bound > 0 else { return nil }
    let packed = [UInt8](unsafeUninitializedCapacity: bound) { target, filled in
      filled = bytes.withUnsafeBufferPointer { bytes in
        guard let source = bytes.baseAddress, let start = target.baseAddress else { return 0 }
        return hgnet_deflate(source, bytes.count, self == .gzip ? 1 : 0, start, target.count)
      }
    }
    return packed.isEmpty ? nil : packed
  }
}
