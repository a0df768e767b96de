import HGNetCore

extension YAMLScanner {
  // MARK: - Anchors

  /// Reads the name after `*` or `&`.
  mutating func anchorName(of kind: String) throws(HGNetError) -> String {
    let sign = text(1)
    skip()
    var length = 0
    while isWord(length) { length += 1 }
    let name = take(length)
    guard length > 0, isBlank() || "?:,]}%@`".unicodeScalars.contains(where: { sees($0) }) else {
      throw wrong("expected the name of an \(kind), of letters, digits, _ and -, after \(sign), found \(shown)")
    }
    return name
  }

  private func isWord(_ distance: Int) -> Bool {
    switch character(distance) {
    case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x5F: true
    default: false
    }
  }

  // MARK: - Tags

  /// Reads `!`, `!suffix`, `!!suffix`, `!name!suffix` or `!<whole>`; what has no handle is whole already.
  mutating func tag() throws(HGNetError) -> (handle: String?, suffix: String) {
    var result: (handle: String?, suffix: String) = (nil, "!")
    if sees("<", 1) {
      skip(2)
      result.suffix = try uniformName()
      guard sees(">") else { throw wrong("expected \">\" at the end of the tag, found \(shown)") }
      skip()
    } else if isBlank(1) {
      skip()
    } else {
      var length = 1
      while !isLineEnd(length), !sees(" ", length), !sees("!", length) { length += 1 }
      if sees("!", length) {
        result.handle = try tagHandle()
      } else {
        result.handle = "!"
        skip()
      }
      result.suffix = try uniformName()
    }
    guard sees(" ") || isLineEnd() else { throw wrong("expected a space after the tag, found \(shown)") }
    return result
  }

  private mutating func tagHandle() throws(HGNetError) -> String {
    guard sees("!") else { throw wrong("expected \"!\" at the beginning of a tag, found \(shown)") }
    var length = 1
    if !sees(" ", 1) {
      while isWord(length) { length += 1 }
      guard sees("!", length) else { throw wrong("expected a tag of letters, digits, _ and - between two \"!\"") }
      length += 1
    }
    return take(length)
  }

  private mutating func uniformName() throws(HGNetError) -> String {
    let allowed = "-;/?:@&=+$,_.!~*'()[]"
    var bytes: [UInt8] = []
    while true {
      if sees("%") {
        guard let high = Unicode.Scalar(character(1)).flatMap({ Character($0).hexDigitValue }),
          let low = Unicode.Scalar(character(2)).flatMap({ Character($0).hexDigitValue })
        else { throw wrong("expected two hexadecimal digits after % in the tag") }
        bytes.append(UInt8(truncatingIfNeeded: high << 4 | low))
        skip(3)
      } else if isWord(0) || allowed.unicodeScalars.contains(where: { sees($0) }) {
        bytes.append(UInt8(truncatingIfNeeded: character()))
        skip()
      } else {
        break
      }
    }
    guard !bytes.isEmpty, let name = String(validating: bytes, as: UTF8.self) else {
      throw wrong("expected a name in the tag, found \(shown)")
    }
    return name
  }

  // MARK: - Directives

  /// Reads a line that begins with `%`.
  mutating func directive() throws(HGNetError) -> YAMLDirective {
    skip()
    var length = 0
    while isWord(length) { length += 1 }
    let name = take(length)
    guard length > 0, sees(" ") || isLineEnd() else {
      throw wrong("expected the name of a directive after %, found \(shown)")
    }
    var result = YAMLDirective.other
    switch name {
    case "YAML":
      skipSpaces()
      let major = try versionNumber()
      guard sees(".") else { throw wrong("expected a version such as 1.1, found \(shown)") }
      skip()
      _ = try versionNumber()
      guard sees(" ") || isLineEnd() else { throw wrong("expected a version such as 1.1, found \(shown)") }
      result = .version(major: major)
    case "TAG":
      skipSpaces()
      let handle = try tagHandle()
      guard sees(" ") else { throw wrong("expected a space after the tag, found \(shown)") }
      skipSpaces()
      result = .tag(handle: handle, prefix: try uniformName())
      guard sees(" ") || isLineEnd() else { throw wrong("expected a space after the tag, found \(shown)") }
    default:
      while !isLineEnd() { skip() }
    }
    skipSpaces()
    skipComment()
    guard isLineEnd() else { throw wrong("expected nothing after the directive, found \(shown)") }
    _ = takeLineEnd()
    return result
  }

  private mutating func versionNumber() throws(HGNetError) -> Int {
    var length = 0
    while (0x30...0x39).contains(character(length)) { length += 1 }
    guard length > 0 else { throw wrong("expected a version such as 1.1, found \(shown)") }
    return Int(take(length)) ?? Int.max
  }
}
