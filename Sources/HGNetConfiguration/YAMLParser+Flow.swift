import HGNetCore

extension YAMLParser {
  /// Reads `[a, b]`, in which `a: b` is a mapping of one name.
  mutating func flowList() throws(HGNetError) -> YAMLNode {
    let start = try scanner.next()
    var elements: [YAMLNode] = []
    while try scanner.peek().kind != .flowListEnd {
      if !elements.isEmpty { try takeComma(before: "]") }
      let token = try scanner.peek()
      if token.kind == .flowListEnd { break }
      guard token.kind == .key else {
        elements.append(try node(isInBlock: false))
        continue
      }
      _ = try scanner.next()
      let key = try flowPart(after: token, end: .flowListEnd)
      elements.append(try YAMLNode(mapping: [(key, try flowValue(end: .flowListEnd))], line: token.line))
    }
    _ = try scanner.next()
    return try YAMLNode(sequence: elements, line: start.line)
  }

  /// Reads `{a: b, c}`.
  mutating func flowMapping() throws(HGNetError) -> YAMLNode {
    let start = try scanner.next()
    var pairs: [(key: YAMLNode, value: YAMLNode)] = []
    while try scanner.peek().kind != .flowMappingEnd {
      if !pairs.isEmpty { try takeComma(before: "}") }
      let token = try scanner.peek()
      if token.kind == .flowMappingEnd { break }
      guard token.kind == .key else {
        pairs.append((try node(isInBlock: false), empty(token)))
        continue
      }
      _ = try scanner.next()
      let key = try flowPart(after: token, end: .flowMappingEnd)
      pairs.append((key, try flowValue(end: .flowMappingEnd)))
    }
    _ = try scanner.next()
    return try YAMLNode(mapping: pairs, line: start.line)
  }

  private mutating func flowValue(end: YAMLToken.Kind) throws(HGNetError) -> YAMLNode {
    let colon = try scanner.peek()
    guard colon.kind == .value else { return empty(colon) }
    _ = try scanner.next()
    let kind = try scanner.peek().kind
    return kind == .flowEntry || kind == end ? empty(colon) : try node(isInBlock: false)
  }

  private mutating func flowPart(after token: YAMLToken, end: YAMLToken.Kind) throws(HGNetError) -> YAMLNode {
    let kind = try scanner.peek().kind
    return kind == .value || kind == .flowEntry || kind == end ? empty(token) : try node(isInBlock: false)
  }

  private mutating func takeComma(before close: String) throws(HGNetError) {
    let token = try scanner.next()
    switch token.kind {
    case .flowEntry: return
    case .endOfText, .documentStart, .documentEnd, .directive:
      throw scanner.flowStarts.last.map { unclosed($0) } ?? unexpected(token)
    case .value: throw wrong("expected a space after the colon, or a comma or \"\(close)\"", token)
    default: throw wrong("expected a comma or \"\(close)\"", token)
    }
  }
}
