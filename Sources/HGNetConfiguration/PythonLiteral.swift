/// Reads the Python literals that PaddleClas accepts as values, without running any code.
///
/// Numbers, quoted text, `True`, `False`, `None`, lists, tuples (as lists) and mappings, as Python's `literal_eval` reads
/// them; sets, bytes, complex numbers and names of characters (`\N{…}`) are none. On request also arithmetic with
/// `+ - * /` and parentheses over numbers, which overrides such as `1/255` use. Numbers are whole where Python would say
/// so: `4/2` is 2.0, `2*3` is 6; sums and products beyond 64 bits become floating point.
///
/// Threads: values only, safe from any task. Cost: O(length).
package enum PythonLiteral {
  /// The value of a literal, or nil when the text is none.
  ///
  /// - Parameters:
  ///   - text: the whole literal; spaces around it are ignored.
  ///   - allowingArithmetic: whether `1/255` is a number or nothing.
  package static func parse(_ text: some StringProtocol, allowingArithmetic: Bool = false) -> ConfigurationValue? {
    var reader = LiteralReader(bytes: Array(text.utf8), allowsArithmetic: allowingArithmetic)
    return reader.document()
  }

  /// The number that an arithmetic expression such as `1.0/255.0` or `1e-4` stands for, or nil.
  package static func number(_ text: some StringProtocol) -> Double? {
    switch parse(text, allowingArithmetic: true) {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  /// Text in quotes as Python's `repr` writes it: single quotes unless the text holds them and no double quotes.
  package static func quoted(_ text: String) -> String {
    let quote: Character = text.utf8.contains(UInt8(ascii: "'")) && !text.utf8.contains(UInt8(ascii: "\"")) ? "\"" : "'"
    var result = String(quote)
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case "'" where quote == "'": result += "\\'"
      default:
        if scalar.value < 0x20 || scalar.value == 0x7F {
          let digits = String(scalar.value, radix: 16)
          result += "\\x" + String(repeating: "0", count: 2 - digits.count) + digits
        } else {
          result.unicodeScalars.append(scalar)
        }
      }
    }
    result.append(quote)
    return result
  }
}

/// A recursive descent over the bytes of one literal, with bounded depth.
private struct LiteralReader {
  let bytes: [UInt8]
  let allowsArithmetic: Bool
  var position = 0
  var depth = 0
  /// Inside brackets a line end means nothing.
  var brackets = 0

  init(bytes: [UInt8], allowsArithmetic: Bool) {
    self.bytes = bytes
    self.allowsArithmetic = allowsArithmetic
  }

  var next: UInt8? { position < bytes.count ? bytes[position] : nil }

  func sees(_ character: Unicode.Scalar, _ distance: Int = 0) -> Bool {
    position + distance < bytes.count && bytes[position + distance] == UInt8(ascii: character)
  }

  var isAtLineEnd: Bool { sees("\n") || sees("\r") }

  mutating func document() -> ConfigurationValue? {
    guard !bytes.contains(0) else { return nil }
    skipSpace()
    // Empty lines before the literal, which must then begin its line.
    while isAtLineEnd || sees("#") {
      skipComment()
      guard next != nil else { return nil }
      position += 1
      let start = position
      skipSpace()
      if !isAtLineEnd, !sees("#"), position != start { return nil }
    }
    guard let first = expression() else { return nil }
    skipSpace()
    var result = first
    if sees(",") {
      // A bare tuple such as `1,5`.
      position += 1
      guard let rest = elements(until: nil) else { return nil }
      result = .list([first] + rest)
    }
    while isAtLineEnd || sees("#") {
      skipComment()
      if next != nil { position += 1 }
      let start = position
      skipSpace()
      // Blanks on a last line without its end are an indentation to Python.
      if next == nil, position > start, bytes[position - 1] != 0x0C { return nil }
    }
    return position == bytes.count ? result : nil
  }

  mutating func skipComment() {
    guard sees("#") else { return }
    while next != nil, !isAtLineEnd { position += 1 }
  }

  mutating func skipSpace() {
    while true {
      if sees(" ") || sees("\t") || sees("\u{C}") {
        position += 1
      } else if sees("\\"), sees("\n", 1), position + 2 < bytes.count {
        position += 2
      } else if brackets > 0, isAtLineEnd {
        position += 1
      } else if brackets > 0, sees("#") {
        skipComment()
      } else {
        return
      }
    }
  }

  mutating func take(_ character: Unicode.Scalar) -> Bool {
    skipSpace()
    guard sees(character) else { return false }
    position += 1
    return true
  }

