/// Bytes as text in base 64 (RFC 4648, section 4).
package enum Base64 {
  private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

  /// What each byte of a text stands for, 64 for those outside the alphabet.
  private static let values: [UInt8] = {
    var values = [UInt8](repeating: 64, count: 256)
    for (value, letter) in alphabet.enumerated() { values[Int(letter)] = UInt8(value) }
    return values
  }()

  /// The text of bytes, with its padding.
  package static func encoded(_ bytes: [UInt8]) -> String {
    var result: [UInt8] = []
    result.reserveCapacity((bytes.count + 2) / 3 * 4)
    var start = 0
    while start < bytes.count {
      let rest = bytes.count - start
      let word =
        UInt32(bytes[start]) << 16 | UInt32(rest > 1 ? bytes[start + 1] : 0) << 8
        | UInt32(rest > 2 ? bytes[start + 2] : 0)
      for index in 0..<4 {
        result.append(index <= rest ? alphabet[Int(word >> (18 - 6 * UInt32(index)) & 63)] : UInt8(ascii: "="))
      }
      start += 3
    }
    return String(decoding: result, as: UTF8.self)
  }

  /// The bytes of a text; nil for one with other characters, white space included, or without its padding.
  ///
  /// Cost: three quarters of the text in memory.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded`.
  package static func decoded(_ text: [UInt8]) throws(HGNetError) -> Blob? {
    guard text.count % 4 == 0 else { return nil }
    let padding = text.suffix(2).reversed().prefix { $0 == UInt8(ascii: "=") }.count
    let digits = text.dropLast(padding)
    guard digits.allSatisfy({ values[Int($0)] < 64 }) else { return nil }
    let count = text.count / 4 * 3 - padding
    return try Blob(allocating: count, for: "\(count) bytes in base 64") { target in
      var (word, bits, position) = (UInt32(0), UInt32(0), 0)
      for digit in digits {
        word = word << 6 | UInt32(values[Int(digit)])
        bits += 6
        guard bits >= 8 else { continue }
        bits -= 8
        target[position] = UInt8(truncatingIfNeeded: word >> bits)
        position += 1
      }
    }
  }
}
