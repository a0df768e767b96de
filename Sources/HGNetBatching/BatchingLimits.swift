/// The bounds of a `BatchingClassifier` or `BatchingFeatureExtractor`.
///
/// Threads: a value, safe to share.
public struct BatchingLimits: Sendable, Hashable {
  /// Pictures that may run together, 1 … 256.
  public var batchSize: Int
  /// Pictures that may wait, 1 … 1 048 576; more are refused.
  public var queueCapacity: Int

  /// Makes bounds; they are checked where they are used.
  ///
  /// - Parameters:
  ///   - batchSize: pictures that may run together, 1 … 256. 8 pictures of 224×224 take 0.5 to 0.9 of the time of one after
  ///     the other; more gain little and hold more memory.
  ///   - queueCapacity: pictures that may wait, 1 … 1 048 576.
  public init(batchSize: Int = 8, queueCapacity: Int = 128) {
    self.batchSize = batchSize
    self.queueCapacity = queueCapacity
  }

  static let batchSizes = 1...256
  static let capacities = 1...(1 << 20)

  /// How many pictures of one call wait at a time: those of the batch that runs next, and of the one after it.
  var window: Int { min(2 * batchSize, queueCapacity) }

  /// The numbers of pictures for which sessions are kept: every one up to 8, from there in steps of a quarter or less.
  var sessionBatches: [Int] {
    var batches: [Int] = []
    var next = 1
    while next < batchSize {
      batches.append(next)
      next += max(1, next / 4)
    }
    return batches + [batchSize]
  }
}