  mutating func expression() -> ConfigurationValue? {
    guard depth < 64 else { return nil }
    depth += 1
    defer { depth -= 1 }
    guard var left = term() else { return nil }
    guard allowsArithmetic else { return left }
    while true {
      skipSpace()
      guard let sign = next, sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-") else { return left }
      position += 1
      guard let right = term(), let result = combine(left, right, sign) else { return nil }
      left = result
    }
  }

  mutating func term() -> ConfigurationValue? {
    guard var left = unary() else { return nil }
    guard allowsArithmetic else { return left }
    while true {
      skipSpace()
      guard let sign = next, sign == UInt8(ascii: "*") || sign == UInt8(ascii: "/") else { return left }
      position += 1
      guard let right = unary(), let result = combine(left, right, sign) else { return nil }
      left = result
    }
  }

  func combine(_ left: ConfigurationValue, _ right: ConfigurationValue, _ sign: UInt8) -> ConfigurationValue? {
    if case .integer(let a) = left, case .integer(let b) = right, sign != UInt8(ascii: "/") {
      let (value, overflow) =
        switch sign {
        case UInt8(ascii: "+"): a.addingReportingOverflow(b)
        case UInt8(ascii: "-"): a.subtractingReportingOverflow(b)
        default: a.multipliedReportingOverflow(by: b)
        }
      if !overflow { return .integer(value) }
    }
    guard let a = left.asNumber, let b = right.asNumber else { return nil }
    switch sign {
    case UInt8(ascii: "+"): return .number(a + b)
    case UInt8(ascii: "-"): return .number(a - b)
    case UInt8(ascii: "*"): return .number(a * b)
    default: return b == 0 ? nil : .number(a / b)
    }
  }

  mutating func unary() -> ConfigurationValue? {
    skipSpace()
    var isNegative = false
    var signs = 0
    while let byte = next, byte == UInt8(ascii: "-") || byte == UInt8(ascii: "+") {
      if byte == UInt8(ascii: "-") { isNegative.toggle() }
      signs += 1
      position += 1
      skipSpace()
    }
    // A literal has one sign at most, right before its number.
    guard allowsArithmetic || signs == 0 || (signs == 1 && isNumberAhead) else { return nil }
    guard let value = primary() else { return nil }
    guard signs > 0 else { return value }
    switch value {
    case .integer(let number):
      guard isNegative else { return value }
      let (negated, overflow) = 0.subtractingReportingOverflow(number)
      return overflow ? .number(-Double(number)) : .integer(negated)
    case .largeInteger(let digits):
      guard isNegative else { return value }
      return Int("-" + digits).map { .integer($0) } ?? .largeInteger("-" + digits)
    case .number(let number): return .number(isNegative ? -number : number)
    default: return nil
    }
  }

  /// Whether digits follow, in parentheses or not.
  private var isNumberAhead: Bool {
    let rest = bytes[position...].drop { "( \t".utf8.contains($0) }
    return rest.first.map { (0x30...0x39).contains($0) || $0 == UInt8(ascii: ".") } ?? false
  }

  mutating func primary() -> ConfigurationValue? {
    skipSpace()
    guard let byte = next else { return nil }
    switch byte {
    case UInt8(ascii: "["): return bracketed { $0.elements(until: "]").map { .list($0) } }
    case UInt8(ascii: "("):
      return bracketed { reader in
        if reader.take(")") { return .list([]) }
        guard let first = reader.expression() else { return nil }
        if reader.take(")") { return first }
        guard reader.take(",") else { return nil }
        return reader.elements(until: ")").map { .list([first] + $0) }
      }
    case UInt8(ascii: "{"): return bracketed { $0.mapping() }
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."): return number()
    default: return wordOrText()
    }
  }

  private mutating func bracketed(
    _ read: (inout LiteralReader) -> ConfigurationValue?
  ) -> ConfigurationValue? {
    position += 1
    brackets += 1
    defer { brackets -= 1 }
    return read(&self)
  }

  /// Elements separated by commas up to a closing bracket, or to the end of the literal.
  mutating func elements(until close: Unicode.Scalar?) -> [ConfigurationValue]? {
    var result: [ConfigurationValue] = []
    func isClosed(_ reader: inout LiteralReader) -> Bool {
      if let close { return reader.take(close) }
      reader.skipSpace()
      return reader.next == nil || reader.isAtLineEnd || reader.sees("#")
    }
    while !isClosed(&self) {
      guard let value = expression() else { return nil }
      result.append(value)
      if !take(",") { return isClosed(&self) ? result : nil }
    }
    return result
  }

  mutating func mapping() -> ConfigurationValue? {
    var result = ConfigurationMapping()
    while !take("}") {
      guard let key = expression(), take(":"), let value = expression() else { return nil }
      switch key {
      case .list, .mapping: return nil
      default: result.set(value, for: key)
      }
      if !take(",") { return take("}") ? .mapping(result) : nil }
    }
    return .mapping(result)
  }

