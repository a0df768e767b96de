import HGNetCore

/// The share of pictures whose label is among the best `k` classes.
///
/// Of equal scores the lower class index counts as better, as in PaddlePaddle. With fewer classes than `k` every picture
/// counts as right, as in PaddleClas, and `warnings` says that this means nothing. Threads: a value.
package struct TopKAccuracy: Sendable {
  /// The values of `k`, in the order in which they are logged.
  package let ks: [Int]
  /// The averages over all pictures so far, named `top1`, `top5`.
  package private(set) var averages = RunningAverages()

  /// Makes a metric.
  ///
  /// - Throws: `HGNetError.Code.invalidConfiguration` when there is no `k` or one below 1.
  package init(_ ks: [Int] = [1, 5]) throws(HGNetError) {
    guard !ks.isEmpty, ks.allSatisfy({ $0 >= 1 }) else {
      throw HGNetError(.invalidConfiguration, "expected numbers of at least 1, found \(ks)", key: "TopkAcc.topk")
    }
    self.ks = ks
  }

  /// What PaddleClas says when a `k` exceeds the number of classes.
  package func warnings(classes: Int) -> [String] {
    ks.filter { $0 > classes }.map {
      "The output dims(\(classes)) is less than k(\($0)), so the Top-\($0) metric is meaningless."
    }
  }

  /// Adds a batch.
  ///
  /// - Parameters:
  ///   - logits: logits or probabilities `[N, K]`; a picture whose label has no number as its score is wrong.
  ///   - labels: `N` class indices.
  /// - Returns: the shares in this batch, by name.
  /// - Throws: `HGNetError.Code.shapeMismatch`, or `invalidArgument` for a label outside `0 ..< K`.
  @discardableResult
  package mutating func add(logits: Tensor, labels: [Int]) throws(HGNetError) -> [(name: String, value: Double)] {
    let ranks = try TopKAccuracy.ranks(logits: logits, labels: labels)
    guard !ranks.isEmpty else { return [] }
    let classes = logits.shape[1]
    return ks.map { k in
      let right = k > classes ? ranks.count : ranks.count { $0 < k }
      let value = Double(Float(right) / Float(ranks.count))
      averages.add("top\(k)", value, samples: ranks.count)
      return ("top\(k)", value)
    }
  }

  /// Forgets all pictures.
  package mutating func reset() { averages.reset() }

  /// How many classes are better than the label, for each row; `Int.max` where the label's score is no number.
  ///
  /// - Throws: as `add`.
  package static func ranks(logits: Tensor, labels: [Int]) throws(HGNetError) -> [Int] {
    let shape = logits.shape
    guard shape.rank == 2, shape[0] == labels.count else {
      throw HGNetError(.shapeMismatch, "expected logits [\(labels.count), K], found \(shape)")
    }
    let classes = shape[1]
    guard let wrong = labels.first(where: { $0 < 0 || $0 >= classes }) else {
      return logits.withUnsafeBufferPointer { scores in
        labels.enumerated().map { row, label in
          let own = scores[row * classes + label]
          guard !own.isNaN else { return Int.max }
          var rank = 0
          for index in 0..<classes {
            let other = scores[row * classes + index]
            if other > own || (other == own && index < label) { rank += 1 }
          }
          return rank
        }
      }
    }
    throw HGNetError(.invalidArgument, "expected labels in 0 … \(classes - 1), found \(wrong)")
  }
}
