import HGNetCore
import HGNetCPU
import HGNetModels
import Testing

/// One training step against a plain Float64 evaluation of the same graph.
@Suite struct TrainingTests {
  /// Small networks that hold every operator of the two families.
  static let networks: [(name: String, model: Model, dropout: Float)] =
    plainNetworks + [("decoder", plainNetworks[0].model, 0), ("decoder with dropout", plainNetworks[1].model, 0.3)]

  private static let plainNetworks: [(name: String, model: Model, dropout: Float)] = [
    (
      "V2 with affine blocks",
      Model(
        name: "small V2",
        configuration: PPHGNetV2.Configuration(
          stem: .init(middle: 6, output: 8), hasAffineBlocks: true,
          stages: [
            .init(8, 16, 20, blocks: 1, downsample: false, light: false, kernel: 3, layers: 2),
            .init(20, 8, 24, blocks: 2, downsample: true, light: true, kernel: 5, layers: 2),
            .init(24, 16, 32, blocks: 1, downsample: true, light: false, kernel: 3, layers: 2),
            .init(32, 8, 18, blocks: 2, downsample: true, light: true, kernel: 5, layers: 1),
          ])), 0
    ),
    (
      "V2 with dropout",
      Model(
        name: "small V2",
        configuration: PPHGNetV2.Configuration(
          stem: .init(middle: 8, output: 16), hasAffineBlocks: false,
          stages: [
            .init(16, 16, 32, blocks: 2, downsample: false, light: false, kernel: 3, layers: 2),
            .init(32, 16, 40, blocks: 1, downsample: true, light: false, kernel: 3, layers: 1),
            .init(40, 12, 24, blocks: 1, downsample: true, light: true, kernel: 5, layers: 1),
            .init(24, 8, 18, blocks: 1, downsample: true, light: true, kernel: 3, layers: 1),
          ])), 0.3
    ),
    (
      "V1 with attention",
      Model(
        name: "small V1",
        configuration: PPHGNet.Configuration(
          stemChannels: [6, 8, 16], layers: 2, dropoutProbability: 0,
          stages: [
            .init(16, 16, 24, blocks: 1, downsample: false), .init(24, 8, 20, blocks: 2, downsample: true),
            .init(20, 16, 32, blocks: 1, downsample: true), .init(32, 8, 18, blocks: 1, downsample: true),
          ])), 0
    ),
  ]

  /// The head for several labels, with two classes a query of which the last is left out.
  static func decoder(dropout: Float) -> MLDecoder {
    MLDecoder(queryCount: 3, features: 20, heads: 2, hiddenFeatures: 24, dropoutProbability: dropout)
  }

  /// A step's ingredients.
  struct Setting {
    let graph: Graph
    let store: ParameterStore
    let pictures: Tensor
    let direction: Tensor
    let batch = 2

    init(_ network: (name: String, model: Model, dropout: Float)) throws {
      var options = ModelOptions(classCount: 5, classExpand: 24, dropoutProbability: network.dropout)
      if network.name.hasPrefix("decoder") { options.decoder = TrainingTests.decoder(dropout: network.dropout) }
      graph = try network.model.graph(options: options, inputSize: Size(height: 64, width: 72))
      store = randomParameters(graph, seed: 71)
      var random = TestRandom(seed: 72)
      pictures = random.tensor([batch, 64, 72, 3])
      direction = random.tensor([batch, 5])
    }

    /// One step: logits, parameters with gradients.
    func step(
      threads: Int, instructionSet: InstructionSet = .best, frozenPrefix: String? = nil
    ) throws -> (logits: [Float], TrainingParameters) {
      let parameters = try TrainingParameters(graph: graph, parameters: store) { declaration in
        frozenPrefix.map { declaration.name.hasPrefix($0) } ?? false
      }
      var session = try TrainingSession(
        graph: graph, parameters: parameters, batch: batch, pool: ThreadPool(count: threads),
        instructionSet: instructionSet)
      var random = RandomGenerator(seed: 5)
      let logits = try session.forward(pictures, random: &random)
      try session.backward(direction)
      return (logits.values, parameters)
    }

    /// The same network in Float64, with the same dropout mask.
    func reference(dropout: Float) -> ReferenceNetwork {
      var network = ReferenceNetwork(graph: graph, batch: batch)
      if dropout > 0 {
        var random = RandomGenerator(seed: 5)
        for node in graph.nodes {
          var (count, kept) = (batch * node.shape.count, 1.0)
          switch node.operation {
          case .dropout: break
          case .decoder(.dropout): kept = 1 / Double(1 - dropout)
          case .decoder(.attention(let heads, _)):
            kept = 1 / Double(1 - dropout)
            let tokens = graph[node.inputs[1]].shape
            count = batch * heads * node.shape.height * tokens.height * tokens.width
          default: continue
          }
          network.masks[node.name] = (0..<count).map { _ in random.uniform() < dropout ? 0 : kept }
        }
      }
      return network
    }

