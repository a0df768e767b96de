import HGNetCore
import HGNetPlatform

/// How logits become scores.
public enum Activation: String, Sendable, Hashable {
  /// `exp(x) / sum(exp(x))` over the classes: scores that add up to 1.
  case softmax
  /// `1 / (1 + exp(-x))` for each class on its own: several classes may apply.
  case sigmoid
  /// The logits themselves.
  case none

  /// The scores of one picture, computed in double precision.
  public func scores(of logits: [Float]) -> [Double] {
    switch self {
    case .none: return logits.map(Double.init)
    case .sigmoid: return logits.map { 1 / (1 + exp(-Double($0))) }
    case .softmax:
      let largest = Double(logits.max() ?? 0)
      var scores = logits.map { exp(Double($0) - largest) }
      let sum = scores.reduce(0, +)
      for index in scores.indices { scores[index] /= sum }
      return scores
    }
  }
}

/// A class with its score for one picture.
public struct ScoredClass: Sendable, Hashable {
  /// The index of the class, from 0.
  public var index: Int
  /// The score: a probability in 0 … 1 after softmax or sigmoid.
  public var score: Double
  /// The name of the class, nil when the names are unknown.
  public var label: String?

  /// Makes a scored class.
  public init(index: Int, score: Double, label: String? = nil) {
    self.index = index
    self.score = score
    self.label = label
  }
}

/// Which classes of a picture are told.
public enum PostProcessing: Sendable, Hashable {
  /// The classes with the highest scores, highest first; equal scores in the order of their indices.
  case topK(Int)
  /// Every class whose score reaches the threshold, in the order of their indices (PaddleClas'
  /// `MultiLabelThreshOutput`).
  case threshold(Double)

  /// The activation that belongs to it where the model's file does not say otherwise.
  public var activation: Activation {
    switch self {
    case .topK: .softmax
    case .threshold: .sigmoid
    }
  }

  /// Chooses the classes of one picture.
  ///
  /// - Parameters:
  ///   - logits: the network's results, one per class, all finite.
  ///   - activation: how they become scores.
  ///   - labels: the names of the classes, if known.
  /// - Throws: `HGNetError.Code.malformedData` when a logit is not finite: weights that are damaged or do not belong to
  ///   the network.
  public func classes(of logits: [Float], activation: Activation, labels: Labels?) throws(HGNetError) -> [ScoredClass] {
    try classes(of: logits, scores: activation.scores(of: logits), labels: labels)
  }

  /// Chooses the classes of one picture whose scores are known.
  ///
  /// - Throws: as `classes(of:activation:labels:)`.
  package func classes(of logits: [Float], scores: [Double], labels: Labels?) throws(HGNetError) -> [ScoredClass] {
    try PostProcessing.requireFinite(logits)
    let chosen: [Int]
    switch self {
    case .topK(let count):
      chosen = PostProcessing.highest(count, of: logits)
    case .threshold(let threshold): chosen = scores.indices.filter { scores[$0] >= threshold }
    }
    return chosen.map { ScoredClass(index: $0, score: scores[$0], label: labels?[$0]) }
  }

  /// Refuses results that are no numbers.
  ///
  /// - Throws: `HGNetError.Code.malformedData` when a logit is not finite.
  package static func requireFinite(_ logits: [Float]) throws(HGNetError) {
    guard logits.allSatisfy(\.isFinite) else {
      throw HGNetError(
        .malformedData,
        "the network's results are not finite numbers; the weights are damaged or do not belong to this network")
    }
  }

  /// The indices of the highest logits, highest first.
  ///
  /// Logits, since softmax may round different ones to the same score.
  private static func highest(_ count: Int, of logits: [Float]) -> [Int] {
    func precedes(_ left: Int, _ right: Int) -> Bool {
      logits[left] != logits[right] ? logits[left] > logits[right] : left < right
    }
    let count = min(max(count, 0), logits.count)
    // For a few of many, going through them once costs a tenth of sorting.
    guard count <= 32 else { return Array(logits.indices.sorted(by: precedes).prefix(count)) }
    var best: [Int] = []
    for index in logits.indices where count > 0 {
      if best.count == count {
        guard precedes(index, best[count - 1]) else { continue }
        best.removeLast()
      }
      best.insert(index, at: best.firstIndex { precedes(index, $0) } ?? best.count)
    }
    return best
  }
}
