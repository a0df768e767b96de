import HGNetCore
import HGNetModels
import HGNetProgram

extension TrainingStep {
  /// Everything that a run needs to go on from here.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` without memory for the copies.
  func contents(_ progress: TrainingProgress) throws(HGNetError) -> CheckpointContents {
    let names = networks.declarations.internalNames
    var progress = progress
    progress.generators["dropout"] = random
    progress.values["batches"] = Double(batchCount)
    return CheckpointContents(
      parameters: try store(), internalNames: names,
      optimizer: OptimizerState(try optimizer.state(internalNames: names), schedule: schedule.state),
      progress: progress,
      averaged: try averagedStore())
  }

  /// All parameters under their names.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` without memory for the copies.
  func store() throws(HGNetError) -> ParameterStore { networks.store(try parameters.store()) }

  /// The average of the parameters under their names; nil if none is kept.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` without memory for the copies.
  func averagedStore() throws(HGNetError) -> ParameterStore? {
    guard let average else { return nil }
    return networks.store(try average.store())
  }

  /// The parameters of the network that is evaluated, out of all.
  func inferred(_ store: ParameterStore) -> ParameterStore { store.parameters(behind: networks.inferredPrefix) }

  /// Takes over the state of a checkpoint; the parameters have been taken already.
  ///
  /// - Throws: `HGNetError.Code.parameterMismatch` when the optimiser's state belongs to another network.
  mutating func restore(_ checkpoint: CheckpointContents) throws(HGNetError) {
    let names = networks.declarations.internalNames
    try optimizer.restore(checkpoint.optimizer.tensorsByName(), internalNames: names)
    if let stored = checkpoint.optimizer.schedule { try schedule.restore(stored) }
    if let averaged = checkpoint.averaged, let average { try average.restore(averaged) }
    if let generator = checkpoint.progress.generators["dropout"] { random = generator }
    if let count = checkpoint.progress.values["batches"] { batchCount = Int(count) }
  }

  /// Goes on at another update of a schedule, whose steps have another length than those of the checkpoint.
  mutating func move(toUpdate update: Int, of beginning: Schedule) throws(HGNetError) {
    guard !schedule.isByEpoch else { return }
    schedule = beginning
    for _ in 0..<update { schedule.advance() }
  }

  /// Decides between the learning rate that a checkpoint brings along and that of the configuration.
  ///
  /// PaddlePaddle goes on from the rate of the checkpoint, which for some rules says nothing about a new configuration: a
  /// cosine that has come to 0 stays there.
  ///
  /// - Parameters:
  ///   - update: the step of the schedule at which the run goes on.
  ///   - beginning: the schedule of the configuration.
  ///   - isRecomputed: whether the configuration's rates are taken.
  ///   - epochs: the epochs of the run, for the message.
  /// - Returns: what a person should know, nil where both say the same.
  mutating func resumeRate(at update: Int, of beginning: Schedule, isRecomputed: Bool, epochs: Int) -> String? {
    var wanted = beginning
    wanted.jump(to: update)
    var restored = schedule
    let (now, other) = (restored.learningRate, wanted.learningRate)
    if isRecomputed {
      schedule = wanted
      return nil
    }
    // The rate after the next step tells a rule that follows its state from one that counts steps.
    restored.advance()
    var next = wanted
    next.advance()
    let tolerance = 1e-6 * max(beginning.baseRate, 1e-30)
    guard abs(restored.learningRate - next.learningRate) > tolerance else { return nil }
    return "the learning rate goes on from the checkpoint's \(FixedPoint.text(now, digits: 8)), as in PaddlePaddle; "
      + "Optimizer.lr and the \(epochs) epochs of this configuration have \(FixedPoint.text(other, digits: 8)) at this step. "
      + (restored.learningRate == 0 ? "At a rate of 0 nothing is learnt. " : "")
      + "-o Global.recompute_learning_rate=True takes the configuration's"
  }
}