    var doubles: [String: [Double]] {
      Dictionary(
        uniqueKeysWithValues: store.names.map { name in
          (name, store[name]?.tensor().values.map { Double($0) } ?? [])
        })
    }
  }

  @Test(arguments: networks.indices, [nil, "stages.1."])
  func stepAgreesWithFloat64(index: Int, frozenPrefix: String?) throws {
    let network = Self.networks[index]
    let setting = try Setting(network)
    let (logits, parameters) = try setting.step(threads: 2, frozenPrefix: frozenPrefix)
    var reference = setting.reference(dropout: network.dropout)
    reference.frozenPrefix = frozenPrefix
    let pictures = setting.pictures.values.map { Double($0) }
    let direction = setting.direction.values.map { Double($0) }
    let values = setting.doubles

    // Forward: logits and running statistics.
    let expected = reference.logits(pictures, parameters: values) { norm, means, variances in
      for (name, batchValues) in [(norm.mean, means), (norm.variance, variances)] {
        guard let at = parameters.index(of: name), let old = values[name] else { continue }
        let found = parameters.withValue(at) { Array($0) }
        for c in batchValues.indices {
          let wanted = old[c] * 0.9 + batchValues[c] * 0.1
          #expect(abs(Double(found[c]) - wanted) <= 1e-5 * max(1, abs(wanted)), "\(name)")
        }
      }
    }
    let largest = expected.reduce(0) { max($0, abs($1)) }
    for (one, other) in zip(logits, expected) { #expect(abs(Double(one) - other) <= 1e-5 * largest) }

    // Backward: the derivative along a random direction in each parameter, by central differences in Float64.
    func loss(_ parameters: [String: [Double]]) -> Double {
      zip(reference.logits(pictures, parameters: parameters), direction).reduce(0) { $0 + $1.0 * $1.1 }
    }
    var random = TestRandom(seed: 73)
    for (at, declaration) in parameters.declarations.enumerated()
    where declaration.role.isLearned && !parameters.isFrozen[at] {
      let gradient = parameters.withGradient(at) { $0.map { Double($0) } }
      let size = (gradient.reduce(0) { $0 + $1 * $1 } / Double(gradient.count)).squareRoot()
      let way = gradient.map { $0 * Double(0.5 + random.uniform()) + max(size, 1e-6) * Double(random.normal()) }
      let length = way.reduce(0) { $0 + $1 * $1 }.squareRoot()
      let small = 1e-6 / length
      var (up, down) = (values, values)
      let own = values[declaration.name] ?? []
      up[declaration.name] = zip(own, way).map { $0 + small * $1 }
      down[declaration.name] = zip(own, way).map { $0 - small * $1 }
      let numeric = (loss(up) - loss(down)) / 2e-6
      let analytic = zip(gradient, way).reduce(0) { $0 + $1.0 * $1.1 } / length
      // Shifts before a normalisation have no effect: there the gradient is rounding and has no scale of its own.
      let scale = max(abs(numeric), 1e-2)
      #expect(
        abs(numeric - analytic) <= 5e-4 * scale, "\(network.name) \(declaration.name): \(analytic), not \(numeric)")
    }
  }

  @Test(arguments: networks.indices) func bitsDoNotDependOnThreads(index: Int) throws {
    let setting = try Setting(Self.networks[index])
    let (logits, parameters) = try setting.step(threads: 1)
    for threads in [2, 3] {
      let (again, other) = try setting.step(threads: threads)
      #expect(logits == again)
      for at in parameters.declarations.indices {
        let equal = parameters.withGradient(at) { one in other.withGradient(at) { Array(one) == Array($0) } }
        #expect(equal, "\(parameters.declarations[at].name) with \(threads) threads")
      }
    }
  }

