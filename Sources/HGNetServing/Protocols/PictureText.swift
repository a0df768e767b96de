import HGNetCore

/// Pictures as text.
enum PictureText {
  /// The bytes; nil for what is not base64.
  ///
  /// White space and the head of a `data:` address are skipped.
  ///
  /// - Throws: `ServingError` where the bytes have no room.
  static func decoded(_ text: String) throws(ServingError) -> Blob? {
    var body = text[...]
    if body.hasPrefix("data:"), let comma = body.firstIndex(of: ",") { body = body[body.index(after: comma)...] }
    let clean = body.utf8.filter { $0 != 0x20 && $0 != 0x0A && $0 != 0x0D && $0 != 0x09 }
    do throws(HGNetError) {
      guard let blob = try Base64.decoded(clean), blob.count > 0 else { return nil }
      return blob
    } catch { throw ServingError(error) }
  }
}
