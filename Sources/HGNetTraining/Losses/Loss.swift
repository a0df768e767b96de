import HGNetCore

/// What the rows of a batch should be classified as.
package enum Targets: Sendable {
  /// One class index per row, `0 ..< K`.
  case classes([Int])
  /// One vector per row: a distribution over the classes, or 0 and 1 per class with several labels, `[N, K]`; with the
  /// ratio of each class among all labels behind it, `[N, 2, K]`, where `MultiLabelLoss` weights by ratio.
  case vectors(Tensor)

  /// The number of rows.
  package var count: Int {
    switch self {
    case .classes(let indices): indices.count
    case .vectors(let tensor): tensor.shape.rank == 0 ? 0 : tensor.shape[0]
    }
  }
}

/// A rule that says how wrong logits are, with its gradient.
///
/// All arithmetic of a row is done in double. Threads: values, safe to share.
package protocol Loss: Sendable {
  /// The key in log lines, as PaddleClas names it.
  var name: String { get }

  /// Checks that targets belong to logits of shape `[N, K]`.
  ///
  /// - Throws: `HGNetError.Code.shapeMismatch`, or `invalidArgument` for a label outside `0 ..< K`.
  func check(_ targets: Targets, rows: Int, classes: Int) throws(HGNetError)

  /// What one row adds to the loss of its batch; `targets` have been checked.
  ///
  /// - Parameters:
  ///   - row: the index of the row, `0 ..< rows`.
  ///   - rows: the rows of the batch.
  ///   - logits: the `K` logits of the row.
  ///   - targets: those of the whole batch.
  ///   - gradient: receives the derivative of the result with respect to each logit.
  func evaluate(
    row: Int, of rows: Int, logits: UnsafeBufferPointer<Double>, targets: Targets,
    gradient: UnsafeMutableBufferPointer<Double>
  ) -> Double
}

extension Loss {
  /// The loss of a batch and its gradient.
  ///
  /// Rows are added in order, in double, so that the result does not depend on the number of threads.
  ///
  /// - Parameters:
  ///   - logits: `[N, K]`, at least one row and one class.
  ///   - targets: `N` rows.
  ///   - allRows: the rows of the whole batch where these are a part of it; the results are then what this part adds.
  /// - Returns: the value, and its derivative with respect to every logit, `[N, K]`.
  /// - Throws: `HGNetError.Code.shapeMismatch` when shapes do not fit, `invalidArgument` for a label outside `0 ..< K`.
  package func evaluate(
    logits: Tensor, targets: Targets, of allRows: Int? = nil
  ) throws(HGNetError) -> (value: Float, gradient: Tensor) {
    let shape = logits.shape
    guard shape.rank == 2, shape.count > 0 else {
      throw HGNetError(.shapeMismatch, "expected logits [N, K] with N and K of at least 1, found \(shape)")
    }
    let (rows, classes) = (shape[0], shape[1])
    guard targets.count == rows else {
      throw HGNetError(.shapeMismatch, "expected targets for \(rows) rows, found \(targets.count)")
    }
    try check(targets, rows: rows, classes: classes)
    var value = 0.0
    let gradient = try Tensor(allocating: shape, for: "the gradient of a loss") { result in
      logits.withUnsafeBufferPointer { source in
        withUnsafeTemporaryAllocation(of: Double.self, capacity: 2 * classes) { scratch in
          scratch.initialize(repeating: 0)
          let wide = UnsafeMutableBufferPointer(rebasing: scratch[..<classes])
          let slope = UnsafeMutableBufferPointer(rebasing: scratch[classes...])
          for row in 0..<rows {
            for index in 0..<classes { wide[index] = Double(source[row * classes + index]) }
            value += evaluate(
              row: row, of: allRows ?? rows, logits: UnsafeBufferPointer(wide), targets: targets, gradient: slope)
            for index in 0..<classes { result[row * classes + index] = Float(slope[index]) }
          }
        }
      }
    }
    return (Float(value), gradient)
  }
}

