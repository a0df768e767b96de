import HGNet
import HGNetCore
import HGNetProgram
import HGNetVision

extension Trainer {
  /// Says before anything is read or drawn whether the process may have what the run will hold: parameters with their
  /// gradients, the state of the optimizer, batches that are read ahead, activations, and a network to evaluate with.
  ///
  /// - Parameter hasParameters: whether the parameters to begin with have been read or drawn already.
  /// - Throws: `HGNetError.Code.limitExceeded` saying how much is needed, for what, and what would fit.
  package static func checkMemory(
    _ configuration: TrainingConfiguration, training: TrainingData, evaluation: TrainingData?, device: Device,
    hasParameters: Bool
  ) throws(HGNetError) {
    let networks = try RunNetwork.all(of: configuration)
    let level = try configuration.trainingPrecision(on: device).level
    let parameters = networks.reduce(MemoryNeed(configuration.subject)) { need, network in
      network.adding(to: need, configuration, hasParameters: hasParameters)
    }
    let classCount = configuration.options.classCount
    try parameters.check { share in
      classCount > 1000 ? "about \(Int(Double(classCount) * share)) classes would fit" : "a smaller network would fit"
    }
    guard let size = training.transforms.outputSize else { return }
    let batch = min(training.batchSize, training.dataset.count)
    var pictures = MemoryNeed("reading batches of \(batch) pictures of \(size)")
    pictures.add("a picture", bytes: 3, size.height, size.width)
    // Each picture for itself, and the batch that they become.
    pictures.add("the batches", bytes: 2, training.loading.batchesAhead, batch, 12, size.height, size.width)
    try pictures.check(advice: MemoryNeed.fittingPictures(batch, of: size))
    for network in networks where !network.isInferred {
      try network.graph.checkTrainingMemory(batch: batch, inputSize: size, precision: level)
    }
    // All of it at once, so that no epoch is trained for an evaluation that has no room.
    var run = MemoryNeed("training \(configuration.model.name) on batches of \(batch) pictures of \(size)")
    run.add("the parameters and what is kept of each", bytes: parameters.byteCount)
    var activations = 0
    for network in networks {
      let need = try network.memoryNeed(batch: batch, size: size, configuration, device: device)
      activations = activations.addingSaturated(need.byteCount)
    }
    run.add("the activations", bytes: activations)
    run.add("the pictures", bytes: 12 + 3 * training.loading.batchesAhead, batch, size.height, size.width)
    if let evaluation, let size = evaluation.transforms.outputSize {
      let graph = try configuration.model.graph(options: configuration.options)
      let batch = min(evaluation.batchSize, evaluation.dataset.count)
      let need = try device.engine.memoryNeed(
        of: Program(graph.selecting(outputs: graph.outputs.prefix(1).map(\.role))), at: device.chosenPrecision,
        extent: RunExtent(batch: batch, inputSize: size))
      run.add("evaluation", bytes: need.byteCount.addingSaturated(4 * graph.parameterCount))
    }
    // Threads, small objects, the tables of pages; measured: 15 to 33 MB for B0 and B2.
    run.add("the rest of the process", bytes: (16 << 20).addingSaturated(run.byteCount / 20))
    try run.check(advice: MemoryNeed.fittingPictures(batch, of: size))
  }
}

/// A network that takes part in a run, before it has parameters.
private struct RunNetwork {
  let graph: Graph
  /// Whether its parameters are only read.
  let isFrozen: Bool
  /// Whether the inference engine runs it.
  let isInferred: Bool

  /// The networks of a run.
  static func all(of configuration: TrainingConfiguration) throws(HGNetError) -> [RunNetwork] {
    guard let distillation = configuration.distillation else {
      let graph = try configuration.model.graph(options: configuration.options)
      return [RunNetwork(graph: graph, isFrozen: false, isInferred: false)]
    }
    var networks: [RunNetwork] = []
    for network in distillation.networks {
      networks.append(
        RunNetwork(
          graph: try network.model.graph(options: network.options), isFrozen: network.isFrozen,
          isInferred: network.isFrozen && !distillation.observesTeachers))
    }
    return networks
  }

  /// Adds the parameters and what is kept beside each.
  func adding(
    to need: MemoryNeed, _ configuration: TrainingConfiguration, hasParameters: Bool
  ) -> MemoryNeed {
    var need = need
    let count = graph.parameterCount
    // Those to begin with, and those that change.
    need.add("parameters", bytes: count, 4, hasParameters ? 1 : 2)
    guard !isFrozen else { return need }
    need.add("gradients", bytes: count, 4)
    switch configuration.optimizer.rule {
    case .sgd: break
    case .momentum: need.add("the state of the optimizer", bytes: count, 4)
    case .adamW: need.add("the state of the optimizer", bytes: count, 4, 2)
    }
    if configuration.averageDecay != nil { need.add("their average", bytes: count, 4) }
    return need
  }

  /// What its part of a step takes on a device.
  func memoryNeed(
    batch: Int, size: Size, _ configuration: TrainingConfiguration, device: Device
  ) throws(HGNetError) -> MemoryNeed {
    let graph = try graph.selecting(outputs: graph.outputs.prefix(1).map(\.role))
    if isInferred {
      // The memory of a GPU is checked by what opens it.
      if case .gpu = configuration.distillation?.teacherDevice { return MemoryNeed("the teacher") }
      return try device.engine.memoryNeed(
        of: Program(graph), at: device.chosenPrecision, extent: RunExtent(batch: batch, inputSize: size))
    }
    let program = try Program(graph, isTraining: true)
    return try device.engine.trainingMemoryNeed(
      of: (configuration.isQuantizationAware ? program.quantizing() : program).mixing(
        configuration.trainingPrecision(on: device).level
      ).resized(to: size), batch: batch,
      isFrozen: isFrozen ? { $0.role.isLearned } : configuration.isFrozen)
  }
}

extension TrainingConfiguration {
  /// What a run is called in an error about its memory.
  fileprivate var subject: String { "training \(model.name) with \(options.classCount) classes" }
}

extension Int {
  /// The sum of two numbers of at least 0; what does not fit stays at the largest.
  fileprivate func addingSaturated(_ other: Int) -> Int {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }
}
