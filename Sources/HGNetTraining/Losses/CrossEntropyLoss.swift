import HGNetCore
import HGNetPlatform

/// Softmax cross entropy, averaged over the rows.
///
/// Targets are class indices or vectors `[N, K]`. With smoothing, a target `t` becomes `(1 - ε) t + ε / K`. Without it,
/// vectors go through a softmax before they are used, because PaddleClas does the same; mixed labels keep their meaning
/// only with smoothing. Source: PaddleClas, `ppcls/loss/celoss.py`.
package struct CrossEntropyLoss: Loss {
  /// The share of the target that is spread evenly over the classes, inside (0, 1); nil for none.
  package let epsilon: Double?

  /// Makes a loss; an `epsilon` outside (0, 1) means no smoothing.
  package init(epsilon: Double? = nil) {
    if let epsilon, epsilon > 0, epsilon < 1 { self.epsilon = epsilon } else { self.epsilon = nil }
  }

  /// `CELoss`.
  package var name: String { "CELoss" }

  /// Checks targets; see `Loss`.
  package func check(_ targets: Targets, rows: Int, classes: Int) throws(HGNetError) {
    try targets.check(rows: rows, classes: classes, allowsClasses: true)
  }

  /// What one row adds; see `Loss`.
  package func evaluate(
    row: Int, of rows: Int, logits: UnsafeBufferPointer<Double>, targets: Targets,
    gradient: UnsafeMutableBufferPointer<Double>
  ) -> Double {
    let classes = logits.count
    let share = 1 / Double(rows)
    let logarithm = logSumExp(logits)
    // -Σ t (x - log Σ exp x) = (Σ t) log Σ exp x - Σ t x; the gradient is (Σ t) softmax(x) - t.
    func finish(_ target: (Int) -> Double) -> Double {
      var total = 0.0
      var product = 0.0
      for index in 0..<classes {
        let value = target(index)
        total += value
        if value != 0 { product += value * (logits[index] - logarithm) }
      }
      for index in 0..<classes {
        gradient[index] = share * (total * exp(logits[index] - logarithm) - target(index))
      }
      return -share * product
    }
    switch (targets, epsilon) {
    case (.classes(let indices), let epsilon):
      let label = indices[row]
      let smoothing = epsilon ?? 0
      let floor = smoothing / Double(classes)
      return finish { (1 - smoothing) * ($0 == label ? 1 : 0) + floor }
    case (.vectors(let tensor), let epsilon?):
      let floor = epsilon / Double(classes)
      return finish { (1 - epsilon) * Double(tensor[row * classes + $0]) + floor }
    case (.vectors(let tensor), nil):
      return withUnsafeTemporaryAllocation(of: Double.self, capacity: classes) { label in
        for index in 0..<classes { label.initializeElement(at: index, to: Double(tensor[row * classes + index])) }
        let normalizer = logSumExp(UnsafeBufferPointer(label))
        return finish { exp(label[$0] - normalizer) }
      }
    }
  }
}

/// `log Σ exp x`, shifted by the maximum so that nothing overflows.
func logSumExp(_ values: UnsafeBufferPointer<Double>) -> Double {
  let maximum = values.reduce(-Double.infinity) { $1 > $0 ? $1 : $0 }
  guard maximum.isFinite else { return maximum == .infinity ? .nan : maximum }
  var sum = 0.0
  for value in values { sum += exp(value - maximum) }
  return maximum + log(sum)
}
