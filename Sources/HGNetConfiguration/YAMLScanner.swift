import HGNetCore

/// One token of a YAML text.
struct YAMLToken: Sendable {
  enum Kind: Sendable, Equatable {
    case endOfText, directive(YAMLDirective), documentStart, documentEnd
    case listStart, mappingStart, blockEnd
    case flowListStart, flowMappingStart, flowListEnd, flowMappingEnd, flowEntry
    case entry, key, value
    case alias(String), anchor(String), tag(handle: String?, suffix: String)
    case scalar(String, isPlain: Bool)
  }

  let kind: Kind
  /// 1-based.
  let line: Int
}

/// What a line that begins with `%` says.
enum YAMLDirective: Sendable, Equatable {
  case version(major: Int)
  case tag(handle: String, prefix: String)
  case other
}

/// Cuts a YAML text into tokens, by the rules of YAML 1.1 as PyYAML applies them.
///
/// What may be a key is known only once its colon comes, so tokens wait in a queue until no place before them can become
/// a key any more. Its cost is linear in the length of the text.
struct YAMLScanner {
  /// A place that becomes a key if a colon follows on its line.
  private struct Candidate {
    let flowDepth: Int
    let tokenNumber: Int
    /// Whether nothing but a key may stand there.
    let isRequired: Bool
    let position: Int
    let line: Int
    let column: Int
  }

  /// A key and its colon are at most so many characters apart.
  private static let keyLimit = 1024

  let characters: [UInt32]
  private(set) var position = 0
  /// 1-based.
  private(set) var line = 1
  /// 0-based.
  private(set) var column = 0
  /// Of the block that the scanner is in; -1 outside.
  private(set) var indentation = -1
  /// Where the flow collections around this place begin.
  private(set) var flowStarts: [(line: Int, bracket: Unicode.Scalar)] = []
  private var outerIndentations: [Int] = []
  var allowsKey = true
  private var candidates: [Candidate] = []
  private var queue: [YAMLToken] = []
  private var head = 0
  private var isDone = false

  /// Looks at a text before anything else.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` for a character that YAML does not know.
  init(_ text: String) throws(HGNetError) {
    var characters = text.unicodeScalars.map(\.value)
    // Some editors begin a file with a byte order mark.
    if characters.first == 0xFEFF { characters.removeFirst() }
    self.characters = characters
    var line = 1
    for (index, character) in characters.enumerated() {
      if isYAMLLineEnd(character), character != 0x0D || index + 1 == characters.count || characters[index + 1] != 0x0A {
        line += 1
      }
      guard isYAMLPrintable(character) else {
        throw HGNetError(
          .invalidConfiguration,
          "expected YAML text, found the control character \\u{\(String(character, radix: 16))}", line: line)
      }
    }
  }

  // MARK: - Characters

  /// The character at a distance from here; 0 beyond the end, which no text holds.
  func character(_ distance: Int = 0) -> UInt32 {
    position + distance < characters.count ? characters[position + distance] : 0
  }

  func sees(_ expected: Unicode.Scalar, _ distance: Int = 0) -> Bool { character(distance) == expected.value }

  /// Whether a space, a tab, a line end or the end of the text is there.
  func isBlank(_ distance: Int = 0) -> Bool {
    let next = character(distance)
    return next == 0x20 || next == 0x09 || isLineEnd(distance)
  }

  /// Whether a line end or the end of the text is there.
  func isLineEnd(_ distance: Int = 0) -> Bool {
    let next = character(distance)
    return next == 0 || isYAMLLineEnd(next)
  }

  var isAtEnd: Bool { position >= characters.count }

  mutating func skip(_ count: Int = 1) {
    for _ in 0..<count where !isAtEnd {
      let passed = characters[position]
      position += 1
      if isYAMLLineEnd(passed), passed != 0x0D || !sees("\n") {
        line += 1
        column = 0
      } else if passed != 0xFEFF {
        column += 1
      }
    }
  }

  /// Takes a line end, however it is written; nil elsewhere.
  ///
  /// It counts as `\n`; the two of Unicode stay what they are.
  mutating func takeLineEnd() -> String? {
    let next = character()
    guard next != 0, isYAMLLineEnd(next) else { return nil }
    skip(next == 0x0D && sees("\n", 1) ? 2 : 1)
    return next == 0x2028 ? "\u{2028}" : next == 0x2029 ? "\u{2029}" : "\n"
  }

  /// The text of the next characters.
  func text(_ count: Int) -> String {
    var text = String.UnicodeScalarView()
    for index in position..<min(position + count, characters.count) {
      if let scalar = Unicode.Scalar(characters[index]) { text.append(scalar) }
    }
    return String(text)
  }

