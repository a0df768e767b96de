import HGNetCore

extension Model {
  /// The parameters with which training starts, as PaddleClas draws them.
  ///
  /// Convolution weights are normal with mean 0 and standard deviation `sqrt(2 / (inputs per group × kernel height ×
  /// kernel width))`; the classifier's weight is uniform within `± sqrt(6 / (inputs + outputs))`; normalisations start
  /// as the identity, running means at 0 and variances at 1, affine blocks as the identity, biases at 0. Each parameter
  /// is drawn from a stream of its own, so that graphs which differ in one parameter agree in all others.
  ///
  /// - Parameters:
  ///   - graph: the network.
  ///   - seed: the same seed gives the same parameters.
  /// - Returns: one float32 parameter per declaration of the graph, in its order.
  /// - Throws: `HGNetError.Code.limitExceeded`.
  package static func initialParameters(for graph: Graph, seed: UInt64) throws(HGNetError) -> ParameterStore {
    var store = ParameterStore()
    for declaration in graph.parameters {
      var generator = RandomGenerator(seed: seed, stream: declaration.name)
      store[declaration.name] = try Parameter(allocating: declaration.shape, for: declaration.name) { values in
        switch declaration.role {
        case .convolutionWeight:
          let deviation = (2 / Float(declaration.fanIn)).squareRoot()
          for index in values.indices { values[index] = deviation * generator.normal() }
        case .linearWeight, .queryEmbedding:
          let limit = (6 / Float(declaration.shape.dimensions.reduce(0, +))).squareRoot()
          for index in values.indices { values[index] = generator.uniform(from: -limit, to: limit) }
        case .normalizationWeight, .runningVariance, .affineScale, .layerNormalizationWeight:
          values.initialize(repeating: 1)
        case .normalizationBias, .runningMean, .affineBias, .convolutionBias, .linearBias, .layerNormalizationBias,
          .quantizationRange:
          values.initialize(repeating: 0)
        }
      }
    }
    return store
  }
}

extension ParameterDeclaration {
  /// The number of inputs that one output of the layer sums over.
  var fanIn: Int {
    switch role {
    case .convolutionWeight: max(shape.dimensions.dropFirst().reduce(1, *), 1)
    case .linearWeight: max(shape.dimensions.first ?? 1, 1)
    default: 1
    }
  }
}
