import HGNetCore
import HGNetModels
import HGNetProgram
import HGNetReference
import Testing

/// Training steps of one network on an engine, beside those on the reference.
struct TrainingSetting {
  let network: EngineNetwork
  let graph: Graph
  let program: Program
  let parameters: ParameterStore
  let pictures: Tensor
  let direction: Tensor
  /// The parameters of the program, in their order.
  var declarations: [ParameterDeclaration] { program.trainedParameters }
  /// Parameters whose names begin so are kept as they are, running statistics included.
  var frozenPrefix: String?

  static let batch = 2

  /// - Parameters:
  ///   - range: of all results in quantisation-aware training; nil for plain training.
  ///   - level: of mixed precision; nil for float32.
  init(
    _ network: EngineNetwork, size: Size = Size(height: 64, width: 72), frozenPrefix: String? = nil,
    range: ClosedRange<Float>? = nil, level: MixedPrecision? = nil
  ) throws {
    self.network = network
    self.frozenPrefix = frozenPrefix
    graph = try network.graph(size)
    let plain = try Program(graph, isTraining: true)
    program = (range == nil ? plain : try plain.quantizing()).mixing(level)
    var parameters = Model.randomParameters(for: graph, seed: 71)
    if let range {
      for (number, declaration) in (program.quantization?.declarations ?? []).enumerated() {
        // No two ends are alike: what one result is cut to must not lie on the end of the next one's range.
        let wider = Float(number) / 100
        parameters[declaration.name] = Parameter(
          Tensor(shape: [2], values: [range.lowerBound - wider, range.upperBound + wider]))
      }
    }
    self.parameters = parameters
    pictures = seededPictures(TrainingSetting.batch, size, seed: 72)
    direction = seededTensor([TrainingSetting.batch, 5], seed: 73)
  }

  func isFrozen(_ declaration: ParameterDeclaration) -> Bool {
    frozenPrefix.map { declaration.name.hasPrefix($0) } ?? false
  }

  /// The parameters on an engine.
  func state(_ engine: any Engine) throws -> any TrainingState {
    try engine.trainingState(of: declarations, parameters: parameters, isFrozen: isFrozen)
  }

  /// A run on an engine.
  func run(
    _ engine: any Engine, _ state: any TrainingState, statistics: (any StatisticsReduction)? = nil
  ) throws -> any TrainingRun {
    try engine.trainingRun(program, state: state, batch: TrainingSetting.batch, statistics: statistics)
  }

  /// The state and the logits after one step forward and backward.
  func step(
    _ engine: any Engine, statistics: (any StatisticsReduction)? = nil
  ) throws -> (logits: Tensor, state: any TrainingState) {
    let state = try state(engine)
    let run = try run(engine, state, statistics: statistics)
    var random = RandomGenerator(seed: 5)
    let logits = try run.forward(pictures, random: &random)
    try run.backward(direction, ended: nil)
    return (logits, state)
  }

  /// What differs between a step and the reference's.
  ///
  /// Of several gradients that are off the first on the backward pass is named: those before it inherit its error.
  func finding(
    _ subject: EngineSubject, _ own: (logits: Tensor, state: any TrainingState),
    reference: (logits: Tensor, state: any TrainingState)
  ) throws -> Finding? {
    let title = "\(subject.testDescription), \(network.name)"
    let distance = reference.logits.distance(to: own.logits) / reference.logits.largest
    if !(distance <= subject.tolerance) { return "\(title): the logits are off by \(distance) of the largest" }
    for (index, declaration) in declarations.enumerated() where !declaration.role.isLearned {
      let (one, other) = (
        try reference.state.read(.value, of: index), try own.state.read(.value, of: index)
      )
      let distance = one.distance(to: other) / max(one.largest, 1)
      if !(distance <= subject.tolerance) { return "\(title): \(declaration.name) has moved by another \(distance)" }
    }
    for (index, declaration) in declarations.enumerated().reversed()
    where reference.state.trainedIndices.contains(index) {
      let (one, other) = (
        try reference.state.read(.gradient, of: index), try own.state.read(.gradient, of: index)
      )
      let scale = max(norm(one.values), 1e-2)
      let distance = norm(zip(one.values, other.values).map { $0 - $1 }) / scale
      if !(distance <= subject.gradientTolerance) {
        return "\(title): the gradient of \(declaration.name) is off by \(distance) of its norm"
      }
    }
    return nil
  }
}

/// The Euclidean norm.
func norm(_ values: some Sequence<Float>) -> Double {
  values.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
}

/// Stands for two processes with the same numbers.
final class TwoAlike: ProcessSum, StatisticsReduction {
  func sum(_ values: UnsafeMutableBufferPointer<Float>) { for index in values.indices { values[index] *= 2 } }
  func sum(_ values: UnsafeMutableBufferPointer<Double>) { for index in values.indices { values[index] *= 2 } }
}

extension TrainingSetting {
  /// Compares the gradients of a reference engine with central differences.
  func expectDerivatives(of engine: ReferenceEngine) throws {
    let state = try #require(try state(engine) as? ReferenceState)
    let run = try #require(try run(engine, state) as? ReferenceTrainingRun)
    func loss() throws -> Double {
      var random = RandomGenerator(seed: 5)
      let logits = try run.exactForward(pictures, random: &random)
      return zip(logits, direction.values).reduce(0) { $0 + $1.0 * Double($1.1) }
    }
    _ = try loss()
    try run.backward(direction, ended: nil)
    var random = RandomGenerator(seed: 73)
    for at in state.trainedIndices {
      let gradient = try state.withNumbers(.gradient, of: at) { Array($0) }
      let way = gradient.map { _ in Double(random.normal()) }
      let length = way.reduce(0) { $0 + $1 * $1 }.squareRoot()
      let small = 1e-7 / length
      func move(_ factor: Double) throws {
        try state.withNumbers(.value, of: at) { for index in $0.indices { $0[index] += factor * small * way[index] } }
      }
      try move(1)
      let up = try loss()
      try move(-2)
      let down = try loss()
      try move(1)
      let numeric = (up - down) / 2e-7
      let analytic = zip(gradient, way).reduce(0) { $0 + $1.0 * $1.1 } / length
      // Differences of float64 know about eight digits of the derivative; a ReLU may turn on the way.
      #expect(
        abs(numeric - analytic) <= 2e-5 * max(abs(numeric), 1e-1),
        "\(network.name) \(state.declarations[at].name): \(analytic), not \(numeric)")
    }
  }
}
