import HGNetCore

/// A PaddleClas configuration file with its overrides: checked keys, typed values.
///
/// Keys are dotted paths (`Infer.PostProcess.topk`, `Infer.transforms.1.ResizeImage.size`). A key that is missing or
/// `null` reads as nil. Threads: a value, safe to share.
public struct Configuration: Sendable {
  /// The file.
  public let path: String
  /// Everything that it says, with the overrides applied.
  public let root: ConfigurationValue
  /// Dotted paths of keys that ask for something without meaning here, such as `Global.gpu_mem`.
  public let ignoredKeys: [String]
  /// Which keys somebody has asked for.
  let reads = ConfigurationReads()

  /// Reads a YAML file, applies overrides `KEY=VALUE` in order and checks every key.
  ///
  /// - Throws: `HGNetError.Code.fileNotFound`, `unreadableFile`, `invalidArgument` for an override that cannot be
  ///   applied, `invalidConfiguration` for an unknown key (naming the nearest known one) or text that is not YAML.
  public init(contentsOf path: String, overrides: [String] = []) throws(HGNetError) {
    try self.init(try ConfigurationValue(contentsOf: path), path: path, overrides: overrides)
  }

  /// Makes a configuration from values that are already read.
  ///
  /// - Throws: as `init(contentsOf:overrides:)`.
  public init(_ value: ConfigurationValue, path: String, overrides: [String] = []) throws(HGNetError) {
    guard case .mapping = value else {
      throw HGNetError(
        .invalidConfiguration, "expected sections such as \"Global:\", found \(value.kind); is this a configuration?",
        path: path)
    }
    var root = value
    for text in overrides {
      let override = try ConfigurationOverride(text)
      do {
        try PaddleClasKeys.root.check(path: override.key)
      } catch {
        var named = error
        named.context.key = "-o \(override.key)"
        throw named
      }
      try root.apply(override)
      try root.spreadClassCount(override)
    }
    do {
      ignoredKeys = try PaddleClasKeys.root.check(root)
    } catch {
      throw error.at(path: path)
    }
    self.path = path
    self.root = root
  }

  /// Writes keys and values as YAML, under another name until all of it is there.
  ///
  /// - Throws: `HGNetError.Code.unwritableFile`.
  public func write(to path: String) throws(HGNetError) {
    var file = try FileOutput(path: path)
    try file.write(root.yaml)
    try file.commit()
  }

  /// One line about the keys that are ignored, nil when there are none.
  public var notice: String? { notice(honoringDevice: false) }

  /// The same for a command that runs networks on the device that is asked for, where it is a GPU.
  package func notice(honoringDevice: Bool) -> String? {
    let isGPU = honoringDevice && gpu != nil
    var keys = ignoredKeys.filter { !isGPU || $0 != "Global.use_gpu" } + unusedDecoderKeys
    if case .text(let device)? = self["Global.device"], device != "cpu", !isGPU { keys.insert("Global.device", at: 0) }
    return keys.isEmpty ? nil : "these keys have no effect here: \(keys.joined(separator: ", "))"
  }

  /// The value of a key, nil where it is missing or null.
  public subscript(key: String) -> ConfigurationValue? {
    reads.note(key)
    guard let value = root.value(at: key), value != .null else { return nil }
    return value
  }

  /// The text of a key; numbers count as the text that spells them.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` for any other value.
  public func text(_ key: String) throws(HGNetError) -> String? {
    switch self[key] {
    case nil: nil
    case .text(let text): text
    case .integer(let number): "\(number)"
    case .largeInteger(let digits): digits
    case .number(let number): "\(number)"
    case .some(let other): throw wrong(key, expected: "text", found: other)
    }
  }

  /// The whole number of a key, inside a range.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` for any other value.
  public func integer(_ key: String, in range: ClosedRange<Int> = Int.min...Int.max) throws(HGNetError) -> Int? {
    guard let value = self[key] else { return nil }
    guard case .integer(let number) = value.evaluated else {
      throw wrong(key, expected: "a whole number", found: value)
    }
    guard range.contains(number) else {
      let bound =
        range.upperBound == Int.max
        ? "a whole number of at least \(range.lowerBound)"
        : "a whole number in \(range.lowerBound) … \(range.upperBound)"
      throw wrong(key, expected: bound, found: value)
    }
    return number
  }

  /// The number of a key; text that spells arithmetic, such as `1.0/255.0`, counts.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` for any other value.
  public func number(_ key: String) throws(HGNetError) -> Double? {
    guard let value = self[key] else { return nil }
    guard let number = value.evaluated.asNumber else { throw wrong(key, expected: "a number", found: value) }
    guard number.isFinite else { throw wrong(key, expected: "a finite number", found: value) }
    return number
  }

  /// The truth value of a key.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` for any other value.
  public func boolean(_ key: String) throws(HGNetError) -> Bool? {
    guard let value = self[key] else { return nil }
    guard case .boolean(let truth) = value else { throw wrong(key, expected: "True or False", found: value) }
    return truth
  }

  /// The numbers of a list.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` for any other value.
  public func numbers(_ key: String) throws(HGNetError) -> [Double]? {
    guard let value = self[key] else { return nil }
    guard case .list(let list) = value else { throw wrong(key, expected: "a list of numbers", found: value) }
    var result: [Double] = []
    for (index, element) in list.enumerated() {
      guard let number = element.evaluated.asNumber else {
        throw wrong("\(key).\(index)", expected: "a number", found: element)
      }
      guard number.isFinite else { throw wrong("\(key).\(index)", expected: "a finite number", found: element) }
      result.append(number)
    }
    return result
  }

  /// The texts of a list.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` for any other value.
  public func texts(_ key: String) throws(HGNetError) -> [String]? {
    guard let value = self[key] else { return nil }
    guard case .list(let list) = value else { throw wrong(key, expected: "a list of names", found: value) }
    var result: [String] = []
    for index in list.indices { result.append(try text("\(key).\(index)") ?? "") }
    return result
  }

  /// A list of one-name mappings such as transforms: each name with the path of its arguments.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` when the value has another form.
  public func operators(_ key: String) throws(HGNetError) -> [(name: String, key: String)]? {
    guard let value = self[key] else { return nil }
    guard case .list(let list) = value else { throw wrong(key, expected: "a list of operators", found: value) }
    var result: [(name: String, key: String)] = []
    for (index, element) in list.enumerated() {
      switch element {
      case .mapping(let mapping) where mapping.count == 1:
        let name = mapping.keys.first ?? ""
        result.append((name, "\(key).\(index).\(name)"))
      case .text(let name): result.append((name, "\(key).\(index).\(name)"))
      default:
        throw wrong("\(key).\(index)", expected: "one operator such as \"- CropImage:\"", found: element)
      }
    }
    return result
  }

  /// An error about the value of a key.
  package func wrong(_ key: String, expected: String, found value: ConfigurationValue) -> HGNetError {
    HGNetError(.invalidConfiguration, "expected \(expected), found \(value.kind)", path: path, key: key)
  }
}

extension ConfigurationValue {
  /// The value, or the number that its text spells.
  fileprivate var evaluated: ConfigurationValue {
    guard case .text(let text) = self else { return self }
    switch PythonLiteral.parse(text, allowingArithmetic: true) {
    case .integer(let value): return .integer(value)
    case .largeInteger(let digits): return .largeInteger(digits)
    case .number(let value): return .number(value)
    default: return self
    }
  }
}
