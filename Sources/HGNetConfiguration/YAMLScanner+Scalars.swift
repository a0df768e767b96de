import HGNetCore

extension YAMLScanner {
  // MARK: - Plain scalars

  /// Reads a plain scalar, over as many lines as are indented enough.
  mutating func plainScalar() -> String {
    let least = indentation + 1
    var content = ""
    var spaces = ""
    while !sees("#") {
      var length = 0
      while !endsPlain(length) { length += 1 }
      guard length > 0 else { break }
      allowsKey = false
      content += spaces
      content += take(length)
      spaces = plainSpaces()
      if spaces.isEmpty || (!isInFlow && column < least) { break }
    }
    return content
  }

  private func endsPlain(_ distance: Int) -> Bool {
    if isBlank(distance) { return true }
    let next = character(distance)
    if next == 0x3A {
      return isBlank(distance + 1) || (isInFlow && isFlowIndicator(character(distance + 1)))
    }
    return isInFlow && (next == 0x3F || isFlowIndicator(next))
  }

  private func isFlowIndicator(_ character: UInt32) -> Bool {
    switch character {
    case 0x2C, 0x5B, 0x5D, 0x7B, 0x7D: true
    default: false
    }
  }

  /// The blanks inside a plain scalar; empty where it ends.
  private mutating func plainSpaces() -> String {
    var length = 0
    while sees(" ", length) { length += 1 }
    let spaces = take(length)
    guard let lineEnd = takeLineEnd() else { return spaces }
    allowsKey = true
    if column == 0, seesMarker { return "" }
    var further = ""
    while true {
      if sees(" ") {
        skip()
      } else if let next = takeLineEnd() {
        further += next
        if seesMarker { return "" }
      } else {
        break
      }
    }
    return folded(lineEnd, further)
  }

  /// A line end between two lines of text is a space, each further one stays.
  private func folded(_ first: String, _ further: String) -> String {
    if first != "\n" { return first + further }
    return further.isEmpty ? " " : further
  }

  // MARK: - Quoted scalars

  /// Reads `"…"` with its escapes or `'…'`, over as many lines as it takes.
  mutating func quotedScalar() throws(HGNetError) -> String {
    let first = line
    let isDouble = sees("\"")
    let quote: Unicode.Scalar = isDouble ? "\"" : "'"
    skip()
    var content = ""
    while true {
      try takeQuotedText(isDouble: isDouble, into: &content)
      if sees(quote) { break }
      var length = 0
      while sees(" ", length) || sees("\t", length) { length += 1 }
      let spaces = take(length)
      guard !isAtEnd else {
        throw wrong("expected a quotation mark that closes the text of this line", line: first)
      }
      if let lineEnd = takeLineEnd() {
        content += folded(lineEnd, try quotedLineEnds())
      } else {
        content += spaces
      }
    }
    skip()
    return content
  }

  private mutating func takeQuotedText(
    isDouble: Bool, into content: inout String
  ) throws(HGNetError) {
    while true {
      var length = 0
      while !isBlank(length), !sees("'", length), !sees("\"", length), !sees("\\", length) { length += 1 }
      content += take(length)
      if isBlank() { return }
      if isDouble ? sees("\"") : sees("'") {
        guard !isDouble, sees("'", 1) else { return }
        skip()
      } else if isDouble, sees("\\") {
        try takeEscape(into: &content)
        continue
      }
      content += take(1)
    }
  }

  /// Takes empty lines and the blanks that begin lines.
  private mutating func quotedLineEnds() throws(HGNetError) -> String {
    var taken = ""
    while true {
      if seesMarker { throw wrong("expected a quotation mark before the end of the document") }
      while sees(" ") || sees("\t") { skip() }
      guard let lineEnd = takeLineEnd() else { return taken }
      taken += lineEnd
    }
  }

