/// A value that is printed as JSON, keys in the order in which they are given.
indirect enum JSONText {
  case null
  case boolean(Bool)
  case integer(Int)
  case number(Double)
  case text(String)
  case list([JSONText])
  case object([(String, JSONText)])
  /// What `nested` gave, elsewhere.
  case written(String)

  /// The text, on one line with a space after commas and colons, as Python's `json.dump` lays it out.
  var line: String {
    var text = ""
    write(into: &text, indent: nil, depth: 0)
    return text
  }

  /// The text for people: one entry of an outer object or list per line.
  var indented: String {
    var text = ""
    write(into: &text, indent: 2, depth: 0)
    return text
  }

  /// The text as an entry of an outer list for people.
  var nested: String {
    var text = ""
    write(into: &text, indent: 2, depth: 1)
    return text
  }

  private var isFlat: Bool {
    switch self {
    case .list(let list):
      list.allSatisfy {
        switch $0 {
        case .list, .object, .written: false
        default: true
        }
      }
    case .object(let entries): entries.isEmpty
    default: true
    }
  }

  private func write(into text: inout String, indent: Int?, depth: Int) {
    switch self {
    case .null: text += "null"
    case .boolean(let value): text += value ? "true" : "false"
    case .integer(let value): text += "\(value)"
    case .number(let value): text += value.isFinite ? "\(value)" : "null"
    case .written(let value): text += value
    case .text(let value): JSONText.quote(value, into: &text)
    case .list(let list):
      // Lists of plain values stay on one line.
      let indent = isFlat ? nil : indent
      text += "["
      for (index, value) in list.enumerated() {
        JSONText.separate(index, indent, depth + 1, &text)
        value.write(into: &text, indent: indent, depth: depth + 1)
      }
      if !list.isEmpty { JSONText.newLine(indent, depth, &text) }
      text += "]"
    case .object(let entries):
      text += "{"
      for (index, entry) in entries.enumerated() {
        JSONText.separate(index, indent, depth + 1, &text)
        JSONText.quote(entry.0, into: &text)
        text += ": "
        entry.1.write(into: &text, indent: indent, depth: depth + 1)
      }
      if !entries.isEmpty { JSONText.newLine(indent, depth, &text) }
      text += "}"
    }
  }

  private static func separate(_ index: Int, _ indent: Int?, _ depth: Int, _ text: inout String) {
    if index > 0 { text += indent == nil ? ", " : "," }
    newLine(indent, depth, &text)
  }

  private static func newLine(_ indent: Int?, _ depth: Int, _ text: inout String) {
    if let indent { text += "\n" + String(repeating: " ", count: indent * depth) }
  }

  private static func quote(_ value: String, into text: inout String) {
    text += "\""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      case "\t": text += "\\t"
      default:
        if scalar.value < 0x20 {
          let digits = String(scalar.value, radix: 16)
          text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        } else {
          text.unicodeScalars.append(scalar)
        }
      }
    }
    text += "\""
  }
}
