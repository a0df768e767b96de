import HGNet
import HGNetCore
import HGNetProgram
import HGNetVision

/// One network inside a training step: how its logits come about, and where their gradient goes.
///
/// The last session is kept, so that an epoch plans once, and once more where its last batch is smaller.
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
  /// Whether training sees weights and values as they are at the precision int8.
  private let isQuantizationAware: Bool
  /// The level of mixed precision in training; nil for float32.
  private let mixedPrecision: MixedPrecision?
  private var training: SessionKeeper<any TrainingRun>?
  /// The run of the last `forward`.
  private var latest: SessionKeeper<any TrainingRun>.Holder?
  private var inference: SessionKeeper<Session>?

  init(
    name: String, graph: Graph, role: Role, device: Device, isQuantizationAware: Bool = false,
    mixedPrecision: MixedPrecision? = nil
  ) {
    self.mixedPrecision = mixedPrecision
    self.isQuantizationAware = isQuantizationAware
    self.name = name
    self.graph = graph
    self.role = role
    self.device = device
    switch role {
    case .trained, .observed: inference = nil
    case .inferred(let model, _): inference = SessionKeeper(model: model)
    }
    training = nil
    synchronizeNormalization(over: nil)
  }

  /// Lets the network normalise with the statistics of all ranks, or with its own; to be called before the first step.
  func synchronizeNormalization(over reduction: (any StatisticsReduction)?) {
    switch role {
    case .trained(let parameters), .observed(let parameters):
      var program: Program?
      training = SessionKeeper {
        [graph, device, isQuantizationAware, mixedPrecision] (batch, size) throws(HGNetError) in
        let whole: Program
        if let program {
          whole = program
        } else {
          let plain = try Program(graph.selecting(outputs: graph.outputs.prefix(1).map(\.role)), isTraining: true)
          whole = (isQuantizationAware ? try plain.quantizing() : plain).mixing(mixedPrecision)
          program = whole
        }
        return try device.engine.trainingRun(
          whole.resized(to: size), state: parameters, batch: batch, statistics: reduction)
      }
    case .inferred: break
    }
  }

  /// The logits `[N, K]` of pictures `[N, H, W, 3]`.
  ///
  /// - Parameters:
  ///   - samples: which pictures of the data set they are, by which known logits are found.
  ///   - random: draws the dropout masks.
  func forward(
    _ pictures: Tensor, samples: [Int], random: inout RandomGenerator
  ) throws(HGNetError) -> Tensor {
    let (batch, size) = (pictures.shape[0], Size(height: pictures.shape[1], width: pictures.shape[2]))
    if case .inferred(_, let cache) = role {
      if let known = cache?.logits(of: samples) { return known }
      guard let kept = try inference?.session(batch: batch, size: size) else { throw StepNetwork.noSession }
      let logits = try kept.session.run(pictures)[0]
      try cache?.keep(logits, of: samples)
      return logits
    }
    // Nobody but the keeper may hold on to old activations.
    latest = nil
    guard let kept = try training?.session(batch: batch, size: size) else { throw StepNetwork.noSession }
    latest = kept
    return try kept.session.forward(pictures, random: &random)
  }

  /// Adds the gradients of the last `forward` to those of the parameters; nothing for a network that is not trained.
  ///
  /// - Parameter ended: called with each parameter whose gradient is complete, on any thread of the pool.
  func backward(_ gradient: Tensor, ended: (@Sendable (Int) -> Void)? = nil) throws(HGNetError) {
    guard case .trained = role, let latest else { return }
    try latest.session.backward(gradient, ended: ended)
  }

  private static var noSession: HGNetError { HGNetError(.internalInconsistency, "there is no session for the network") }
}
