import HGNetCore

extension YAMLParser {
  // MARK: - Keys

  /// Whether a key begins here: a scalar or a collection on one line, then a colon and a blank.
  mutating func isAtKey() throws(HGNetError) -> Bool {
    let start = (position: position, line: line, lineStart: lineStart)
    defer { (position, line, lineStart) = start }
    switch byte() {
    case UInt8(ascii: "["), UInt8(ascii: "{"):
      _ = try flow(level: 1)
      guard line == start.line else { return false }
    case UInt8(ascii: "\""), UInt8(ascii: "'"):
      _ = try quoted()
      guard line == start.line else { return false }
    case UInt8(ascii: "*"): _ = try alias()
    case UInt8(ascii: "|"), UInt8(ascii: ">"), UInt8(ascii: "#"): return false
    default:
      skipPlainPart()
      return sees(":") && position > start.position
    }
    skipSpaces()
    return sees(":") && isBlank(1)
  }

  /// Reads a key up to its colon.
  mutating func key() throws(HGNetError) -> YAMLNode {
    let node: YAMLNode
    switch byte() {
    case UInt8(ascii: "["), UInt8(ascii: "{"): node = try flow(level: 1)
    case UInt8(ascii: "\""), UInt8(ascii: "'"): node = try quoted()
    case UInt8(ascii: "*"): node = try alias()
    default:
      try checkPlainStart()
      let start = position
      skipPlainPart()
      node = YAMLNode(text(from: start), .plain, line: line)
    }
    skipSpaces()
    return node
  }

  // MARK: - Plain scalars

  /// Goes to the end of a plain scalar on this line: a colon before a blank, a comment or the end of the line.
  private mutating func skipPlainPart() {
    while !isAtLineEnd {
      if sees(":"), isBlank(1) { return }
      if sees("#"), position > lineStart, bytes[position - 1] <= UInt8(ascii: " ") { return }
      position += 1
    }
  }

  /// The text from a place to here, without the blanks at its end.
  private func text(from start: Int) -> String {
    var end = position
    while end > start, bytes[end - 1] <= UInt8(ascii: " ") { end -= 1 }
    return String(decoding: bytes[start..<end], as: UTF8.self)
  }

  private func checkPlainStart() throws(HGNetError) {
    let character = Unicode.Scalar(byte())
    let isSign = "-?:".utf8.contains(byte())
    if "%@`,]}[{&*!|>#\"'".utf8.contains(byte()) || (isSign && isBlank(1)) {
      throw wrong("expected a value, found \"\(character)\"; quote text that begins with it")
    }
  }

  /// Reads a plain scalar; its further lines are indented by at least `indentation`.
  mutating func plain(indentation: Int, isText: Bool) throws(HGNetError) -> YAMLNode {
    try checkPlainStart()
    let first = line
    var start = position
    skipPlainPart()
    var content = text(from: start)
    while true {
      if sees(":") { throw wrong("expected one value, found a key in the middle of it; quote text with a colon") }
      // A comment ends the scalar.
      guard !isAtEnd, sees("\n") else { break }
      let end = (position: position, line: line, lineStart: lineStart)
      var emptyLines = -1
      while sees("\n") {
        takeLineEnd()
        emptyLines += 1
        skipSpaces()
      }
      let isTabbed = bytes[lineStart..<position].contains(UInt8(ascii: "\t"))
      guard !isAtEnd, column >= indentation, !sees("#"), !isAtMarker, !isTabbed else {
        (position, line, lineStart) = end
        break
      }
      start = position
      skipPlainPart()
      content += emptyLines == 0 ? " " : String(repeating: "\n", count: emptyLines)
      content += text(from: start)
    }
    guard skipToLineEnd() else { throw wrong("expected nothing after the value on its line") }
    return YAMLNode(content, isText ? .quoted : .plain, line: first)
  }

  /// Reads a plain scalar inside a flow collection.
  mutating func flowPlain(isText: Bool) throws(HGNetError) -> YAMLNode {
    try checkPlainStart()
    let first = line
    var content = ""
    while true {
      let start = position
      while !isAtLineEnd, !isFlowIndicator {
        if sees(":"), isBlank(1) || ",[]{}".utf8.contains(byte(1)) { break }
        if sees("#"), position > lineStart, bytes[position - 1] <= UInt8(ascii: " ") { break }
        position += 1
      }
      content += text(from: start)
      guard sees("\n") else { break }
      var emptyLines = -1
      while sees("\n") {
        takeLineEnd()
        emptyLines += 1
        skipSpaces()
      }
      if isAtEnd || isFlowIndicator || sees("#") || sees(":") || isAtMarker { break }
      content += emptyLines == 0 ? " " : String(repeating: "\n", count: emptyLines)
    }
    return YAMLNode(content, isText ? .quoted : .plain, line: first)
  }

  // MARK: - Quoted scalars

  /// Reads `"…"` with its escapes or `'…'`, over as many lines as it takes.
  mutating func quoted() throws(HGNetError) -> YAMLNode {
    let first = line
    let quote = byte()
    let isDouble = quote == UInt8(ascii: "\"")
    position += 1
    var content: [UInt8] = []
    while true {
      guard !isAtEnd else {
        throw HGNetError(
          .invalidConfiguration, "expected a quotation mark that closes the text of this line", line: first)
      }
      let next = byte()
      if next == quote {
        position += 1
        if isDouble || byte() != quote { break }
        content.append(quote)
        position += 1
      } else if next == UInt8(ascii: "\\"), isDouble {
        try takeEscape(into: &content)
      } else if next == UInt8(ascii: "\n") {
        while let last = content.last, last == UInt8(ascii: " ") || last == UInt8(ascii: "\t") { content.removeLast() }
        content += foldedLineEnds(isFolded: true)
        if isAtMarker { throw wrong("expected a quotation mark before the end of the document") }
      } else {
        content.append(next)
        position += 1
      }
    }
    return YAMLNode(String(decoding: content, as: UTF8.self), .quoted, line: first)
  }

