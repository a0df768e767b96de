import HGNetCore

/// The spellings of numbers in Python and in YAML 1.1.
enum NumberText {
  /// More digits than Python reads in a decimal number.
  private static let digitLimit = 4300

  // MARK: - Python

  /// An unsigned Python number: `12`, `1_000`, `0x1F`, `0o17`, `0b11`, `1.5`, `.5`, `1e-4`; nil for anything else.
  static func python(_ text: String) -> ConfigurationValue? {
    let bytes = Array(text.utf8)
    if bytes.count > 2, bytes[0] == UInt8(ascii: "0"), let radix = radix(of: bytes[1]) {
      var digits = bytes[2...]
      // One underscore may follow the radix.
      if digits.first == UInt8(ascii: "_") { digits = digits.dropFirst() }
      guard let plain = withoutUnderscores(digits) else { return nil }
      return whole(plain, radix: radix, isNegative: false)
    }
    var rest = bytes[...]
    let first = takeDigits(&rest)
    if rest.isEmpty {
      guard let plain = withoutUnderscores(first) else { return nil }
      // Python refuses leading zeros, except in zero itself.
      if plain.count > 1, plain.first == UInt8(ascii: "0"), plain.contains(where: { $0 != UInt8(ascii: "0") }) {
        return nil
      }
      return whole(plain, radix: 10, isNegative: false)
    }
    var spelled: [UInt8] = []
    var hasDigits = false
    func append(_ digits: ArraySlice<UInt8>) -> Bool {
      guard !digits.isEmpty else { return true }
      guard let plain = withoutUnderscores(digits) else { return false }
      spelled += plain
      hasDigits = true
      return true
    }
    guard append(first) else { return nil }
    if first.isEmpty { spelled.append(UInt8(ascii: "0")) }
    if rest.first == UInt8(ascii: ".") {
      rest = rest.dropFirst()
      spelled.append(UInt8(ascii: "."))
      let fraction = takeDigits(&rest)
      guard append(fraction) else { return nil }
      if fraction.isEmpty { spelled.append(UInt8(ascii: "0")) }
    }
    guard hasDigits else { return nil }
    if let letter = rest.first, letter | 0x20 == UInt8(ascii: "e") {
      rest = rest.dropFirst()
      spelled.append(letter)
      if let sign = rest.first, sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-") {
        rest = rest.dropFirst()
        spelled.append(sign)
      }
      let exponent = takeDigits(&rest)
      guard !exponent.isEmpty, append(exponent) else { return nil }
    }
    guard rest.isEmpty else { return nil }
    return Double(String(decoding: spelled, as: UTF8.self)).map { .number($0) }
  }

  private static func radix(of letter: UInt8) -> Int? {
    switch letter | 0x20 {
    case UInt8(ascii: "x"): 16
    case UInt8(ascii: "o"): 8
    case UInt8(ascii: "b"): 2
    default: nil
    }
  }

  /// Takes digits and underscores.
  private static func takeDigits(_ bytes: inout ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    let taken = bytes.prefix { isDigit($0) || $0 == UInt8(ascii: "_") }
    bytes = bytes.dropFirst(taken.count)
    return taken
  }

  /// The digits, nil where an underscore stands anywhere but between two of them.
  private static func withoutUnderscores(_ digits: ArraySlice<UInt8>) -> [UInt8]? {
    var isAfterDigit = false
    for byte in digits {
      guard byte != UInt8(ascii: "_") || isAfterDigit else { return nil }
      isAfterDigit = byte != UInt8(ascii: "_")
    }
    return isAfterDigit ? digits.filter { $0 != UInt8(ascii: "_") } : nil
  }

  // MARK: - YAML

  /// A plain YAML 1.1 scalar as a safe loader reads it; nil for what is no number.
  ///
  /// Whole numbers with `0x`, `0b`, leading-zero octal and `:` for base 60; fractions only with a dot, exponents only with
  /// a sign.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` for `0x_`, which has no digits, `limitExceeded`.
  static func yaml(_ text: String) throws(HGNetError) -> ConfigurationValue? {
    guard let first = text.utf8.first else { return nil }
    let isSigned = first == UInt8(ascii: "-") || first == UInt8(ascii: "+")
    let body = Array(text.utf8.dropFirst(isSigned ? 1 : 0))
    guard let kind = kind(of: body, isSigned: isSigned) else { return nil }
    let value = kind == .integer ? integer(text) : number(text)
    guard let value else {
      throw HGNetError(
        .invalidConfiguration, "expected a number of at most \(digitLimit) digits, found \(HGNetError.quoted(text))")
    }
    return value
  }

  private enum Kind { case integer, number }

  /// Whether a text looks like a number, by the patterns of YAML 1.1's types; `body` is without its sign.
  private static func kind(of body: [UInt8], isSigned: Bool) -> Kind? {
    switch String(decoding: body.prefix(5), as: UTF8.self) {
    case ".inf", ".Inf", ".INF": return .number
    case ".nan", ".NaN", ".NAN": return isSigned ? nil : .number
    default: break
    }
    func isRun(_ bytes: ArraySlice<UInt8>, _ isPart: (UInt8) -> Bool) -> Bool {
      !bytes.isEmpty && bytes.allSatisfy { isPart($0) || $0 == UInt8(ascii: "_") }
    }
    guard let first = body.first else { return nil }
    if first == UInt8(ascii: "0") {
      if body.count == 1 { return .integer }
      if body[1] == UInt8(ascii: "x") { return isRun(body[2...], isHexadecimal) ? .integer : nil }
      if body[1] == UInt8(ascii: "b") { return isRun(body[2...]) { $0 & 0xFE == 0x30 } ? .integer : nil }
      if isRun(body[1...], { $0 & 0xF8 == 0x30 }) { return .integer }
    }
    if isDigit(first) {
      if first != UInt8(ascii: "0"), isRun(body[...], isDigit) { return .integer }
      if body.contains(UInt8(ascii: ":")) { return base60Kind(body) }
    } else if first != UInt8(ascii: ".") || isSigned || body.count == 1 || !isDigit(body[1]) {
      return nil
    }
    guard let dot = body.firstIndex(of: UInt8(ascii: ".")) else { return nil }
    guard dot == 0 || isRun(body[..<dot], isDigit) else { return nil }
    let fraction = body[(dot + 1)...]
    let end = fraction.firstIndex { !isDigit($0) && $0 != UInt8(ascii: "_") } ?? fraction.endIndex
    guard end < body.count else { return .number }
    guard body[end] | 0x20 == UInt8(ascii: "e"), body.count > end + 2,
      body[end + 1] == UInt8(ascii: "+") || body[end + 1] == UInt8(ascii: "-")
    else { return nil }
    return body[(end + 2)...].allSatisfy(isDigit) ? .number : nil
  }

  /// `190:20:30` and `190:20:30.15`.
  private static func base60Kind(_ body: [UInt8]) -> Kind? {
    let parts = body.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
    guard parts[0].allSatisfy({ isDigit($0) || $0 == UInt8(ascii: "_") }) else { return nil }
    var isNumber = false
    for (index, part) in parts.enumerated().dropFirst() {
      let digits = part.prefix(while: isDigit)
      guard (1...2).contains(digits.count), digits.count == 1 || digits.first.map({ $0 < UInt8(ascii: "6") }) == true
      else { return nil }
      guard digits.count < part.count else { continue }
      guard index == parts.count - 1, part[part.startIndex + digits.count] == UInt8(ascii: "."),
        part.dropFirst(digits.count + 1).allSatisfy({ isDigit($0) || $0 == UInt8(ascii: "_") })
      else { return nil }
      isNumber = true
    }
    return isNumber ? .number : body.first == UInt8(ascii: "0") ? nil : .integer
  }

  /// What the tag `!!int` makes of a text; nil where it is no whole number.
  static func integer(_ text: String) -> ConfigurationValue? {
    var body = trimmed(text.utf8.filter { $0 != UInt8(ascii: "_") })
    let isNegative = takeSign(&body)
    if body.count > 1, body.first == UInt8(ascii: "0") {
      let letter = body[body.startIndex + 1]
      if letter == UInt8(ascii: "x") { return whole(Array(body.dropFirst(2)), radix: 16, isNegative: isNegative) }
      if letter == UInt8(ascii: "b") { return whole(Array(body.dropFirst(2)), radix: 2, isNegative: isNegative) }
      return whole(Array(body), radix: 8, isNegative: isNegative)
    }
    guard body.contains(UInt8(ascii: ":")) else { return whole(Array(body), radix: 10, isNegative: isNegative) }
    var total = LargeNumber()
    for part in body.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false) {
      guard !part.isEmpty, part.allSatisfy(isDigit), part.count <= 9, body.count <= digitLimit,
        let digit = UInt32(String(decoding: part, as: UTF8.self))
      else { return nil }
      total.multiply(by: 60, adding: digit)
    }
    return total.value(isNegative: isNegative)
  }

  /// What the tag `!!float` makes of a text; nil where it is no number.
  static func number(_ text: String) -> ConfigurationValue? {
    var body = trimmed(text.lowercased().utf8.filter { $0 != UInt8(ascii: "_") })
    let isNegative = takeSign(&body)
    func signed(_ value: Double) -> ConfigurationValue { .number(isNegative ? -value : value) }
    switch String(decoding: body, as: UTF8.self) {
    case ".inf", "inf", "infinity": return signed(.infinity)
    case ".nan": return .number(.nan)
    case "nan": return .number(.nan)
    default: break
    }
    guard body.contains(UInt8(ascii: ":")) else { return decimal(body).map(signed) }
    var total = 0.0
    var base = 1.0
    for part in body.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false).reversed() {
      guard let digit = decimal(part) else { return nil }
      total += digit * base
      base *= 60
    }
    return signed(total)
  }

  /// Without the blanks around it, which Python passes over.
  private static func trimmed(_ bytes: [UInt8]) -> ArraySlice<UInt8> {
    let isBlank = { (byte: UInt8) in byte == 0x20 || (0x09...0x0D).contains(byte) }
    guard let first = bytes.firstIndex(where: { !isBlank($0) }), let last = bytes.lastIndex(where: { !isBlank($0) })
    else { return [] }
    return bytes[first...last]
  }

  private static func takeSign(_ body: inout ArraySlice<UInt8>) -> Bool {
    guard let first = body.first, first == UInt8(ascii: "-") || first == UInt8(ascii: "+") else { return false }
    body = body.dropFirst()
    return first == UInt8(ascii: "-")
  }

  // MARK: - Digits

  private static func isDigit(_ byte: UInt8) -> Bool { byte &- 0x30 < 10 }

  private static func isHexadecimal(_ byte: UInt8) -> Bool { isDigit(byte) || (byte | 0x20) &- 0x61 < 6 }

  private static func whole(_ digits: [UInt8], radix: Int, isNegative: Bool) -> ConfigurationValue? {
    guard !digits.isEmpty, digits.count <= digitLimit else { return nil }
    var total = LargeNumber()
    for byte in digits {
      guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue, digit < radix else { return nil }
      total.multiply(by: UInt32(radix), adding: UInt32(digit))
    }
    return total.value(isNegative: isNegative)
  }

  /// The number of unsigned decimal digits with a dot and an exponent.
  private static func decimal(_ body: ArraySlice<UInt8>) -> Double? {
    guard body.contains(where: isDigit),
      body.allSatisfy({
        isDigit($0) || $0 == UInt8(ascii: ".") || $0 | 0x20 == UInt8(ascii: "e") || $0 == UInt8(ascii: "+")
          || $0 == UInt8(ascii: "-")
      })
    else { return nil }
    // Swift wants digits on both sides of the dot.
    var spelled = Array(body)
    if spelled.first == UInt8(ascii: ".") { spelled.insert(UInt8(ascii: "0"), at: 0) }
    if let dot = spelled.firstIndex(of: UInt8(ascii: ".")), dot + 1 == spelled.count || !isDigit(spelled[dot + 1]) {
      spelled.insert(UInt8(ascii: "0"), at: dot + 1)
    }
    return Double(String(decoding: spelled, as: UTF8.self))
  }
}

/// A whole number of any size, as far as it takes to write it in decimal digits.
private struct LargeNumber {
  /// Nine decimal digits each, the lowest first.
  private var groups: [UInt32] = []

  mutating func multiply(by factor: UInt32, adding digit: UInt32) {
    var carry = UInt64(digit)
    for index in groups.indices {
      carry += UInt64(groups[index]) * UInt64(factor)
      groups[index] = UInt32(carry % 1_000_000_000)
      carry /= 1_000_000_000
    }
    while carry > 0 {
      groups.append(UInt32(carry % 1_000_000_000))
      carry /= 1_000_000_000
    }
  }

  func value(isNegative: Bool) -> ConfigurationValue {
    var text = isNegative && !groups.isEmpty ? "-" : ""
    for (index, group) in groups.reversed().enumerated() {
      let digits = "\(group)"
      text += (index == 0 ? "" : String(repeating: "0", count: 9 - digits.count)) + digits
    }
    if text.isEmpty { text = "0" }
    return Int(text).map { .integer($0) } ?? .largeInteger(text)
  }
}
