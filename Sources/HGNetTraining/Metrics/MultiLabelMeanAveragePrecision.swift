import HGNetCore

/// How well the scores of each class order the pictures, averaged over the classes: mAP, a share in 0 … 1.
///
/// Per class all pictures are sorted by score, highest first; equal scores keep their order. Classes without a picture
/// are left out. It keeps all scores: 5 bytes per picture and class. Threads: a value.
///
/// Source: PaddleClas, `ppcls/metric/metrics.py` (`MultiLabelMAP`).
public struct MultiLabelMeanAveragePrecision: Sendable {
  /// What is averaged within a class.
  public enum Kind: String, Sendable, Hashable, CaseIterable {
    /// Precision times the gain in recall, added.
    case integral
    /// The best precision at a recall of at least 0, 0.1, … 1.
    case elevenPoint = "11point"
  }

  /// What is averaged within a class.
  package let kind: Kind
  private var scores: [[Float]] = []
  private var isPositive: [[Bool]] = []

  /// Makes a metric.
  package init(_ kind: Kind = .integral) { self.kind = kind }

  /// The name in log lines, `MultiLabelMAP(integral)`.
  package var name: String { "MultiLabelMAP(\(kind.rawValue))" }

  /// The number of pictures so far.
  package var count: Int { scores.first?.count ?? 0 }

  /// Adds a batch.
  ///
  /// - Parameters:
  ///   - new: logits or probabilities `[N, K]`; anything that keeps the order.
  ///   - targets: 1 where a class is present, else 0, `[N, K]`.
  /// - Throws: `HGNetError.Code.shapeMismatch`.
  package mutating func add(scores new: Tensor, targets: Tensor) throws(HGNetError) {
    let shape = new.shape
    guard shape.rank == 2, targets.shape == shape, scores.isEmpty || scores.count == shape[1] else {
      throw HGNetError(
        .shapeMismatch, "expected scores and targets of one shape [N, K], found \(shape) and \(targets.shape)")
    }
    let classes = shape[1]
    if scores.isEmpty {
      scores = Array(repeating: [], count: classes)
      isPositive = Array(repeating: [], count: classes)
    }
    for row in 0..<shape[0] {
      for index in 0..<classes {
        scores[index].append(new[row * classes + index])
        isPositive[index].append(targets[row * classes + index] > 0.5)
      }
    }
  }

  /// Forgets all pictures.
  package mutating func reset() { self = MultiLabelMeanAveragePrecision(kind) }

  /// The mean over the classes that have a picture, 0 if there is none.
  ///
  /// Cost: sorts all pictures once per class.
  package var value: Double {
    let values = averagePrecisions.compactMap { $0 }
    return values.isEmpty ? 0 : values.reduce(0, +) / Double(values.count)
  }

  /// The average precision of each class, nil for a class without a picture.
  package var averagePrecisions: [Double?] { scores.indices.map { averagePrecision(of: $0) } }

  private func averagePrecision(of index: Int) -> Double? {
    let (values, positive) = (scores[index], isPositive[index])
    let total = positive.count { $0 }
    guard total > 0 else { return nil }
    // The comparison by position keeps the order of equal scores; scores that are no numbers come last.
    let order = values.indices.sorted { left, right in
      let (a, b) = (
        values[left].isNaN ? -Float.infinity : values[left], values[right].isNaN ? -Float.infinity : values[right]
      )
      return a != b ? a > b : left < right
    }
    var found = 0
    var area = 0.0
    var best = [Double](repeating: 0, count: 11)
    for (position, picture) in order.enumerated() {
      if positive[picture] {
        found += 1
        area += Double(found) / Double(position + 1) / Double(total)
      }
      let precision = Double(found) / Double(position + 1)
      // A recall of found / total reaches the points up to 10 · found / total.
      for point in 0...(10 * found / total) { best[point] = max(best[point], precision) }
    }
    return kind == .integral ? area : best.reduce(0, +) / 11
  }
}