  @Test(arguments: InstructionSet.available.dropLast().map(\.description), [false, true])
  func everyInstructionSet(name: String, isDecoder: Bool) throws {
    let setting = try Setting(Self.networks[isDecoder ? 3 : 0])
    let (_, expected) = try setting.step(threads: 1)
    for instructionSet in InstructionSet.available where instructionSet.description == name {
      let (_, found) = try setting.step(threads: 1, instructionSet: instructionSet)
      for at in expected.declarations.indices {
        let one = expected.withGradient(at) { Array($0) }
        let other = found.withGradient(at) { Array($0) }
        let largest = max(one.reduce(0) { max($0, abs($1)) }, 1e-2)
        for (a, b) in zip(one, other) { #expect(abs(a - b) <= 1e-3 * largest, "\(expected.declarations[at].name)") }
      }
    }
  }

  /// PaddlePaddle 3.3.1: of one value per channel y = x, running statistics stay, weight and bias have no gradient.
  @Test("Batch normalisation leaves single values as they are", arguments: [true, false])
  func singleValues(isSingle: Bool) throws {
    let options = ModelOptions(classCount: 5, classExpand: 24, dropoutProbability: 0)
    let graph = try Self.networks[0].model.graph(options: options, inputSize: Size(32))
    let store = randomParameters(graph, seed: 71)
    let batch = isSingle ? 1 : 2
    let parameters = try TrainingParameters(graph: graph, parameters: store)
    var session = try TrainingSession(graph: graph, parameters: parameters, batch: batch, pool: ThreadPool(threads: 1))
    var (random, source) = (RandomGenerator(seed: 5), TestRandom(seed: 72))
    let logits = try session.forward(source.tensor([batch, 32, 32, 3]), random: &random)
    #expect(logits.values.allSatisfy { $0.isFinite })
    try session.backward(source.tensor([batch, 5]))
    let moved = parameters.store()
    func isMoved(_ name: String) -> Bool { moved[name]?.tensor().values != store[name]?.tensor().values }
    func hasGradient(_ name: String) throws -> Bool {
      let index = try #require(parameters.index(of: name))
      return parameters.withGradient(index) { gradient in gradient.contains { $0 != 0 } }
    }
    // The maps of the last stage are 1×1, those before are 2×2.
    let (last, before) = ("stages.3.blocks.0.aggregation_squeeze_conv", "stages.2.blocks.0.aggregation_squeeze_conv")
    #expect(isMoved("\(before).bn._mean") && isMoved("\(before).bn._variance"))
    #expect(isMoved("\(last).bn._mean") == !isSingle && isMoved("\(last).bn._variance") == !isSingle)
    #expect(try hasGradient("\(before).bn.weight"))
    for name in ["weight", "bias"] {
      let has = try hasGradient("\(last).bn.\(name)")
      #expect(has == !isSingle)
    }
    for name in ["\(last).conv.weight", "stem.stem1.conv.weight"] { #expect(try hasGradient(name)) }
  }

  @Test func gradientsAccumulateUntilTheyAreZeroed() throws {
    let setting = try Setting(Self.networks[0])
    let parameters = try TrainingParameters(graph: setting.graph, parameters: setting.store)
    var session = try TrainingSession(
      graph: setting.graph, parameters: parameters, batch: setting.batch, pool: ThreadPool(count: 1))
    var random = RandomGenerator(seed: 5)
    let at = try #require(parameters.index(of: "fc.weight"))
    _ = try session.forward(setting.pictures, random: &random)
    try session.backward(setting.direction)
    let once = parameters.withGradient(at) { Array($0) }
    _ = try session.forward(setting.pictures, random: &random)
    try session.backward(setting.direction)
    let twice = parameters.withGradient(at) { Array($0) }
    for (one, two) in zip(once, twice) { #expect(abs(2 * one - two) <= 1e-5 * max(1, abs(two))) }
    parameters.zeroGradients()
    #expect(parameters.withGradient(at) { $0.allSatisfy { $0 == 0 } })
  }

  @Test(arguments: networks.indices) func frozenPartsCostNothingAndChangeNothing(index: Int) throws {
    let setting = try Setting(Self.networks[index])
    let (logits, expected) = try setting.step(threads: 1)
    func isFrozen(_ name: String) -> Bool { name.hasPrefix("stem.") || name.hasPrefix("stages.0.") }
    // Weights alone: running statistics of the frozen part move as before.
    let parameters = try TrainingParameters(graph: setting.graph, parameters: setting.store) {
      $0.role.isLearned && isFrozen($0.name)
    }
    var session = try TrainingSession(
      graph: setting.graph, parameters: parameters, batch: setting.batch, pool: ThreadPool(count: 1))
    let whole = try TrainingSession(
      graph: setting.graph, parameters: expected, batch: setting.batch, pool: ThreadPool(count: 1))
    #expect(session.arenaByteCount < whole.arenaByteCount)
    var random = RandomGenerator(seed: 5)
    #expect(try session.forward(setting.pictures, random: &random).values == logits)
    try session.backward(setting.direction)
    for (at, declaration) in parameters.declarations.enumerated() where !isFrozen(declaration.name) {
      let isSame = parameters.withGradient(at) { one in expected.withGradient(at) { Array(one) == Array($0) } }
      #expect(isSame, "\(declaration.name)")
    }
  }

  @Test func trainedParametersComeBackUnderTheirNames() throws {
    let setting = try Setting(Self.networks[2])
    let parameters = try TrainingParameters(graph: setting.graph, parameters: setting.store)
    let store = parameters.store()
    #expect(store.names == setting.graph.parameters.map(\.name))
    for name in store.names { #expect(store[name]?.tensor().values == setting.store[name]?.tensor().values) }
    do {
      var session = try TrainingSession(
        graph: setting.graph, parameters: parameters, batch: 2, pool: ThreadPool(count: 1))
      var random = RandomGenerator(seed: 1)
      _ = try session.forward(Tensor(shape: [2, 3, 64, 72]), random: &random)
      Issue.record("pictures in the wrong layout were taken")
    } catch {
      #expect((error as HGNetError).code == .shapeMismatch)
    }
  }
}
