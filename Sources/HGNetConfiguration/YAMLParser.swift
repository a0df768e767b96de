import HGNetCore

/// Reads one YAML document: blocks, flow collections, every style of scalar, anchors, aliases, comments.
///
/// Keys are scalars (`? ` is refused), and of the tags only `!!str` has a meaning; configurations need no more. It is our
/// own because the packages for YAML bring in all of Foundation, which a C program must not carry.
struct YAMLParser {
  let bytes: [UInt8]
  var position = 0
  /// 1-based.
  var line = 1
  /// Where the line begins.
  var lineStart = 0
  private var anchors: [String: YAMLNode] = [:]
  private var level = 0

  /// What stands before a value: `&name`, `!tag`.
  struct Properties {
    var anchor: String?
    var isText = false
  }

  /// Reads a text.
  ///
  /// - Returns: the document, nil where there is nothing but comments.
  /// - Throws: `HGNetError.Code.invalidConfiguration` or `limitExceeded` with the line.
  static func document(of text: String) throws(HGNetError) -> YAMLNode? {
    var parser = try YAMLParser(text)
    return try parser.document()
  }

  private init(_ text: String) throws(HGNetError) {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.utf8.count)
    var line = 1
    var isAfterReturn = false
    for byte in text.utf8 {
      // One kind of line end from here on.
      let isReturn = byte == UInt8(ascii: "\r")
      if byte == UInt8(ascii: "\n"), isAfterReturn {
        isAfterReturn = false
        continue
      }
      isAfterReturn = isReturn
      if isReturn || byte == UInt8(ascii: "\n") {
        line += 1
      } else if (byte < 0x20 && byte != UInt8(ascii: "\t")) || byte == 0x7F {
        throw HGNetError(.invalidConfiguration, "expected YAML text, found a control character", line: line)
      }
      bytes.append(isReturn ? UInt8(ascii: "\n") : byte)
    }
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { bytes.removeFirst(3) }
    self.bytes = bytes
  }

  // MARK: - Characters

  /// The byte at a distance from the position; 0 beyond the end, which no text holds.
  func byte(_ distance: Int = 0) -> UInt8 {
    position + distance < bytes.count ? bytes[position + distance] : 0
  }

  func sees(_ character: Unicode.Scalar, _ distance: Int = 0) -> Bool {
    byte(distance) == UInt8(truncatingIfNeeded: character.value)
  }

  var isAtEnd: Bool { position >= bytes.count }
  var column: Int { position - lineStart }

  /// Whether the byte at a distance is a space, a tab, a line end or the end.
  func isBlank(_ distance: Int = 0) -> Bool {
    switch byte(distance) {
    case 0, UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\n"): true
    default: false
    }
  }

  var isAtLineEnd: Bool { isAtEnd || sees("\n") }

  mutating func takeLineEnd() {
    position += 1
    line += 1
    lineStart = position
  }

  mutating func skipSpaces() {
    while sees(" ") || sees("\t") { position += 1 }
  }

  func wrong(_ message: String) -> HGNetError { HGNetError(.invalidConfiguration, message, line: line) }

  /// Skips spaces and a comment up to the end of the line; false when something else follows.
  mutating func skipToLineEnd() -> Bool {
    skipSpaces()
    let isSeparated = position == lineStart || bytes[position - 1] <= UInt8(ascii: " ")
    if sees("#"), isSeparated {
      while !isAtLineEnd { position += 1 }
    }
    return isAtLineEnd
  }

  /// Goes to the next character that is neither space, line end nor comment.
  ///
  /// - Throws: where a tab indents it.
  mutating func skipBlanks() throws(HGNetError) {
    while skipToLineEnd() {
      if isAtEnd { return }
      takeLineEnd()
    }
    let indentation = bytes[lineStart..<position]
    if indentation.contains(UInt8(ascii: "\t")), indentation.allSatisfy({ $0 <= UInt8(ascii: " ") }) {
      throw wrong("expected spaces, found a tab in the indentation; YAML allows only spaces there")
    }
  }

  /// Whether a document begins or ends here.
  var isAtMarker: Bool {
    guard column == 0, isBlank(3) else { return false }
    return (sees("-") && sees("-", 1) && sees("-", 2)) || (sees(".") && sees(".", 1) && sees(".", 2))
  }

  // MARK: - Documents

  private mutating func document() throws(HGNetError) -> YAMLNode? {
    try skipBlanks()
    while sees("%"), column == 0 {
      while !isAtLineEnd { position += 1 }
      try skipBlanks()
    }
    if isAtMarker, sees("-") {
      position += 3
      try skipBlanks()
    }
    guard !isAtEnd else { return nil }
    let root = isAtMarker ? nil : try block(indentation: 0)
    try skipBlanks()
    while isAtMarker, sees(".") {
      position += 3
      guard skipToLineEnd() else { throw wrong("expected nothing after the end of the document") }
      try skipBlanks()
    }
    if isAtMarker { throw wrong("expected one document, found another") }
    guard isAtEnd else { throw wrong("expected a key at the indentation of the lines above, or the end of the file") }
    return root
  }

  // MARK: - Blocks

  /// Reads a value that begins here and whose lines are indented by at least `indentation`.
  private mutating func block(indentation: Int) throws(HGNetError) -> YAMLNode {
    level += 1
    defer { level -= 1 }
    guard level <= YAMLNode.maximumDepth else {
      throw HGNetError(
        .limitExceeded, "expected at most \(YAMLNode.maximumDepth) levels of lists and mappings, found more", line: line
      )
    }
    let start = (line: line, column: column)
    let properties = try properties()
    if start.line == line, column > start.column, let next = try valueOnNextLine(indentation: indentation) {
      return try named(next, properties)
    }
    if sees("-"), isBlank(1) { return try named(try sequence(), properties) }
    if sees("?"), isBlank(1) { throw wrong("expected a plain key, found \"?\"; write the key before a colon") }
    if try isAtKey() {
      guard column == start.column else { throw wrong("expected an anchor on the line before its mapping") }
      return try mapping()
    }
    return try named(try value(indentation: indentation, isText: properties.isText), properties)
  }

  /// After properties: what follows them on later lines; nil when their own line goes on.
  private mutating func valueOnNextLine(indentation: Int) throws(HGNetError) -> YAMLNode? {
    guard skipToLineEnd() else { return nil }
    let propertiesLine = line
    try skipBlanks()
    guard !isAtEnd, !isAtMarker, column >= indentation else { return YAMLNode("", .plain, line: propertiesLine) }
    return try block(indentation: indentation)
  }

  private mutating func sequence() throws(HGNetError) -> YAMLNode {
    let (first, own) = (line, column)
    var elements: [YAMLNode] = []
    while !isAtEnd, !isAtMarker, column == own, sees("-"), isBlank(1) {
      position += 1
      elements.append(try entry(indentation: own + 1, listIndentation: own + 1))
      try skipBlanks()
    }
    if !isAtEnd, column > own { throw wrong("expected \"- \" at the indentation of the list, or less indentation") }
    return try YAMLNode(sequence: elements, line: first)
  }

  private mutating func mapping() throws(HGNetError) -> YAMLNode {
    let (first, own) = (line, column)
    var pairs: [(key: YAMLNode, value: YAMLNode)] = []
    while !isAtEnd, !isAtMarker, column == own {
      guard try isAtKey() else {
        if sees("-"), isBlank(1) { throw wrong("expected a key, found an element of a list; indent it more or less") }
        throw wrong("expected a key with a colon and a space after it")
      }
      let key = try self.key()
      position += 1
      // A list may stand at the indentation of its key.
      pairs.append((key, try entry(indentation: own + 1, listIndentation: own)))
      try skipBlanks()
    }
    if !isAtEnd, !isAtMarker, column > own {
      throw wrong("expected a key at the indentation of the lines above, found more indentation")
    }
    return try YAMLNode(mapping: pairs, line: first)
  }

  /// The value after `- ` or `key:`, on the same line or the next ones.
  private mutating func entry(indentation: Int, listIndentation: Int) throws(HGNetError) -> YAMLNode {
    let isInList = indentation == listIndentation
    let entryLine = line
    skipSpaces()
    let start = position
    let properties = try isInList ? Properties() : properties()
    if skipToLineEnd() {
      try skipBlanks()
      let isList = sees("-") && isBlank(1)
      guard !isAtEnd, !isAtMarker, column >= (isList ? listIndentation : indentation) else {
        return try named(YAMLNode("", properties.isText ? .quoted : .plain, line: entryLine), properties)
      }
      return try named(try block(indentation: isList ? listIndentation : indentation), properties)
    }
    if position != start, !isInList { skipSpaces() }
    // A nested block may begin on the line of a dash, but not on that of a key.
    if isInList { return try block(indentation: indentation) }
    if sees("-"), isBlank(1) { throw wrong("expected the list below its key, found it on the same line") }
    if try isAtKey() { throw wrong("expected one value after the colon, found another key; quote text with a colon") }
    return try named(try value(indentation: indentation, isText: properties.isText), properties)
  }

  /// A scalar, an alias or a flow collection, which is followed by nothing on its last line.
  private mutating func value(indentation: Int, isText: Bool) throws(HGNetError) -> YAMLNode {
    let node: YAMLNode
    switch byte() {
    case UInt8(ascii: "*"): node = try alias()
    case UInt8(ascii: "["), UInt8(ascii: "{"): node = try flow(level: 1)
    case UInt8(ascii: "\""), UInt8(ascii: "'"): node = try quoted()
    case UInt8(ascii: "|"), UInt8(ascii: ">"): return try blockScalar(indentation: indentation)
    default: return try plain(indentation: indentation, isText: isText)
    }
    guard skipToLineEnd() else {
      throw wrong(
        sees(":")
          ? "expected one value, found a key in the middle of it" : "expected nothing after the value on its line")
    }
    return node
  }

  // MARK: - Anchors

  /// Reads `&name` and `!tag` in any order.
  mutating func properties() throws(HGNetError) -> Properties {
    var properties = Properties()
    while true {
      if sees("&") {
        position += 1
        properties.anchor = try name(after: "&")
      } else if sees("!") {
        let start = position
        while !isBlank(), !isFlowIndicator { position += 1 }
        properties.isText = bytes[start..<position].elementsEqual("!!str".utf8) || position == start + 1
      } else {
        return properties
      }
      skipSpaces()
    }
  }

  private mutating func name(after sign: String) throws(HGNetError) -> String {
    let start = position
    while !isBlank(), !isFlowIndicator { position += 1 }
    let isWord = bytes[start..<position].allSatisfy {
      switch $0 {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
        true
      default: false
      }
    }
    guard position > start, isWord else { throw wrong("expected a name of letters, digits, _ and - after \(sign)") }
    return String(decoding: bytes[start..<position], as: UTF8.self)
  }

  var isFlowIndicator: Bool { sees(",") || sees("[") || sees("]") || sees("{") || sees("}") }

  /// Remembers a node under its anchor.
  mutating func named(_ node: YAMLNode, _ properties: Properties) throws(HGNetError) -> YAMLNode {
    if let anchor = properties.anchor { anchors[anchor] = node }
    return node
  }

  mutating func alias() throws(HGNetError) -> YAMLNode {
    position += 1
    let name = try name(after: "*")
    guard let node = anchors[name] else { throw wrong("found the alias *\(name) without an anchor &\(name) before it") }
    return node
  }
}
