import HGNetCore

/// A part of a YAML text before anybody asks what its scalars mean.
///
/// Its depth is bounded when it is made, so that walking it and freeing it cannot exhaust the stack.
struct YAMLNode: Sendable {
  /// What a scalar is, as far as its text says so.
  enum ScalarKind: Sendable {
    /// What its characters look like.
    case plain
    case text, boolean, integer, number, null
  }

  indirect enum Content: Sendable {
    case scalar(String, ScalarKind)
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
  init(_ text: String, _ kind: ScalarKind, line: Int) {
    content = .scalar(text, kind)
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

  /// A mapping, whose keys are scalars.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` for a key that is no scalar, `limitExceeded`.
  init(mapping: [(key: YAMLNode, value: YAMLNode)], line: Int) throws(HGNetError) {
    for (key, _) in mapping {
      guard case .scalar = key.content else {
        throw HGNetError(
          .invalidConfiguration, "expected a name before the colon, found a list or mapping", line: key.line)
      }
    }
    content = .mapping(mapping)
    self.line = line
    depth = try YAMLNode.depth(above: mapping.reduce(0) { max($0, $1.value.depth) }, line: line)
  }

  private static func depth(above inner: Int, line: Int) throws(HGNetError) -> Int {
    guard inner < maximumDepth else { throw tooDeep(line: line) }
    return inner + 1
  }

  static func tooDeep(line: Int) -> HGNetError {
    HGNetError(.limitExceeded, "expected at most \(maximumDepth) levels of lists and mappings, found more", line: line)
  }
}
