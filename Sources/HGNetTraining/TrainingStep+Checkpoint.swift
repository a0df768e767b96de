import HGNetCore
import HGNetModels

extension TrainingStep {
  /// Everything that a run needs to go on from here.
  func contents(_ progress: TrainingProgress, graph: Graph) -> CheckpointContents {
    let names = graph.internalParameterNames
    var tensors = ParameterStore()
    for entry in optimizer.state(internalNames: names) { tensors[entry.name] = Parameter(entry.value) }
    let state = schedule.state
    var progress = progress
    progress.generators["dropout"] = random
    progress.values["batches"] = Double(batchCount)
    return CheckpointContents(
      parameters: parameters.store(), internalNames: names,
      optimizer: OptimizerState(
        tensors: tensors,
        schedule: OptimizerState.Schedule(
          step: state.step, learningRate: state.learningRate,
          inner: state.inner.map { OptimizerState.Schedule.Inner(step: $0.step, learningRate: $0.learningRate) })),
      progress: progress, averaged: averagedStore())
  }

  /// The average of the parameters under their names; nil if none is kept.
  func averagedStore() -> ParameterStore? {
    guard let average else { return nil }
    var store = ParameterStore()
    for (declaration, tensor) in zip(parameters.declarations, average.averages) {
      store[declaration.name] = Parameter(tensor)
    }
    return store
  }

  /// Takes over the state of a checkpoint; the parameters have been taken already.
  ///
  /// - Throws: `HGNetError.Code.parameterMismatch` when the optimiser's state belongs to another network.
  mutating func restore(_ checkpoint: CheckpointContents, internalNames: [String: String]) throws(HGNetError) {
    var tensors: [String: Tensor] = [:]
    for name in checkpoint.optimizer.tensors.names { tensors[name] = checkpoint.optimizer.tensors[name]?.tensor() }
    try optimizer.restore(tensors, internalNames: internalNames)
    if let stored = checkpoint.optimizer.schedule {
      try schedule.restore(
        Schedule.State(
          step: stored.step, learningRate: stored.learningRate,
          inner: stored.inner.map { Schedule.State.Inner(step: $0.step, learningRate: $0.learningRate) }))
    }
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
}
