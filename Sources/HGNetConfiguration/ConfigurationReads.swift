import HGNetCore

/// Which keys of a configuration somebody has asked for.
///
/// Threads: safe to share.
final class ConfigurationReads: Sendable {
  private let keys = Monitor<Set<String>>([])

  /// Notes that a key was asked for.
  func note(_ key: String) { keys.withLock { _ = $0.insert(key) } }

  /// All of them.
  var all: Set<String> { keys.withLock { $0 } }
}

extension Configuration {
  /// Every key that a configuration may hold, with why its value decides nothing or is refused; nil for one that is read.
  ///
  /// Lists show no index, names of the user's own choice are `*`.
  package static var declaredKeys: [(path: String, reason: String?)] { PaddleClasKeys.declared }

  /// The dotted paths of all values that were asked for so far.
  package var readKeys: Set<String> { reads.all }

  /// Keys that ask for something and that nobody has asked for so far: their values decide nothing.
  ///
  /// Left out are `null`, `False`, 0 and empty text, and what `ignoredKeys` names already.
  ///
  /// - Parameter sections: where to look, such as `Optimizer`.
  package func unreadKeys(in sections: [String]) -> [String] {
    let known = reads.all
    var result: [String] = []
    func walk(_ value: ConfigurationValue, _ key: String) {
      if ignoredKeys.contains(key) { return }
      switch value {
      case .mapping(let mapping):
        for (name, child) in mapping.entries { walk(child, "\(key).\(name)") }
      case .list(let list) where list.contains(where: \.hasParts):
        for (index, child) in list.enumerated() { walk(child, "\(key).\(index)") }
      default:
        if !value.isOff, !known.contains(key) { result.append(key) }
      }
    }
    for section in sections {
      if let value = root.value(at: section) { walk(value, section) }
    }
    return result
  }
}

extension ConfigurationValue {
  /// Whether it has values of its own.
  fileprivate var hasParts: Bool {
    switch self {
    case .mapping, .list: true
    default: false
    }
  }
}
