import HGNetCore

/// A part of a YAML text before anybody asks what its scalars mean.
///
/// Its depth is bounded when it is made, so that walking it and freeing it cannot exhaust the stack.
struct YAMLNode: Sendable {
  /// How a scalar was written, which decides whether it can be a number.
  enum Style: Sendable {
    case plain, quoted
  }

  indirect enum Content: Sendable {
    case scalar(String, Style)
    case sequence([YAMLNode])
    case mapping([(key: YAMLNode, value: YAMLNode)])
  }

  /// More levels than any configuration has.
  static let maximumDepth = 100

  let content: Content
  /// The 1-based line of its first character.
  let line: Int
  private let depth: Int

  /// A scalar.
  init(_ text: String, _ style: Style, line: Int) {
    content = .scalar(text, style)
    self.line = line
    depth = 1
  }

  /// A list.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` beyond `maximumDepth` levels.
  init(sequence: [YAMLNode], line: Int) throws(HGNetError) {
    content = .sequence(sequence)
    self.line = line
    depth = try YAMLNode.depth(above: sequence.reduce(0) { max($0, $1.depth) }, line: line)
  }

  /// A mapping, whose keys are scalars and differ.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` for a key that is no scalar or is there twice, `limitExceeded`.
  init(mapping: [(key: YAMLNode, value: YAMLNode)], line: Int) throws(HGNetError) {
    var seen: Set<String> = []
    for (key, _) in mapping {
      guard case .scalar(let name, _) = key.content else {
        throw HGNetError(
          .invalidConfiguration, "expected a name before the colon, found a list or mapping", line: key.line)
      }
      guard seen.insert(name).inserted else {
        throw HGNetError(.invalidConfiguration, "expected each key once, found \(name) again", line: key.line)
      }
    }
    content = .mapping(mapping)
    self.line = line
    depth = try YAMLNode.depth(above: mapping.reduce(0) { max($0, $1.value.depth) }, line: line)
  }

  private static func depth(above inner: Int, line: Int) throws(HGNetError) -> Int {
    guard inner < maximumDepth else {
      throw HGNetError(
        .limitExceeded, "expected at most \(maximumDepth) levels of lists and mappings, found more", line: line)
    }
    return inner + 1
  }
}
