import HGNetCore

/// A value of a JSON document (RFC 8259).
///
/// Objects keep their members in the order of the document. Threads: a value, safe to share.
package enum JSON: Sendable, Equatable {
  case null
  case bool(Bool)
  /// A number without fraction and exponent that fits 64 bits.
  case integer(Int)
  case number(Double)
  case string(String)
  case array([JSON])
  case object([Member])

  /// A key of an object with its value.
  package struct Member: Sendable, Equatable {
    /// The key, unique in its object.
    package let key: String
    /// What belongs to it.
    package let value: JSON

    /// Puts both together.
    package init(key: String, value: JSON) {
      self.key = key
      self.value = value
    }
  }

  /// Reads a document strictly: nothing is repaired, keys may not repeat, only white space may follow.
  ///
  /// Nesting is limited to 64 levels, the document to `maximumValueCount` values.
  ///
  /// - Throws: `HGNetError.Code.malformedData` naming the byte, `limitExceeded`.
  package init(_ bytes: UnsafeRawBufferPointer, maximumValueCount: Int = 1 << 22) throws(HGNetError) {
    var parser = JSONParser(bytes: bytes, remainingValues: maximumValueCount)
    self = try parser.document()
  }

  /// The value of a key, if this is an object that has it.
  package subscript(key: String) -> JSON? { members?.first { $0.key == key }?.value }

  /// The members, if this is an object.
  package var members: [Member]? {
    guard case .object(let members) = self else { return nil }
    return members
  }

  /// The elements, if this is an array.
  package var elements: [JSON]? {
    guard case .array(let elements) = self else { return nil }
    return elements
  }

  /// The text, if this is a string.
  package var text: String? {
    guard case .string(let text) = self else { return nil }
    return text
  }

  /// The value, if this is a number.
  package var double: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  /// The value, if this is an integer.
  package var integer: Int? {
    guard case .integer(let value) = self else { return nil }
    return value
  }

  /// A string as JSON writes it, quotes included.
  package static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case _ where scalar.value < 0x20:
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}

/// The state of reading one document.
private struct JSONParser {
  private static let maximumDepth = 64

  let bytes: UnsafeRawBufferPointer
  var remainingValues: Int
  private var position = 0

  init(bytes: UnsafeRawBufferPointer, remainingValues: Int) {
    self.bytes = bytes
    self.remainingValues = remainingValues
  }

  mutating func document() throws(HGNetError) -> JSON {
    let value = try value(depth: 0)
    skipWhiteSpace()
    guard position == bytes.count else { throw unexpected("the end of the document") }
    return value
  }

  private mutating func value(depth: Int) throws(HGNetError) -> JSON {
    remainingValues -= 1
    guard remainingValues >= 0 else {
      throw HGNetError(.limitExceeded, "the JSON document holds more values than any model needs")
    }
    guard depth < JSONParser.maximumDepth else {
      throw HGNetError(.limitExceeded, "the JSON document is nested more than \(JSONParser.maximumDepth) levels deep")
    }
    skipWhiteSpace()
    switch peek {
    case UInt8(ascii: "{"): return try object(depth: depth)
    case UInt8(ascii: "["): return try array(depth: depth)
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try literal("true", .bool(true))
    case UInt8(ascii: "f"): return try literal("false", .bool(false))
    case UInt8(ascii: "n"): return try literal("null", .null)
    default: return try number()
    }
  }

  private mutating func object(depth: Int) throws(HGNetError) -> JSON {
    var members: [JSON.Member] = []
    // Small objects are searched, large ones indexed: a model has thousands of the first and one of the second.
    var keys: Set<String> = []
    position += 1
    skipWhiteSpace()
    if take("}") { return .object(members) }
    repeat {
      skipWhiteSpace()
      guard peek == UInt8(ascii: "\"") else { throw unexpected("a key in quotes") }
      let key = try string()
      let isRepeated: Bool
      if members.count < 16 {
        isRepeated = members.contains { $0.key == key }
      } else {
        if keys.isEmpty { keys.formUnion(members.map(\.key)) }
        isRepeated = !keys.insert(key).inserted
      }
      guard !isRepeated else { throw HGNetError(.malformedData, "the key \(JSON.quoted(key)) appears twice") }
      skipWhiteSpace()
      guard take(":") else { throw unexpected("a colon after a key") }
      members.append(JSON.Member(key: key, value: try value(depth: depth + 1)))
      skipWhiteSpace()
    } while take(",")
    guard take("}") else { throw unexpected("a comma or the end of an object") }
    return .object(members)
  }