  mutating func number() -> ConfigurationValue? {
    let start = position
    while let byte = next {
      let isExponentSign =
        (byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-")) && position > start
        && (bytes[position - 1] | 0x20) == UInt8(ascii: "e")
        && !(bytes.count > start + 1 && (bytes[start + 1] | 0x20) == UInt8(ascii: "x"))
      let letter = byte | 0x20
      let isPart =
        byte == UInt8(ascii: ".") || byte == UInt8(ascii: "_") || (0x30...0x39).contains(byte)
        || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(letter) || isExponentSign
      guard isPart else { break }
      position += 1
    }
    return NumberText.python(String(decoding: bytes[start..<position], as: UTF8.self))
  }

  mutating func wordOrText() -> ConfigurationValue? {
    let start = position
    while let byte = next, (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) { position += 1 }
    if sees("'") || sees("\"") {
      position = start
      return texts().map { .text($0) }
    }
    switch String(decoding: bytes[start..<position], as: UTF8.self) {
    case "True": return .boolean(true)
    case "False": return .boolean(false)
    case "None": return .null
    default: return nil
    }
  }
}

// MARK: - Text

extension LiteralReader {
  /// One or more texts in quotes, which Python joins.
  fileprivate mutating func texts() -> String? {
    var result = ""
    while true {
      let start = position
      while let byte = next, (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) { position += 1 }
      guard sees("'") || sees("\"") else {
        position = start
        return start == 0 ? nil : result
      }
      let isRaw: Bool
      switch String(decoding: bytes[start..<position], as: UTF8.self) {
      case "", "u", "U": isRaw = false
      case "r", "R": isRaw = true
      default: return nil
      }
      guard let text = quoted(isRaw: isRaw) else { return nil }
      result += text
      skipSpace()
    }
  }

  private mutating func quoted(isRaw: Bool) -> String? {
    guard let quote = next else { return nil }
    let isTriple =
      position + 2 < bytes.count && bytes[position + 1] == quote && bytes[position + 2] == quote
    position += isTriple ? 3 : 1
    var text: [UInt8] = []
    while let byte = next {
      if byte == quote {
        let closes =
          !isTriple || (position + 2 < bytes.count && bytes[position + 1] == quote && bytes[position + 2] == quote)
        position += isTriple && closes ? 3 : 1
        if closes { return String(validating: text, as: UTF8.self) }
        text.append(byte)
      } else if byte == UInt8(ascii: "\\") {
        guard isRaw ? takeRaw(into: &text) : takeEscape(into: &text) else { return nil }
      } else {
        if !isTriple, isAtLineEnd { return nil }
        text.append(byte)
        position += 1
      }
    }
    return nil
  }

  private mutating func takeRaw(into text: inout [UInt8]) -> Bool {
    guard position + 1 < bytes.count else { return false }
    text += bytes[position...(position + 1)]
    position += 2
    return true
  }

  private mutating func takeEscape(into text: inout [UInt8]) -> Bool {
    position += 1
    guard let escape = next else { return false }
    position += 1
    switch escape {
    case UInt8(ascii: "\n"): return true
    case UInt8(ascii: "\\"), UInt8(ascii: "'"), UInt8(ascii: "\""): text.append(escape)
    case UInt8(ascii: "a"): text.append(0x07)
    case UInt8(ascii: "b"): text.append(0x08)
    case UInt8(ascii: "f"): text.append(0x0C)
    case UInt8(ascii: "n"): text.append(0x0A)
    case UInt8(ascii: "r"): text.append(0x0D)
    case UInt8(ascii: "t"): text.append(0x09)
    case UInt8(ascii: "v"): text.append(0x0B)
    case UInt8(ascii: "x"): return takeNumber(digits: 2...2, radix: 16, into: &text)
    case UInt8(ascii: "u"): return takeNumber(digits: 4...4, radix: 16, into: &text)
    case UInt8(ascii: "U"): return takeNumber(digits: 8...8, radix: 16, into: &text)
    case UInt8(ascii: "0")...UInt8(ascii: "7"):
      position -= 1
      return takeNumber(digits: 1...3, radix: 8, into: &text)
    case UInt8(ascii: "N"): return false
    default: text += [UInt8(ascii: "\\"), escape]
    }
    return true
  }

  private mutating func takeNumber(digits: ClosedRange<Int>, radix: UInt32, into text: inout [UInt8]) -> Bool {
    var value: UInt32 = 0
    var count = 0
    while count < digits.upperBound, let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue,
      digit < radix
    {
      value = value << (radix == 8 ? 3 : 4) | UInt32(digit)
      position += 1
      count += 1
    }
    guard count >= digits.lowerBound, let scalar = Unicode.Scalar(value) else { return false }
    text += String(Character(scalar)).utf8
    return true
  }
}
