import HGNetCore

/// What a checkpoint holds: all that a run needs to go on as if it had not stopped.
///
/// Threads: a value, safe to share.
public struct CheckpointContents: Sendable {
  /// The weights that are trained, running statistics included, with PaddlePaddle's names and layouts.
  public var parameters: ParameterStore
  /// PaddlePaddle's names inside (`conv2d_0.w_0`) by parameter name; may be empty.
  public var internalNames: [String: String]
  /// The state of the optimizer.
  package var optimizer: OptimizerState
  /// How far the run has come.
  public var progress: TrainingProgress
  /// The exponential moving average of the parameters, where the run keeps one.
  public var averaged: ParameterStore?
  /// Of quantisation-aware training: what its weights, averaged where there is an average, are in 8 bits; written only.
  package var quantized: ParameterStore?

  /// Makes the contents.
  package init(
    parameters: ParameterStore, internalNames: [String: String] = [:], optimizer: OptimizerState,
    progress: TrainingProgress, averaged: ParameterStore? = nil
  ) {
    self.parameters = parameters
    self.internalNames = internalNames
    self.optimizer = optimizer
    self.progress = progress
    self.averaged = averaged
  }
}

/// The state of an optimizer and of its learning rate, as PaddlePaddle keeps it in `.pdopt`.
package struct OptimizerState: Sendable {
  /// The accumulators by PaddlePaddle's names, such as `conv2d_0.w_0_velocity_0`.
  package var tensors: ParameterStore
  /// The learning rate; nil where it never changes.
  package var schedule: Schedule.State?

  /// Makes the state.
  package init(tensors: ParameterStore = ParameterStore(), schedule: Schedule.State? = nil) {
    self.tensors = tensors
    self.schedule = schedule
  }

  /// Makes the state from the tensors of an optimizer, copying them.
  package init(_ tensors: [Optimizer.NamedTensor], schedule: Schedule.State? = nil) {
    self.init(schedule: schedule)
    for tensor in tensors { self.tensors[tensor.name] = Parameter(tensor.value) }
  }

  /// The accumulators as `Optimizer.restore` takes them, copied.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded`.
  package func tensorsByName() throws(HGNetError) -> [String: Tensor] {
    var result: [String: Tensor] = [:]
    for name in tensors.names { result[name] = try tensors[name]?.allocatedTensor() }
    return result
  }
}

/// How far a training run has come.
public struct TrainingProgress: Sendable, Equatable {
  /// The number of epochs that are complete; PaddleClas goes on with the next one.
  public var epoch: Int
  /// The number of batches that the epoch after those has seen; 0 between two epochs.
  public var stepInEpoch = 0
  /// The number of optimizer steps since the start.
  public var globalStep = 0
  /// The metric of the last complete epoch, 0 where it was not evaluated.
  public var metric = 0.0
  /// The best metric so far, if any epoch was evaluated.
  public var bestMetric: Double?
  /// The epoch of the best metric, counted from 1.
  public var bestEpoch: Int?
  /// The seed of the run.
  public var seed: UInt64?
  /// The name of the model, so that a checkpoint of another one is told apart.
  public var model: String?
  /// Random generators by name, which go on exactly.
  package var generators: [String: RandomGenerator] = [:]
  /// Any other numbers by name, such as the sums behind a running average; they come back bit for bit.
  package var values: [String: Double] = [:]

  /// Makes the progress of a run that has completed some epochs.
  package init(epoch: Int = 0) { self.epoch = epoch }

  /// Two are equal when all numbers and all numbers to come are; a NaN equals one of the same bits.
  public static func == (left: TrainingProgress, right: TrainingProgress) -> Bool {
    left.epoch == right.epoch && left.stepInEpoch == right.stepInEpoch && left.globalStep == right.globalStep
      && left.metric.bitPattern == right.metric.bitPattern
      && left.bestMetric?.bitPattern == right.bestMetric?.bitPattern && left.bestEpoch == right.bestEpoch
      && left.seed == right.seed && left.model == right.model
      && left.generators.mapValues(\.words) == right.generators.mapValues(\.words)
      && left.values.mapValues(\.bitPattern) == right.values.mapValues(\.bitPattern)
  }
}
