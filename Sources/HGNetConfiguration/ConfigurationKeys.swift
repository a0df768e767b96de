import HGNetCore

/// The keys that a configuration may hold: a tree that mirrors the file.
///
/// Threads: a value, safe to share.
indirect enum ConfigurationKeys: Sendable {
  /// A value that decides something; the code reads it.
  case value
  /// A value that decides nothing here, and why; one that asks for something is reported once.
  case ignored(String)
  /// A name that PaddleClas has and this package does not: an error with this text.
  case refused(String)
  /// Named values.
  case section([String: ConfigurationKeys])
  /// A list whose elements all look the same.
  case list(ConfigurationKeys)
  /// A list of one-key mappings: the name of an operator, loss or metric, and its arguments.
  case named([String: ConfigurationKeys])
  /// A mapping with a `name` that decides about the other keys, or a list of them.
  case byName(common: [String: ConfigurationKeys], arguments: [String: ConfigurationKeys])
  /// A mapping with keys of the user's own choice.
  case open(ConfigurationKeys)

  /// A section of plain values, from names separated by spaces.
  static func values(_ names: String) -> ConfigurationKeys { .section(table(names)) }

  /// Plain values by name, from names separated by spaces.
  static func table(_ names: String, _ kind: ConfigurationKeys = .value) -> [String: ConfigurationKeys] {
    Dictionary(names.split(separator: " ").map { (String($0), kind) }) { first, _ in first }
  }

  /// Names that PaddleClas has and this package does not, separated by spaces.
  ///
  /// - Parameters:
  ///   - what: what they name, with its article.
  ///   - known: what there is instead.
  static func refused(_ names: String, _ what: String, known: [String]) -> [String: ConfigurationKeys] {
    let list = known.sorted().joined(separator: ", ")
    var result: [String: ConfigurationKeys] = [:]
    for name in names.split(whereSeparator: \.isWhitespace) {
      result[String(name)] = .refused("\(name) is \(what) of PaddleClas that hgnet does not have; there are: \(list)")
    }
    return result
  }

  /// One line per name, followed by its arguments: `CropImage size`.
  static func operators(_ lines: String) -> [String: ConfigurationKeys] {
    var result: [String: ConfigurationKeys] = [:]
    for line in lines.split(separator: "\n") {
      let words = line.split(separator: " ", maxSplits: 1)
      guard let name = words.first else { continue }
      result[String(name)] = .values(words.count > 1 ? String(words[1]) : "")
    }
    return result
  }

  /// The names that may stand here.
  var children: [String: ConfigurationKeys] {
    switch self {
    case .section(let keys), .named(let keys): keys
    case .byName(let common, let arguments): common.merging(arguments) { first, _ in first }
    default: [:]
    }
  }

  /// Checks a value; returns the dotted paths of keys that are ignored although they ask for something.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` naming the unknown key and the nearest known one.
  func check(_ value: ConfigurationValue, path: String = "") throws(HGNetError) -> [String] {
    var ignored: [String] = []
    func child(_ keys: ConfigurationKeys, _ value: ConfigurationValue, _ name: String) throws(HGNetError) {
      ignored += try keys.check(value, path: path.isEmpty ? name : "\(path).\(name)")
    }
    switch (self, value) {
    case (.ignored, _): return value.isOff ? [] : [path]
    case (.refused(let text), _): throw HGNetError(.unsupported, text, key: path)
    case (.list(let element), .list(let list)):
      for (index, value) in list.enumerated() { try child(element, value, "\(index)") }
    case (.named, .list(let list)):
      // A list of operators; each is a mapping of one name.
      for (index, value) in list.enumerated() { try child(self, value, "\(index)") }
    case (.byName, .list(let list)):
      for (index, value) in list.enumerated() { try child(self, value, "\(index)") }
    case (.open(let element), .mapping(let mapping)):
      for (key, value) in mapping.entries { try child(element, value, key) }
    case (.section, .mapping(let mapping)), (.named, .mapping(let mapping)), (.byName, .mapping(let mapping)):
      let known = children
      for (key, value) in mapping.entries {
        guard let keys = known[key] else { throw ConfigurationKeys.unknown(key, in: path, known: known) }
        try child(keys, value, key)
      }
    default: break
    }
    return ignored
  }

  /// Checks the names of a dotted path alone, before anything is assigned to it.
  ///
  /// - Throws: as `check`.
  func check(path: String) throws(HGNetError) {
    var keys = self
    var seen: [Substring] = []
    for part in path.split(separator: ".") {
      switch keys {
      case .value, .ignored: return
      case .refused(let text): throw HGNetError(.unsupported, text, key: seen.joined(separator: "."))
      case .list(let element): keys = element
      case .open(let element): keys = element
      case .named where Int(part) != nil, .byName where Int(part) != nil: break
      case .section, .named, .byName:
        guard let next = keys.children[String(part)] else {
          throw ConfigurationKeys.unknown(String(part), in: seen.joined(separator: "."), known: keys.children)
        }
        keys = next
      }
      seen.append(part)
    }
  }

  private static func unknown(_ key: String, in path: String, known: [String: ConfigurationKeys]) -> HGNetError {
    // What is refused anyway is no good advice.
    let known = known.filter { if case .refused = $0.value { false } else { true } }.map(\.key)
    let full = path.isEmpty ? key : "\(path).\(key)"
    let prefix = path.isEmpty ? "" : path + "."
    let hint: String
    if let nearest = NearestName.find(key, among: known) {
      hint = "did you mean \(prefix)\(nearest)?"
    } else if let elsewhere = PaddleClasKeys.paths(of: key).min(by: { $0.hasPrefix(prefix) && !$1.hasPrefix(prefix) }) {
      hint = "there is a \(elsewhere)"
    } else if known.isEmpty {
      hint = "nothing can be set here"
    } else {
      hint = "known here: \(known.sorted().joined(separator: ", "))"
    }
    return HGNetError(.invalidConfiguration, "unknown key; \(hint)", key: full)
  }
}

/// Finds the name that somebody probably meant.
package enum NearestName {
  /// The known name with the fewest edits, if they are few for its length; case does not count.
  package static func find(_ name: String, among known: [String]) -> String? {
    let wanted = Array(name.lowercased().unicodeScalars)
    guard wanted.count <= 64 else { return nil }
    let ranked = known.sorted().map { ($0, distance(wanted, Array($0.lowercased().unicodeScalars))) }
    guard let best = ranked.min(by: { $0.1 < $1.1 }) else { return nil }
    return best.1 <= max(1, min(wanted.count, best.0.count) * 2 / 5) ? best.0 : nil
  }

  private static func distance(_ left: [Unicode.Scalar], _ right: [Unicode.Scalar]) -> Int {
    var row = Array(0...right.count)
    for (i, a) in left.enumerated() {
      var diagonal = row[0]
      row[0] = i + 1
      for (j, b) in right.enumerated() {
        let substitution = diagonal + (a == b ? 0 : 1)
        diagonal = row[j + 1]
        row[j + 1] = min(substitution, row[j] + 1, diagonal + 1)
      }
    }
    return row[right.count]
  }
}
