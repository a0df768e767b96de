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
    case .number(let value): "\(value)"
    case .text(let value): "the text \"\(value)\""
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
public struct ConfigurationMapping: Sendable, Hashable {
  /// The names in order.
  public private(set) var keys: [String] = []
  private var values: [String: ConfigurationValue] = [:]

  /// Makes an empty mapping.
  public init() {}

  /// The value of a name; assigning adds it at the end, replaces it in place, or removes it with nil.
  public subscript(key: String) -> ConfigurationValue? {
    get { values[key] }
    set {
      if newValue != nil, values[key] == nil { keys.append(key) }
      if newValue == nil, values[key] != nil { keys.removeAll { $0 == key } }
      values[key] = newValue
    }
  }

  /// The number of names.
  public var count: Int { keys.count }

  /// Names and values in order.
  public var entries: [(key: String, value: ConfigurationValue)] {
    keys.compactMap { key in values[key].map { (key, $0) } }
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

  private var plainText: String {
    switch self {
    case .null: "None"
    case .boolean(let value): value ? "True" : "False"
    case .integer(let value): "\(value)"
    case .number(let value): "\(value)"
    case .text(let value): value
    case .list(let list): "[" + list.map(\.plainText).joined(separator: ", ") + "]"
    case .mapping(let mapping):
      "{" + mapping.entries.map { "\($0.key): \($0.value.plainText)" }.joined(separator: ", ") + "}"
    }
  }
}
