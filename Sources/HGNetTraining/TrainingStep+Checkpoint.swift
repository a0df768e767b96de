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
    try optimizer.restore(checkpoint.optimizer.tensorsByName, internalNames: names)
    if let stored = checkpoint.optimizer.schedule { try schedule.restore(stored) }
    if let averaged = checkpoint.averaged, average != nil {
      var stored: [Tensor] = []
      for declaration in parameters.declarations {
        guard let parameter = averaged[declaration.name] else {
          throw HGNetError(.parameterMismatch, "the averaged parameter is missing", key: declaration.name)
        }
        stored.append(parameter.tensor())
      }
      try average?.restore(stored)
    }
    if let generator = checkpoint.progress.generators["dropout"] { random = generator }
    if let count = checkpoint.progress.values["batches"] { batchCount = Int(count) }
  }

  /// Goes on at another update of a schedule, whose steps have another length than those of the checkpoint.
  mutating func move(toUpdate update: Int, of beginning: Schedule) throws(HGNetError) {
    batchCount -= batchCount % accumulatedSteps
    guard !schedule.isByEpoch else { return }
    schedule = beginning
    for _ in 0..<update { schedule.advance() }
  }
}
