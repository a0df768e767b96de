import HGNetCPU
import HGNetCore
import HGNetModels
import HGNetProgram
import HGNetReference
import Testing

/// What every engine promises of quantisation-aware training.
@Suite("Engines: quantisation-aware training") struct QuantizedTrainingTests {
  /// Some values of each result lie outside.
  static let range: ClosedRange<Float> = -1.5...2
  /// Networks without a decoder.
  static let networks = [0, 1, 2]

  @Test("The gradients of ranges are the derivatives, by central differences", arguments: networks)
  func derivatives(index: Int) throws {
    // Steps have no derivatives; without them values are kept inside their ranges, by the same code.
    let setting = try TrainingSetting(
      EngineNetwork.all[index], size: Size(height: 33, width: 40), range: Self.range)
    let engine = ReferenceEngine(rounds: false)
    try setting.expectDerivatives(of: engine)
    let state = try setting.step(engine).state
    let ranges = try state.trainedIndices.filter {
      setting.declarations[$0].role == .quantizationRange(isLearned: true)
    }
    .map { try state.read(.gradient, of: $0) }
    // What only passes values on, such as a pool, has none outside.
    #expect(ranges.count { $0.largest > 0 } > 10)
  }

  @Test("Logits and running statistics are near the reference's", arguments: networks)
  func steps(index: Int) throws {
    let setting = try TrainingSetting(EngineNetwork.all[index], range: Self.range)
    let reference = try setting.step(EngineSubject.reference)
    let plain = try TrainingSetting(EngineNetwork.all[index]).step(EngineSubject.reference)
    #expect(reference.logits.distance(to: plain.logits) > 1e-3 * plain.logits.largest)
    for subject in EngineSubject.all.dropFirst() {
      var subject = subject
      // A sum that is off by its last digit may fall to the other of two steps, of which there are 255, and from there on
      // everything differs a little. That the steps are the same ones, the kernels' tests and those of int8 show.
      // Of the gradients of so deep a network on two pictures that leaves little to compare.
      (subject.tolerance, subject.gradientTolerance) = (0.08, .infinity)
      expectNothing(try setting.finding(subject, setting.step(subject.engine), reference: reference))
    }
  }

  @Test("Of a small network logits and gradients are the reference's") func gradients() throws {
    let graph = try smallGraph()
    let program = try Program(graph, isTraining: true).quantizing()
    var parameters = Model.randomParameters(for: graph, seed: 3)
    for declaration in program.quantization?.declarations ?? [] {
      parameters[declaration.name] = Parameter(Tensor(shape: [2], values: [-0.7, 1.1]))
    }
    var random = RandomGenerator(seed: 4)
    let pictures = Tensor(shape: [2, 6, 10, 3], values: (0..<360).map { _ in random.normal() })
    let direction = Tensor(shape: [2, 5], values: (0..<10).map { _ in random.normal() })
    func step(_ engine: any Engine) throws -> (logits: Tensor, state: any TrainingState) {
      let state = try engine.trainingState(of: program.trainedParameters, parameters: parameters) { _ in false }
      let run = try engine.trainingRun(program, state: state, batch: 2, statistics: nil)
      var random = RandomGenerator(seed: 5)
      let logits = try run.forward(pictures, random: &random)
      try run.backward(direction, ended: nil)
      return (logits, state)
    }
    let expected = try step(EngineSubject.reference)
    for subject in EngineSubject.all {
      let found = try step(subject.engine)
      #expect(found.logits.distance(to: expected.logits) <= 1e-5 * expected.logits.largest)
      for at in expected.state.trainedIndices {
        let (one, other) = (try expected.state.read(.gradient, of: at), try found.state.read(.gradient, of: at))
        let distance = norm(zip(one.values, other.values).map { $0 - $1 })
        let name = expected.state.declarations[at].name
        #expect(distance <= 1e-5 * max(norm(one.values), 0.1), "\(subject.testDescription): \(name)")
      }
    }
    let at = try #require(expected.state.index(of: "first.quantization_range"))
    #expect(try expected.state.read(.gradient, of: at).largest > 0.1)
  }

