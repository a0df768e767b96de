import HGNetCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

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
    guard logits.allSatisfy(\.isFinite) else {
      throw HGNetError(
        .malformedData,
        "the network's results are not finite numbers; the weights are damaged or do not belong to this network")
    }
    let scores = activation.scores(of: logits)
    let chosen: [Int]
    switch self {
    case .topK(let count):
      // Softmax may round different logits to the same score; the order of the logits then still decides.
      let ranked = scores.indices.sorted { left, right in
        if scores[left] != scores[right] { return scores[left] > scores[right] }
        return logits[left] != logits[right] ? logits[left] > logits[right] : left < right
      }
      chosen = Array(ranked.prefix(max(count, 0)))
    case .threshold(let threshold): chosen = scores.indices.filter { scores[$0] >= threshold }
    }
    return chosen.map { ScoredClass(index: $0, score: scores[$0], label: labels?[$0]) }
  }
}
