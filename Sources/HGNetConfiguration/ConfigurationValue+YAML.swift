import HGNetCore

extension ConfigurationValue {
  /// The largest file that is read: far beyond any configuration.
  static let byteLimit = 4 << 20
  /// The largest number of values after aliases have been expanded.
  static let valueLimit = 1_000_000

  /// Reads a YAML file the way PaddleClas does.
  ///
  /// Scalars follow YAML 1.1 as a safe Python loader reads it; anchors are expanded; text under mappings that is a Python
  /// literal (`1e-4`, `None`) becomes its value, text inside lists stays text.
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
    case .scalar(let text, let style):
      let value = style == .plain ? value(ofPlain: text) : .text(text)
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
    var result = ConfigurationMapping()
    var merged: [ConfigurationMapping] = []
    for (keyNode, valueNode) in pairs {
      guard case .scalar(let key, let style) = keyNode.content else { continue }
      let value = try value(of: valueNode, isInList: isInList, isUnderMapping: true, budget: &budget)
      guard key == "<<", style == .plain else {
        result[key] = value
        continue
      }
      switch value {
      case .mapping(let mapping): merged.append(mapping)
      case .list(let list):
        for case .mapping(let mapping) in list { merged.append(mapping) }
      default:
        throw HGNetError(.invalidConfiguration, "expected a mapping after <<", line: keyNode.line)
      }
    }
    for mapping in merged {
      for (key, value) in mapping.entries where result[key] == nil { result[key] = value }
    }
    return result
  }

  private static func value(ofPlain text: String) -> ConfigurationValue {
    switch text {
    case "", "~", "null", "Null", "NULL": return .null
    case "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON": return .boolean(true)
    case "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF": return .boolean(false)
    default: return NumberText.yaml(text) ?? .text(text)
    }
  }
}
