import HGNetCore

/// How often pictures of each class were taken for each class.
///
/// Threads: a value.
public struct ConfusionMatrix: Sendable, Hashable {
  /// The number of classes.
  public let classes: Int
  private var counts: [Int]

  /// Makes a matrix of zeros.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` for more than 32 768 classes.
  package init(classes: Int) throws(HGNetError) {
    guard classes > 0, classes <= 1 << 15 else {
      throw HGNetError(.limitExceeded, "expected 1 … 32768 classes for a confusion matrix, found \(classes)")
    }
    self.classes = classes
    counts = Array(repeating: 0, count: classes * classes)
  }

  /// The number of pictures of class `label` that were taken for `prediction`; both `0 ..< classes`.
  public subscript(label label: Int, prediction prediction: Int) -> Int {
    precondition((0..<classes).contains(label) && (0..<classes).contains(prediction), "no such class")
    return counts[label * classes + prediction]
  }

  /// Replaces a count; both classes `0 ..< classes`.
  mutating func set(label: Int, prediction: Int, to count: Int) { counts[label * classes + prediction] = count }

  /// Adds one picture.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` for a class outside `0 ..< classes`.
  package mutating func add(label: Int, prediction: Int) throws(HGNetError) {
    guard (0..<classes).contains(label), (0..<classes).contains(prediction) else {
      throw HGNetError(
        .invalidArgument, "expected classes in 0 … \(classes - 1), found label \(label) and prediction \(prediction)")
    }
    counts[label * classes + prediction] += 1
  }

  /// Adds a batch: the class with the highest score is the prediction, the lower index of equals.
  ///
  /// - Throws: `HGNetError.Code.shapeMismatch`, `invalidArgument` for a label outside `0 ..< classes`.
  package mutating func add(logits: Tensor, labels: [Int]) throws(HGNetError) {
    guard logits.shape == [labels.count, classes] else {
      throw HGNetError(.shapeMismatch, "expected logits [\(labels.count), \(classes)], found \(logits.shape)")
    }
    for (row, label) in labels.enumerated() {
      var best = 0
      for index in 1..<max(classes, 1) where logits[row * classes + index] > logits[row * classes + best] {
        best = index
      }
      try add(label: label, prediction: best)
    }
  }

  /// The number of pictures.
  public var total: Int { counts.reduce(0, +) }

  /// The share of pictures that were taken for what they are, 0 without pictures.
  public var accuracy: Double {
    let all = total
    guard all > 0 else { return 0 }
    return Double((0..<classes).reduce(0) { $0 + counts[$1 * classes + $1] }) / Double(all)
  }

  /// The quality of one class; shares in 0 … 1.
  public struct ClassQuality: Sendable, Hashable {
    /// Of the pictures taken for this class, the share that belongs to it; 0 if there is none.
    public let precision: Double
    /// Of the pictures of this class, the share that was found; 0 if there is none.
    public let recall: Double
    /// The harmonic mean of precision and recall; 0 if both are.
    public let f1: Double
    /// The pictures of this class.
    public let support: Int
  }

  /// The quality of every class.
  public var qualities: [ClassQuality] {
    var predicted = [Int](repeating: 0, count: classes)
    for label in 0..<classes { for index in 0..<classes { predicted[index] += counts[label * classes + index] } }
    return (0..<classes).map { index in
      let right = Double(counts[index * classes + index])
      let support = (0..<classes).reduce(0) { $0 + counts[index * classes + $1] }
      let precision = predicted[index] > 0 ? right / Double(predicted[index]) : 0
      let recall = support > 0 ? right / Double(support) : 0
      let f1 = precision + recall > 0 ? 2 * precision * recall / (precision + recall) : 0
      return ClassQuality(precision: precision, recall: recall, f1: f1, support: support)
    }
  }

  /// The most frequent confusions of different classes, most frequent first.
  public func worstConfusions(_ limit: Int) -> [(label: Int, prediction: Int, count: Int)] {
    var found: [(label: Int, prediction: Int, count: Int)] = []
    for label in 0..<classes {
      for index in 0..<classes where index != label && counts[label * classes + index] > 0 {
        found.append((label, index, counts[label * classes + index]))
      }
    }
    found.sort { ($1.count, $0.label, $0.prediction) < ($0.count, $1.label, $1.prediction) }
    return Array(found.prefix(limit))
  }
}
