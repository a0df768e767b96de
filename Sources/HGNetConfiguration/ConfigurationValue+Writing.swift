extension ConfigurationValue {
  /// The values as a YAML file, which reads back as the same values.
  ///
  /// Lists of plain values stand on one line, everything else in blocks indented by two spaces.
  public var yaml: String {
    var text = ""
    switch self {
    case .mapping(let mapping) where mapping.count > 0:
      ConfigurationValue.write(mapping, indent: 0, isWalked: true, into: &text)
    case .list(let list) where !isPlain: ConfigurationValue.write(list, indent: 0, into: &text)
    default: text = flow(isWalked: false) + "\n"
    }
    return text
  }

  /// Whether the value fits on the line of its name.
  private var isPlain: Bool {
    switch self {
    case .mapping(let mapping): mapping.count == 0
    case .list(let list):
      list.allSatisfy {
        switch $0 {
        case .mapping, .list: false
        default: true
        }
      }
    default: true
    }
  }

  private func flow(isWalked: Bool) -> String {
    switch self {
    case .null: "null"
    case .boolean(let value): value ? "True" : "False"
    case .integer(let value): "\(value)"
    case .largeInteger(let digits): digits
    case .number(let value):
      value.isNaN ? ".nan" : value.isInfinite ? (value < 0 ? "-.inf" : ".inf") : ConfigurationValue.number(value)
    case .text(let value): ConfigurationValue.quoted(value, isWalked: isWalked)
    case .list(let list): "[" + list.map { $0.flow(isWalked: false) }.joined(separator: ", ") + "]"
    case .mapping(let mapping):
      "{"
        + mapping.typedEntries.map {
          let key = $0.key.flow(isWalked: false)
          let sign = ConfigurationValue.isLong(key) ? "? " : ""
          return "\(sign)\(key): \($0.value.flow(isWalked: isWalked))"
        }.joined(separator: ", ") + "}"
    }
  }

  /// A number with a point, without which YAML 1.1 takes `2e-05` for text.
  private static func number(_ value: Double) -> String {
    let text = "\(value)"
    guard !text.utf8.contains(UInt8(ascii: ".")), let exponent = text.firstIndex(of: "e") else { return text }
    return text[..<exponent] + ".0" + text[exponent...]
  }

  /// `isWalked`: whether text that is a Python literal becomes its value, as it does under mappings outside lists.
  private static func write(_ mapping: ConfigurationMapping, indent: Int, isWalked: Bool, into text: inout String) {
    for (index, (key, value)) in mapping.typedEntries.enumerated() {
      if indent == 0, index > 0 { text += "\n" }
      text += String(repeating: " ", count: indent)
      write(key, value, indent: indent, isWalked: isWalked, into: &text)
    }
  }

  /// Whether a key is so long that readers of YAML find its colon only with `? ` before it.
  private static func isLong(_ key: String) -> Bool { key.unicodeScalars.count > 1000 }

  private static func write(
    _ key: ConfigurationValue, _ value: ConfigurationValue, indent: Int, isWalked: Bool, into text: inout String
  ) {
    let name = key.flow(isWalked: false)
    text += isLong(name) ? "? \(name)\n\(String(repeating: " ", count: indent)):" : name + ":"
    switch value {
    case .mapping(let inner) where inner.count > 0:
      text += "\n"
      write(inner, indent: indent + 2, isWalked: isWalked, into: &text)
    case .list(let list) where !value.isPlain:
      text += "\n"
      write(list, indent: indent + 2, into: &text)
    default: text += " \(value.flow(isWalked: isWalked))\n"
    }
  }

  private static func write(_ list: [ConfigurationValue], indent: Int, into text: inout String) {
    for element in list {
      text += String(repeating: " ", count: indent) + "- "
      guard case .mapping(let mapping) = element, mapping.count > 0 else {
        text += element.flow(isWalked: false) + "\n"
        continue
      }
      for (index, (key, value)) in mapping.typedEntries.enumerated() {
        if index > 0 { text += String(repeating: " ", count: indent + 2) }
        write(key, value, indent: indent + 2, isWalked: false, into: &text)
      }
    }
  }

  /// Text as it stands where every reader takes it for the same text, else in double quotes.
  private static func quoted(_ text: String, isWalked: Bool) -> String {
    // A literal in quotes of its own stays text when it is read.
    if isWalked, let literal = PythonLiteral.parse(text), literal != .text(text) {
      return quoted(PythonLiteral.quoted(text), isWalked: false)
    }
    if isWord(text) { return text }
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\": result += "\\\(scalar)"
      case "\n": result += "\\n"
      case "\t": result += "\\t"
      case "\r": result += "\\r"
      default:
        if isYAMLPrintable(scalar.value), !isYAMLLineEnd(scalar.value), scalar != "\u{FEFF}" {
          result.unicodeScalars.append(scalar)
        } else {
          result += escape(scalar.value)
        }
      }
    }
    return result + "\""
  }

  private static func escape(_ character: UInt32) -> String {
    let digits = String(character, radix: 16)
    let (sign, count) = character < 0x100 ? ("x", 2) : character < 0x1_0000 ? ("u", 4) : ("U", 8)
    return "\\\(sign)" + String(repeating: "0", count: count - digits.utf8.count) + digits
  }

  /// Whether text needs no quotes: letters, digits and `_ . / -`, beginning with a letter, `.` or `/`, or a number with
  /// letters; and neither a number, a date nor a word of YAML.
  private static func isWord(_ text: String) -> Bool {
    let bytes = text.utf8
    let isPlain = bytes.allSatisfy {
      switch $0 {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "/"),
        UInt8(ascii: "-"):
        true
      default: false
      }
    }
    guard isPlain, let first = bytes.first, first != UInt8(ascii: "-") else { return false }
    // Other readers know more numbers than YAML 1.1, such as 0o17 and 1e5; and dates, and yes or no by one letter.
    let isNumberLike = (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) || first == UInt8(ascii: ".")
    if isNumberLike, PythonLiteral.parse(text) != nil || isDateLike(text) { return false }
    if bytes.count == 1, "yYnN".utf8.contains(first) { return false }
    return (try? plain(text)) == .text(text)
  }

  /// Whether text is digits and hyphens alone, as a date is.
  private static func isDateLike(_ text: String) -> Bool {
    text.utf8.contains(UInt8(ascii: "-"))
      && text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || $0 == UInt8(ascii: "-") }
  }
}
