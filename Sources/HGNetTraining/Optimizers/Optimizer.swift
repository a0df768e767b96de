import HGNetCore
import HGNetProgram

/// Changes parameters by their gradients, with PaddlePaddle's formulas.
///
/// The rate of a parameter is the schedule's rate times the multiplier of its declaration. Gradients are clipped per
/// tensor first, then decayed. Learned parameters that are not frozen have moments of the same shape, which the state of
/// the parameters keeps; what is computed of a parameter at each step is an `UpdateRule`.
///
/// Threads: one task. Source: PaddlePaddle `paddle.optimizer`, PaddleClas `ppcls/optimizer`.
package struct Optimizer: Sendable {
  /// The formula.
  package enum Rule: Sendable, Hashable {
    /// `w -= rate · g`.
    case sgd
    /// `v = momentum · v + g`, `w -= rate · v` (with Nesterov's look ahead `w -= rate · (g + momentum · v)`).
    case momentum(_ momentum: Float = 0.9, nesterov: Bool = false)
    /// Adam with decay of the weights themselves.
    case adamW(beta1: Float = 0.9, beta2: Float = 0.999, epsilon: Float = 1e-8, weightDecay: Float = 0.01)
  }

  /// Decay that is added to the gradient.
  package enum Regularizer: Sendable, Hashable {
    /// Nothing.
    case none
    /// `coefficient · sign(w)`.
    case l1(Float)
    /// `coefficient · w`.
    case l2(Float)
  }

  /// Everything that decides about an update besides the rate.
  package struct Settings: Sendable, Hashable {
    /// The formula.
    package var rule: Rule
    /// Decay through the gradient, for SGD and Momentum; batch normalisation is always left out.
    package var regularizer: Regularizer
    /// The largest Euclidean norm of one tensor's gradient, above 0; nil for no clipping.
    package var clipNorm: Float?
    /// Parameters whose names contain one of these are not decayed.
    package var namesWithoutDecay: [String]
    /// Whether parameters of one axis are not decayed.
    ///
    /// As in PaddleClas, Momentum honours this only when `namesWithoutDecay` is not empty; AdamW always.
    package var oneAxisWithoutDecay: Bool

    /// Makes settings.
    package init(
      _ rule: Rule = .momentum(), regularizer: Regularizer = .none, clipNorm: Float? = nil,
      namesWithoutDecay: [String] = [], oneAxisWithoutDecay: Bool = false
    ) {
      self.rule = rule
      self.regularizer = regularizer
      self.clipNorm = clipNorm
      self.namesWithoutDecay = namesWithoutDecay
      self.oneAxisWithoutDecay = oneAxisWithoutDecay
    }

    /// Whether a parameter is decayed.
    ///
    /// Batch normalisation is not decayed through the gradient, because it has a regulariser of its own that is 0; AdamW
    /// decays it like everything else. Affine blocks are decayed.
    package func decays(_ declaration: ParameterDeclaration) -> Bool {
      let isNamed = namesWithoutDecay.contains { declaration.name.contains(substring: $0) }
      let isOneAxis = oneAxisWithoutDecay && declaration.shape.rank == 1
      switch rule {
      case .adamW: return !isNamed && !isOneAxis
      case .momentum: return !isNamed && !(isOneAxis && !namesWithoutDecay.isEmpty) && !declaration.isNormalization
      case .sgd: return !declaration.isNormalization
      }
    }
  }

  /// What decides about an update besides the rate.
  package let settings: Settings
  /// The parameters, with the moments of those that are trained.
  let parameters: any TrainingState
  /// The parameters that are trained.
  let indices: [Int]
  /// β₁ and β₂ to the power of the coming step (AdamW), kept in float32 as PaddlePaddle does; one per entry of `indices`.
  var powers: [(Float, Float)] = []

  /// Makes an optimiser whose state is that before the first step.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` for numbers outside their range, `limitExceeded` without memory.
  package init(_ settings: Settings, for parameters: any TrainingState) throws(HGNetError) {
    try settings.check()
    self.settings = settings
    self.parameters = parameters
    indices = parameters.trainedIndices
    for moment in 0..<settings.rule.momentNames.count { try parameters.keep(.moment(moment)) }
    if case .adamW(let beta1, let beta2, _, _) = settings.rule { powers = indices.map { _ in (beta1, beta2) } }
  }

  /// Changes every trained parameter by its gradient once.
  ///
  /// - Parameters:
  ///   - learningRate: the schedule's rate.
  ///   - gradientScale: a factor on all gradients before clipping, such as 1 / accumulated steps.
  /// - Throws: `HGNetError` when the device fails.
  package mutating func step(learningRate: Double, gradientScale: Float = 1) throws(HGNetError) {
    var rules: [(parameter: Int, rule: UpdateRule)] = []
    for (slot, index) in indices.enumerated() {
      rules.append((index, rule(slot: slot, learningRate: learningRate, gradientScale: gradientScale)))
    }
    try parameters.update(rules)
    if case .adamW(let beta1, let beta2, _, _) = settings.rule {
      for slot in powers.indices { powers[slot] = (powers[slot].0 * beta1, powers[slot].1 * beta2) }
    }
  }

  private func rule(slot: Int, learningRate: Double, gradientScale: Float) -> UpdateRule {
    let declaration = parameters.declarations[indices[slot]]
    let isDecayed = settings.decays(declaration)
    let formula: UpdateRule.Formula =
      switch settings.rule {
      case .sgd: .sgd
      case .momentum(let momentum, let nesterov): .momentum(momentum, nesterov: nesterov)
      case .adamW(let beta1, let beta2, let epsilon, let weightDecay):
        .adamW(
          UpdateRule.AdamW(
            beta1: beta1, beta2: beta2, epsilon: epsilon, weightDecay: isDecayed ? weightDecay : 0,
            power1: powers[slot].0, power2: powers[slot].1))
      }
    var rule = UpdateRule(
      formula, rate: Float(learningRate) * declaration.learningRateMultiplier, gradientScale: gradientScale)
    rule.clipNorm = settings.clipNorm
    if isDecayed, !settings.rule.decaysWeights {
      switch settings.regularizer {
      case .none: break
      case .l1(let coefficient): rule.decayL1 = coefficient
      case .l2(let coefficient): rule.decayL2 = coefficient
      }
    }
    return rule
  }
}

