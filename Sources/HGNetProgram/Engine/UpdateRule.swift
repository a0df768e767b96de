import HGNetCore

/// How one parameter changes by its gradient once: numbers only, whatever schedule and names led to them.
///
/// The gradient `g` is multiplied by `gradientScale`; if its Euclidean norm is then above `clipNorm`, it is shortened to
/// that; then the decay is added. Source: PaddlePaddle `paddle.optimizer`.
package struct UpdateRule: Hashable, Sendable {
  /// The formula.
  package enum Formula: Hashable, Sendable {
    /// `w -= rate · g`.
    case sgd
    /// `v = momentum · v + g`, `w -= rate · v`, or with Nesterov's look ahead `w -= rate · (g + momentum · v)`.
    case momentum(_ momentum: Float, nesterov: Bool)
    /// Adam with decay of the weights themselves: `m = β₁ m + (1 - β₁) g`, `s = β₂ s + (1 - β₂) g²`,
    /// `w = w (1 - rate · weightDecay) - rate · c / (1 - power1) · m / (√s + epsilon · c)` with `c = √(1 - power2)`.
    case adamW(AdamW)
  }

  /// The numbers of AdamW.
  package struct AdamW: Hashable, Sendable {
    /// The shares of the old moments that are kept, in 0 ..< 1.
    package var beta1, beta2: Float
    /// Keeps the divisor from 0.
    package var epsilon: Float
    /// The decay of the weights, 0 for none.
    package var weightDecay: Float
    /// `beta1` and `beta2` to the power of this step.
    package var power1, power2: Float

    /// Collects the numbers.
    package init(
      beta1: Float, beta2: Float, epsilon: Float, weightDecay: Float, power1: Float, power2: Float
    ) {
      (self.beta1, self.beta2, self.epsilon, self.weightDecay) = (beta1, beta2, epsilon, weightDecay)
      (self.power1, self.power2) = (power1, power2)
    }
  }

  /// The formula.
  package var formula: Formula
  /// The learning rate of this parameter: the schedule's times its multiplier.
  package var rate: Float
  /// A factor on the gradient, such as 1 / accumulated steps.
  package var gradientScale: Float
  /// The largest Euclidean norm of the scaled gradient, above 0; nil for no clipping.
  package var clipNorm: Float?
  /// `decayL1 · sign(w) + decayL2 · w` is added to the gradient.
  package var decayL1, decayL2: Float

  /// Makes a rule without decay and clipping.
  package init(_ formula: Formula, rate: Float, gradientScale: Float = 1) {
    (self.formula, self.rate, self.gradientScale) = (formula, rate, gradientScale)
    (decayL1, decayL2) = (0, 0)
  }

  /// The number of moments, arrays of the parameter's shape that begin with zeros, that the formula keeps.
  ///
  /// Momentum: the velocity. AdamW: the first moment, then the second.
  package var momentCount: Int {
    switch formula {
    case .sgd: 0
    case .momentum: 1
    case .adamW: 2
    }
  }
}
