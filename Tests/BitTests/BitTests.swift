import HGNet
import HGNetCPU
import HGNetCore
import HGNetModels
import HGNetPlatform
import HGNetTraining
import Testing

/// Every bit that the engine computes, as digests beside a committed table; `Scripts/check-bits` runs them.
///
/// They take minutes, so that `make test` leaves them out. Weights and pictures come from a generator of integer
/// arithmetic, so that a digest depends on the engine, the instruction set and the C library's `exp` and `log` alone.
@Suite(.enabled(if: DigestTable.path != nil), .serialized) struct BitTests {
  static let instructionSets = InstructionSet.available.map(\.description).filter { $0 != "reference" }
  static let sizes = [Size(height: 65, width: 97), Size(height: 192, width: 160)]

  /// Logits and the features of the four stages; the digest of a batch is that of its pictures one by one.
  @Test(arguments: instructionSets, Model.all.map(\.name))
  func inference(instructions: String, name: String) throws {
    let seed = DigestTable.seed
    for size in Self.sizes {
      let graph = try Model.named(name).graph(options: ModelOptions(classCount: 100), inputSize: size)
        .selecting(outputs: ["logits"] + (0..<4).map { "stages.\($0)" })
      let parameters = SeededValues.parameters(graph, seed: seed)
      let instructionSet = try instructionSet(instructions)
      let models = try [1, 3].map { threads in
        try InferenceModel(
          graph: graph, parameters: parameters,
          device: Device(pool: ThreadPool(threads: threads), instructionSet: instructionSet))
      }
      for batch in [1, 3, 8] {
        var values = SeededValues(seed: seed &+ 1)
        let input = values.tensor([batch, size.height, size.width, 3])
        var digests: [String] = []
        for model in models {
          var session = try model.session(batch: batch)
          var digest = Digest()
          for result in try session.run(input) { digest.add(result) }
          digests.append(digest.text)
        }
        #expect(digests[0] == digests[1], "\(name) \(size) batch \(batch): 1 and 3 threads differ")
        DigestTable.check("inference \(instructions) \(name) \(size.height)x\(size.width) batch \(batch)", digests[0])
      }
    }
  }

  /// Parameters, running statistics, the optimizer's state and the losses after five batches.
  @Test(arguments: instructionSets, TrainedNetwork.all.map(\.name))
  func training(instructions: String, name: String) throws {
    let network = try #require(TrainedNetwork.all.first { $0.name == name })
    // A training session asks the environment, as a user does.
    setenv("HGNET_INSTRUCTION_SET", instructions, 1)
    defer { unsetenv("HGNET_INSTRUCTION_SET") }
    var digests: [String] = []
    for threads in [1, 3] {
      var step = try network.step(device: .cpu(threads: threads), seed: DigestTable.seed)
      var values = SeededValues(seed: DigestTable.seed &+ 2)
      var digest = Digest()
      for _ in 0..<5 {
        let pictures = values.tensor([4, network.size.height, network.size.width, 3])
        let outcome = try step.run(pictures, targets: network.targets)
        digest.add(outcome.loss.value)
        digest.add(outcome.logits)
      }
      let store = try step.parameters.store()
      for name in store.names { if let parameter = store[name] { digest.add(parameter.tensor()) } }
      for tensor in try step.optimizer.state(internalNames: [:]) { digest.add(tensor.value) }
      if let averages = try step.average?.store() {
        for name in averages.names { if let parameter = averages[name] { digest.add(parameter.tensor()) } }
      }
      digests.append(digest.text)
    }
    #expect(digests[0] == digests[1], "\(name): 1 and 3 threads differ")
    DigestTable.check("training \(instructions) \(name)", digests[0])
  }

  private func instructionSet(_ name: String) throws -> InstructionSet {
    try #require(InstructionSet.available.first { $0.description == name })
  }
}

/// A network with what is particular about its training.
struct TrainedNetwork: Sendable {
  let name: String
  let model: String
  var size = Size(64)
  var decoder: MLDecoder?
  var frozenPrefixes: [String] = []
  var accumulatedSteps = 1
  var optimizer = Optimizer.Settings(.momentum(0.9), regularizer: .l2(2e-5))
  var averageDecay: Double?

  static let all = [
    TrainedNetwork(name: "PPHGNetV2_B0", model: "PPHGNetV2_B0", averageDecay: 0.9),
    TrainedNetwork(
      name: "PPHGNetV2_B0 with a decoder", model: "PPHGNetV2_B0",
      decoder: MLDecoder(), optimizer: Optimizer.Settings(.adamW())),
    TrainedNetwork(
      name: "PPHGNetV2_B4 with a frozen stem and first stage", model: "PPHGNetV2_B4",
      frozenPrefixes: ["stem.", "stages.0."]),
    TrainedNetwork(
      name: "PPHGNet_tiny, two batches an update", model: "PPHGNet_tiny", size: Size(height: 64, width: 96),
      accumulatedSteps: 2),
  ]

  /// Four pictures of ten classes.
  var targets: Targets {
    guard decoder != nil else { return .classes([3, 0, 9, 4]) }
    return .vectors(Tensor(shape: [4, 10], values: (0..<40).map { $0 % 3 == 0 ? 1 : 0 }))
  }

  func step(device: Device, seed: UInt64) throws -> TrainingStep {
    let graph = try Model.named(model).graph(
      options: ModelOptions(classCount: 10, decoder: decoder), inputSize: size)
    let parameters = try device.engine.trainingState(
      of: graph.parameters, parameters: SeededValues.parameters(graph, seed: seed),
      isFrozen: { declaration in frozenPrefixes.contains { declaration.name.hasPrefix($0) } })
    let loss =
      decoder == nil
      ? CombinedLoss(CrossEntropyLoss(epsilon: 0.1)) : CombinedLoss(MultiLabelAsymmetricLoss())
    return try TrainingStep(
      graph: graph, parameters: parameters, loss: loss, optimizer: optimizer,
      schedule: Schedule(.constant, learningRate: 0.001, epochs: 1, stepsPerEpoch: 5),
      averageDecay: averageDecay, accumulatedSteps: accumulatedSteps, device: device)
  }
}
