import HGNetCore

extension Configuration {
  /// The number of a key, inside a range.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` naming the key, the range and the value.
  package func number(_ key: String, in range: ClosedRange<Double>) throws(HGNetError) -> Double? {
    guard let number = try number(key) else { return nil }
    guard range.contains(number) else { throw outside(range, key, number) }
    return number
  }

  /// The numbers of a list, each inside a range.
  ///
  /// - Throws: as `number(_:in:)`; the key has the index of the number.
  package func numbers(_ key: String, in range: ClosedRange<Double>) throws(HGNetError) -> [Double]? {
    guard let numbers = try numbers(key) else { return nil }
    for (index, number) in numbers.enumerated() where !range.contains(number) {
      throw outside(range, "\(key).\(index)", number)
    }
    return numbers
  }

  private func outside(_ range: ClosedRange<Double>, _ key: String, _ number: Double) -> HGNetError {
    wrong(
      key, expected: "a number in \(Configuration.text(range.lowerBound)) … \(Configuration.text(range.upperBound))",
      found: .number(number))
  }

  /// A bound without a fraction that says nothing.
  private static func text(_ bound: Double) -> String {
    Int(exactly: bound).flatMap { abs($0) < 1_000_000_000 ? "\($0)" : nil } ?? "\(bound)"
  }

  /// Whether a key stands there with `null`, which for some keys says something else than no key.
  package func isNull(_ key: String) -> Bool {
    reads.note(key)
    return root.value(at: key) == .null
  }
}

/// The ranges of the numbers that training reads; numbers outside are refused before anything is read or written.
package enum NumberRange {
  /// Learning rates: float32 computes with them.
  package static let learningRate = 0...1e30
  /// Factors of losses and the like.
  package static let factor = -1e6...1e6
  /// Epochs of schedules.
  package static let epochs = 0...1e9
  /// Shares and probabilities.
  package static let share = 0.0...1
  /// Width to height, and its inverse.
  package static let ratio = 1e-3...1e3
  /// The parameter of the beta distribution.
  package static let alpha = 1e-6...1e6
  /// What divides logits before a softmax.
  package static let temperature = 1e-3...1e3
  /// Coefficients of weight decay.
  package static let decay = 0...1e6
}