  /// Takes characters as text.
  mutating func take(_ count: Int) -> String {
    defer { skip(count) }
    return text(count)
  }

  mutating func skipSpaces() {
    while sees(" ") { skip() }
  }

  /// Goes to the end of the line where a comment begins here.
  mutating func skipComment() {
    guard sees("#") else { return }
    while !isLineEnd() { skip() }
  }

  /// Whether a document begins (`---`) or ends (`...`) here, wherever in the line.
  var seesMarker: Bool {
    guard isBlank(3) else { return false }
    return (sees("-") && sees("-", 1) && sees("-", 2)) || (sees(".") && sees(".", 1) && sees(".", 2))
  }

  var isInFlow: Bool { !flowStarts.isEmpty }

  func wrong(_ message: String, line: Int? = nil) -> HGNetError {
    HGNetError(.invalidConfiguration, message, line: line ?? self.line)
  }

  /// The character here as an error message shows it.
  var shown: String {
    isAtEnd ? "the end of the file" : isLineEnd() ? "the end of the line" : "\"\(text(1))\""
  }

  // MARK: - Tokens

  /// The next token, which stays.
  mutating func peek() throws(HGNetError) -> YAMLToken {
    while try needsMore() { try fetch() }
    return queue[head]
  }

  /// The next token.
  mutating func next() throws(HGNetError) -> YAMLToken {
    let token = try peek()
    head += 1
    return token
  }

  private mutating func needsMore() throws(HGNetError) -> Bool {
    if isDone { return false }
    if head == queue.count { return true }
    try dropStaleCandidates()
    return candidates.first.map { $0.tokenNumber <= head } ?? false
  }

  private mutating func fetch() throws(HGNetError) {
    skipToNextToken()
    try dropStaleCandidates()
    closeBlocks(beyond: column)
    guard !isAtEnd else { return try fetchEnd() }
    if column == 0 {
      if sees("%") {
        try leaveBlocks()
        let start = line
        return add(.directive(try directive()), line: start)
      }
      if seesMarker {
        try leaveBlocks()
        add(sees("-") ? .documentStart : .documentEnd)
        return skip(3)
      }
    }
    guard let next = Unicode.Scalar(character()) else { return }
    switch next {
    case "[", "{": try fetchFlowStart(next)
    case "]", "}": try fetchFlowEnd(next)
    case ",":
      allowsKey = true
      try dropCandidate()
      add(.flowEntry)
      skip()
    case "-" where isBlank(1): try fetchEntry()
    case "?" where isInFlow || isBlank(1): try fetchKey()
    case ":" where isInFlow || isBlank(1): try fetchValue()
    case "*", "&":
      try noteCandidate()
      allowsKey = false
      let start = line
      let name = try anchorName(of: next == "*" ? "alias" : "anchor")
      add(next == "*" ? .alias(name) : .anchor(name), line: start)
    case "!":
      try noteCandidate()
      allowsKey = false
      let start = line
      let tag = try tag()
      add(.tag(handle: tag.handle, suffix: tag.suffix), line: start)
    case "|" where !isInFlow, ">" where !isInFlow:
      allowsKey = true
      try dropCandidate()
      let start = line
      add(.scalar(try blockScalar(), isPlain: false), line: start)
    case "'", "\"":
      try noteCandidate()
      allowsKey = false
      let start = line
      add(.scalar(try quotedScalar(), isPlain: false), line: start)
    default:
      guard beginsPlain(next) else { throw notAValue(next) }
      try noteCandidate()
      allowsKey = false
      let start = line
      add(.scalar(plainScalar(), isPlain: true), line: start)
    }
  }

  private func beginsPlain(_ next: Unicode.Scalar) -> Bool {
    switch next {
    case "-": !isBlank(1)
    case "?", ":": !isInFlow && !isBlank(1)
    case "\t", ",", "[", "]", "{", "}", "#", "&", "*", "!", "|", ">", "'", "\"", "%", "@", "`": false
    default: true
    }
  }

  private func notAValue(_ next: Unicode.Scalar) -> HGNetError {
    if next == "\t" {
      return wrong("expected spaces, found a tab before a value or in the indentation; YAML allows only spaces there")
    }
    return wrong("expected a value, found \"\(next)\"; quote text that begins with it")
  }

  private mutating func add(_ kind: YAMLToken.Kind, line: Int? = nil) {
    queue.append(YAMLToken(kind: kind, line: line ?? self.line))
  }

  /// Skips spaces, comments and line ends; after a line end a key may begin.
  private mutating func skipToNextToken() {
    while true {
      skipSpaces()
      skipComment()
      guard takeLineEnd() != nil else { return }
      if !isInFlow { allowsKey = true }
    }
  }

  // MARK: - Candidates for keys