  /// Takes line ends and the blanks after them: one is a space, each further one a line end.
  private mutating func foldedLineEnds(isFolded: Bool) -> [UInt8] {
    var count = 0
    while sees("\n") {
      takeLineEnd()
      count += 1
      skipSpaces()
    }
    if count > 1 { return [UInt8](repeating: UInt8(ascii: "\n"), count: count - 1) }
    return isFolded ? [UInt8(ascii: " ")] : []
  }

  private mutating func takeEscape(into content: inout [UInt8]) throws(HGNetError) {
    let kind = byte(1)
    position += 2
    var digits = 0
    switch kind {
    case UInt8(ascii: "\n"):
      position -= 1
      content += foldedLineEnds(isFolded: false)
      return
    case UInt8(ascii: "x"): digits = 2
    case UInt8(ascii: "u"): digits = 4
    case UInt8(ascii: "U"): digits = 8
    default:
      guard let replacement = YAMLParser.escapes[kind] else {
        throw wrong("expected an escape such as \\n or \\\", found another; double the backslash or use '…'")
      }
      content += replacement.utf8
      return
    }
    var value: UInt32 = 0
    for _ in 0..<digits {
      guard let digit = Character(Unicode.Scalar(byte())).hexDigitValue else {
        throw wrong("expected \(digits) hexadecimal digits after the backslash")
      }
      value = value << 4 | UInt32(truncatingIfNeeded: digit)
      position += 1
    }
    guard let scalar = Unicode.Scalar(value) else { throw wrong("expected the number of a character, found \(value)") }
    content += String(Character(scalar)).utf8
  }

  private static let escapes: [UInt8: String] = [
    UInt8(ascii: "0"): "\0", UInt8(ascii: "a"): "\u{7}", UInt8(ascii: "b"): "\u{8}", UInt8(ascii: "t"): "\t",
    UInt8(ascii: "\t"): "\t", UInt8(ascii: "n"): "\n", UInt8(ascii: "v"): "\u{B}", UInt8(ascii: "f"): "\u{C}",
    UInt8(ascii: "r"): "\r", UInt8(ascii: "e"): "\u{1B}", UInt8(ascii: " "): " ", UInt8(ascii: "\""): "\"",
    UInt8(ascii: "/"): "/", UInt8(ascii: "\\"): "\\", UInt8(ascii: "N"): "\u{85}", UInt8(ascii: "_"): "\u{A0}",
    UInt8(ascii: "L"): "\u{2028}", UInt8(ascii: "P"): "\u{2029}",
  ]

  // MARK: - Block scalars

  /// Reads `|` (lines as they are) or `>` (lines joined), whose lines are indented by at least `indentation`.
  mutating func blockScalar(indentation: Int) throws(HGNetError) -> YAMLNode {
    let first = line
    let isFolded = sees(">")
    position += 1
    var chomping: UInt8 = 0
    var explicit = 0
    while !isBlank() {
      if sees("-") || sees("+") {
        chomping = byte()
      } else if (UInt8(ascii: "1")...UInt8(ascii: "9")).contains(byte()), explicit == 0 {
        explicit = Int(byte() - UInt8(ascii: "0"))
      } else {
        throw wrong("expected the lines of the text below \"|\" or \">\"")
      }
      position += 1
    }
    guard skipToLineEnd() else { throw wrong("expected the lines of the text below \"|\" or \">\"") }
    var indent = explicit > 0 ? max(indentation - 1, 0) + explicit : 0
    var lines: [String] = []
    while !isAtEnd {
      takeLineEnd()
      let start = position
      while sees(" "), indent == 0 || column < indent { position += 1 }
      if isAtLineEnd {
        // The line end after the last line is no line of its own.
        if isAtEnd, position == start { break }
        lines.append("")
        continue
      }
      if indent == 0 { indent = max(column, indentation, 1) }
      guard column >= indent, !isAtMarker else {
        position = start
        break
      }
      let textStart = position
      while !isAtLineEnd { position += 1 }
      lines.append(String(decoding: bytes[textStart..<position], as: UTF8.self))
    }
    var text = YAMLParser.joined(lines, isFolded: isFolded, chomping: chomping)
    // A file that ends without a line end has none to keep.
    if isAtEnd, bytes.last != UInt8(ascii: "\n"), text.utf8.last == UInt8(ascii: "\n") { text.removeLast() }
    return YAMLNode(text, .quoted, line: first)
  }

  private static func joined(_ lines: [String], isFolded: Bool, chomping: UInt8) -> String {
    let content = lines.reversed().drop { $0.isEmpty }.reversed()
    let emptyLines = lines.count - content.count
    var text = ""
    var previous: String?
    var pending = 0
    for line in content {
      if line.isEmpty {
        pending += 1
        continue
      }
      if let before = previous {
        let isLoose = before.hasPrefix(" ") || line.hasPrefix(" ") || before.hasPrefix("\t") || line.hasPrefix("\t")
        if isFolded, !isLoose {
          text += pending == 0 ? " " : String(repeating: "\n", count: pending)
        } else {
          text += String(repeating: "\n", count: pending + 1)
        }
      } else {
        text += String(repeating: "\n", count: pending)
      }
      text += line
      previous = line
      pending = 0
    }
    switch chomping {
    case UInt8(ascii: "-"): return text
    case UInt8(ascii: "+"): return text + String(repeating: "\n", count: emptyLines + (content.isEmpty ? 0 : 1))
    default: return content.isEmpty ? "" : text + "\n"
    }
  }
}