extension Optimizer.Settings {
  /// What a person should know about settings that change nothing for these parameters.
  func warnings(for parameters: [ParameterDeclaration]) -> [String] {
    var result: [String] = []
    let learned = parameters.filter { $0.role.isLearned }
    let idle = namesWithoutDecay.filter { name in !learned.contains { $0.name.contains(substring: name) } }
    if !idle.isEmpty, let example = learned.first?.name {
      let list = idle.joined(separator: ", ")
      result.append(
        "Optimizer.no_weight_decay_name: no parameter has \(list) in its name; names look like \(example)")
    }
    if case .momentum = rule, oneAxisWithoutDecay, namesWithoutDecay.isEmpty {
      result.append(
        "Optimizer.one_dim_param_no_weight_decay has no effect with Momentum unless no_weight_decay_name has a name, as in "
          + "PaddleClas")
    }
    return result
  }
}

extension Optimizer.Rule {
  /// What PaddlePaddle appends to a parameter's name for each moment.
  var momentNames: [String] {
    switch self {
    case .sgd: []
    case .momentum: ["_velocity_0"]
    case .adamW: ["_moment1_0", "_moment2_0"]
    }
  }

  /// Whether the rule decays weights by itself instead of through the gradient.
  var decaysWeights: Bool {
    if case .adamW = self { return true }
    return false
  }
}

extension Optimizer.Settings {
  /// Checks the numbers.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration`.
  func check() throws(HGNetError) {
    func require(_ isFine: Bool, _ message: String) throws(HGNetError) {
      guard isFine else { throw HGNetError(.invalidConfiguration, message, key: "Optimizer") }
    }
    switch rule {
    case .sgd: break
    case .momentum(let momentum, _):
      try require(momentum >= 0 && momentum < 1, "expected a momentum in 0 ..< 1, found \(momentum)")
    case .adamW(let beta1, let beta2, let epsilon, let weightDecay):
      try require(beta1 >= 0 && beta1 < 1, "expected beta1 in 0 ..< 1, found \(beta1)")
      try require(beta2 >= 0 && beta2 < 1, "expected beta2 in 0 ..< 1, found \(beta2)")
      try require(epsilon >= 0 && epsilon.isFinite, "expected epsilon of at least 0, found \(epsilon)")
      try require(weightDecay >= 0 && weightDecay.isFinite, "expected weight_decay of at least 0, found \(weightDecay)")
      try require(
        regularizer == .none, "AdamW decays weights itself; use weight_decay instead of a regularizer")
    }
    switch regularizer {
    case .none: break
    case .l1(let coefficient), .l2(let coefficient):
      try require(
        coefficient >= 0 && coefficient.isFinite, "expected a regularizer coeff of at least 0, found \(coefficient)")
    }
    if let clipNorm {
      try require(clipNorm > 0 && clipNorm.isFinite, "expected a clip_norm above 0, found \(clipNorm)")
    }
  }
}

extension ParameterDeclaration {
  /// Whether it belongs to a batch normalisation.
  var isNormalization: Bool {
    switch role {
    case .normalizationWeight, .normalizationBias, .runningMean, .runningVariance: true
    default: false
    }
  }
}

extension String {
  /// Whether a text occurs, compared byte by byte; the empty text occurs everywhere.
  func contains(substring text: String) -> Bool {
    let (whole, part) = (Array(utf8), Array(text.utf8))
    guard part.count <= whole.count else { return false }
    return (0...(whole.count - part.count)).contains { start in
      part.indices.allSatisfy { whole[start + $0] == part[$0] }
    }
  }
}
