/// The spellings of numbers in Python and in YAML 1.1.
enum NumberText {
  /// An unsigned Python number: `12`, `1_000`, `0x1F`, `0o17`, `0b11`, `1.5`, `.5`, `1e-4`; nil for anything else.
  static func python(_ text: String) -> ConfigurationValue? {
    let bytes = Array(text.utf8)
    guard let first = bytes.first, let last = bytes.last, last != UInt8(ascii: "_"), first != UInt8(ascii: "_"),
      !zip(bytes, bytes.dropFirst()).contains(where: { $0 == UInt8(ascii: "_") && $1 == UInt8(ascii: "_") })
    else { return nil }
    let plain = text.filter { $0 != "_" }
    if plain.count > 2, plain.hasPrefix("0") {
      switch plain.dropFirst().first {
      case "x", "X": return whole(plain.dropFirst(2), radix: 16)
      case "o", "O": return whole(plain.dropFirst(2), radix: 8)
      case "b", "B": return whole(plain.dropFirst(2), radix: 2)
      default: break
      }
    }
    if plain.utf8.allSatisfy({ (0x30...0x39).contains($0) }) {
      // Python refuses leading zeros.
      if plain.count > 1, plain.hasPrefix("0"), plain.contains(where: { $0 != "0" }) { return nil }
      return whole(plain[...], radix: 10)
    }
    return decimal(plain)
  }

  /// A plain YAML 1.1 scalar as a safe loader reads it: whole numbers with `0x`, `0b`, leading-zero octal and `:` for
  /// base 60; fractions only with a dot, exponents only with a sign; nil for anything else.
  static func yaml(_ text: String) -> ConfigurationValue? {
    guard let first = text.utf8.first else { return nil }
    let isSigned = first == UInt8(ascii: "-") || first == UInt8(ascii: "+")
    let body = (isSigned ? text.dropFirst() : text[...])
    guard let value = unsignedYAML(body, isSigned: isSigned) else { return nil }
    guard first == UInt8(ascii: "-") else { return value }
    switch value {
    case .integer(let number): return .integer(-number)
    case .number(let number): return .number(-number)
    default: return nil
    }
  }

  private static func unsignedYAML(_ body: Substring, isSigned: Bool) -> ConfigurationValue? {
    switch body {
    case ".inf", ".Inf", ".INF": return .number(.infinity)
    case ".nan", ".NaN", ".NAN": return isSigned ? nil : .number(.nan)
    default: break
    }
    guard let first = body.utf8.first, (0x30...0x39).contains(first) || first == UInt8(ascii: ".") else { return nil }
    let plain = body.filter { $0 != "_" }
    if plain.hasPrefix("0x") { return whole(plain.dropFirst(2), radix: 16) }
    if plain.hasPrefix("0b") { return whole(plain.dropFirst(2), radix: 2) }
    if plain.utf8.allSatisfy({ (0x30...0x39).contains($0) }) {
      return plain.count > 1 && plain.hasPrefix("0")
        ? whole(plain.dropFirst(), radix: 8) : whole(plain[...], radix: 10)
    }
    if plain.utf8.contains(UInt8(ascii: ":")) { return base60(plain) }
    guard plain.utf8.contains(UInt8(ascii: ".")) else { return nil }
    if let exponent = plain.firstIndex(where: { $0 == "e" || $0 == "E" }) {
      let sign = plain[plain.index(after: exponent)...].first
      guard sign == "+" || sign == "-" else { return nil }
    }
    return decimal(plain)
  }

  private static func base60(_ text: String) -> ConfigurationValue? {
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    var total = 0
    for (index, part) in parts.enumerated() {
      guard !part.isEmpty, part.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let digit = Int(part),
        index == 0 ? digit > 0 : digit < 60 && part.utf8.count <= 2
      else { return nil }
      let (scaled, overflow) = total.multipliedReportingOverflow(by: 60)
      let (sum, carry) = scaled.addingReportingOverflow(digit)
      guard !overflow, !carry else { return nil }
      total = sum
    }
    return .integer(total)
  }

  private static func whole(_ digits: Substring, radix: Int) -> ConfigurationValue? {
    guard let first = digits.utf8.first, first != UInt8(ascii: "-"), first != UInt8(ascii: "+") else { return nil }
    if let value = Int(digits, radix: radix) { return .integer(value) }
    return radix == 10 ? decimal(String(digits)) : nil
  }

  private static func decimal(_ text: String) -> ConfigurationValue? {
    guard text.utf8.contains(where: { (0x30...0x39).contains($0) }),
      text.utf8.allSatisfy({
        (0x30...0x39).contains($0) || $0 == UInt8(ascii: ".") || ($0 | 0x20) == UInt8(ascii: "e")
          || $0 == UInt8(ascii: "+") || $0 == UInt8(ascii: "-")
      })
    else { return nil }
    // Swift wants digits on both sides of the dot.
    var spelled = text.hasPrefix(".") ? "0" + text : text
    if let dot = spelled.firstIndex(of: ".") {
      let after = spelled.index(after: dot)
      if after == spelled.endIndex || !spelled[after].isNumber { spelled.insert("0", at: after) }
    }
    return Double(spelled).map { .number($0) }
  }
}
