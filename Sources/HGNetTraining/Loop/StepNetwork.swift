import HGNetCore
import HGNetCPU
import HGNetVision

/// One network inside a training step: how its logits come about, and where their gradient goes.
///
/// Sessions are kept for the last batch size, so that an epoch plans once, and once more where its last batch is smaller.
/// Threads: one task.
final class StepNetwork {
  /// What happens to a network in a step.
  enum Role {
    /// It is trained.
    case trained(TrainingParameters)
    /// It keeps its weights, but runs as if it were trained: batch statistics are used and tracked.
    case observed(TrainingParameters)
    /// It keeps everything, and the inference engine runs it.
    case inferred(InferenceModel, LogitsCache?)
  }

  /// The name in a distillation, empty for a network that is trained alone.
  let name: String
  private let graph: Graph
  private let role: Role
  private let pool: ThreadPool
  /// What adds batch statistics over ranks; nil where each rank normalises with its own.
  ///
  /// It is set before the first step.
  var reduction: (any StatisticsReduction)?
  private var training: TrainingSession?
  private var inference: Session?

  init(name: String, graph: Graph, role: Role, pool: ThreadPool) {
    self.name = name
    self.graph = graph
    self.role = role
    self.pool = pool
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
      var session = try takeTraining(pictures.shape, parameters)
      let logits = try session.forward(pictures, random: &random)
      training = consume session
      return logits
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
    guard case .trained = role, var session = training.take() else { return }
    try session.backward(gradient, ended: ended)
    training = consume session
  }

  private func takeTraining(_ shape: Shape, _ parameters: TrainingParameters) throws(HGNetError) -> TrainingSession {
    let size = Size(height: shape[1], width: shape[2])
    if let kept = training.take() {
      if kept.batch == shape[0], kept.inputSize == size { return kept }
    }
    return try TrainingSession(
      graph: graph, parameters: parameters, batch: shape[0], inputSize: size, pool: pool, reduction: reduction)
  }

  private func takeInference(_ shape: Shape, _ model: InferenceModel) throws(HGNetError) -> Session {
    let size = Size(height: shape[1], width: shape[2])
    if let kept = inference.take() {
      if kept.plan.batch == shape[0], kept.plan.inputSize == size { return kept }
    }
    return try model.session(batch: shape[0], inputSize: size, pool: pool)
  }
}
