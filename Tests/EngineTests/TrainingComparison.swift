import HGNetCore
import HGNetModels
import HGNetProgram
import HGNetReference

/// Training steps of one network on an engine, beside those on the reference.
struct TrainingSetting {
  let network: EngineNetwork
  let graph: Graph
  let program: Program
  let parameters: ParameterStore
  let pictures: Tensor
  let direction: Tensor
  /// Parameters whose names begin so are kept as they are, running statistics included.
  var frozenPrefix: String?

  static let batch = 2

  init(_ network: EngineNetwork, size: Size = Size(height: 64, width: 72), frozenPrefix: String? = nil) throws {
    self.network = network
    self.frozenPrefix = frozenPrefix
    graph = try network.graph(size)
    program = try Program(graph, isTraining: true)
    parameters = Model.randomParameters(for: graph, seed: 71)
    pictures = seededPictures(TrainingSetting.batch, size, seed: 72)
    direction = seededTensor([TrainingSetting.batch, 5], seed: 73)
  }

  func isFrozen(_ declaration: ParameterDeclaration) -> Bool {
    frozenPrefix.map { declaration.name.hasPrefix($0) } ?? false
  }

  /// The parameters on an engine.
  func state(_ engine: any Engine) throws -> any TrainingState {
    try engine.trainingState(of: graph.parameters, parameters: parameters, isFrozen: isFrozen)
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
    for (index, declaration) in graph.parameters.enumerated() where !declaration.role.isLearned {
      let (one, other) = (
        try reference.state.read(.value, of: index), try own.state.read(.value, of: index)
      )
      let distance = one.distance(to: other) / max(one.largest, 1)
      if !(distance <= subject.tolerance) { return "\(title): \(declaration.name) has moved by another \(distance)" }
    }
    for (index, declaration) in graph.parameters.enumerated().reversed()
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
