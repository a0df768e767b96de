import CHGNetKernels
import HGNetCore
import HGNetPlatform

/// Changes parameters by their gradients, with PaddlePaddle's formulas.
///
/// The rate of a parameter is the schedule's rate times the multiplier of its declaration. Gradients are clipped per
/// tensor first, then decayed. Learned parameters that are not frozen have a state of the same shape.
///
/// Numeric promise: elementwise float32, so the same bits for any number of threads; within a few units in the last
/// place of PaddlePaddle's. Threads: one task. Source: PaddlePaddle `paddle.optimizer`, PaddleClas `ppcls/optimizer`.
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
  /// Declarations in the order of the parameters.
  let declarations: [ParameterDeclaration]
  /// The parameters that have a state.
  let indices: [Int]
  /// Velocities (Momentum) or first moments (AdamW), one per entry of `indices`.
  var first: [Tensor] = []
  /// Second moments (AdamW).
  var second: [Tensor] = []
  /// β₁ and β₂ to the power of the coming step (AdamW), kept in float32 as PaddlePaddle does.
  var powers: [(Float, Float)] = []

  private static let rangeLength = 1 << 15

  /// Makes an optimiser whose state is that before the first step.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` for numbers outside their range, `limitExceeded`.
  package init(_ settings: Settings, for parameters: some TrainableParameters) throws(HGNetError) {
    try settings.check()
    self.settings = settings
    declarations = parameters.declarations
    indices = parameters.trainedIndices
    func zeros() throws(HGNetError) -> [Tensor] {
      try indices.map { (index) throws(HGNetError) in
        try Tensor(allocating: declarations[index].shape, for: "the state of the optimizer") { values in
          values.initialize(repeating: 0)
        }
      }
    }
    switch settings.rule {
    case .sgd: break
    case .momentum: first = try zeros()
    case .adamW(let beta1, let beta2, _, _):
      first = try zeros()
      second = try zeros()
      powers = indices.map { _ in (beta1, beta2) }
    }
  }

  /// Changes every trained parameter by its gradient once.
  ///
  /// - Parameters:
  ///   - parameters: the parameters that the optimiser was made for.
  ///   - learningRate: the schedule's rate.
  ///   - gradientScale: a factor on all gradients before clipping, such as 1 / accumulated steps.
  ///   - pool: threads that share the work, or nil.
  /// - Throws: `HGNetError.Code.internalInconsistency` when these are other parameters.
  package mutating func step(
    _ parameters: some TrainableParameters, learningRate: Double, gradientScale: Float = 1, pool: ThreadPool? = nil
  ) throws(HGNetError) {
    guard parameters.declarations == declarations else {
      throw HGNetError(.internalInconsistency, "the optimiser was made for other parameters")
    }
    for (slot, index) in indices.enumerated() {
      let declaration = declarations[index]
      let rate = Float(learningRate) * declaration.learningRateMultiplier
      parameters.withValue(index) { values in
        parameters.withGradient(index) { gradient in
          let count = min(values.count, gradient.count, declaration.shape.count)
          guard let weights = values.baseAddress, let slopes = gradient.baseAddress, count > 0 else { return }
          update(
            slot: slot, declaration: declaration, weights: weights, gradient: slopes, count: count, rate: rate,
            gradientScale: gradientScale, pool: pool)
        }
      }
    }
  }

  private mutating func update(
    slot: Int, declaration: ParameterDeclaration, weights: UnsafeMutablePointer<Float>,
    gradient: UnsafeMutablePointer<Float>, count: Int, rate: Float, gradientScale: Float, pool: ThreadPool?
  ) {
    var gradientRule = hg_gradient_rule(scale: gradientScale, decay_l2: 0, decay_l1: 0)
    if let limit = settings.clipNorm {
      let norm = Float(hg_sum_of_squares(gradient, Int64(count)).squareRoot()) * abs(gradientScale)
      if norm > limit { gradientRule.scale *= limit / norm }
    }
    let isDecayed = settings.decays(declaration)
    if isDecayed, !settings.rule.decaysWeights {
      switch settings.regularizer {
      case .none: break
      case .l1(let coefficient): gradientRule.decay_l1 = coefficient
      case .l2(let coefficient): gradientRule.decay_l2 = coefficient
      }
    }
    switch settings.rule {
    case .sgd:
      Optimizer.inRanges(of: count, pool: pool) { start, length in
        hg_optimizer_sgd(weights + start, gradient + start, length, rate, gradientRule)
      }
    case .momentum(let momentum, let nesterov):
      first[slot].withUnsafeMutableBufferPointer { velocity in
        guard let velocity = velocity.baseAddress else { return }
        Optimizer.inRanges(of: count, pool: pool) { start, length in
          hg_optimizer_momentum(
            weights + start, gradient + start, velocity + start, length, rate, momentum, nesterov ? 1 : 0, gradientRule)
        }
      }
    case .adamW(let beta1, let beta2, let epsilon, let weightDecay):
      let (power1, power2) = powers[slot]
      let correction = (1 - power2).squareRoot()
      let corrected = rate * correction / (1 - power1)
      let keep = isDecayed ? 1 - rate * weightDecay : 1
      first[slot].withUnsafeMutableBufferPointer { mean in
        second[slot].withUnsafeMutableBufferPointer { square in
          guard let mean = mean.baseAddress, let square = square.baseAddress else { return }
          Optimizer.inRanges(of: count, pool: pool) { start, length in
            hg_optimizer_adamw(
              weights + start, gradient + start, mean + start, square + start, length, corrected, keep, beta1, beta2,
              epsilon * correction, gradientRule)
          }
        }
      }
      powers[slot] = (power1 * beta1, power2 * beta2)
    }
  }

  /// Calls `body` for ranges that cover `0 ..< count`, on the threads of a pool where that pays.
  static func inRanges(of count: Int, pool: ThreadPool?, _ body: (Int, Int64) -> Void) {
    guard let pool, pool.count > 1, count > 2 * rangeLength else { return body(0, Int64(count)) }
    pool.forEach((count + rangeLength - 1) / rangeLength) { range in
      let start = range * rangeLength
      body(start, Int64(min(rangeLength, count - start)))
    }
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
