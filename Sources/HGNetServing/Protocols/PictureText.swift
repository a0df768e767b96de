import HGNetCore

/// Pictures as text.
enum PictureText {
  /// The bytes; nil for what is not base64.
  ///
  /// White space and the head of a `data:` address are skipped.
  ///
  /// - Throws: `ServingError` where the bytes have no room.
  static func decoded(_ text: String) throws(ServingError) -> Blob? { try decoded(Array(text.utf8)[...]) }

  /// The file that a client has put into a text: its bytes as they are, or in base64; nil for neither.
  ///
  /// - Throws: `ServingError` where the bytes have no room.
  static func file(_ bytes: BlobSlice) throws(ServingError) -> BlobSlice? {
    if isFile(bytes) { return bytes }
    // Those who read C's texts take nothing after a zero.
    let text = bytes.withUnsafeBytes { Array($0.prefix { $0 != 0 }) }
    return try decoded(text[...]).map { BlobSlice($0) }
  }

  /// Whether bytes begin as a JPEG, PNG, WebP or BMP file does; no text in base64 of such a file does.
  static func isFile(_ bytes: BlobSlice) -> Bool {
    bytes.withUnsafeBytes { bytes in
      bytes.starts(with: [0xFF, 0xD8]) || bytes.starts(with: [0x89, 0x50, 0x4E, 0x47])
        || (bytes.starts(with: Array("RIFF".utf8)) && bytes.dropFirst(8).starts(with: Array("WEBP".utf8)))
        || bytes.starts(with: Array("BM".utf8))
    }
  }

  private static func decoded(_ text: ArraySlice<UInt8>) throws(ServingError) -> Blob? {
    var body = text
    if body.starts(with: Array("data:".utf8)), let comma = body.firstIndex(of: UInt8(ascii: ",")) {
      body = body[(comma + 1)...]
    }
    let clean = body.filter { $0 != 0x20 && $0 != 0x0A && $0 != 0x0D && $0 != 0x09 }
    do throws(HGNetError) {
      guard let blob = try Base64.decoded(clean), blob.count > 0 else { return nil }
      return blob
    } catch { throw ServingError(error) }
  }
}
