import HGNetCore
import HGNetModels

extension TrainingStep {
  /// Everything that a run needs to go on from here.
  func contents(_ progress: TrainingProgress) -> CheckpointContents {
    let names = networks.declarations.internalNames
    var progress = progress
    progress.generators["dropout"] = random
    progress.values["batches"] = Double(batchCount)
    return CheckpointContents(
      parameters: store(), internalNames: names,
      optimizer: OptimizerState(optimizer.state(internalNames: names), schedule: schedule.state), progress: progress,
      averaged: averagedStore())
  }

  /// All parameters under their names.
  func store() -> ParameterStore { networks.store(parameters.store()) }

  /// The average of the parameters under their names; nil if none is kept.
  func averagedStore() -> ParameterStore? {
    guard let average else { return nil }
    var store = ParameterStore()
    for (declaration, tensor) in zip(parameters.declarations, average.averages) {
      store[declaration.name] = Parameter(tensor)
    }
    return networks.store(store)
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
    if let averaged = checkpoint.averaged, average != nil {
      var stored: [Tensor] = []
      for declaration in parameters.declarations {
        guard let parameter = averaged[declaration.name] else {
          throw HGNetError(.parameterMismatch, "the averaged parameter is missing", key: declaration.name)
        }
        stored.append(try parameter.allocatedTensor())
      }
      try average?.restore(stored)
    }
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