  private mutating func dropStaleCandidates() throws(HGNetError) {
    for candidate in candidates
    where candidate.isRequired
      && (candidate.line != line || position - candidate.position > YAMLScanner.keyLimit)
    {
      throw noColon(after: candidate)
    }
    candidates.removeAll { $0.line != line || position - $0.position > YAMLScanner.keyLimit }
  }

  private func noColon(after candidate: Candidate) -> HGNetError {
    wrong("expected a key with a colon and a space after it", line: candidate.line)
  }

  private mutating func noteCandidate() throws(HGNetError) {
    guard allowsKey else { return }
    try dropCandidate()
    candidates.append(
      Candidate(
        flowDepth: flowStarts.count, tokenNumber: queue.count, isRequired: !isInFlow && indentation == column,
        position: position, line: line, column: column))
  }

  /// Drops the candidate of this flow level.
  private mutating func dropCandidate() throws(HGNetError) {
    guard let last = candidates.last, last.flowDepth == flowStarts.count else { return }
    if last.isRequired { throw noColon(after: last) }
    candidates.removeLast()
  }

  // MARK: - Blocks

  private mutating func closeBlocks(beyond column: Int) {
    guard !isInFlow else { return }
    while indentation > column, let outer = outerIndentations.popLast() {
      indentation = outer
      add(.blockEnd)
    }
  }

  /// Opens a block where one is indented more than the one around it.
  private mutating func openBlock(_ kind: YAMLToken.Kind, column: Int, at place: Int, line: Int) {
    guard indentation < column else { return }
    outerIndentations.append(indentation)
    indentation = column
    queue.insert(YAMLToken(kind: kind, line: line), at: place)
  }

  private mutating func leaveBlocks() throws(HGNetError) {
    closeBlocks(beyond: -1)
    try dropCandidate()
    allowsKey = false
  }

  private mutating func fetchEnd() throws(HGNetError) {
    try leaveBlocks()
    candidates = []
    add(.endOfText)
    isDone = true
  }

  private mutating func fetchFlowStart(_ bracket: Unicode.Scalar) throws(HGNetError) {
    try noteCandidate()
    flowStarts.append((line, bracket))
    allowsKey = true
    add(bracket == "[" ? .flowListStart : .flowMappingStart)
    skip()
  }

  private mutating func fetchFlowEnd(_ bracket: Unicode.Scalar) throws(HGNetError) {
    try dropCandidate()
    guard flowStarts.popLast() != nil else {
      throw wrong("expected a value or the end of the line, found \"\(bracket)\" without its beginning")
    }
    allowsKey = false
    add(bracket == "]" ? .flowListEnd : .flowMappingEnd)
    skip()
  }

  private mutating func fetchEntry() throws(HGNetError) {
    if !isInFlow {
      guard allowsKey else { throw wrong("expected the list below its key, found it on the same line") }
      openBlock(.listStart, column: column, at: queue.count, line: line)
    }
    allowsKey = true
    try dropCandidate()
    add(.entry)
    skip()
  }

  private mutating func fetchKey() throws(HGNetError) {
    if !isInFlow {
      guard allowsKey else { throw wrong("expected one value, found \"?\" in the middle of it") }
      openBlock(.mappingStart, column: column, at: queue.count, line: line)
    }
    allowsKey = !isInFlow
    try dropCandidate()
    add(.key)
    skip()
  }

  private mutating func fetchValue() throws(HGNetError) {
    if let candidate = candidates.last, candidate.flowDepth == flowStarts.count {
      candidates.removeLast()
      queue.insert(YAMLToken(kind: .key, line: candidate.line), at: candidate.tokenNumber)
      if !isInFlow {
        openBlock(.mappingStart, column: candidate.column, at: candidate.tokenNumber, line: candidate.line)
      }
      allowsKey = false
    } else {
      if !isInFlow {
        guard allowsKey else {
          throw wrong("expected one value, found a key in the middle of it; quote text with a colon")
        }
        openBlock(.mappingStart, column: column, at: queue.count, line: line)
      }
      allowsKey = !isInFlow
      try dropCandidate()
    }
    add(.value)
    skip()
  }
}

/// Whether a character ends a line in YAML 1.1.
func isYAMLLineEnd(_ character: UInt32) -> Bool {
  switch character {
  case 0x0A, 0x0D, 0x85, 0x2028, 0x2029: true
  default: false
  }
}

/// Whether a character may stand in a YAML text as it is; others are written as escapes in double quotes.
func isYAMLPrintable(_ character: UInt32) -> Bool {
  switch character {
  case 0x09, 0x0A, 0x0D, 0x20...0x7E, 0x85, 0xA0...0xD7FF, 0xE000...0xFFFD, 0x1_0000...0x10_FFFF: true
  default: false
  }
}
