import HGNetCore
import HGNetProgram

/// What the ranks of a training step share: batch statistics, gradients, losses.
struct StepRanks: Sendable {
  /// For what is said between two halves of a step.
  let communicator: any Communicator
  /// Adds batch statistics, where ranks normalise with those of all.
  let statistics: StatisticsSum?
  /// Adds gradients.
  let gradients: GradientReduction

  init(
    _ communicator: any Communicator, parameters: any TrainingState, synchronizesNormalization: Bool,
    sumsInHalves: Bool
  ) throws(HGNetError) {
    self.communicator = communicator
    // Gradients travel while a layer waits for statistics, so each has ways of its own.
    statistics = synchronizesNormalization ? StatisticsSum(try communicator.duplicate()) : nil
    gradients = try GradientReduction(
      parameters, over: communicator.duplicate(), averagesStatistics: !synchronizesNormalization,
      isInHalves: sumsInHalves)
  }

  /// The pictures of all ranks.
  func rowCount(_ own: Int) throws(HGNetError) -> Int { Int(try communicator.sums(of: [Double(own)])[0]) }

  /// Makes the losses of parts those of the whole batch.
  func add(_ evaluation: inout CombinedLoss.Evaluation) throws(HGNetError) {
    try statistics?.check()
    let sums = try communicator.sums(of: ([evaluation.value] + evaluation.terms.map(\.value)).map { Double($0) })
    evaluation.value = Float(sums[0])
    for index in evaluation.terms.indices { evaluation.terms[index].value = Float(sums[index + 1]) }
  }

  /// Averages running statistics that ranks have moved since the last update.
  func align() throws(HGNetError) { try gradients.averageStatistics() }

  /// Waits for the gradients of all ranks.
  func finish(isUpdate: Bool) throws(HGNetError) {
    try statistics?.check()
    if isUpdate { try gradients.finish() }
  }
}

/// Adds batch statistics over ranks.
final class StatisticsSum: StatisticsReduction {
  private let communicator: any Communicator
  private let failure = Monitor<HGNetError?>(nil)

  init(_ communicator: any Communicator) { self.communicator = communicator }

  func sum(_ values: UnsafeMutableBufferPointer<Double>) {
    do throws(HGNetError) {
      try communicator.sum(values)
    } catch {
      failure.withLock { $0 = $0 ?? error }
    }
  }

  /// - Throws: what has gone wrong in a sum.
  func check() throws(HGNetError) {
    if let failure = failure.withLock({ $0 }) { throw failure }
  }
}
