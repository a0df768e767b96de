import HGNetCore

/// Reads one YAML document: blocks, flow collections, every style of scalar, anchors, aliases, tags, comments.
///
/// What PyYAML reads it reads, and what PyYAML refuses it refuses, but for what `Documentation/Differences.md` lists. It is
/// our own because the packages for YAML bring in all of Foundation, which a C program must not carry.
struct YAMLParser {
  var scanner: YAMLScanner
  private var handles: [String: String] = [:]
  private var anchors: [String: YAMLNode] = [:]
  /// Anchors of collections that are not complete yet.
  private var open: Set<String> = []
  private var level = 0

  /// What stands before a value: `&name`, `!tag`.
  struct Properties {
    var anchor: String?
    var tag: String?
    var line = 0
    var isEmpty: Bool { anchor == nil && tag == nil }
  }

  private static let defaultHandles = ["!": "!", "!!": "tag:yaml.org,2002:"]

  /// Reads a text.
  ///
  /// - Returns: the document, nil where there is nothing but comments.
  /// - Throws: `HGNetError.Code.invalidConfiguration` or `limitExceeded` with the line.
  static func document(of text: String) throws(HGNetError) -> YAMLNode? {
    var parser = YAMLParser(scanner: try YAMLScanner(text))
    return try parser.document()
  }

  private init(scanner: YAMLScanner) { self.scanner = scanner }

  // MARK: - Documents

  private mutating func document() throws(HGNetError) -> YAMLNode? {
    handles = YAMLParser.defaultHandles
    let root: YAMLNode?
    switch try scanner.peek().kind {
    case .endOfText: return nil
    case .directive, .documentStart: root = try explicitDocument()
    default: root = try node(isInBlock: true, allowsBareList: false)
    }
    if try scanner.peek().kind == .documentEnd { _ = try scanner.next() }
    while try scanner.peek().kind == .documentEnd { _ = try scanner.next() }
    let rest = try scanner.peek()
    switch rest.kind {
    case .endOfText: return root
    case .directive, .documentStart: throw wrong("expected one document, found another", rest)
    default: throw wrong("expected a key at the indentation of the lines above, or the end of the file", rest)
    }
  }

  private mutating func explicitDocument() throws(HGNetError) -> YAMLNode {
    var hasVersion = false
    var own: [String: String] = [:]
    while case .directive(let directive) = try scanner.peek().kind {
      let token = try scanner.next()
      switch directive {
      case .version(let major):
        guard !hasVersion, major == 1 else { throw wrong("expected YAML of version 1, once", token) }
        hasVersion = true
      case .tag(let handle, let prefix):
        guard own[handle] == nil else {
          throw wrong("expected each handle of tags once, found \(HGNetError.shortened(handle)) again", token)
        }
        own[handle] = prefix
      case .other: break
      }
    }
    handles.merge(own) { $1 }
    let start = try scanner.next()
    guard start.kind == .documentStart else { throw wrong("expected \"---\" after the directives", start) }
    switch try scanner.peek().kind {
    case .directive, .documentStart, .documentEnd, .endOfText: return YAMLNode("", .plain, line: start.line)
    default: return try node(isInBlock: true, allowsBareList: false)
    }
  }

  // MARK: - Nodes

  /// Reads a value with what stands before it.
  ///
  /// - Parameters:
  ///   - isInBlock: whether it may be a block.
  ///   - allowsBareList: whether it may be a list at the indentation of its key.
  mutating func node(isInBlock: Bool, allowsBareList: Bool = false) throws(HGNetError) -> YAMLNode {
    level += 1
    defer { level -= 1 }
    let first = try scanner.peek()
    guard level <= YAMLNode.maximumDepth else { throw YAMLNode.tooDeep(line: first.line) }
    if case .alias(let name) = first.kind {
      _ = try scanner.next()
      return try aliased(name, first)
    }
    let properties = try properties()
    if let anchor = properties.anchor {
      guard anchors[anchor] == nil, !open.contains(anchor) else {
        throw wrong("expected each anchor once, found &\(HGNetError.shortened(anchor)) again", first)
      }
      open.insert(anchor)
    }
    let node = try content(properties, isInBlock: isInBlock, allowsBareList: allowsBareList)
    if let anchor = properties.anchor {
      open.remove(anchor)
      anchors[anchor] = node
    }
    return node
  }

