import HGNetCore
import HGNetPlatform

/// How far a student's softened scores are from a teacher's: their Kullback-Leibler divergence.
///
/// With `p` and `q` the softmax of the teacher's and the student's logits over the temperature `T`, `T² Σ p log(p / q)`,
/// averaged over rows; the teacher receives no gradient. Threads: a value, safe to share. Source: Hinton, Vinyals and
/// Dean, "Distilling the Knowledge in a Neural Network", 2015; PaddleClas, `ppcls/loss/kldivloss.py`.
package struct DivergenceLoss: Sendable, Hashable {
  /// What logits are divided by, above 0.
  package let temperature: Double

  /// Makes a loss.
  package init(temperature: Double = 4) { self.temperature = temperature }

  /// The loss of a batch, and its derivative with respect to the logits of the student.
  ///
  /// - Parameters:
  ///   - student: logits `[N, K]`.
  ///   - teacher: logits of the same shape.
  ///   - allRows: the rows of the whole batch where these are a part of it; the results are then what this part adds.
  /// - Throws: `HGNetError.Code.shapeMismatch` for different shapes.
  package func evaluate(
    student: Tensor, teacher: Tensor, of allRows: Int? = nil
  ) throws(HGNetError) -> (value: Double, gradient: Tensor) {
    try TeacherLosses.rows(student, teacher) { row, rows, own, other, slope in
      let share = temperature / Double(allRows ?? rows)
      let (mine, theirs) = (TeacherLosses.logSoftmax(own, temperature), TeacherLosses.logSoftmax(other, temperature))
      var value = 0.0
      for index in slope.indices {
        let (p, q) = (exp(theirs[index]), exp(mine[index]))
        if p > 0 { value += p * (theirs[index] - mine[index]) }
        slope[index] = share * (q - p)
      }
      return share * temperature * value
    }
  }
}

/// Decoupled distillation: the divergence of the right class against all others, and that among the others, each with a
/// weight of its own.
///
/// With the scores softened by the temperature `T`, `T² (α KL(right against others) + β KL(among others))`, averaged over
/// rows; the teacher receives no gradient. Threads: a value, safe to share. Source: Zhao et al., "Decoupled Knowledge
/// Distillation", 2022; PaddleClas, `ppcls/loss/dkdloss.py`.
package struct DecoupledLoss: Sendable, Hashable {
  /// What logits are divided by, above 0.
  package let temperature: Double
  /// The weights of the two parts.
  package let alpha: Double, beta: Double
  /// Whether the teacher's best class counts as the right one, instead of the label.
  package let takesTeachersClass: Bool
  /// What the key in log lines begins with.
  package let name: String

  /// Makes a loss.
  package init(
    temperature: Double = 1, alpha: Double = 1, beta: Double = 1, takesTeachersClass: Bool = false,
    name: String = "loss_dkd"
  ) {
    (self.temperature, self.alpha, self.beta) = (temperature, alpha, beta)
    (self.takesTeachersClass, self.name) = (takesTeachersClass, name)
  }

  /// The loss of a batch, and its derivative with respect to the logits of the student.
  ///
  /// - Parameters:
  ///   - student: logits `[N, K]`.
  ///   - teacher: logits of the same shape.
  ///   - targets: the right class of each row; not looked at with `takesTeachersClass`.
  ///   - allRows: the rows of the whole batch where these are a part of it; the results are then what this part adds.
  /// - Throws: `HGNetError.Code.shapeMismatch` for different shapes or targets that are no classes, `invalidArgument` for a
  ///   class outside `0 ..< K`.
  package func evaluate(
    student: Tensor, teacher: Tensor, targets: Targets, of allRows: Int? = nil
  ) throws(HGNetError) -> (value: Double, gradient: Tensor) {
    var labels: [Int] = []
    if !takesTeachersClass {
      guard case .classes(let classes) = targets, classes.count == (student.shape.rank == 2 ? student.shape[0] : -1)
      else {
        throw HGNetError(
          .shapeMismatch,
          "DistillationDKDLoss needs one class per picture, not mixed or several labels; use_target_as_gt: True takes the "
            + "teacher's")
      }
      try targets.check(rows: classes.count, classes: student.shape[1], allowsClasses: true)
      labels = classes
    }
    return try TeacherLosses.rows(student, teacher) { row, rows, own, other, slope in
      let share = temperature / Double(allRows ?? rows)
      let best = other.indices.max { other[$0] < other[$1] || (other[$0] == other[$1] && $0 > $1) } ?? 0
      let right = takesTeachersClass ? best : labels[row]
      let (mine, theirs) = (TeacherLosses.logSoftmax(own, temperature), TeacherLosses.logSoftmax(other, temperature))
      // The others among themselves.
      func rest(_ scores: [Double]) -> (logSum: Double, [Double]) {
        var others = scores
        others.remove(at: right)
        let logSum = others.withUnsafeBufferPointer(logSumExp)
        return (logSum, scores.map { $0 - logSum })
      }
      let ((myRest, mineAmong), (theirRest, theirsAmong)) = (rest(mine), rest(theirs))
      let (q, p) = (exp(mine[right]), exp(theirs[right]))
      func part(_ weight: Double, _ theirs: Double, _ mine: Double) -> Double {
        weight > 0 ? weight * (theirs - mine) : 0
      }
      let first = part(p, theirs[right], mine[right]) + part(exp(theirRest), theirRest, myRest)
      var second = 0.0
      for index in slope.indices where index != right {
        let (among, theirAmong) = (exp(mineAmong[index]), exp(theirsAmong[index]))
        second += part(theirAmong, theirsAmong[index], mineAmong[index])
        slope[index] = share * (alpha * among * (p - q) + beta * (among - theirAmong))
      }
      slope[right] = share * alpha * (q - p)
      return share * temperature * (alpha * first + beta * second)
    }
  }
}

/// What the losses between a student and a teacher share.
private enum TeacherLosses {
  /// Calls a body for each row with the logits of both; it fills the derivative and returns what the row adds.
  static func rows(
    _ student: Tensor, _ teacher: Tensor,
    _ body: (_ row: Int, _ rows: Int, _ own: [Double], _ other: [Double], _ slope: inout [Double]) -> Double
  ) throws(HGNetError) -> (value: Double, gradient: Tensor) {
    guard student.shape == teacher.shape, student.shape.rank == 2, student.shape.count > 0 else {
      throw HGNetError(
        .shapeMismatch, "expected logits [N, K] of the same shape, found \(student.shape) and \(teacher.shape)")
    }
    let (rows, classes) = (student.shape[0], student.shape[1])
    var value = 0.0
    var gradient: [Float] = []
    gradient.reserveCapacity(rows * classes)
    for row in 0..<rows {
      let range = row * classes..<(row + 1) * classes
      var slope = [Double](repeating: 0, count: classes)
      value += body(row, rows, range.map { Double(student[$0]) }, range.map { Double(teacher[$0]) }, &slope)
      gradient += slope.map { Float($0) }
    }
    return (value, Tensor(shape: student.shape, values: gradient))
  }

  static func logSoftmax(_ logits: [Double], _ temperature: Double) -> [Double] {
    let scaled = logits.map { $0 / temperature }
    let normalizer = scaled.withUnsafeBufferPointer(logSumExp)
    return scaled.map { $0 - normalizer }
  }
}
