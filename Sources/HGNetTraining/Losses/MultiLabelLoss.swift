import HGNetCore
import HGNetPlatform

/// Sigmoid cross entropy for pictures with several labels, averaged over rows and classes.
///
/// Targets are vectors `[N, K]`, or `[N, 2, K]` when classes are weighted by a ratio that comes with them. Source: PaddleClas,
/// `ppcls/loss/multilabelloss.py`.
package struct MultiLabelLoss: Loss {
  /// The share of the target that is spread evenly over the classes, inside (0, 1); nil for none.
  package let epsilon: Double?
  /// Whether classes are summed before the mean over rows is taken.
  package let sumsClasses: Bool
  /// Whether rare labels weigh more, by `ratios` or those that come with the targets.
  package let weightsByRatio: Bool
  /// The share of pictures that have each label, for all pictures alike; nil where they come with the targets.
  package var ratios: [Float]?

  /// Makes a loss; an `epsilon` outside (0, 1) means no smoothing.
  package init(epsilon: Double? = nil, sumsClasses: Bool = false, weightsByRatio: Bool = false) {
    if let epsilon, epsilon > 0, epsilon < 1 { self.epsilon = epsilon } else { self.epsilon = nil }
    self.sumsClasses = sumsClasses
    self.weightsByRatio = weightsByRatio
  }

  /// `MultiLabelLoss`.
  package var name: String { "MultiLabelLoss" }

  /// Checks targets; see `Loss`.
  package func check(_ targets: Targets, rows: Int, classes: Int) throws(HGNetError) {
    try targets.check(rows: rows, classes: classes, allowsClasses: false, parts: hasRatiosInTargets ? 2 : 1)
    if weightsByRatio, let ratios, ratios.count != classes {
      throw HGNetError(.shapeMismatch, "expected a ratio for each of \(classes) labels, found \(ratios.count)")
    }
  }

  private var hasRatiosInTargets: Bool { weightsByRatio && ratios == nil }

  /// What one row adds; see `Loss`.
  package func evaluate(
    row: Int, of rows: Int, logits: UnsafeBufferPointer<Double>, targets: Targets,
    gradient: UnsafeMutableBufferPointer<Double>
  ) -> Double {
    guard case .vectors(let tensor) = targets else { return .nan }
    let classes = logits.count
    let start = row * classes * (hasRatiosInTargets ? 2 : 1)
    let share = 1 / Double(sumsClasses ? rows : rows * classes)
    var sum = 0.0
    for index in 0..<classes {
      var target = Double(tensor[start + index])
      if let epsilon { target = (1 - epsilon) * target + epsilon / Double(classes) }
      var weight = share
      if weightsByRatio {
        let ratio = Double(ratios?[index] ?? tensor[start + classes + index])
        // A target of -1 says that nobody knows.
        weight *= target > -1 ? exp(target > 0.5 ? 1 - ratio : ratio) : 0
      }
      let logit = logits[index]
      sum += weight * ((logit > 0 ? logit : 0) - logit * target + log1p(exp(-abs(logit))))
      gradient[index] = weight * (sigmoid(logit) - target)
    }
    return sum
  }
}

extension CombinedLoss {
  /// The same with the shares of pictures that have each label, for the terms that weight by them.
  func weighted(by ratios: [Float]?) -> CombinedLoss {
    guard let ratios else { return self }
    return CombinedLoss(replacing: self, terms: terms.map { Term($0.loss.weighted(by: ratios), weight: $0.weight) })
  }
}

extension DistillationLoss {
  /// The same with the shares of pictures that have each label, for the rules that weight by them.
  func weighted(by ratios: [Float]?) -> DistillationLoss {
    guard let ratios else { return self }
    return DistillationLoss(
      replacing: self,
      terms: terms.map { term in
        Term(
          term.rules.map { rule in
            guard case .labels(let model, let loss) = rule else { return rule }
            return .labels(model: model, loss.weighted(by: ratios))
          }, weight: term.weight)
      })
  }
}

