import HGNetCore

extension Model {
  /// Parameters for tests and measurements: every kind of value differs from its neutral one, yet activations stay near
  /// unit scale.
  ///
  /// Running statistics, normalisation weights and biases, affine blocks and biases are all random, so that leaving any
  /// of them out shows in the logits. The running variances follow an estimate of the activations' mean square that is
  /// carried through the graph for normalised pictures; so nothing explodes or vanishes on the way, even in the deepest
  /// network. Biases keep most ReLUs open, as otherwise a random network of this depth amplifies the rounding of its
  /// first layers a thousandfold, which trained ones do not. Each parameter is drawn from a stream of its own.
  ///
  /// - Parameters:
  ///   - graph: the network.
  ///   - seed: the same seed gives the same parameters.
  /// - Returns: one float32 parameter per declaration of the graph, in its order.
  package static func randomParameters(for graph: Graph, seed: UInt64) -> ParameterStore {
    let source = RandomParameters(graph: graph, seed: seed)
    var store = ParameterStore()
    for declaration in graph.parameters { store[declaration.name] = source[declaration.name] }
    return store
  }
}

/// The parameters of `Model.randomParameters`, each drawn when it is asked for and not kept.
///
/// Threads: a value, safe to share.
package struct RandomParameters: ParameterSource {
  private let plan: RandomDrawing

  /// Finds the ranges; draws nothing but the affine blocks.
  package init(graph: Graph, seed: UInt64) {
    var plan = RandomDrawing(graph: graph, seed: seed)
    for node in graph.nodes { plan.draw(node) }
    self.plan = plan
  }

  /// The parameter of a name that the graph declares, the same each time.
  package subscript(name: String) -> Parameter? { plan.tensor(name).map { Parameter($0) } }
}

/// How the values of one parameter are spread.
private enum Spread {
  case normal(deviation: Float)
  case uniform(from: Float, to: Float)
}

/// One pass over a graph that chooses the spread of its parameters and estimates the mean square of every activation.
private struct RandomDrawing {
  let graph: Graph
  let seed: UInt64
  let declarations: [String: ParameterDeclaration]
  var spreads: [String: Spread] = [:]
  /// The estimated mean square of each node's result so far.
  var power: [Float] = []

  init(graph: Graph, seed: UInt64) {
    self.graph = graph
    self.seed = seed
    declarations = Dictionary(graph.parameters.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    power.reserveCapacity(graph.nodes.count)
  }

  // The constants below follow from the ranges of the draws, taking the values before a ReLU as normal with mean 0.6.

  /// The mean of an activation after a ReLU whose mean square is `power`.
  private static func meanAfterReLU(_ power: Float) -> Float { 0.75 * power.squareRoot() }

  mutating func draw(_ node: Graph.Node) {
    let inputs = node.inputs.map { power[$0.index] }
    let first = inputs.first ?? 1
    switch node.operation {
    case .relu: power.append(0.93 * first)
    case .convolution(let convolution):
      drawNormal(convolution.weight)
      if let bias = convolution.bias { drawUniform(bias, from: -0.3, to: 0.3) }
      power.append(first + (convolution.bias == nil ? 0 : 0.03))
    case .batchNormalization(let normalization):
      drawUniform(normalization.weight, from: 0.5, to: 0.9)
      drawUniform(normalization.bias, from: 0.2, to: 1)
      let deviation = first.squareRoot()
      drawUniform(normalization.mean, from: -0.3 * deviation, to: 0.3 * deviation)
      drawUniform(normalization.variance, from: 0.6 * first, to: 1.6 * first)
      // E[weight²] E[1 / variance] (first + E[mean²]) + E[bias²] for the ranges above.
      power.append(0.50 * 0.98 * 1.03 + 0.41)
    case .affine(let scale, let bias):
      let scaleValue = drawUniform(scale, from: 0.8, to: 1.2)
      let biasValue = drawUniform(bias, from: -0.2, to: 0.2)
      let cross = 2 * scaleValue * biasValue * RandomDrawing.meanAfterReLU(first)
      power.append(scaleValue * scaleValue * first + cross + biasValue * biasValue)
    case .linear(let weight, let bias, _, _):
      drawNormal(weight)
      if let bias { drawUniform(bias, from: -0.3, to: 0.3) }
      power.append(first + (bias == nil ? 0 : 0.03))
    case .maxPool: power.append(1.3 * first)
    case .globalAveragePool: power.append(0.66 * first)
    case .pointwise(let function): power.append(function.power)
    case .concatenate:
      let channels = node.inputs.map { Float(graph[$0].shape.channels) }
      let sum = zip(inputs, channels).reduce(0) { $0 + $1.0 * $1.1 }
      power.append(sum / max(channels.reduce(0, +), 1))
    case .add:
      let product = inputs.reduce(1, *)
      power.append(inputs.reduce(0, +) + 2 * 0.56 * product.squareRoot())
    case .multiplyPerChannel: power.append(inputs.reduce(1, *))
    case .decoder(let operation):
      switch operation {
      case .queries(let weight, _, _):
        drawUniform(weight, from: -1, to: 1)
        power.append(0.33)
      case .layerNormalization(let weight, let bias, _, _):
        drawUniform(weight, from: 0.5, to: 1.1)
        drawUniform(bias, from: -0.3, to: 0.5)
        power.append(0.72)
      case .groupedLinear(let weight, let bias, _, _, _, _):
        drawNormal(weight)
        drawUniform(bias, from: -0.3, to: 0.3)
        power.append(first + 0.03)
      case .attention, .dropout: power.append(first)
      }
    // Whatever else there is leaves the scale about as it was.
    default:
      for name in node.operation.parameterNames {
        if declarations[name]?.shape.rank ?? 0 > 1 { drawNormal(name) } else { drawUniform(name, from: -0.3, to: 0.5) }
      }
      power.append(first)
    }
  }

  private mutating func drawNormal(_ name: String) {
    guard let declaration = declarations[name] else { return }
    spreads[name] = .normal(deviation: (1 / Float(declaration.fanIn)).squareRoot())
  }

  /// Chooses the spread of a parameter and returns its first value.
  @discardableResult
  private mutating func drawUniform(_ name: String, from lower: Float, to upper: Float) -> Float {
    guard let declaration = declarations[name] else { return 0 }
    spreads[name] = .uniform(from: lower, to: upper)
    guard declaration.shape.count > 0 else { return 0 }
    var generator = RandomGenerator(seed: seed, stream: name)
    return generator.uniform(from: lower, to: upper)
  }

  /// Draws a parameter; zeros for one that no node uses.
  func tensor(_ name: String) -> Tensor? {
    guard let declaration = declarations[name] else { return nil }
    guard let spread = spreads[name] else { return Tensor(shape: declaration.shape, repeating: 0) }
    var generator = RandomGenerator(seed: seed, stream: name)
    return Tensor(shape: declaration.shape) { values in
      switch spread {
      case .normal(let deviation): for index in values.indices { values[index] = deviation * generator.normal() }
      case .uniform(let lower, let upper):
        for index in values.indices { values[index] = generator.uniform(from: lower, to: upper) }
      }
    }
  }
}
