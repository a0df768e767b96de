/// What is needed of addresses here: their kind, and the path of a file.
enum WebAddress {
  /// Whether a text is an `http`, `https` or `file` address with a place behind it.
  static func isUsable(_ text: String) -> Bool {
    guard let (scheme, rest) = parts(text) else { return false }
    switch scheme {
    case "file": return rest.hasPrefix("/")
    case "http", "https": return !(rest.split(separator: "/", omittingEmptySubsequences: false).first ?? "").isEmpty
    default: return false
    }
  }

  /// The address of a file.
  static func file(_ path: String) -> String {
    let plain = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/".utf8)
    let digits = Array("0123456789ABCDEF".utf8)
    var bytes = Array("file://".utf8)
    for byte in path.utf8 {
      bytes += plain.contains(byte) ? [byte] : [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The path that a `file` address names; nil for other addresses.
  static func path(of address: String) -> String? {
    guard let (scheme, rest) = parts(address), scheme == "file" else { return nil }
    var bytes: [UInt8] = []
    var left = Array(rest.utf8)[...]
    while let byte = left.popFirst() {
      if byte == UInt8(ascii: "%"), left.count >= 2,
        let value = UInt8(String(decoding: left.prefix(2), as: UTF8.self), radix: 16)
      {
        bytes.append(value)
        left = left.dropFirst(2)
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  private static func parts(_ text: String) -> (scheme: String, rest: Substring)? {
    // Only characters that stand in addresses; libcurl would send others as they are.
    guard text.utf8.allSatisfy({ $0 > 32 && $0 < 127 }), let colon = text.firstIndex(of: ":") else { return nil }
    let rest = text[text.index(after: colon)...]
    guard rest.hasPrefix("//") else { return nil }
    return (text[..<colon].lowercased(), rest.dropFirst(2))
  }
}
