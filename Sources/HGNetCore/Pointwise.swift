/// A function of one number, which an operator applies to each value by itself.
///
/// The one place that says what it computes: the passes, the training step and the reference engine ask for its value
/// and its derivative, the vocabularies of other systems for its case. ReLU is an operator of its own, since it disappears
/// in the layers before it.
public enum Pointwise: String, Hashable, Sendable, CaseIterable {
  /// `1 / (1 + exp(-x))`.
  case sigmoid

  /// What the backward pass multiplies a gradient by is a function of this.
  package enum Kept: Hashable, Sendable {
    /// The value that it was applied to.
    case input
    /// The result.
    case result
  }

  /// What the backward pass reads again.
  package var kept: Kept {
    switch self {
    case .sigmoid: .result
    }
  }

  /// The function; `exponential` is eˣ, which this floor has no other way to.
  package func value(_ x: Double, exponential: (Double) -> Double) -> Double {
    switch self {
    case .sigmoid: 1 / (1 + exponential(-x))
    }
  }

  /// The derivative, from what is kept.
  package func derivative(_ kept: Double) -> Double {
    switch self {
    case .sigmoid: kept * (1 - kept)
    }
  }

  /// What all results lie in; nil where there is no bound.
  package var resultRange: ClosedRange<Float>? {
    switch self {
    case .sigmoid: 0...1
    }
  }

  /// Whether no result is below 0.
  package var isNeverNegative: Bool { (resultRange?.lowerBound ?? -1) >= 0 }

  /// The mean square of a result, for inputs as random networks have them; keeps their scale.
  package var power: Float {
    switch self {
    case .sigmoid: 0.28
    }
  }
}

extension Operator {
  /// `1 / (1 + exp(-x))` of each value.
  public static let sigmoid = Operator.pointwise(.sigmoid)
}