  private mutating func takeEscape(into content: inout String) throws(HGNetError) {
    skip()
    var digits = 0
    switch Unicode.Scalar(character()) {
    case "x": digits = 2
    case "u": digits = 4
    case "U": digits = 8
    case let kind?:
      if !isAtEnd, takeLineEnd() != nil {
        content += try quotedLineEnds()
        return
      }
      guard let replacement = YAMLScanner.escapes[kind] else {
        throw wrong("expected an escape such as \\n or \\\", found another; double the backslash or use '…'")
      }
      content.unicodeScalars.append(replacement)
      skip()
      return
    case nil: return
    }
    skip()
    var value: UInt32 = 0
    for distance in 0..<digits {
      guard let digit = Unicode.Scalar(character(distance)).flatMap({ Character($0).hexDigitValue }),
        character(distance) < 0x80
      else {
        throw wrong("expected \(digits) hexadecimal digits after the backslash")
      }
      value = value << 4 | UInt32(truncatingIfNeeded: digit)
    }
    guard let scalar = Unicode.Scalar(value) else { throw wrong("expected the number of a character, found \(value)") }
    content.unicodeScalars.append(scalar)
    skip(digits)
  }

  private static let escapes: [Unicode.Scalar: Unicode.Scalar] = [
    "0": "\0", "a": "\u{7}", "b": "\u{8}", "t": "\t", "\t": "\t", "n": "\n", "v": "\u{B}", "f": "\u{C}", "r": "\r",
    "e": "\u{1B}", " ": " ", "\"": "\"", "/": "/", "\\": "\\", "N": "\u{85}", "_": "\u{A0}", "L": "\u{2028}",
    "P": "\u{2029}",
  ]

  // MARK: - Block scalars

  /// What happens to the line ends after the last line of text.
  private enum Chomping { case one, none, all }

  /// Reads `|` (lines as they are) or `>` (lines joined), whose lines are indented more than their block.
  mutating func blockScalar() throws(HGNetError) -> String {
    let isFolded = sees(">")
    skip()
    let (chomping, increment) = try blockIndicators()
    skipSpaces()
    skipComment()
    guard isLineEnd() else { throw wrong("expected the lines of the text below \"|\" or \">\", found \(shown)") }
    _ = takeLineEnd()

    let least = max(indentation + 1, 1)
    var own = least
    var emptyLines = ""
    if let increment {
      own += increment - 1
      emptyLines = blockLineEnds(indentation: own)
    } else {
      while true {
        if sees(" ") {
          skip()
          own = max(own, column)
        } else if let next = takeLineEnd() {
          emptyLines += next
        } else {
          break
        }
      }
    }
    var content = ""
    var lineEnd = ""
    while column == own, !isAtEnd {
      content += emptyLines
      let isLoose = sees(" ") || sees("\t")
      var length = 0
      while !isLineEnd(length) { length += 1 }
      content += take(length)
      lineEnd = takeLineEnd() ?? ""
      emptyLines = blockLineEnds(indentation: own)
      guard column == own, !isAtEnd else { break }
      if isFolded, lineEnd == "\n", !isLoose, !sees(" "), !sees("\t") {
        if emptyLines.isEmpty { content += " " }
      } else {
        content += lineEnd
      }
    }
    if chomping != .none { content += lineEnd }
    if chomping == .all { content += emptyLines }
    return content
  }

  private mutating func blockIndicators() throws(HGNetError) -> (Chomping, increment: Int?) {
    var chomping: Chomping?
    var increment: Int?
    while true {
      if chomping == nil, sees("+") || sees("-") {
        chomping = sees("+") ? .all : Chomping.none
      } else if increment == nil, (0x31...0x39).contains(character()) {
        increment = Int(character()) - 0x30
      } else {
        break
      }
      skip()
    }
    guard sees(" ") || isLineEnd() else {
      throw wrong("expected the lines of the text below \"|\" or \">\", found \(shown)")
    }
    return (chomping ?? .one, increment)
  }

  private mutating func blockLineEnds(indentation: Int) -> String {
    var taken = ""
    while true {
      while column < indentation, sees(" ") { skip() }
      guard let next = takeLineEnd() else { return taken }
      taken += next
    }
  }
}
