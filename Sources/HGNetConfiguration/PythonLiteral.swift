/// Reads the Python literals that PaddleClas accepts as values, without running any code.
///
/// Numbers, quoted text, `True`, `False`, `None`, lists, tuples (as lists) and mappings with text keys; on request also
/// arithmetic with `+ - * /` and parentheses over numbers, which overrides such as `1/255` use. Numbers are whole where
/// Python would say so: `4/2` is 2.0, `2*3` is 6; whole numbers beyond 64 bits become floating point.
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

  init(bytes: [UInt8], allowsArithmetic: Bool) {
    self.bytes = bytes
    self.allowsArithmetic = allowsArithmetic
  }

  var next: UInt8? { position < bytes.count ? bytes[position] : nil }

  mutating func document() -> ConfigurationValue? {
    skipSpace()
    guard let first = expression() else { return nil }
    skipSpace()
    if allowsArithmetic, next == UInt8(ascii: ",") {
      // A bare tuple such as `1,5`.
      guard let rest = elements(after: first, until: nil) else { return nil }
      return .list(rest)
    }
    return position == bytes.count ? first : nil
  }

  mutating func skipSpace() {
    while let byte = next, byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D { position += 1 }
  }

  mutating func take(_ character: Unicode.Scalar) -> Bool {
    skipSpace()
    guard next == UInt8(ascii: character) else { return false }
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
    func double(_ value: ConfigurationValue) -> Double? {
      switch value {
      case .integer(let number): Double(number)
      case .number(let number): number
      default: nil
      }
    }
    guard let a = double(left), let b = double(right) else { return nil }
    switch sign {
    case UInt8(ascii: "+"): return .number(a + b)
    case UInt8(ascii: "-"): return .number(a - b)
    case UInt8(ascii: "*"): return .number(a * b)
    default: return b == 0 ? nil : .number(a / b)
    }
  }

  mutating func unary() -> ConfigurationValue? {
    skipSpace()
    var negative = false
    var isSigned = false
    while let byte = next, byte == UInt8(ascii: "-") || byte == UInt8(ascii: "+") {
      if byte == UInt8(ascii: "-") { negative.toggle() }
      isSigned = true
      position += 1
      skipSpace()
    }
    guard let value = primary() else { return nil }
    guard isSigned else { return value }
    switch value {
    case .integer(let number):
      guard negative else { return value }
      let (negated, overflow) = 0.subtractingReportingOverflow(number)
      return overflow ? .number(-Double(number)) : .integer(negated)
    case .number(let number): return .number(negative ? -number : number)
    default: return nil
    }
  }

  mutating func primary() -> ConfigurationValue? {
    skipSpace()
    guard let byte = next else { return nil }
    switch byte {
    case UInt8(ascii: "["):
      position += 1
      return elements(after: nil, until: "]").map { .list($0) }
    case UInt8(ascii: "("):
      position += 1
      if take(")") { return .list([]) }
      guard let first = expression() else { return nil }
      if take(")") { return first }
      return elements(after: first, until: ")").map { .list($0) }
    case UInt8(ascii: "{"): return mapping()
    case UInt8(ascii: "'"), UInt8(ascii: "\""): return quoted().map { .text($0) }
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."): return number()
    default: return word()
    }
  }

  /// Elements separated by commas up to a closing bracket, or to the end of the text.
  mutating func elements(after first: ConfigurationValue?, until close: Unicode.Scalar?) -> [ConfigurationValue]? {
    var result: [ConfigurationValue] = []
    func isClosed(_ reader: inout LiteralReader) -> Bool {
      if let close { return reader.take(close) }
      reader.skipSpace()
      return reader.position == reader.bytes.count
    }
    if let first {
      result.append(first)
      guard take(",") else { return isClosed(&self) ? result : nil }
    }
    while !isClosed(&self) {
      guard let value = expression() else { return nil }
      result.append(value)
      if !take(",") { return isClosed(&self) ? result : nil }
    }
    return result
  }

  mutating func mapping() -> ConfigurationValue? {
    position += 1
    var result = ConfigurationMapping()
    while !take("}") {
      guard case .text(let key)? = expression(), take(":"), let value = expression() else { return nil }
      result[key] = value
      if !take(",") { return take("}") ? .mapping(result) : nil }
    }
    return .mapping(result)
  }

  mutating func quoted() -> String? {
    guard let quote = next else { return nil }
    position += 1
    var text: [UInt8] = []
    while let byte = next {
      position += 1
      if byte == quote { return String(validating: text, as: UTF8.self) }
      guard byte == UInt8(ascii: "\\") else {
        if byte == 0x0A { return nil }
        text.append(byte)
        continue
      }
      guard let escape = next else { return nil }
      position += 1
      switch escape {
      case UInt8(ascii: "n"): text.append(0x0A)
      case UInt8(ascii: "t"): text.append(0x09)
      case UInt8(ascii: "r"): text.append(0x0D)
      case UInt8(ascii: "\\"), UInt8(ascii: "'"), UInt8(ascii: "\""): text.append(escape)
      default: text += [UInt8(ascii: "\\"), escape]
      }
    }
    return nil
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

  mutating func word() -> ConfigurationValue? {
    let start = position
    while let byte = next, (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) { position += 1 }
    switch String(decoding: bytes[start..<position], as: UTF8.self) {
    case "True": return .boolean(true)
    case "False": return .boolean(false)
    case "None": return .null
    default: return nil
    }
  }
}
