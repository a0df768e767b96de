import HGNet
import HGNetCore
import HGNetProgram
import HGNetVision

/// One network inside a training step: how its logits come about, and where their gradient goes.
///
/// Sessions are kept for the last batch size, so that an epoch plans once, and once more where its last batch is smaller.
/// Threads: one task.
final class StepNetwork {
  /// What happens to a network in a step.
  enum Role {
    /// It is trained.
    case trained(any TrainingState)
    /// It keeps its weights, but runs as if it were trained: batch statistics are used and tracked.
    case observed(any TrainingState)
    /// It keeps everything, and the inference engine runs it.
    case inferred(InferenceModel, LogitsCache?)
  }

  /// The name in a distillation, empty for a network that is trained alone.
  let name: String
  private let graph: Graph
  private let role: Role
  private let device: Device
  /// What adds batch statistics over ranks; nil where each rank normalises with its own.
  ///
  /// It is set before the first step.
  var reduction: (any StatisticsReduction)?
  private var program: Program?
  private var training: (any TrainingRun)?
  private var inference: Session?

  init(name: String, graph: Graph, role: Role, device: Device) {
    self.name = name
    self.graph = graph
    self.role = role
    self.device = device
    training = nil
    inference = nil
  }

  /// The logits `[N, K]` of pictures `[N, H, W, 3]`.
  ///
  /// - Parameters:
  ///   - samples: which pictures of the data set they are, by which known logits are found.
  ///   - random: draws the dropout masks.
  func forward(
    _ pictures: Tensor, samples: [Int], random: inout RandomGenerator
  ) throws(HGNetError) -> Tensor {
    switch role {
    case .trained(let parameters), .observed(let parameters):
      return try trainingRun(pictures.shape, parameters).forward(pictures, random: &random)
    case .inferred(let model, let cache):
      if let known = cache?.logits(of: samples) { return known }
      var session = try takeInference(pictures.shape, model)
      let logits = try session.run(pictures)[0]
      inference = consume session
      try cache?.keep(logits, of: samples)
      return logits
    }
  }

  /// Adds the gradients of the last `forward` to those of the parameters; nothing for a network that is not trained.
  ///
  /// - Parameter ended: called with each parameter whose gradient is complete, on any thread of the pool.
  func backward(_ gradient: Tensor, ended: (@Sendable (Int) -> Void)? = nil) throws(HGNetError) {
    guard case .trained = role, let training else { return }
    try training.backward(gradient, ended: ended)
  }

  private func trainingRun(_ shape: Shape, _ parameters: any TrainingState) throws(HGNetError) -> any TrainingRun {
    let size = Size(height: shape[1], width: shape[2])
    if let training, training.batch == shape[0], training.program.inputSize == size { return training }
    // The old activations go before the new ones come.
    training = nil
    let whole: Program
    if let program {
      whole = program
    } else {
      whole = try Program(graph.selecting(outputs: graph.outputs.prefix(1).map(\.name)), isTraining: true)
      program = whole
    }
    let made = try device.engine.trainingRun(
      whole.resized(to: size), state: parameters, batch: shape[0], statistics: reduction)
    training = made
    return made
  }

  private func takeInference(_ shape: Shape, _ model: InferenceModel) throws(HGNetError) -> Session {
    let size = Size(height: shape[1], width: shape[2])
    if let kept = inference.take() {
      if kept.batch == shape[0], kept.inputSize == size { return kept }
    }
    return try model.session(batch: shape[0], inputSize: size)
  }
}
