import HGNetCore

extension ConfigurationValue {
  /// The largest file that is read: far beyond any configuration.
  static let byteLimit = 4 << 20
  /// The largest number of values after aliases have been expanded.
  static let valueLimit = 1_000_000

  /// Reads a YAML file the way PaddleClas does.
  ///
  /// Scalars follow YAML 1.1 as a safe Python loader reads it, but for dates, which stay text; anchors are expanded; text
  /// under mappings that is a Python literal (`1e-4`, `None`) becomes its value, text inside lists stays text.
  ///
  /// - Throws: `HGNetError.Code.fileNotFound`, `unreadableFile`, `limitExceeded`, or `invalidConfiguration` with the line
  ///   that is wrong: a tab, a repeated key, several documents, anything that is not YAML.
  public init(contentsOf path: String) throws(HGNetError) {
    let blob = try Blob(mapping: path)
    guard blob.count <= ConfigurationValue.byteLimit else {
      throw HGNetError(
        .limitExceeded, "expected a YAML configuration of at most 4 MiB, found \(blob.count) bytes", path: path)
    }
    let text = blob.withUnsafeBytes { String(validating: $0, as: UTF8.self) }
    guard let text else {
      throw HGNetError(
        .invalidConfiguration, "expected YAML text in UTF-8, found other bytes; is this a configuration?", path: path)
    }
    do {
      try self.init(yaml: text)
    } catch {
      throw error.at(path: path)
    }
  }

  /// Reads YAML text; see `init(contentsOf:)`.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` with the line that is wrong.
  public init(yaml text: String) throws(HGNetError) {
    guard let root = try YAMLParser.document(of: text) else {
      self = .mapping(ConfigurationMapping())
      return
    }
    var budget = ConfigurationValue.valueLimit
    self = try ConfigurationValue.value(of: root, isInList: false, isUnderMapping: false, budget: &budget)
    if self == .null { self = .mapping(ConfigurationMapping()) }
  }

  private static func value(of node: YAMLNode, isInList: Bool, isUnderMapping: Bool, budget: inout Int)
    throws(HGNetError)
    -> ConfigurationValue
  {
    budget -= 1
    guard budget > 0 else {
      throw HGNetError(.limitExceeded, "the aliases of the configuration expand to more than a million values")
    }
    switch node.content {
    case .scalar(let text, let kind):
      let value = try value(of: text, kind, line: node.line)
      guard case .text(let text) = value, isUnderMapping, !isInList else { return value }
      return PythonLiteral.parse(text) ?? value
    case .sequence(let sequence):
      var list: [ConfigurationValue] = []
      for element in sequence {
        list.append(try self.value(of: element, isInList: true, isUnderMapping: false, budget: &budget))
      }
      return .list(list)
    case .mapping(let mapping):
      return .mapping(try self.mapping(of: mapping, isInList: isInList, budget: &budget))
    }
  }

  private static func mapping(
    of pairs: [(key: YAMLNode, value: YAMLNode)], isInList: Bool, budget: inout Int
  ) throws(HGNetError) -> ConfigurationMapping {
    var own = ConfigurationMapping()
    var result = ConfigurationMapping()
    for (keyNode, valueNode) in pairs {
      guard case .scalar(let text, let kind) = keyNode.content else { continue }
      if text == "<<", kind == .plain {
        var merged = [valueNode]
        if case .sequence(let nodes) = valueNode.content { merged = nodes }
        for node in merged {
          let value = try value(of: node, isInList: isInList, isUnderMapping: true, budget: &budget)
          try merge(value, into: &result, line: node.line)
        }
        continue
      }
      let value = try value(of: valueNode, isInList: isInList, isUnderMapping: true, budget: &budget)
      let key = try self.value(of: text, kind, line: keyNode.line)
      guard !own.holds(key) else {
        throw HGNetError(
          .invalidConfiguration, "expected each key once, found \(HGNetError.shortened(text)) again",
          line: keyNode.line)
      }
      own.set(value, for: key)
    }
    guard result.count > 0 else { return own }
    // What is merged comes first, and gives way.
    for (key, value) in own.typedEntries { result.set(value, for: key) }
    return result
  }

  /// Adds the names of a mapping that are not there yet.
  private static func merge(
    _ value: ConfigurationValue, into result: inout ConfigurationMapping, line: Int
  ) throws(HGNetError) {
    guard case .mapping(let mapping) = value else {
      throw HGNetError(.invalidConfiguration, "expected a mapping or a list of mappings after <<", line: line)
    }
    for (key, value) in mapping.typedEntries where !result.holds(key) { result.set(value, for: key) }
  }

  private static func value(
    of text: String, _ kind: YAMLNode.ScalarKind, line: Int
  ) throws(HGNetError) -> ConfigurationValue {
    let value: ConfigurationValue?
    switch kind {
    case .text: return .text(text)
    case .null: return .null
    case .plain:
      do throws(HGNetError) {
        return try plain(text)
      } catch {
        throw HGNetError(error.code, error.message, line: line)
      }
    case .boolean: value = boolean(text.lowercased())
    case .integer: value = NumberText.integer(text)
    case .number: value = NumberText.number(text)
    }
    guard let value else {
      throw HGNetError(
        .invalidConfiguration,
        "expected a value that fits its tag, found \(HGNetError.quoted(text))", line: line)
    }
    return value
  }

  /// What a plain scalar looks like.
  static func plain(_ text: String) throws(HGNetError) -> ConfigurationValue {
    guard let first = text.utf8.first else { return .null }
    // Most text begins with a letter that no number has.
    if first > UInt8(ascii: "~") || (first | 0x20 >= UInt8(ascii: "a") && !"yYnNtTfFoO~".utf8.contains(first)) {
      return .text(text)
    }
    switch text {
    case "~", "null", "Null", "NULL": return .null
    case "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON": return .boolean(true)
    case "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF": return .boolean(false)
    default: return try NumberText.yaml(text) ?? .text(text)
    }
  }

  private static func boolean(_ text: String) -> ConfigurationValue? {
    switch text {
    case "yes", "true", "on": .boolean(true)
    case "no", "false", "off": .boolean(false)
    default: nil
    }
  }
}
