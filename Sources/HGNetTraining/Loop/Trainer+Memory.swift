import HGNetCore
import HGNetProgram
import HGNetVision

extension Trainer {
  /// Says before anything is read or drawn whether the process may have what the run will hold: parameters with their
  /// gradients, the state of the optimizer, batches that are read ahead, activations, and a network to evaluate with.
  ///
  /// What is exact only once a step is planned, the session of training judges in the same way before it takes it.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` saying how much is needed, for what, and what would fit.
  package static func checkMemory(
    _ configuration: TrainingConfiguration, training: TrainingData
  ) throws(HGNetError) {
    var graphs: [(graph: Graph, isFrozen: Bool)] = []
    if let distillation = configuration.distillation {
      for network in distillation.networks {
        graphs.append((try network.model.graph(options: network.options), network.isFrozen))
      }
    } else {
      graphs.append((try configuration.model.graph(options: configuration.options), false))
    }
    var need = MemoryNeed("training \(configuration.model.name) with \(configuration.options.classCount) classes")
    for (graph, isFrozen) in graphs {
      let count = graph.parameterCount
      // Those to begin with, and those that change.
      need.add("parameters", bytes: count, 4, 2)
      guard !isFrozen else { continue }
      need.add("gradients", bytes: count, 4)
      switch configuration.optimizer.rule {
      case .sgd: break
      case .momentum: need.add("the state of the optimizer", bytes: count, 4)
      case .adamW: need.add("the state of the optimizer", bytes: count, 4, 2)
      }
      if configuration.averageDecay != nil { need.add("their average", bytes: count, 4) }
    }
    let classCount = configuration.options.classCount
    try need.check { share in
      classCount > 1000 ? "about \(Int(Double(classCount) * share)) classes would fit" : "a smaller network would fit"
    }
    guard let size = training.transforms.outputSize else { return }
    let batch = min(training.batchSize, training.dataset.count)
    var pictures = MemoryNeed("reading batches of \(batch) pictures of \(size)")
    pictures.add("a picture", bytes: 3, size.height, size.width)
    // Each picture for itself, and the batch that they become.
    pictures.add("the batches", bytes: 2, training.loading.batchesAhead, batch, 12, size.height, size.width)
    try pictures.check(advice: MemoryNeed.fittingPictures(batch, of: size))
    var kept = 0
    for (graph, isFrozen) in graphs where !isFrozen {
      try graph.checkTrainingMemory(batch: batch, inputSize: size)
      kept = max(kept, graph.keptValues(at: size))
    }
    // All of it at once, so that no epoch is trained for an evaluation that has no room.
    var run = MemoryNeed("training \(configuration.model.name) on batches of \(batch) pictures of \(size)")
    run.add("the parameters and what is kept of each", bytes: need.byteCount)
    run.add("the activations", bytes: 8, batch, kept)
    run.add("the pictures", bytes: 12 + 3 * training.loading.batchesAhead, batch, size.height, size.width)
    if configuration.evaluatesDuringTraining { run.add("evaluation", bytes: graphs.last?.graph.parameterCount ?? 0, 4) }
    try run.check(advice: MemoryNeed.fittingPictures(batch, of: size))
  }
}

extension Graph {
  /// How many values of one picture's results the backward pass needs again, at the least; 0 for a size that does not fit.
  fileprivate func keptValues(at size: Size) -> Int {
    guard let graph = try? resized(to: size) else { return 0 }
    return graph.nodes.reduce(0) { sum, node in
      switch node.operation {
      case .convolution, .linear: sum + node.shape.count
      default: sum
      }
    }
  }
}
