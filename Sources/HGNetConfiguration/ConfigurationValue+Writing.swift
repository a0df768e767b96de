extension ConfigurationValue {
  /// The values as a YAML file, which reads back as the same values.
  ///
  /// Lists of plain values stand on one line, everything else in blocks indented by two spaces.
  public var yaml: String {
    var text = ""
    switch self {
    case .mapping(let mapping) where mapping.count > 0: ConfigurationValue.write(mapping, indent: 0, into: &text)
    case .list(let list) where !isPlain: ConfigurationValue.write(list, indent: 0, into: &text)
    default: text = flow + "\n"
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

  private var flow: String {
    switch self {
    case .null: "null"
    case .boolean(let value): value ? "True" : "False"
    case .integer(let value): "\(value)"
    case .number(let value):
      value.isNaN ? ".nan" : value.isInfinite ? (value < 0 ? "-.inf" : ".inf") : ConfigurationValue.number(value)
    case .text(let value): ConfigurationValue.quoted(value)
    case .list(let list): "[" + list.map(\.flow).joined(separator: ", ") + "]"
    case .mapping(let mapping):
      "{" + mapping.entries.map { "\(ConfigurationValue.quoted($0.key)): \($0.value.flow)" }.joined(separator: ", ")
        + "}"
    }
  }

  /// A number with a point, without which YAML 1.1 takes `2e-05` for text.
  private static func number(_ value: Double) -> String {
    let text = "\(value)"
    guard !text.utf8.contains(UInt8(ascii: ".")), let exponent = text.firstIndex(of: "e") else { return text }
    return text[..<exponent] + ".0" + text[exponent...]
  }

  private static func write(_ mapping: ConfigurationMapping, indent: Int, into text: inout String) {
    for (index, (key, value)) in mapping.entries.enumerated() {
      if indent == 0, index > 0 { text += "\n" }
      text += String(repeating: " ", count: indent)
      write(key, value, indent: indent, into: &text)
    }
  }

  private static func write(_ key: String, _ value: ConfigurationValue, indent: Int, into text: inout String) {
    text += quoted(key) + ":"
    switch value {
    case .mapping(let inner) where inner.count > 0:
      text += "\n"
      write(inner, indent: indent + 2, into: &text)
    case .list(let list) where !value.isPlain:
      text += "\n"
      write(list, indent: indent + 2, into: &text)
    default: text += " \(value.flow)\n"
    }
  }

  private static func write(_ list: [ConfigurationValue], indent: Int, into text: inout String) {
    for element in list {
      text += String(repeating: " ", count: indent) + "- "
      guard case .mapping(let mapping) = element, mapping.count > 0 else {
        text += element.flow + "\n"
        continue
      }
      for (index, (key, value)) in mapping.entries.enumerated() {
        if index > 0 { text += String(repeating: " ", count: indent + 2) }
        write(key, value, indent: indent + 2, into: &text)
      }
    }
  }

  /// Text as it stands where that reads back as the same text, else in double quotes.
  private static func quoted(_ text: String) -> String {
    let isWord = text.utf8.allSatisfy {
      switch $0 {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "/"),
        UInt8(ascii: "-"):
        true
      default: false
      }
    }
    if isWord, text.utf8.first != UInt8(ascii: "-"), (try? ConfigurationValue(yaml: text)) == .text(text) {
      return text
    }
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\": result += "\\\(scalar)"
      case "\n": result += "\\n"
      case "\t": result += "\\t"
      case "\r": result += "\\r"
      default:
        if scalar.value < 0x20 || scalar.value == 0x7F {
          let digits = String(scalar.value, radix: 16)
          result += "\\x" + (digits.count < 2 ? "0" : "") + digits
        } else {
          result.unicodeScalars.append(scalar)
        }
      }
    }
    return result + "\""
  }
}
