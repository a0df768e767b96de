import HGNet
import HGNetCore
import HGNetModels
import HGNetTraining
import Testing

/// The inner loop learns, and evaluation by the inference engine agrees that it did.
@Suite struct TrainingStepTests {
  static let model = Model(
    name: "small V2",
    configuration: PPHGNetV2.Configuration(
      stem: .init(middle: 8, output: 16), hasAffineBlocks: true,
      stages: [
        .init(16, 16, 24, blocks: 1, downsample: false, light: false, kernel: 3, layers: 2),
        .init(24, 16, 32, blocks: 1, downsample: true, light: false, kernel: 3, layers: 2),
        .init(32, 16, 48, blocks: 1, downsample: true, light: true, kernel: 5, layers: 2),
        .init(48, 16, 64, blocks: 1, downsample: true, light: true, kernel: 5, layers: 1),
      ]))

  /// Pictures `[N, 48, 48, 3]` of stripes that run across, down or both ways, under noise.
  static func batch(_ count: Int, random: inout RandomGenerator) -> (Tensor, [Int]) {
    let classes = (0..<count).map { $0 % 3 }
    let side = 48
    let pictures = Tensor(shape: [count, side, side, 3]) { target in
      for (picture, number) in classes.enumerated() {
        let phase = Int(random.uniform() * 8)
        for y in 0..<side {
          for x in 0..<side {
            let across = (y + phase) / 4 % 2 == 0
            let down = (x + phase) / 4 % 2 == 0
            let isLight = number == 0 ? across : number == 1 ? down : across != down
            for c in 0..<3 {
              target[((picture * side + y) * side + x) * 3 + c] = (isLight ? 0.7 : -0.7) + random.normal() * 0.8
            }
          }
        }
      }
    }
    return (pictures, classes)
  }

  func makeStep(
    device: Device, accumulatedSteps: Int = 1, isFrozen: (ParameterDeclaration) -> Bool = { _ in false }
  ) throws -> TrainingStep {
    let graph = try Self.model.graph(options: ModelOptions(classCount: 3, classExpand: 32), inputSize: Size(48))
    let parameters = try device.engine.trainingState(
      of: graph.parameters, parameters: Model.initialParameters(for: graph, seed: 3), isFrozen: isFrozen)
    return try TrainingStep(
      graph: graph, parameters: parameters, loss: CombinedLoss(CrossEntropyLoss(epsilon: 0.1)),
      optimizer: Optimizer.Settings(.momentum(0.9), regularizer: .l2(2e-5)),
      schedule: Schedule(.cosine(), learningRate: 0.1, epochs: 3, stepsPerEpoch: 20, warmupEpochs: 0.25),
      accumulatedSteps: accumulatedSteps, device: device)
  }

  @Test func learnsStripes() throws {
    let device = try Device.cpu(threads: 2)
    var step = try makeStep(device: device)
    var random = RandomGenerator(seed: 9)
    var losses: [Float] = []
    for number in 0..<60 {
      let (pictures, classes) = Self.batch(12, random: &random)
      let outcome = try step.run(pictures, targets: .classes(classes))
      losses.append(outcome.loss.value)
      #expect((outcome.learningRate ?? -1) >= 0)
      if number == 0 { #expect(outcome.learningRate == 0, "the first step of a warm-up has rate 0") }
    }
    // A smoothed cross entropy cannot fall below 0.39 with three classes and epsilon 0.1.
    #expect(losses.suffix(10).reduce(0, +) / 10 < 0.6, "\(losses)")

    let compiled = try InferenceModel(
      graph: step.graph, parameters: step.parameters.store(), device: device)
    var session = try compiled.session(batch: 60)
    let (pictures, classes) = Self.batch(60, random: &random)
    let logits = try session.run(pictures)[0].values
    let right = classes.indices.filter { row in
      let scores = Array(logits[row * 3..<row * 3 + 3])
      return scores.indices.max { scores[$0] < scores[$1] } == classes[row]
    }
    #expect(right.count >= 57, "\(right.count) of 60 fresh pictures")
  }

  @Test func sameBitsForAnyNumberOfThreads() throws {
    var results: [[Float]] = []
    for threads in [1, 3] {
      var step = try makeStep(device: .cpu(threads: threads), accumulatedSteps: 2)
      var random = RandomGenerator(seed: 10)
      for _ in 0..<6 {
        let (pictures, classes) = Self.batch(6, random: &random)
        _ = try step.run(pictures, targets: .classes(classes))
      }
      let store = try step.parameters.store()
      results.append(store.names.flatMap { store[$0]?.tensor().values ?? [] })
    }
    #expect(results[0] == results[1])
  }

  @Test func frozenParametersStayAndOthersMove() throws {
    let isStem = { (declaration: ParameterDeclaration) in
      declaration.name.hasPrefix("stem.") && declaration.role.isLearned
    }
    var step = try makeStep(device: .cpu(threads: 1), isFrozen: isStem)
    let before = try step.parameters.store()
    var random = RandomGenerator(seed: 11)
    for _ in 0..<3 {
      let (pictures, classes) = Self.batch(6, random: &random)
      _ = try step.run(pictures, targets: .classes(classes))
    }
    let after = try step.parameters.store()
    for declaration in step.parameters.declarations where declaration.role == .convolutionWeight {
      let isSame = before[declaration.name]?.tensor().values == after[declaration.name]?.tensor().values
      #expect(isSame == isStem(declaration), "\(declaration.name)")
    }
  }

  @Test func aLossThatIsNoNumberStopsTheRun() throws {
    var step = try makeStep(device: .cpu(threads: 1))
    do {
      _ = try step.run(Tensor(shape: [2, 48, 48, 3], repeating: .nan), targets: .classes([0, 1]))
      Issue.record("a loss of NaN was taken")
    } catch {
      #expect(error.message.contains("learning rate"))
    }
  }
}
