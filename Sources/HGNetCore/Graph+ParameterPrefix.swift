extension Graph {
  /// The same network with something in front of the name of every layer and every parameter, such as `Student.`.
  ///
  /// Several networks can then share one store of parameters. Outputs keep their names.
  ///
  /// - Throws: nothing for a graph that was made without an error.
  public func prefixingParameters(with prefix: String) throws(HGNetError) -> Graph {
    guard !prefix.isEmpty else { return self }
    return try Graph(
      unshaped: nodes.map { (prefix + $0.name, $0.operation.prefixingParameters(with: prefix), $0.inputs) },
      parameters: parameters.map { declaration in
        var renamed = declaration
        renamed.name = prefix + declaration.name
        return renamed
      },
      outputs: outputs, selectableOutputs: selectableOutputs, inputSize: inputSize)
  }
}

extension Operator {
  /// The operator with something in front of the names of its parameters.
  fileprivate func prefixingParameters(with prefix: String) -> Operator {
    switch self {
    case .convolution(var convolution):
      convolution.weight = prefix + convolution.weight
      convolution.bias = convolution.bias.map { prefix + $0 }
      return .convolution(convolution)
    case .batchNormalization(var norm):
      norm.weight = prefix + norm.weight
      norm.bias = prefix + norm.bias
      norm.mean = prefix + norm.mean
      norm.variance = prefix + norm.variance
      return .batchNormalization(norm)
    case .affine(let scale, let bias): return .affine(scale: prefix + scale, bias: prefix + bias)
    case .linear(let weight, let bias, let inputs, let outputs):
      return .linear(
        weight: prefix + weight, bias: bias.map { prefix + $0 }, inputFeatures: inputs, outputFeatures: outputs)
    case .decoder(let operation): return .decoder(operation.prefixingParameters(with: prefix))
    case .input, .relu, .sigmoid, .softmax, .maxPool, .globalAveragePool, .concatenate, .add, .multiplyPerChannel,
      .dropout, .flatten:
      return self
    }
  }
}

extension ParameterStore {
  /// The parameters whose names begin with a prefix, under what follows it, in order.
  public func parameters(behind prefix: String) -> ParameterStore {
    guard !prefix.isEmpty else { return self }
    var result = ParameterStore()
    for name in names where name.hasPrefix(prefix) { result[String(name.dropFirst(prefix.count))] = self[name] }
    return result
  }

  /// Adds every parameter of another store, with something in front of its name.
  public mutating func add(_ other: ParameterStore, prefix: String = "") {
    for name in other.names { self[prefix + name] = other[name] }
  }
}
