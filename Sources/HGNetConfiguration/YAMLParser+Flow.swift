import HGNetCore

extension YAMLParser {
  /// Reads `[a, b]` or `{a: b}`, over as many lines as it takes.
  mutating func flow(level: Int) throws(HGNetError) -> YAMLNode {
    guard level <= YAMLNode.maximumDepth else {
      throw HGNetError(
        .limitExceeded, "expected at most \(YAMLNode.maximumDepth) levels of lists and mappings, found more", line: line
      )
    }
    let first = line
    let isMapping = sees("{")
    let end: Unicode.Scalar = isMapping ? "}" : "]"
    position += 1
    var elements: [YAMLNode] = []
    var pairs: [(key: YAMLNode, value: YAMLNode)] = []
    while true {
      try skipFlowBlanks(from: first, to: end)
      if sees(end) { break }
      if sees(",") { throw wrong("expected a value before the comma") }
      let elementLine = line
      let element = try flowElement(level: level)
      try skipFlowBlanks(from: first, to: end)
      if sees(":"), !isBlank(1), !isFlowIndicator(1), !isQuoted(element) {
        throw wrong("expected a space after the colon")
      }
      if sees(":") {
        position += 1
        try skipFlowBlanks(from: first, to: end)
        let isEmpty = sees(",") || sees(end)
        let value = isEmpty ? YAMLNode("", .plain, line: line) : try flowElement(level: level)
        if isMapping {
          pairs.append((element, value))
        } else {
          elements.append(try YAMLNode(mapping: [(element, value)], line: elementLine))
        }
        try skipFlowBlanks(from: first, to: end)
      } else if isMapping {
        pairs.append((element, YAMLNode("", .plain, line: line)))
      } else {
        elements.append(element)
      }
      if sees(",") {
        position += 1
      } else if !sees(end) {
        throw wrong("expected a comma or \"\(end)\"")
      }
    }
    position += 1
    return isMapping ? try YAMLNode(mapping: pairs, line: first) : try YAMLNode(sequence: elements, line: first)
  }

  private func isFlowIndicator(_ distance: Int) -> Bool {
    ",[]{}".utf8.contains(byte(distance))
  }

  private func isQuoted(_ node: YAMLNode) -> Bool {
    switch node.content {
    case .scalar(_, .plain): false
    default: true
    }
  }

  private mutating func flowElement(level: Int) throws(HGNetError) -> YAMLNode {
    let properties = try properties()
    let node: YAMLNode
    switch byte() {
    case UInt8(ascii: "*"): node = try alias()
    case UInt8(ascii: "["), UInt8(ascii: "{"): node = try flow(level: level + 1)
    case UInt8(ascii: "\""), UInt8(ascii: "'"): node = try quoted()
    case UInt8(ascii: ","), UInt8(ascii: "]"), UInt8(ascii: "}"): node = YAMLNode("", .plain, line: line)
    case UInt8(ascii: "?") where isBlank(1):
      throw wrong("expected a plain key, found \"?\"; write the key before a colon")
    case UInt8(ascii: "-") where isBlank(1): throw wrong("expected values with commas between them, found \"- \"")
    default: node = try flowPlain(isText: properties.isText)
    }
    return try named(node, properties)
  }

  /// Goes to the next character inside a flow collection, where line ends mean nothing.
  private mutating func skipFlowBlanks(from first: Int, to end: Unicode.Scalar) throws(HGNetError) {
    while skipToLineEnd() {
      guard !isAtEnd else {
        throw HGNetError(
          .invalidConfiguration,
          "expected \"\(end)\" before the end of the file; it would close what line \(first) opens",
          line: first)
      }
      takeLineEnd()
    }
    if isAtMarker { throw wrong("expected \"\(end)\" before the end of the document") }
  }
}