  private mutating func array(depth: Int) throws(HGNetError) -> JSON {
    var elements: [JSON] = []
    position += 1
    skipWhiteSpace()
    if take("]") { return .array(elements) }
    repeat {
      elements.append(try value(depth: depth + 1))
      skipWhiteSpace()
    } while take(",")
    guard take("]") else { throw unexpected("a comma or the end of an array") }
    return .array(elements)
  }

  private mutating func literal(_ word: StaticString, _ value: JSON) throws(HGNetError) -> JSON {
    for offset in 0..<word.utf8CodeUnitCount {
      guard position < bytes.count, bytes[position] == word.utf8Start[offset] else { throw unexpected("\(word)") }
      position += 1
    }
    return value
  }

  private mutating func number() throws(HGNetError) -> JSON {
    let start = position
    var isInteger = true
    _ = take("-")
    if take("0") {
      // A leading zero stands alone.
    } else {
      guard takeDigits() else { throw unexpected("a value") }
    }
    if take(".") {
      isInteger = false
      guard takeDigits() else { throw unexpected("a digit after the decimal point") }
    }
    if take("e") || take("E") {
      isInteger = false
      if !take("+") { _ = take("-") }
      guard takeDigits() else { throw unexpected("a digit in the exponent") }
    }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    if isInteger, let value = Int(text) { return .integer(value) }
    guard let value = Double(text), value.isFinite else {
      throw HGNetError(.malformedData, "the number \(text.prefix(40)) at byte \(start) is beyond 64 bits")
    }
    return .number(value)
  }

  private mutating func string() throws(HGNetError) -> String {
    position += 1
    let start = position
    while position < bytes.count, bytes[position] != UInt8(ascii: "\""), bytes[position] != UInt8(ascii: "\\"),
      bytes[position] >= 0x20
    {
      position += 1
    }
    if peek == UInt8(ascii: "\"") {
      defer { position += 1 }
      return try text(bytes[start..<position], at: start)
    }
    var units = Array(bytes[start..<position])
    while true {
      guard let byte = peek, byte >= 0x20 else { throw unexpected("the end of a string") }
      position += 1
      if byte == UInt8(ascii: "\"") { break }
      if byte == UInt8(ascii: "\\") {
        try escape(into: &units)
      } else {
        units.append(byte)
      }
    }
    return try text(units[...], at: start)
  }

  private func text(_ units: some Collection<UInt8>, at start: Int) throws(HGNetError) -> String {
    guard let text = String(validating: units, as: UTF8.self) else {
      throw HGNetError(.malformedData, "the string at byte \(start) is not UTF-8")
    }
    return text
  }

  private mutating func escape(into units: inout [UInt8]) throws(HGNetError) {
    guard let byte = peek else { throw unexpected("an escape") }
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): units.append(byte)
    case UInt8(ascii: "b"): units.append(0x08)
    case UInt8(ascii: "f"): units.append(0x0C)
    case UInt8(ascii: "n"): units.append(0x0A)
    case UInt8(ascii: "r"): units.append(0x0D)
    case UInt8(ascii: "t"): units.append(0x09)
    case UInt8(ascii: "u"):
      var value = try hexadecimal()
      if (0xD800..<0xDC00).contains(value) {
        guard take("\\"), take("u") else { throw unexpected("the second half of a surrogate pair") }
        let low = try hexadecimal()
        guard (0xDC00..<0xE000).contains(low) else { throw unexpected("the second half of a surrogate pair") }
        value = 0x10000 + (value - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(value) else { throw unexpected("a pair of surrogates") }
      units.append(contentsOf: UTF8.encode(scalar).map { Array($0) } ?? [])
    default:
      position -= 1
      throw unexpected("an escape")
    }
  }

  private mutating func hexadecimal() throws(HGNetError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = peek, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw unexpected("four hexadecimal digits")
      }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    return value
  }

  private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    guard position < bytes.count, UInt32(bytes[position]) == character.value else { return false }
    position += 1
    return true
  }

  private mutating func takeDigits() -> Bool {
    let start = position
    while let byte = peek, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { position += 1 }
    return position > start
  }

  private mutating func skipWhiteSpace() {
    while let byte = peek, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
  }

  private func unexpected(_ expected: String) -> HGNetError {
    let found = peek.map { (0x21...0x7E).contains($0) ? "\"\(Character(Unicode.Scalar($0)))\"" : "byte \($0)" }
    return HGNetError(
      .malformedData, "JSON: expected \(expected) at byte \(position), found \(found ?? "the end of the document")")
  }
}