  private func aliased(_ name: String, _ token: YAMLToken) throws(HGNetError) -> YAMLNode {
    let shown = HGNetError.shortened(name)
    guard !open.contains(name) else {
      throw wrong("found the alias *\(shown) inside its own anchor &\(shown), which would never end", token)
    }
    guard let node = anchors[name] else {
      throw wrong("found the alias *\(shown) without an anchor &\(shown) before it", token)
    }
    return node
  }

  private mutating func properties() throws(HGNetError) -> Properties {
    var properties = Properties()
    properties.line = try scanner.peek().line
    while true {
      let token = try scanner.peek()
      if case .anchor(let name) = token.kind, properties.anchor == nil {
        properties.anchor = name
      } else if case .tag(let handle, let suffix) = token.kind, properties.tag == nil {
        var prefix = ""
        if let handle {
          guard let known = handles[handle] else {
            throw wrong("found the unknown handle \(HGNetError.shortened(handle)) of a tag", token)
          }
          prefix = known
        }
        properties.tag = prefix + suffix
      } else {
        return properties
      }
      _ = try scanner.next()
    }
  }

  private mutating func content(
    _ properties: Properties, isInBlock: Bool, allowsBareList: Bool
  ) throws(HGNetError) -> YAMLNode {
    let token = try scanner.peek()
    switch token.kind {
    case .entry where allowsBareList:
      try check(properties, "list", is: "seq")
      return try bareList()
    case .scalar(let text, let isPlain):
      _ = try scanner.next()
      let kind = try scalarKind(properties, isPlain: isPlain)
      return YAMLNode(text, kind, line: token.line)
    case .flowListStart:
      try check(properties, "list", is: "seq")
      return try flowList()
    case .flowMappingStart:
      try check(properties, "mapping", is: "map")
      return try flowMapping()
    case .listStart where isInBlock:
      try check(properties, "list", is: "seq")
      return try blockList()
    case .mappingStart where isInBlock:
      try check(properties, "mapping", is: "map")
      return try blockMapping()
    default:
      guard !properties.isEmpty else { throw unexpected(token) }
      return YAMLNode("", try scalarKind(properties, isPlain: true), line: properties.line)
    }
  }

  /// An empty scalar, which means nothing.
  func empty(_ token: YAMLToken) -> YAMLNode { YAMLNode("", .plain, line: token.line) }

  // MARK: - Tags

  private func check(_ properties: Properties, _ title: String, is name: String) throws(HGNetError) {
    guard let tag = properties.tag, tag != "!", tag != "tag:yaml.org,2002:\(name)" else { return }
    throw unfit(tag, title, line: properties.line)
  }

  private func scalarKind(_ properties: Properties, isPlain: Bool) throws(HGNetError) -> YAMLNode.ScalarKind {
    switch properties.tag {
    case nil: isPlain ? .plain : .text
    case "!": .plain
    case "tag:yaml.org,2002:str": .text
    case "tag:yaml.org,2002:bool": .boolean
    case "tag:yaml.org,2002:int": .integer
    case "tag:yaml.org,2002:float": .number
    case "tag:yaml.org,2002:null": .null
    case .some(let tag): throw unfit(tag, "scalar", line: properties.line)
    }
  }

  private func unfit(_ tag: String, _ title: String, line: Int) -> HGNetError {
    let prefix = "tag:yaml.org,2002:"
    let short = tag.hasPrefix(prefix) ? "!!" + tag.dropFirst(prefix.count) : tag
    return HGNetError(
      .invalidConfiguration,
      "expected a \(title) that a configuration can hold, found the tag \(HGNetError.shortened(short)) before it",
      line: line)
  }

