import HGNetCore
import HGNetPlatform

/// How far two networks disagree: the mean of the two Kullback-Leibler divergences between their scores.
///
/// With scores p and q, `(Σ q log((q + ε) / (p + ε)) + Σ p log((p + ε) / (q + ε))) / 2`, averaged over rows; both networks
/// receive a gradient. Source: Zhang et al., "Deep Mutual Learning", 2018; PaddleClas, `ppcls/loss/dmlloss.py`.
package struct MutualLearningLoss: Sendable, Hashable {
  /// What turns logits into scores.
  package enum Activation: String, Sendable, Hashable {
    /// Over the classes of a row.
    case softmax
    /// Each class alone.
    case sigmoid
  }

  /// What turns logits into scores; nil takes them as they are.
  package let activation: Activation?
  /// Whether the result is `K` times as large, as PaddleClas' `sum_across_class_dim` has it.
  package let multipliesByClasses: Bool
  /// Added to scores under a logarithm.
  package static let epsilon = 1e-12

  /// Makes a loss.
  package init(activation: Activation? = .softmax, multipliesByClasses: Bool = false) {
    self.activation = activation
    self.multipliesByClasses = multipliesByClasses
  }

  /// The loss of a batch, and its derivatives with respect to the logits of both networks.
  ///
  /// - Parameters:
  ///   - first: logits `[N, K]`.
  ///   - second: logits of the same shape.
  ///   - allRows: the rows of the whole batch where these are a part of it; the results are then what this part adds.
  /// - Throws: `HGNetError.Code.shapeMismatch` for different shapes.
  package func evaluate(
    _ first: Tensor, _ second: Tensor, of allRows: Int? = nil
  ) throws(HGNetError) -> (value: Double, firstGradient: Tensor, secondGradient: Tensor) {
    guard first.shape == second.shape, first.shape.rank == 2, first.shape.count > 0 else {
      throw HGNetError(
        .shapeMismatch, "expected logits [N, K] of the same shape, found \(first.shape) and \(second.shape)")
    }
    let (rows, classes) = (first.shape[0], first.shape[1])
    let factor = (multipliesByClasses ? Double(classes) : 1) / Double(2 * (allRows ?? rows))
    var value = 0.0
    var (slopes, otherSlopes) = ([Float](), [Float]())
    for row in 0..<rows {
      let own = scores(of: first, row: row)
      let other = scores(of: second, row: row)
      var (slope, otherSlope) = ([Double](repeating: 0, count: classes), [Double](repeating: 0, count: classes))
      for index in 0..<classes {
        let (p, q) = (own[index], other[index])
        let (safeP, safeQ) = (p + MutualLearningLoss.epsilon, q + MutualLearningLoss.epsilon)
        let ratio = log(safeP / safeQ)
        value += factor * (p - q) * ratio
        slope[index] = factor * (ratio + (p - q) / safeP)
        otherSlope[index] = factor * (-ratio + (q - p) / safeQ)
      }
      slopes += gradient(slope, scores: own)
      otherSlopes += gradient(otherSlope, scores: other)
    }
    return (value, Tensor(shape: first.shape, values: slopes), Tensor(shape: first.shape, values: otherSlopes))
  }

  private func scores(of logits: Tensor, row: Int) -> [Double] {
    let classes = logits.shape[1]
    let values = (0..<classes).map { Double(logits[row * classes + $0]) }
    switch activation {
    case nil: return values
    case .sigmoid?: return values.map(sigmoid)
    case .softmax?:
      let normalizer = values.withUnsafeBufferPointer(logSumExp)
      return values.map { exp($0 - normalizer) }
    }
  }

  /// The derivative with respect to the logits from that with respect to the scores.
  private func gradient(_ slope: [Double], scores: [Double]) -> [Float] {
    switch activation {
    case nil: return slope.map { Float($0) }
    case .sigmoid?: return zip(slope, scores).map { Float($0 * $1 * (1 - $1)) }
    case .softmax?:
      let mean = zip(slope, scores).reduce(0) { $0 + $1.0 * $1.1 }
      return zip(slope, scores).map { Float(($0 - mean) * $1) }
    }
  }
}
