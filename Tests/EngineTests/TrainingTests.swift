import HGNetCore
import HGNetModels
import HGNetProgram
import HGNetReference
import Testing

/// What every engine promises of a training step.
@Suite("Engines: training") struct TrainingTests {
  @Test(
    "Logits, running statistics and gradients are the reference's", arguments: EngineNetwork.all.indices,
    [nil, "stages.1.", ""])
  func steps(index: Int, frozenPrefix: String?) throws {
    let setting = try TrainingSetting(EngineNetwork.all[index], frozenPrefix: frozenPrefix)
    let reference = try setting.step(EngineSubject.reference)
    for subject in EngineSubject.training.dropFirst() {
      expectNothing(try setting.finding(subject, setting.step(subject.engine), reference: reference))
    }
  }

  @Test(
    "The reference's gradients are the derivatives, by central differences", arguments: EngineNetwork.all.indices,
    [nil, "stages.1."])
  func derivatives(index: Int, frozenPrefix: String?) throws {
    try TrainingSetting(
      EngineNetwork.all[index], size: Size(height: 33, width: 40), frozenPrefix: frozenPrefix
    ).expectDerivatives(of: EngineSubject.reference)
  }

  @Test("The reference's forward pass is that of the graph as it stands", arguments: EngineNetwork.all.indices)
  func passes(index: Int) throws {
    let setting = try TrainingSetting(EngineNetwork.all[index], size: Size(height: 33, width: 40))
    var interpreter = GraphInterpreter(graph: setting.graph, batch: TrainingSetting.batch)
    interpreter.drawMasks(setting.network.dropout, seed: 5)
    let (logits, state) = try setting.step(EngineSubject.reference)
    let expected = interpreter.logits(
      setting.pictures.values.map { Double($0) }, parameters: setting.parameters.doubles
    ) { normalization, means, variances in
      for (name, batchValues) in [(normalization.mean, means), (normalization.variance, variances)] {
        guard let at = state.index(of: name), let old = setting.parameters[name]?.tensor(),
          let found = try? state.read(.value, of: at)
        else { continue }
        for c in batchValues.indices {
          let wanted = Double(old[c]) * 0.9 + batchValues[c] * 0.1
          #expect(abs(Double(found[c]) - wanted) <= 1e-6 * max(1, abs(wanted)), "\(name)")
        }
      }
    }
    let largest = expected.reduce(0) { max($0, abs($1)) }
    for (one, other) in zip(logits.values, expected) { #expect(abs(Double(one) - other) <= 1e-6 * largest) }
  }

  @Test("Bits do not depend on the engine's twins", arguments: EngineNetwork.all.indices)
  func bits(index: Int) throws {
    let setting = try TrainingSetting(EngineNetwork.all[index])
    for subject in EngineSubject.training where !subject.twins.isEmpty {
      let (logits, state) = try setting.step(subject.engine)
      for twin in subject.twins {
        let (others, other) = try setting.step(twin)
        #expect(logits.values == others.values)
        for at in state.declarations.indices {
          for array in [ParameterArray.value, .gradient] {
            let isSame = try state.read(array, of: at).values == other.read(array, of: at).values
            #expect(isSame, "\(twin.deviceDescription): \(array) of \(state.declarations[at].name)")
          }
        }
      }
    }
  }

  @Test("Gradients add up, end once each, and are complete when they end", arguments: EngineSubject.training)
  func gradients(subject: EngineSubject) throws {
    let setting = try TrainingSetting(EngineNetwork.all[3])
    let once = try setting.step(subject.engine).state
    let state = try setting.state(subject.engine)
    let run = try setting.run(subject.engine, state)
    let ended = Monitor<[Int: Int]>([:])
    for _ in 0..<2 {
      var random = RandomGenerator(seed: 5)
      _ = try run.forward(setting.pictures, random: &random)
      try run.backward(setting.direction) { parameter in ended.withLock { $0[parameter, default: 0] += 1 } }
    }
    let counts = ended.withLock { $0 }
    for at in state.declarations.indices { #expect(counts[at] == 2, "\(state.declarations[at].name)") }
    // Running statistics have moved between the two, which changes no batch statistics.
    for at in state.trainedIndices {
      let (one, two) = (try once.read(.gradient, of: at), try state.read(.gradient, of: at))
      let distance = norm(zip(one.values, two.values).map { 2 * $0 - $1 })
      #expect(distance <= 1e-5 * max(norm(one.values), 1), "\(subject.testDescription): \(state.declarations[at].name)")
    }
    try state.zeroGradients()
    for at in state.trainedIndices { #expect(try state.read(.gradient, of: at).largest == 0) }
  }

  @Test(
    "Frozen parameters cost nothing and change nothing",
    arguments: EngineSubject.main + EngineSubject.training.dropFirst(EngineSubject.all.count))
  func frozen(subject: EngineSubject) throws {
    for network in EngineNetwork.all {
      let setting = try TrainingSetting(network)
      let (logits, whole) = try setting.step(subject.engine)
      // Weights alone: running statistics of the frozen part move as before.
      let state = try subject.engine.trainingState(of: setting.graph.parameters, parameters: setting.parameters) {
        $0.role.isLearned && ($0.name.hasPrefix("stem.") || $0.name.hasPrefix("stages.0."))
      }
      let run = try setting.run(subject.engine, state)
      var random = RandomGenerator(seed: 5)
      #expect(try run.forward(setting.pictures, random: &random).values == logits.values)
      try run.backward(setting.direction, ended: nil)
      for at in state.trainedIndices {
        let isSame = try state.read(.gradient, of: at).values == whole.read(.gradient, of: at).values
        #expect(isSame, "\(state.declarations[at].name)")
      }
      #expect(state.trainedIndices.count < whole.trainedIndices.count)
    }
  }

  /// PaddlePaddle 3.3.1: of one value per channel y = x, running statistics stay, weight and bias have no gradient.
  @Test("Batch normalisation leaves single values as they are", arguments: EngineSubject.training)
  func singleValues(subject: EngineSubject) throws {
    let graph = try EngineNetwork.all[0].graph(Size(32))
    let parameters = Model.randomParameters(for: graph, seed: 71)
    let state = try subject.engine.trainingState(of: graph.parameters, parameters: parameters) { _ in false }
    let run = try subject.engine.trainingRun(
      Program(graph, isTraining: true), state: state, batch: 1, statistics: nil)
    var random = RandomGenerator(seed: 5)
    let logits = try run.forward(seededPictures(1, Size(32)), random: &random)
    #expect(logits.values.allSatisfy { $0.isFinite })
    try run.backward(seededTensor([1, 5], seed: 72), ended: nil)
    // The maps of the last stage are 1×1, those before are 2×2.
    for (layer, isSingle) in [
      ("stages.3.blocks.0.aggregation_squeeze_conv", true), ("stages.2.blocks.0.aggregation_squeeze_conv", false),
    ] {
      for name in ["_mean", "_variance"] {
        let at = try #require(state.index(of: "\(layer).bn.\(name)"))
        let isKept = try state.read(.value, of: at).values == parameters["\(layer).bn.\(name)"]?.tensor().values
        #expect(isKept == isSingle, "\(layer) \(name)")
      }
      for name in ["weight", "bias"] {
        let at = try #require(state.index(of: "\(layer).bn.\(name)"))
        #expect(try (state.read(.gradient, of: at).largest == 0) == isSingle, "\(layer) \(name)")
      }
      let at = try #require(state.index(of: "\(layer).conv.weight"))
      #expect(try state.read(.gradient, of: at).largest > 0)
    }
  }

  @Test("Two processes with the same pictures normalise as one", arguments: EngineSubject.all)
  func statistics(subject: EngineSubject) throws {
    let setting = try TrainingSetting(EngineNetwork.all[0])
    let alone = try setting.step(subject.engine)
    let together = try setting.step(subject.engine, statistics: TwoAlike())
    expectNothing(try setting.finding(subject, together, reference: alone))
  }

  @Test("The memory of training steps is told before any is taken", arguments: EngineSubject.training)
  func memoryNeed(subject: EngineSubject) throws {
    let graph = try EngineNetwork.all[0].graph(Size(64))
    let program = try Program(graph, isTraining: true)
    func need(_ batch: Int, isFrozen: (ParameterDeclaration) -> Bool = { _ in false }) throws -> Int {
      try subject.engine.trainingMemoryNeed(of: program, batch: batch, isFrozen: isFrozen).byteCount
    }
    let results = program.layers.reduce(0) { $0 + program.shapes[$1.result].count }
    #expect(try need(1) > 4 * results)
    // All but scratch memory grows with the batch.
    #expect(try need(4) - need(2) > 2 * 4 * results)
    #expect(try need(2) { $0.part != .classifier } < need(2))
  }

  @Test("What does not fit is an error", arguments: EngineSubject.training) func errors(subject: EngineSubject) throws {
    let setting = try TrainingSetting(EngineNetwork.all[2])
    let state = try setting.state(subject.engine)
    let run = try setting.run(subject.engine, state)
    var random = RandomGenerator(seed: 1)
    #expect(code { _ = try run.forward(Tensor(shape: [2, 3, 64, 72]), random: &random) } == .shapeMismatch)
    #expect(code { try run.backward(Tensor(shape: [2, 6]), ended: nil) } == .shapeMismatch)
    for batch in [0, 1 << 17] {
      #expect(
        code { _ = try subject.engine.trainingRun(setting.program, state: state, batch: batch, statistics: nil) }
          == .invalidArgument)
    }
    #expect(
      code {
        let large = try setting.program.resized(to: Size(4096))
        _ = try subject.engine.trainingRun(large, state: state, batch: 1 << 16, statistics: nil)
      } == .limitExceeded)
    let foreign = try #require(EngineSubject.all.first { type(of: $0.engine) != type(of: subject.engine) })
    #expect(
      code {
        _ = try subject.engine.trainingRun(
          setting.program, state: setting.state(foreign.engine), batch: 1, statistics: nil)
      } == .invalidArgument)
    var parameters = setting.parameters
    let name = setting.graph.parameters[0].name
    parameters[name] = nil
    let error = #expect(throws: HGNetError.self) {
      _ = try subject.engine.trainingState(of: setting.graph.parameters, parameters: parameters) { _ in false }
    }
    #expect(error?.code == .parameterMismatch && error?.context.key == name)
  }
}

extension GraphInterpreter {
  /// Draws what is dropped, in the order of the graph.
  mutating func drawMasks(_ probability: Float, seed: UInt64) {
    guard probability > 0 else { return }
    var random = RandomGenerator(seed: seed)
    for node in graph.nodes {
      var (count, kept) = (batch * node.shape.count, 1.0)
      switch node.operation {
      case .dropout: break
      case .decoder(.dropout): kept = 1 / Double(1 - probability)
      case .decoder(.attention(let heads, _)):
        kept = 1 / Double(1 - probability)
        let tokens = graph[node.inputs[1]].shape
        count = batch * heads * node.shape.height * tokens.height * tokens.width
      default: continue
      }
      masks[node.name] = (0..<count).map { _ in random.uniform() < probability ? 0 : kept }
    }
  }
}