extension Targets {
  /// Checks class indices, or vectors as wide as the logits.
  func check(rows: Int, classes: Int, allowsClasses: Bool, parts: Int = 1) throws(HGNetError) {
    switch self {
    case .classes(let indices):
      guard allowsClasses else {
        throw HGNetError(
          .shapeMismatch,
          "expected a vector of \(classes) labels per picture, found class indices; set Global.use_multilabel")
      }
      for (row, index) in indices.enumerated() where index < 0 || index >= classes {
        throw HGNetError(
          .invalidArgument,
          "expected a label in 0 … \(classes - 1), found \(index) in row \(row) of the batch; class_num must be the "
            + "largest label plus 1")
      }
    case .vectors(let tensor):
      let expected: Shape = parts == 1 ? [rows, classes] : [rows, parts, classes]
      guard tensor.shape == expected else {
        throw HGNetError(.shapeMismatch, "expected targets of shape \(expected), found \(tensor.shape)")
      }
    }
  }
}

/// Several losses added, as a configuration lists them.
///
/// With several terms each is multiplied by its weight. A single term counts as it is: its weight is ignored, as in
/// PaddleClas. Threads: a value, safe to share.
package struct CombinedLoss: Sendable {
  /// One loss with its factor.
  package struct Term: Sendable {
    /// The loss.
    package var loss: any Loss
    /// The factor, used when there are several terms.
    package var weight: Double

    /// Makes a term.
    package init(_ loss: any Loss, weight: Double = 1) {
      self.loss = loss
      self.weight = weight
    }
  }

  /// The result for one batch.
  package struct Evaluation: Sendable {
    /// The sum, logged as `loss`.
    package var value: Float
    /// Each term by its log key, weighted, in order.
    package var terms: [(name: String, value: Float)]
    /// The derivative of the sum with respect to the logits, `[N, K]`.
    package var gradient: Tensor

    /// The terms followed by `loss`, the order in which they are logged.
    package var logged: [(name: String, value: Float)] { terms + [("loss", value)] }
  }

  /// The terms in order.
  package let terms: [Term]

  /// Makes a sum.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` when there is no term.
  package init(_ terms: [Term]) throws(HGNetError) {
    guard !terms.isEmpty else {
      throw HGNetError(.invalidConfiguration, "expected at least one loss such as CELoss, found none")
    }
    self.terms = terms
  }

  /// Makes another sum of as many terms.
  init(replacing other: CombinedLoss, terms: [Term]) { self.terms = terms }

  /// Makes a sum of one.
  package init(_ loss: any Loss) { terms = [Term(loss)] }

  /// Value, terms and gradient for a batch of logits `[N, K]`, or for a part of one of `allRows` rows.
  ///
  /// - Throws: as `Loss.evaluate(logits:targets:of:)`.
  package func evaluate(
    logits: Tensor, targets: Targets, of allRows: Int? = nil
  ) throws(HGNetError) -> Evaluation {
    var sum = 0.0
    var values: [(name: String, value: Float)] = []
    var gradient: Tensor?
    for term in terms {
      let weight = terms.count == 1 ? 1 : term.weight
      let (value, slope) = try term.loss.evaluate(logits: logits, targets: targets, of: allRows)
      sum += Double(value) * weight
      values.append((term.loss.name, Float(Double(value) * weight)))
      guard terms.count > 1 else {
        gradient = slope
        break
      }
      var total: Tensor
      if let gradient { total = gradient } else { total = try Tensor.zeros(like: logits) }
      slope.withUnsafeBufferPointer { source in
        total.withUnsafeMutableBufferPointer { target in
          for index in 0..<target.count { target[index] += Float(weight) * source[index] }
        }
      }
      gradient = total
    }
    guard let gradient else { throw HGNetError(.internalInconsistency, "there is no loss to evaluate") }
    return Evaluation(value: Float(sum), terms: values, gradient: gradient)
  }
}

extension Tensor {
  /// Zeros in the shape of logits, whose size comes from outside.
  static func zeros(like logits: Tensor) throws(HGNetError) -> Tensor {
    try Tensor(allocating: logits.shape, for: "the gradient of a loss") { $0.initialize(repeating: 0) }
  }
}
