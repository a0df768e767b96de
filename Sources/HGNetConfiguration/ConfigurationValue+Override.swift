import HGNetCore

/// One assignment from the command line: `-o Infer.PostProcess.topk=3`.
public struct ConfigurationOverride: Sendable, Hashable {
  /// The dotted path; elements of lists are named by their index.
  public let key: String
  /// What is assigned.
  public let value: ConfigurationValue

  /// Reads `KEY=VALUE`.
  ///
  /// The value is a Python literal (number, list, quoted text, `True`, `False`, `None`), arithmetic over numbers such as
  /// `1/255`, or else plain text; it may contain `=`. Unlike in PaddleClas, `true`, `false` and `null` mean what they say.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` without `=` or without a key.
  public init(_ text: String) throws(HGNetError) {
    guard let separator = text.firstIndex(of: "=") else {
      throw HGNetError(
        .invalidArgument,
        "expected KEY=VALUE, found \(HGNetError.quoted(text)) without =; write for example Infer.batch_size=4",
        key: "-o")
    }
    key = String(text[..<separator])
    guard !key.isEmpty, key.split(separator: ".", omittingEmptySubsequences: false).allSatisfy({ !$0.isEmpty }) else {
      throw HGNetError(
        .invalidArgument, "expected a key of names joined by dots before =, found \(HGNetError.quoted(text))", key: "-o"
      )
    }
    value = ConfigurationOverride.value(of: text[text.index(after: separator)...])
  }

  /// Makes an override from its parts.
  init(key: String, value: ConfigurationValue) {
    self.key = key
    self.value = value
  }

  private static func value(of text: Substring) -> ConfigurationValue {
    switch text {
    case "true": .boolean(true)
    case "false": .boolean(false)
    case "null": .null
    default: PythonLiteral.parse(text, allowingArithmetic: true) ?? .text(String(text))
    }
  }
}

extension ConfigurationValue {
  /// Assigns a value under a dotted path; mappings that are missing on the way are created.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` for an index outside a list, or a part that is no index.
  public mutating func apply(_ override: ConfigurationOverride) throws(HGNetError) {
    try assign(override.value, at: override.key.split(separator: ".")[...], whole: override.key)
  }

  private mutating func assign(_ value: ConfigurationValue, at path: ArraySlice<Substring>, whole: String)
    throws(HGNetError)
  {
    guard let part = path.first else {
      self = value
      return
    }
    switch self {
    case .list(var list):
      guard let index = Int(part), list.indices.contains(index) else {
        throw HGNetError(
          .invalidArgument, "expected an index of a list, 0 … \(list.count - 1), found \(HGNetError.quoted(part))",
          key: "-o \(whole)")
      }
      try list[index].assign(value, at: path.dropFirst(), whole: whole)
      self = .list(list)
    case .mapping(var mapping):
      var child = mapping[String(part)] ?? .null
      try child.assign(value, at: path.dropFirst(), whole: whole)
      mapping[String(part)] = child
      self = .mapping(mapping)
    default:
      var mapping = ConfigurationMapping()
      var child = ConfigurationValue.null
      try child.assign(value, at: path.dropFirst(), whole: whole)
      mapping[String(part)] = child
      self = .mapping(mapping)
    }
  }
}
