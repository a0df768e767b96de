import HGNetCore

/// The chunks of a WebP file, as far as they matter here: the EXIF tags and the first frame of an animation.
///
/// Source: RFC 9649, sections 2.3 to 2.7.
struct WebPContainer {
  /// The first frame of an animation: where it stands on the canvas and its picture as a file of its own.
  struct Frame {
    let top: Int
    let left: Int
    let file: [UInt8]
  }

  /// The file without what may follow it.
  let bytes: Bytes

  /// Reads the outer frame.
  ///
  /// - Throws: `HGNetError.Code.malformedData` when the file ends before the size that it states.
  init(_ bytes: Bytes) throws(HGNetError) {
    guard let size = bytes.integer32(at: 4, isBigEndian: false), size + 8 <= bytes.count else {
      let size = bytes.integer32(at: 4, isBigEndian: false).map { "\($0 + 8)" } ?? "at least 12"
      throw HGNetError(
        .malformedData, "the WebP is truncated: expected \(size) bytes, found \(bytes.count); fetch or save it again")
    }
    self.bytes = bytes.slice(from: 0, count: size + 8)
  }

  /// The orientation in the `EXIF` chunk of an extended file.
  var orientation: Orientation {
    // Bit 3 of the flags says that there is such a chunk.
    guard bytes.has("VP8X", at: 12), let flags = bytes.byte(at: 20), flags & 8 != 0,
      let chunk = first("EXIF", in: bytes, from: 12)
    else { return .upright }
    return Orientation(tags: chunk) ?? .upright
  }

  /// Cuts out the first frame of an animation.
  ///
  /// - Throws: `HGNetError.Code.malformedData` when there is none.
  func firstFrame() throws(HGNetError) -> Frame {
    guard let frame = first("ANMF", in: bytes, from: 12),
      let left = frame.integer32(at: 0, isBigEndian: false),
      let top = frame.integer32(at: 3, isBigEndian: false),
      let width = frame.integer32(at: 6, isBigEndian: false),
      let height = frame.integer32(at: 9, isBigEndian: false), frame.count > 16
    else {
      throw HGNetError(.malformedData, "expected at least one whole frame in the animated WebP, found none")
    }
    // A still file around the frame's chunks; the flags say that an alpha channel may follow.
    let inner = frame.slice(from: 16, count: frame.count - 16)
    let hasAlpha = first("ALPH", in: inner, from: 0) != nil
    let payload = 4 + (hasAlpha ? 18 : 0) + inner.count
    var file: [UInt8] = Array("RIFF".utf8)
    for shift in stride(from: 0, through: 24, by: 8) { file.append(UInt8(truncatingIfNeeded: payload >> shift)) }
    file += "WEBP".utf8
    if hasAlpha {
      file += Array("VP8X".utf8) + [10, 0, 0, 0, 0x10, 0, 0, 0]
      for extent in [width, height] {
        for shift in stride(from: 0, through: 16, by: 8) { file.append(UInt8(truncatingIfNeeded: extent >> shift)) }
      }
    }
    file += inner.base
    return Frame(top: 2 * (top & 0xFF_FFFF), left: 2 * (left & 0xFF_FFFF), file: file)
  }

  /// The content of the first chunk of a name.
  private func first(_ name: StaticString, in bytes: Bytes, from start: Int) -> Bytes? {
    var offset = start
    while let size = bytes.integer32(at: offset + 4, isBigEndian: false) {
      if bytes.has(name, at: offset) { return bytes.slice(from: offset + 8, count: size) }
      offset += 8 + size + size % 2
    }
    return nil
  }
}
