/// The one public error of the package: what went wrong, where, and how to mend it.
///
/// Every throwing function of the targets `HGNetCore` … `HGNetVision` throws this type. The message carries the two
/// facts that disagree (what was expected and what was found); the context names the file, key, layer or line.
///
/// Threads: an immutable value, safe to share.
public struct HGNetError: Error, Sendable, CustomStringConvertible {
  /// The kind of failure, which the tool maps to an exit code and a server to a status.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    /// The stable name of the code, in lower camel case.
    public let description: String

    private init(_ description: String) { self.description = description }

    /// A file or folder does not exist.
    public static let fileNotFound = Code("fileNotFound")
    /// A file exists but cannot be opened, read or mapped.
    public static let unreadableFile = Code("unreadableFile")
    /// A file cannot be written completely.
    public static let unwritableFile = Code("unwritableFile")
    /// The bytes of a file or message do not follow its format.
    public static let malformedData = Code("malformedData")
    /// The bytes are well formed but ask for something that this package does not do.
    public static let unsupported = Code("unsupported")
    /// A pickle names a global that would run code.
    public static let unsafeContent = Code("unsafeContent")
    /// A size is beyond what can be handled or what the file can hold.
    public static let limitExceeded = Code("limitExceeded")
    /// Parameters are missing, unused or misshapen.
    public static let parameterMismatch = Code("parameterMismatch")
    /// A shape or size does not fit the operation.
    public static let shapeMismatch = Code("shapeMismatch")
    /// An argument or option has a value outside its range.
    public static let invalidArgument = Code("invalidArgument")
    /// A configuration has an unknown key, a wrong type or a missing value.
    public static let invalidConfiguration = Code("invalidConfiguration")
    /// Nothing to work on was found.
    public static let noInput = Code("noInput")
    /// As much waits already as may wait; later there is room again.
    public static let queueFull = Code("queueFull")
    /// A download failed.
    public static let networkFailure = Code("networkFailure")
    /// A device that networks run on is not there, cannot be used or failed.
    public static let deviceFailure = Code("deviceFailure")
    /// Something that must hold inside the package does not.
    public static let internalInconsistency = Code("internalInconsistency")
  }

  /// Where the failure was noticed; every part is optional.
  public struct Context: Hashable, Sendable {
    /// The file or folder concerned.
    public var path: String?
    /// The configuration key, tensor name or option concerned.
    public var key: String?
    /// The layer of the network concerned.
    public var layer: String?
    /// The 1-based line of a text file.
    public var line: Int?

    /// Makes a context from the parts that are known.
    public init(path: String? = nil, key: String? = nil, layer: String? = nil, line: Int? = nil) {
      self.path = path
      self.key = key
      self.layer = layer
      self.line = line
    }
  }

  /// The kind of failure.
  public var code: Code
  /// What was expected, what was found and how to mend it: one sentence or two, without the path.
  public var message: String
  /// Where it happened.
  public var context: Context
  /// The error underneath, as text.
  public var cause: String?

  /// Makes an error; the parts of the context may be given directly.
  ///
  /// Text that is far longer than a person reads, such as a line of a damaged file, loses its middle.
  public init(
    _ code: Code, _ message: String, path: String? = nil, key: String? = nil, layer: String? = nil, line: Int? = nil,
    cause: String? = nil
  ) {
    self.code = code
    self.message = HGNetError.shortened(message, to: HGNetError.messageLimit)
    self.context = Context(
      path: path.map { HGNetError.shortened($0, to: HGNetError.pathLimit) },
      key: key.map { HGNetError.shortened($0, to: HGNetError.nameLimit) },
      layer: layer.map { HGNetError.shortened($0, to: HGNetError.nameLimit) }, line: line)
    self.cause = cause.map { HGNetError.shortened($0, to: HGNetError.nameLimit) }
  }

  /// The same error with the path filled in where none is known yet.
  public func at(path: String) -> HGNetError {
    var copy = self
    if copy.context.path == nil { copy.context.path = path }
    return copy
  }

  /// One line for people: `path:line: key: message (cause)`.
  public var description: String {
    var text = ""
    if let path = context.path {
      text += path.isEmpty ? "\"\"" : HGNetError.shortened(path, to: HGNetError.pathLimit)
      if let line = context.line { text += ":\(line)" }
      text += ": "
    } else if let line = context.line {
      text += "line \(line): "
    }
    if let key = context.key { text += "\(HGNetError.shortened(key, to: HGNetError.nameLimit)): " }
    if let layer = context.layer { text += "\(HGNetError.shortened(layer, to: HGNetError.nameLimit)): " }
    text += HGNetError.shortened(message, to: HGNetError.messageLimit)
    if let cause { text += " (\(HGNetError.shortened(cause, to: HGNetError.nameLimit)))" }
    return HGNetError.visible(text)
  }
}

// MARK: - Foreign text

extension HGNetError {
  /// Characters of a path, which people copy.
  static let pathLimit = 500
  /// Characters of a key, a layer or a cause.
  static let nameLimit = 300
  /// Characters of a message, which may list many things of our own.
  static let messageLimit = 1000
  /// Characters of a text from somebody's file or request.
  package static let textLimit = 80

  /// Foreign text for a message: in quotes, without its middle where it is long, control characters visible.
  ///
  /// Every message that shows a part of a file, a request or a name uses it.
  package static func quoted(_ text: some StringProtocol, to limit: Int = textLimit) -> String {
    "\"\(visible(shortened(text, to: limit)))\""
  }

  /// Text of at most `limit` characters: its beginning, `…`, its end.
  ///
  /// Cost: O(limit), however long the text is.
  package static func shortened(_ text: some StringProtocol, to limit: Int = textLimit) -> String {
    let scalars = text.unicodeScalars
    guard scalars.index(scalars.startIndex, offsetBy: limit + 1, limitedBy: scalars.endIndex) != nil else {
      return String(text)
    }
    let tail = limit / 4
    let head = limit - tail - 1
    var result = String.UnicodeScalarView()
    result.append(contentsOf: scalars.prefix(head))
    result.append("…")
    result.append(contentsOf: scalars.suffix(tail))
    return String(result)
  }

  /// The text with what would break the line or speak to the terminal as escapes.
  package static func visible(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: isHarmful) else { return text }
    var line = ""
    for character in text.unicodeScalars {
      line += isHarmful(character) ? character.escaped(asASCII: true) : String(Character(character))
    }
    return line
  }

  /// Whether a character from a damaged file or a name would break the line or speak to the terminal.
  private static func isHarmful(_ character: Unicode.Scalar) -> Bool {
    switch character.value {
    case 0..<0x20, 0x7F..<0xA0, 0x2028, 0x2029: true
    // What turns the direction of writing.
    case 0x200E, 0x200F, 0x202A...0x202E, 0x2066...0x2069: true
    default: false
    }
  }
}
