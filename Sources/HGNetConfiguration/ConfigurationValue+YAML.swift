import HGNetCore
import Yams

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
    let root: Node?
    do {
      // Keys with complex aliases could be hashed for ever; nobody writes them.
      root = try Parser(yaml: text, resolver: .basic).singleRoot()
    } catch {
      throw ConfigurationValue.readable(error, in: text)
    }
    guard let root else {
      self = .mapping(ConfigurationMapping())
      return
    }
    var budget = ConfigurationValue.valueLimit
    self = try ConfigurationValue.value(of: root, isInList: false, isUnderMapping: false, budget: &budget)
  }

  private static func value(of node: Node, isInList: Bool, isUnderMapping: Bool, budget: inout Int) throws(HGNetError)
    -> ConfigurationValue
  {
    budget -= 1
    guard budget > 0 else {
      throw HGNetError(.limitExceeded, "the aliases of the configuration expand to more than a million values")
    }
    switch node {
    case .scalar(let scalar):
      let value = value(of: scalar)
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
    case .alias: throw HGNetError(.invalidConfiguration, "found an alias without an anchor", line: node.mark?.line)
    }
  }

  private static func mapping(of node: Node.Mapping, isInList: Bool, budget: inout Int) throws(HGNetError)
    -> ConfigurationMapping
  {
    var result = ConfigurationMapping()
    var merged: [ConfigurationMapping] = []
    for (keyNode, valueNode) in node {
      guard let key = keyNode.scalar?.string else {
        throw HGNetError(
          .invalidConfiguration, "expected a name before the colon, found a list or mapping",
          line: keyNode.mark?.line)
      }
      let value = try value(of: valueNode, isInList: isInList, isUnderMapping: true, budget: &budget)
      guard key == "<<", keyNode.scalar?.style == .plain else {
        result[key] = value
        continue
      }
      switch value {
      case .mapping(let mapping): merged.append(mapping)
      case .list(let list):
        for case .mapping(let mapping) in list { merged.append(mapping) }
      default:
        throw HGNetError(.invalidConfiguration, "expected a mapping after <<", line: keyNode.mark?.line)
      }
    }
    for mapping in merged {
      for (key, value) in mapping.entries where result[key] == nil { result[key] = value }
    }
    return result
  }

  private static func value(of scalar: Node.Scalar) -> ConfigurationValue {
    let text = scalar.string
    guard scalar.style == .plain, scalar.tag.description != Tag.Name.str.rawValue else { return .text(text) }
    switch text {
    case "", "~", "null", "Null", "NULL": return .null
    case "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON": return .boolean(true)
    case "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF": return .boolean(false)
    default: return NumberText.yaml(text) ?? .text(text)
    }
  }

  /// An error of the parser in one sentence, with its line.
  private static func readable(_ error: any Error, in text: String) -> HGNetError {
    guard let error = error as? YamlError else {
      return HGNetError(.invalidConfiguration, "the configuration is not YAML", cause: "\(error)")
    }
    switch error {
    case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
      .composer(_, let problem, let mark, _):
      // The parser may notice a tab only on the line after it.
      let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
      for number in [mark.line, mark.line - 1] where lines.indices.contains(number - 1) {
        let indentation = lines[number - 1].prefix { $0 == " " || $0 == "\t" }
        if indentation.contains("\t") {
          return HGNetError(
            .invalidConfiguration, "expected spaces, found a tab in the indentation; YAML allows only spaces there",
            line: number)
        }
      }
      return HGNetError(.invalidConfiguration, "expected YAML: \(problem)", line: mark.line)
    case .duplicatedKeysInMapping(let duplicates, let context):
      return HGNetError(
        .invalidConfiguration, "expected each key once, found \(duplicates.joined(separator: ", ")) again",
        line: context.mark.line)
    case .reader(let problem, let offset, _, _):
      let line = offset.map { text.utf8.prefix($0).reduce(1) { $0 + ($1 == 0x0A ? 1 : 0) } }
      return HGNetError(.invalidConfiguration, "expected YAML text: \(problem)", line: line)
    default: return HGNetError(.invalidConfiguration, "the configuration is not YAML", cause: "\(error)")
    }
  }
}
