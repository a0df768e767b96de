import Foundation
import HGNetCore

/// Pictures as text.
enum Base64 {
  /// The bytes; nil for what is not base64.
  ///
  /// White space and the head of a `data:` address are skipped.
  static func decoded(_ text: String) -> Blob? {
    var body = text[...]
    if body.hasPrefix("data:"), let comma = body.firstIndex(of: ",") { body = body[body.index(after: comma)...] }
    let clean = body.utf8.filter { $0 != 0x20 && $0 != 0x0A && $0 != 0x0D && $0 != 0x09 }
    guard let data = Data(base64Encoded: Data(clean)), !data.isEmpty else { return nil }
    return Blob(data)
  }
}
