import HGNetCore
import HGNetVision

/// How training is cut into epochs of whole updates, by PaddleClas' rules.
///
/// An epoch has `Global.iter_per_epoch` batches, all of the data without it, cut to a multiple of `Global.update_freq`.
/// Epochs follow each other through the data without a gap: batches that one leaves over are the first of the next, and
/// an epoch longer than the data begins another pass. Threads: a value, safe to share. Source: PaddleClas,
/// `ppcls/engine/engine.py` and `ppcls/engine/train/train.py`.
package struct EpochPlan: Sendable, Hashable {
  /// The batches of an epoch, at least 1: a multiple of `updateFrequency`.
  package let iterations: Int
  /// The batches whose gradients make one update, at least 1.
  package let updateFrequency: Int
  /// The batches of one pass over the data, at least 1.
  package let batchesPerPass: Int
  /// What a person should know about it, nil for nothing.
  package let warning: String?

  /// Plans epochs.
  ///
  /// - Parameters:
  ///   - batches: the batches of one pass over the data, at least 1.
  ///   - iterationsPerEpoch: the batches of an epoch that are asked for; nil for one pass.
  ///   - updateFrequency: the batches of an update that are asked for, at least 1.
  package init(batches: Int, iterationsPerEpoch: Int? = nil, updateFrequency: Int = 1) {
    batchesPerPass = max(batches, 1)
    let wanted = max(iterationsPerEpoch ?? batchesPerPass, 1)
    if wanted < updateFrequency {
      self.updateFrequency = 1
      iterations = wanted
      warning =
        "Global.update_freq: \(updateFrequency) is more than the \(wanted) iterations of an epoch; it counts as 1. Use "
        + "more data, a smaller batch_size or a smaller update_freq"
    } else {
      self.updateFrequency = max(updateFrequency, 1)
      iterations = wanted / self.updateFrequency * self.updateFrequency
      warning =
        iterations == wanted
        ? nil
        : "Global.update_freq: \(updateFrequency) does not divide the \(wanted) iterations of an epoch, which gets "
          + "\(iterations); the batches that are left over begin the next epoch"
    }
  }

  /// The updates of an epoch.
  package var updates: Int { iterations / updateFrequency }

  /// The updates of a run that has come so far.
  func updates(before progress: TrainingProgress) -> Int {
    progress.epoch * updates + progress.stepInEpoch / updateFrequency
  }

  /// A run of batches of one pass over the data.
  package struct Segment: Sendable, Hashable {
    /// The number of the pass, from 0.
    package var pass: Int
    /// Batches of the pass.
    package var batches: Range<Int>

    /// Names batches of a pass.
    package init(pass: Int, batches: Range<Int>) { (self.pass, self.batches) = (pass, batches) }
  }

  /// The batches that come next in an epoch, as many as the pass has left.
  ///
  /// - Parameters:
  ///   - epoch: the number of epochs before this one, from 0.
  ///   - iteration: the batches of this epoch that have been, below `iterations`.
  package func segment(epoch: Int, iteration: Int) -> Segment {
    // Both factors are below 2³².
    let (pass, first) = (epoch * iterations + iteration).quotientAndRemainder(dividingBy: batchesPerPass)
    return Segment(pass: pass, batches: first..<min(first + iterations - iteration, batchesPerPass))
  }
}

/// The batches of one epoch in the order of an `EpochPlan`, read ahead within a pass over the data.
struct EpochBatches {
  private let data: TrainingData
  private let plan: EpochPlan
  private let epoch: Int
  private let seed: UInt64
  private var iteration: Int
  private var loader: Loader?
  private var pass = 0
  private var isFresh = true
  private var waitedBefore = Duration.zero

  /// Begins at an iteration of an epoch.
  init(_ data: TrainingData, plan: EpochPlan, epoch: Int, startingAt iteration: Int, seed: UInt64) {
    (self.data, self.plan, self.epoch, self.iteration, self.seed) = (data, plan, epoch, iteration, seed)
  }

  /// How long the consumer has waited for batches so far.
  var waited: Duration { waitedBefore + (loader?.waited ?? .zero) }

  /// The next batch with its number in the epoch and the pass over the data that it belongs to; nil at the end.
  mutating func next() throws(HGNetError) -> (batch: Loader.Batch, iteration: Int, pass: Int)? {
    while iteration < plan.iterations {
      if loader == nil {
        let segment = plan.segment(epoch: epoch, iteration: iteration)
        (pass, isFresh) = (segment.pass, true)
        loader = try data.loader(
          epoch: pass, startingAt: segment.batches.lowerBound, count: segment.batches.upperBound, seed: seed)
      }
      if let batch = try loader?.next() {
        iteration += 1
        isFresh = false
        return (batch, iteration - 1, pass)
      }
      // Nothing more comes, however often a loader is made.
      if isFresh { return nil }
      waitedBefore += loader?.waited ?? .zero
      loader = nil
    }
    return nil
  }
}
