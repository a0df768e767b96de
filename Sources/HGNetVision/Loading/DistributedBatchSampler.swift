import HGNetCore

/// Which samples make up the batches of an epoch, in the order of PaddlePaddle's `DistributedBatchSampler`.
///
/// The indices `0 ..< sampleCount` are repeated from the start until they divide evenly among the ranks, shuffled if
/// wanted, and cut into global batches of `batchSize × rankCount`; rank r takes the r-th run of `batchSize` indices of
/// each, and an equal share of the last one.
///
/// Numeric promise: the same indices as PaddlePaddle 3.3 for every epoch, batch size and number of ranks. Threads: a
/// value, safe to share.
package struct DistributedBatchSampler: Sendable, Hashable {
  /// The number of samples of the data set, at least 1.
  package let sampleCount: Int
  /// The number of samples that one rank takes at a time, at least 1.
  package let batchSize: Int
  /// Whether each epoch has an order of its own.
  package let shuffles: Bool
  /// Whether a last batch of fewer samples is left out.
  package let dropsLast: Bool
  /// This process, `0 ..< rankCount`.
  package let rank: Int
  /// The number of processes that share the work, at least 1.
  package let rankCount: Int

  /// Makes a sampler.
  ///
  /// - Throws: `HGNetError.Code.noInput` without samples, `invalidArgument` for a batch size or a rank outside its
  ///   range, `limitExceeded` for numbers beyond any data set.
  package init(
    sampleCount: Int, batchSize: Int, shuffles: Bool, dropsLast: Bool = false, rank: Int = 0, rankCount: Int = 1
  ) throws(HGNetError) {
    guard sampleCount >= 1 else { throw HGNetError(.noInput, "expected at least one sample, found none") }
    guard batchSize >= 1 else {
      throw HGNetError(.invalidArgument, "expected a batch of at least one sample, found \(batchSize)")
    }
    guard rankCount >= 1, (0..<rankCount).contains(rank) else {
      throw HGNetError(.invalidArgument, "expected a rank of 0 to \(rankCount - 1), found \(rank)")
    }
    guard sampleCount <= 1 << 40, batchSize <= 1 << 30, rankCount <= 1 << 20 else {
      throw HGNetError(
        .limitExceeded, "\(sampleCount) samples in batches of \(batchSize) on \(rankCount) ranks are beyond the limits")
    }
    self.sampleCount = sampleCount
    self.batchSize = batchSize
    self.shuffles = shuffles
    self.dropsLast = dropsLast
    self.rank = rank
    self.rankCount = rankCount
  }

  /// The number of samples that this rank sees in an epoch, the repeated ones included, before `dropsLast`.
  package var sampleCountPerRank: Int { (sampleCount + rankCount - 1) / rankCount }

  /// The number of batches that this rank sees in an epoch; 0 where `dropsLast` leaves nothing.
  package var batchCount: Int {
    (sampleCountPerRank + (dropsLast ? 0 : batchSize - 1)) / batchSize
  }

  /// The batches of this rank.
  ///
  /// - Parameter epoch: the number of epochs before this one, from 0, which is the seed of the order: 0 for PaddleClas'
  ///   "Epoch 1". It counts modulo 2³².
  /// - Returns: `batchCount` lists of indices in `0 ..< sampleCount`, the last one possibly shorter.
  /// - Cost: O(samples), of all ranks when they are shuffled.
  package func batches(epoch: Int) -> [[Int]] {
    let perRank = sampleCountPerRank
    var indices = (0..<(perRank * rankCount)).map { $0 % sampleCount }
    if shuffles {
      var generator = MersenneTwister(seed: UInt32(truncatingIfNeeded: epoch))
      generator.shuffle(&indices)
    }
    let globalBatch = batchSize * rankCount
    var batches: [[Int]] = []
    batches.reserveCapacity(batchCount)
    for start in stride(from: 0, to: indices.count, by: globalBatch) {
      let share = min(globalBatch, indices.count - start) / rankCount
      if share < batchSize, dropsLast { break }
      let first = start + rank * share
      batches.append(Array(indices[first..<first + share]))
    }
    return batches
  }
}