  /// A network so small that no value falls to the other of two steps: two convolutions, one of them of each channel, a
  /// pool, a concatenation and a linear layer.
  private func smallGraph() throws -> Graph {
    var builder = GraphBuilder()
    func convolution(_ name: String, _ input: Graph.NodeID, _ from: Int, _ to: Int, groups: Int = 1) -> Graph.NodeID {
      let normalization = BatchNormalization(
        weight: "\(name).bn.weight", bias: "\(name).bn.bias", mean: "\(name).bn._mean",
        variance: "\(name).bn._variance")
      let parameters: [(String, Shape, ParameterRole)] = [
        ("\(name).weight", [to, from / groups, 3, 3], .convolutionWeight),
        (normalization.weight, [to], .normalizationWeight), (normalization.bias, [to], .normalizationBias),
        (normalization.mean, [to], .runningMean), (normalization.variance, [to], .runningVariance),
      ]
      for (name, shape, role) in parameters {
        builder.declare(ParameterDeclaration(name: name, shape: shape, role: role))
      }
      let sums = builder.append(
        .convolution(
          Convolution(
            weight: "\(name).weight", inputChannels: from, outputChannels: to, kernel: Size(3), stride: Size(1),
            padding: Padding(1), groups: groups)), name: name, inputs: [input])
      let scaled = builder.append(.batchNormalization(normalization), name: "\(name).bn", inputs: [sums])
      return builder.append(.relu, name: "\(name).relu", inputs: [scaled])
    }
    let input = builder.append(.input(channels: 3), name: "pictures", inputs: [])
    let first = convolution("first", input, 3, 6)
    let second = convolution("second", first, 6, 6, groups: 6)
    let both = builder.append(.concatenate, name: "both", inputs: [first, second])
    let largest = builder.append(
      .maxPool(kernel: Size(2), stride: Size(2), padding: Padding(0)), name: "pool", inputs: [both])
    let mean = builder.append(.globalAveragePool, name: "mean", inputs: [largest])
    builder.declare(ParameterDeclaration(name: "fc.weight", shape: [12, 5], role: .linearWeight))
    builder.declare(ParameterDeclaration(name: "fc.bias", shape: [5], role: .linearBias))
    let logits = builder.append(
      .linear(weight: "fc.weight", bias: "fc.bias", inputFeatures: 12, outputFeatures: 5), name: "fc", inputs: [mean])
    builder.markOutput(.logits, logits)
    return try builder.graph(output: .logits, inputSize: Size(height: 6, width: 10))
  }

  @Test("Bits do not depend on the engine's twins", arguments: networks) func bits(index: Int) throws {
    let setting = try TrainingSetting(EngineNetwork.all[index], range: Self.range)
    for subject in EngineSubject.all where !subject.twins.isEmpty {
      let (logits, state) = try setting.step(subject.engine)
      for twin in subject.twins {
        let (others, other) = try setting.step(twin)
        #expect(logits.values == others.values)
        for at in state.declarations.indices {
          let isSame = try state.read(.gradient, of: at).values == other.read(.gradient, of: at).values
          #expect(isSame, "\(twin.deviceDescription): \(state.declarations[at].name)")
        }
      }
    }
  }

  @Test("Gradients end once each", arguments: EngineSubject.main, [nil, "stages.1."])
  func ends(subject: EngineSubject, frozenPrefix: String?) throws {
    let setting = try TrainingSetting(EngineNetwork.all[2], frozenPrefix: frozenPrefix, range: Self.range)
    let state = try setting.state(subject.engine)
    let run = try setting.run(subject.engine, state)
    let ended = Monitor<[Int: Int]>([:])
    var random = RandomGenerator(seed: 5)
    _ = try run.forward(setting.pictures, random: &random)
    try run.backward(setting.direction) { parameter in ended.withLock { $0[parameter, default: 0] += 1 } }
    let counts = ended.withLock { $0 }
    for at in state.declarations.indices { #expect(counts[at] == 1, "\(state.declarations[at].name)") }
  }

  @Test("A decoder is refused by name") func decoder() throws {
    let graph = try EngineNetwork.all[3].graph(Size(64))
    let error = #expect(throws: HGNetError.self) { try Program(graph, isTraining: true).quantizing() }
    #expect(error?.code == .unsupported && error?.context.layer != nil)
  }
}