extension Loss {
  fileprivate func weighted(by ratios: [Float]) -> any Loss {
    if let renamed = self as? RenamedLoss {
      return RenamedLoss(loss: renamed.loss.weighted(by: ratios), name: renamed.name)
    }
    guard var loss = self as? MultiLabelLoss, loss.weightsByRatio else { return self }
    loss.ratios = ratios
    return loss
  }
}

/// Asymmetric loss for pictures with few of many labels, summed over rows and classes.
///
/// Easy negatives are clipped and weigh less: `p = σ(x)`, `q = min(1 - p + clip, 1)(1 - y) + p y`, loss
/// `-log(max(q, ε)) (1 - q)^(γ₊ y + γ₋ (1 - y))`. Source: Ben-Baruch et al. 2021; PaddleClas,
/// `ppcls/loss/multilabelloss.py`.
package struct MultiLabelAsymmetricLoss: Loss {
  /// How a batch is brought to one number.
  package enum Reduction: String, Sendable, Hashable {
    /// Over rows and classes.
    case sum, mean
  }

  /// The exponent for labels that are present, at least 0.
  package let positiveFocus: Double
  /// The exponent for labels that are absent, at least 0.
  package let negativeFocus: Double
  /// The probability below which an absent label costs nothing, at least 0.
  package let clip: Double
  /// The least probability that a logarithm is taken of.
  package let epsilon: Double
  /// Whether the focusing factor counts as a constant for the gradient.
  package let holdsFocusConstant: Bool
  /// Sum or mean.
  package let reduction: Reduction

  /// Makes a loss with PaddleClas' default values.
  package init(
    positiveFocus: Double = 1, negativeFocus: Double = 4, clip: Double = 0.05, epsilon: Double = 1e-8,
    holdsFocusConstant: Bool = true, reduction: Reduction = .sum
  ) {
    self.positiveFocus = positiveFocus
    self.negativeFocus = negativeFocus
    self.clip = max(clip, 0)
    self.epsilon = epsilon
    self.holdsFocusConstant = holdsFocusConstant
    self.reduction = reduction
  }

  /// `MultiLabelAsymmetricLoss`.
  package var name: String { "MultiLabelAsymmetricLoss" }

  /// Checks targets; see `Loss`.
  package func check(_ targets: Targets, rows: Int, classes: Int) throws(HGNetError) {
    try targets.check(rows: rows, classes: classes, allowsClasses: false)
  }

  /// What one row adds; see `Loss`.
  package func evaluate(
    row: Int, of rows: Int, logits: UnsafeBufferPointer<Double>, targets: Targets,
    gradient: UnsafeMutableBufferPointer<Double>
  ) -> Double {
    guard case .vectors(let tensor) = targets else { return .nan }
    let classes = logits.count
    let share = reduction == .mean ? 1 / Double(rows * classes) : 1
    var sum = 0.0
    for index in 0..<classes {
      let target = Double(tensor[row * classes + index])
      let probability = sigmoid(logits[index])
      let negative = 1 - probability + clip
      let isClipped = negative > 1
      let agreement = (isClipped ? 1 : negative) * (1 - target) + probability * target
      let exponent = positiveFocus * target + negativeFocus * (1 - target)
      let focus = pow(1 - agreement, exponent)
      let isFloored = agreement < epsilon
      let cost = -log(isFloored ? epsilon : agreement)
      sum += share * cost * focus
      var slope = isFloored ? 0 : -focus / agreement
      if !holdsFocusConstant, exponent != 0 { slope -= cost * exponent * pow(1 - agreement, exponent - 1) }
      let inner = (isClipped ? 0 : -(1 - target)) + target
      gradient[index] = share * slope * inner * probability * (1 - probability)
    }
    return sum
  }
}

/// `1 / (1 + exp(-x))` without overflow.
func sigmoid(_ value: Double) -> Double {
  if value >= 0 { return 1 / (1 + exp(-value)) }
  let power = exp(value)
  return power / (1 + power)
}
