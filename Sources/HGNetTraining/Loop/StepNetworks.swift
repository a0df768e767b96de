import HGNet
import HGNetCore
import HGNetModels
import HGNetProgram

/// The networks of a training step, what they minimise, and where their parameters are: one that is trained alone, or
/// those of a distillation.
///
/// Of several networks each has its name in front of its parameters, as in PaddleClas' checkpoints (`Student.fc.weight`);
/// all that may change are in one `TrainingState`, so that one optimiser and one average see them, and those that
/// keep everything stay in a store.
///
/// Threads: one task.
package struct StepNetworks: ~Copyable {
  /// The network that is evaluated, with the names of its parameters that it has alone.
  let graph: Graph
  /// All parameters in the order of the networks.
  let declarations: [ParameterDeclaration]
  /// Those that an optimiser or running statistics may change.
  let parameters: any TrainingState
  /// Those that stay as they are.
  private let fixed: ParameterStore
  private let networks: [StepNetwork]
  private let loss: Objective
  /// What stands in front of the parameters of the network that is evaluated.
  let inferredPrefix: String
  private let inferred: String

  private enum Objective {
    case single(CombinedLoss)
    case several(DistillationLoss)
  }

  /// A network that is trained alone.
  ///
  /// - Parameters:
  ///   - graph: the network; its first output is the logits.
  ///   - parameters: a state of the device, with those of the graph.
  ///   - loss: what is minimised.
  ///   - device: what the networks run on.
  ///   - isQuantizationAware: whether training sees weights and values as they are at the precision int8; the state then
  ///     has their ranges, too.
  ///   - mixedPrecision: the level of mixed precision; nil for float32.
  package init(
    _ graph: Graph, parameters: any TrainingState, loss: CombinedLoss, device: Device,
    isQuantizationAware: Bool = false,
    mixedPrecision: MixedPrecision? = nil
  ) {
    self.graph = graph
    declarations = parameters.declarations
    self.parameters = parameters
    fixed = ParameterStore()
    networks = [
      StepNetwork(
        name: "", graph: graph, role: .trained(parameters), device: device, isQuantizationAware: isQuantizationAware,
        mixedPrecision: mixedPrecision)
    ]
    self.loss = .single(loss)
    inferred = ""
    inferredPrefix = ""
  }

  /// The networks of a distillation.
  ///
  /// - Parameters:
  ///   - distillation: the networks and what is minimised.
  ///   - initial: a value for each parameter, under its name with that of the network in front.
  ///   - isFrozen: which parameters of the networks that learn are kept, by their names without that of the network.
  ///   - data: what is trained on, for the logits that are kept; nil keeps none.
  ///   - device: what the networks run on; frozen ones on `Arch.teacher_device`, if there is such a key.
  ///   - mixedPrecision: the level of mixed precision of what is trained; nil for float32.
  /// - Throws: `HGNetError.Code.parameterMismatch` naming a parameter that is missing or has another shape, and what
  ///   `Device.init` and `LogitsCache.init` throw.
  package init(
    _ distillation: Distillation, initial: ParameterStore, isFrozen: (ParameterDeclaration) -> Bool = { _ in false },
    data: TrainingData? = nil, device: Device, mixedPrecision: MixedPrecision? = nil
  ) throws(HGNetError) {
    var declarations: [ParameterDeclaration] = []
    var changing: [ParameterDeclaration] = []
    var kept: Set<String> = []
    var fixed = ParameterStore()
    var graphs: [Graph] = []
    var inferredGraph: Graph?
    for network in distillation.networks {
      let plain = try network.model.graph(options: network.options)
      let graph = try plain.prefixingParameters(with: "\(network.name).")
      graphs.append(graph)
      if network.name == distillation.inferred { inferredGraph = plain }
      declarations += graph.parameters
      if network.isFrozen, !distillation.observesTeachers {
        for declaration in graph.parameters { fixed[declaration.name] = initial[declaration.name] }
        continue
      }
      changing += graph.parameters
      for (declaration, own) in zip(graph.parameters, plain.parameters)
      where network.isFrozen ? declaration.role.isLearned : isFrozen(own) {
        kept.insert(declaration.name)
      }
    }
    guard let inferredGraph else {
      throw HGNetError(
        .invalidConfiguration, "none of the models is named \(distillation.inferred)", key: "Arch.infer_model_name")
    }
    let parameters = try device.engine.trainingState(
      of: changing, parameters: initial, isFrozen: { kept.contains($0.name) })
    // Opened once, for all that need it.
    var teacherDevice: Device?
    var networks: [StepNetwork] = []
    for (network, graph) in zip(distillation.networks, graphs) {
      let role: StepNetwork.Role
      if !network.isFrozen {
        role = .trained(parameters)
      } else if distillation.observesTeachers {
        role = .observed(parameters)
      } else {
        let own = fixed.parameters(behind: "\(network.name).")
        let place: Device
        if let teacherDevice { place = teacherDevice } else { place = try distillation.teacherDevice(beside: device) }
        teacherDevice = place
        let model = try TeacherModel.compiled(
          graph, parameters: fixed, precision: distillation.teacherPrecision, data: data, device: place)
        var cache: LogitsCache?
        if let folder = distillation.logitsCache, let data {
          cache = try LogitsCache(
            folder: folder, name: network.name, parameters: own, precision: model.precision, device: place.kind,
            classes: network.options.classCount, data: data)
        }
        role = .inferred(model, cache)
      }
      networks.append(
        StepNetwork(name: network.name, graph: graph, role: role, device: device, mixedPrecision: mixedPrecision))
    }
    graph = inferredGraph
    self.declarations = declarations
    self.parameters = parameters
    self.fixed = fixed
    self.networks = networks
    loss = .several(distillation.loss)
    inferred = distillation.inferred
    inferredPrefix = "\(distillation.inferred)."
  }

  /// What one way through the networks gave.
  struct Forward {
    /// The logits of the network that is evaluated.
    var logits: Tensor
    /// The loss; its gradient is that of those logits.
    var loss: CombinedLoss.Evaluation
    /// The gradient of the logits of each network.
    var gradients: [String: Tensor]
  }

  /// Lets all networks normalise with the statistics of all ranks; to be called before the first step.
  func synchronizeNormalization(over reduction: any StatisticsReduction) {
    for network in networks { network.synchronizeNormalization(over: reduction) }
  }

  /// Runs a batch, or a part of one of `allRows` pictures, through all networks and judges it.
  func forward(
    _ pictures: Tensor, targets: Targets, samples: [Int], random: inout RandomGenerator, of allRows: Int? = nil
  ) throws(HGNetError) -> Forward {
    var logits: [String: Tensor] = [:]
    for network in networks {
      logits[network.name] = try network.forward(pictures, samples: samples, random: &random)
    }
    let own = logits[inferred] ?? Tensor(shape: [0, 0])
    switch loss {
    case .single(let loss):
      let evaluation = try loss.evaluate(logits: own, targets: targets, of: allRows)
      return Forward(logits: own, loss: evaluation, gradients: [inferred: evaluation.gradient])
    case .several(let loss):
      let evaluation = try loss.evaluate(logits: logits, targets: targets, of: allRows)
      let gradient = evaluation.gradients[inferred] ?? Tensor(shape: own.shape)
      return Forward(
        logits: own,
        loss: CombinedLoss.Evaluation(value: evaluation.value, terms: evaluation.terms, gradient: gradient),
        gradients: evaluation.gradients)
    }
  }

  /// Adds the gradients of the last `forward` to those of the parameters.
  ///
  /// - Parameter ended: called with each parameter whose gradient is complete, on any thread.
  func backward(
    _ gradients: [String: Tensor], ended: (@Sendable (Int) -> Void)? = nil
  ) throws(HGNetError) {
    for network in networks {
      if let gradient = gradients[network.name] { try network.backward(gradient, ended: ended) }
    }
  }

  /// All parameters, those that change with the values of `changing`.
  func store(_ changing: ParameterStore) -> ParameterStore {
    guard !fixed.isEmpty else { return changing }
    var result = ParameterStore()
    for declaration in declarations { result[declaration.name] = changing[declaration.name] ?? fixed[declaration.name] }
    return result
  }
}
