import HGNetCore

/// A value of a configuration: what a YAML file or an override says, before anybody asks what it means.
///
/// Threads: a value, safe to share.
public indirect enum ConfigurationValue: Sendable, Hashable {
  /// Nothing: an empty entry, `null` or `None`.
  case null
  /// A truth value.
  case boolean(Bool)
  /// A whole number.
  case integer(Int)
  /// A whole number that 64 bits cannot hold: its decimal digits, after a minus sign where it is below zero.
  case largeInteger(String)
  /// A number with a fraction or an exponent.
  case number(Double)
  /// Text.
  case text(String)
  /// Values in order.
  case list([ConfigurationValue])
  /// Named values in the order of the file.
  case mapping(ConfigurationMapping)

  /// What a person would call the value in an error message.
  public var kind: String {
    switch self {
    case .null: "nothing"
    case .boolean(let value): value ? "True" : "False"
    case .integer(let value): "\(value)"
    case .largeInteger(let digits): "\(digits.prefix(30))\(digits.utf8.count > 30 ? "…" : "")"
    case .number(let value): "\(value)"
    case .text(let value): "the text \(HGNetError.quoted(value))"
    case .list: "a list"
    case .mapping: "a mapping"
    }
  }

  /// Whether the value is `null`, or switches something off: `False`, 0, empty text.
  public var isOff: Bool {
    switch self {
    case .null, .boolean(false), .integer(0), .text(""): true
    default: false
    }
  }
}

/// Named values in the order in which they were written.
///
/// A name is text nearly always; what else YAML allows (`1`, `True`) counts as the text that Python would print for it.
public struct ConfigurationMapping: Sendable, Hashable {
  /// A name: its text, and its value where that is no text.
  private struct Name: Sendable, Hashable {
    let text: String
    let value: ConfigurationValue?
  }

  private var names: [Name] = []
  private var values: [Name: ConfigurationValue] = [:]

  /// Makes an empty mapping.
  public init() {}

  /// The names in order.
  public var keys: [String] { names.map(\.text) }

  /// The value of a name; assigning adds it at the end, replaces it in place, or removes it with nil.
  public subscript(key: String) -> ConfigurationValue? {
    get { values[name(key)] }
    set {
      let name = name(key)
      if newValue != nil, values[name] == nil { names.append(name) }
      if newValue == nil, values[name] != nil { names.removeAll { $0 == name } }
      values[name] = newValue
    }
  }

  /// The number of names.
  public var count: Int { names.count }

  /// Names and values in order.
  public var entries: [(key: String, value: ConfigurationValue)] {
    names.compactMap { name in values[name].map { (name.text, $0) } }
  }

  private func name(_ text: String) -> Name {
    let name = Name(text: text, value: nil)
    if values[name] != nil { return name }
    return names.first { $0.text == text } ?? name
  }

  private static func name(_ key: ConfigurationValue) -> Name {
    if case .text(let text) = key { return Name(text: text, value: nil) }
    if case .number(let value) = key, value.isNaN { return Name(text: "nan", value: nil) }
    // Python takes 1, 1.0 and True for one name.
    return Name(text: key.plainText, value: key.unified)
  }

  /// Assigns a value to a name of any kind, in place or at the end.
  mutating func set(_ value: ConfigurationValue, for key: ConfigurationValue) {
    var name = ConfigurationMapping.name(key)
    if name.value != nil, let known = names.first(where: { $0.value == name.value }) { name = known }
    if values.updateValue(value, forKey: name) == nil { names.append(name) }
  }

  /// Whether there is a name of this kind and text.
  func holds(_ key: ConfigurationValue) -> Bool {
    let name = ConfigurationMapping.name(key)
    return name.value == nil ? values[name] != nil : names.contains { $0.value == name.value }
  }

  /// Names of every kind and values in order.
  package var typedEntries: [(key: ConfigurationValue, value: ConfigurationValue)] {
    names.compactMap { name in
      values[name].map { (name.value.map { $0.printed(as: name.text) } ?? .text(name.text), $0) }
    }
  }
}

extension ConfigurationValue {
  /// The value under a dotted path such as `Infer.transforms.1.ResizeImage`, nil where a part is missing.
  public func value(at path: some StringProtocol) -> ConfigurationValue? {
    var current = self
    for part in path.split(separator: ".") {
      switch current {
      case .mapping(let mapping):
        guard let next = mapping[String(part)] else { return nil }
        current = next
      case .list(let list):
        guard let index = Int(part), list.indices.contains(index) else { return nil }
        current = list[index]
      default: return nil
      }
    }
    return current
  }

  /// The values as lines of `key : value`, indented by four spaces per level.
  ///
  /// PaddleClas logs its configuration in this form at the start of every run.
  public func lines(indent: Int = 0) -> [String] {
    let space = String(repeating: " ", count: indent)
    switch self {
    case .mapping(let mapping):
      return mapping.entries.flatMap { key, value -> [String] in
        switch value {
        case .mapping, .list: return ["\(space)\(key) : "] + value.lines(indent: indent + 4)
        default: return ["\(space)\(key) : \(value.plainText)"]
        }
      }
    case .list(let list):
      return list.flatMap { value -> [String] in
        if case .mapping = value { return value.lines(indent: indent) }
        return ["\(space)\(value.plainText)"]
      }
    default: return [space + plainText]
    }
  }

  fileprivate var plainText: String {
    switch self {
    case .null: "None"
    case .boolean(let value): value ? "True" : "False"
    case .integer(let value): "\(value)"
    case .largeInteger(let digits): digits
    case .number(let value): "\(value)"
    case .text(let value): value
    case .list(let list): "[" + list.map(\.plainText).joined(separator: ", ") + "]"
    case .mapping(let mapping):
      "{" + mapping.entries.map { "\($0.key): \($0.value.plainText)" }.joined(separator: ", ") + "}"
    }
  }

  /// The number as floating point; nil for what is none.
  var asNumber: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .largeInteger(let digits): Double(digits)
    case .number(let value): value
    default: nil
    }
  }

  /// What two names have in common that are equal in Python.
  fileprivate var unified: ConfigurationValue {
    switch self {
    case .boolean(let value): .integer(value ? 1 : 0)
    case .number(let value): Int(exactly: value).map { .integer($0) } ?? self
    default: self
    }
  }

  /// The name before it was unified.
  fileprivate func printed(as text: String) -> ConfigurationValue {
    switch text {
    case "True": .boolean(true)
    case "False": .boolean(false)
    default: text == plainText ? self : Double(text).map { .number($0) } ?? self
    }
  }
}