  // MARK: - Blocks

  private mutating func blockList() throws(HGNetError) -> YAMLNode {
    let start = try scanner.next()
    var elements: [YAMLNode] = []
    while try scanner.peek().kind == .entry {
      let entry = try scanner.next()
      switch try scanner.peek().kind {
      case .entry, .blockEnd: elements.append(empty(entry))
      default: elements.append(try node(isInBlock: true))
      }
    }
    try endBlock("expected \"- \" at the indentation of the list, or less indentation")
    return try YAMLNode(sequence: elements, line: start.line)
  }

  /// A list at the indentation of its key.
  private mutating func bareList() throws(HGNetError) -> YAMLNode {
    let line = try scanner.peek().line
    var elements: [YAMLNode] = []
    while try scanner.peek().kind == .entry {
      let entry = try scanner.next()
      switch try scanner.peek().kind {
      case .entry, .key, .value, .blockEnd: elements.append(empty(entry))
      default: elements.append(try node(isInBlock: true))
      }
    }
    return try YAMLNode(sequence: elements, line: line)
  }

  private mutating func blockMapping() throws(HGNetError) -> YAMLNode {
    let start = try scanner.next()
    var pairs: [(key: YAMLNode, value: YAMLNode)] = []
    while true {
      let token = try scanner.peek()
      guard token.kind == .key else { break }
      _ = try scanner.next()
      let key = try blockPart(after: token)
      let colon = try scanner.peek()
      guard colon.kind == .value else {
        pairs.append((key, empty(colon)))
        continue
      }
      _ = try scanner.next()
      pairs.append((key, try blockPart(after: colon)))
    }
    try endBlock("expected a key at the indentation of the lines above")
    return try YAMLNode(mapping: pairs, line: start.line)
  }

  private mutating func blockPart(after token: YAMLToken) throws(HGNetError) -> YAMLNode {
    switch try scanner.peek().kind {
    case .key, .value, .blockEnd: empty(token)
    default: try node(isInBlock: true, allowsBareList: true)
    }
  }

  private mutating func endBlock(_ expectation: String) throws(HGNetError) {
    let token = try scanner.next()
    switch token.kind {
    case .blockEnd: return
    case .entry: throw wrong("\(expectation), found an element of a list; indent it more or less", token)
    case .listStart, .mappingStart: throw wrong("\(expectation), found more indentation", token)
    default: throw wrong("\(expectation); a value is complete before this place", token)
    }
  }

  // MARK: - Errors

  func wrong(_ message: String, _ token: YAMLToken) -> HGNetError {
    HGNetError(.invalidConfiguration, message, line: token.line)
  }

  /// An error about a token where a value should be.
  func unexpected(_ token: YAMLToken) -> HGNetError {
    switch token.kind {
    case .entry: wrong("expected values with commas between them, found \"- \"", token)
    case .flowEntry: wrong("expected a value before the comma", token)
    case .flowListEnd: wrong("expected a value, found \"]\" without \"[\" before it", token)
    case .flowMappingEnd: wrong("expected a value, found \"}\" without \"{\" before it", token)
    case .key, .value: wrong("expected a value, found a key; indent it more or less, or quote text with a colon", token)
    case .endOfText, .documentStart, .documentEnd:
      scanner.flowStarts.last.map { unclosed($0) } ?? wrong("expected a value, found the end of the document", token)
    case .directive: wrong("expected a value, found \"%\"; quote text that begins with it", token)
    default: wrong("expected one value here", token)
    }
  }

  /// An error about a bracket that nothing closes.
  func unclosed(_ start: (line: Int, bracket: Unicode.Scalar)) -> HGNetError {
    let close = start.bracket == "[" ? "]" : "}"
    return HGNetError(
      .invalidConfiguration,
      "expected \"\(close)\" before the end of the file; it would close what line \(start.line) opens",
      line: start.line)
  }
}
