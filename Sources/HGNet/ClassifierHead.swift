import HGNetCore

/// The layers between the mean of the last map and the logits, one value per channel.
package struct ClassifierHead: Sendable {
  /// One layer.
  private enum Layer: Sendable {
    /// `y[o] = Σ weight[o × inputs + i] · x[i] + bias[o]`.
    case product(weight: [Float], bias: [Float], inputs: Int, outputs: Int)
    /// `max(x, 0)`.
    case relu
    /// `factor · x + offset`.
    case affine(factor: Float, offset: Float)
  }

  /// In the order of a run.
  private let layers: [Layer]

  /// Walks from the logits back to the mean.
  ///
  /// - Throws: `HGNetError.Code.unsupported` for other layers, `parameterMismatch` for a missing parameter.
  package init(_ graph: Graph, parameters: ParameterStore) throws(HGNetError) {
    func values(_ name: String) throws(HGNetError) -> [Float] {
      guard let parameter = parameters[name] else {
        throw HGNetError(.parameterMismatch, "expected the parameter \(name), found none")
      }
      return parameter.tensor().withUnsafeBufferPointer { Array($0) }
    }
    guard let logits = graph.output(.logits), let stage = graph.stages.last else {
      throw HGNetError(.unsupported, "expected a network with stages and logits")
    }
    var found: [Layer] = []
    var id = logits.node
    while true {
      let node = graph[id]
      switch node.operation {
      case .globalAveragePool where node.inputs.first == stage.node:
        layers = found.reversed()
        return
      case .flatten: break
      case .relu: found.append(.relu)
      case .dropout(let probability): found.append(.affine(factor: 1 - probability, offset: 0))
      case .affine(let scale, let bias):
        found.append(.affine(factor: try values(scale).first ?? 1, offset: try values(bias).first ?? 0))
      case .convolution(let convolution) where convolution.kernel == Size(1) && convolution.groups == 1:
        found.append(
          .product(
            weight: try values(convolution.weight),
            bias: try convolution.bias.map { (name) throws(HGNetError) in try values(name) }
              ?? [Float](repeating: 0, count: convolution.outputChannels),
            inputs: convolution.inputChannels, outputs: convolution.outputChannels))
      case .linear(let weight, let bias, let inputs, let outputs):
        // Stored as [inputs, outputs].
        let stored = try values(weight)
        var turned = [Float](repeating: 0, count: stored.count)
        for input in 0..<inputs {
          for output in 0..<outputs { turned[output * inputs + input] = stored[input * outputs + output] }
        }
        found.append(
          .product(
            weight: turned,
            bias: try bias.map { (name) throws(HGNetError) in try values(name) }
              ?? [Float](repeating: 0, count: outputs), inputs: inputs, outputs: outputs))
      default:
        throw HGNetError(
          .unsupported, "expected classes that are read from the mean of the last map, found the layer \(node.name)")
      }
      guard let input = node.inputs.first else {
        throw HGNetError(.unsupported, "expected a mean over the last map in front of the classes")
      }
      id = input
    }
  }

  /// The derivative of a logit with respect to each channel of the mean.
  func weights(of classIndex: Int, at mean: [Float]) -> [Float] {
    // The input of each layer; the last layer's output is not needed.
    var inputs = [mean]
    for layer in layers.dropLast() { inputs.append(ClassifierHead.run(layer, on: inputs[inputs.count - 1])) }
    var gradient: [Float] = []
    for (index, layer) in layers.enumerated().reversed() {
      switch layer {
      case .product(let weight, _, let count, let outputs):
        if index == layers.count - 1 {
          gradient = Array(weight[classIndex * count..<(classIndex + 1) * count])
          continue
        }
        var next = [Float](repeating: 0, count: count)
        for output in 0..<outputs where gradient[output] != 0 {
          let factor = gradient[output]
          let row = output * count
          for input in 0..<count { next[input] += factor * weight[row + input] }
        }
        gradient = next
      case .relu: for channel in gradient.indices where inputs[index][channel] <= 0 { gradient[channel] = 0 }
      case .affine(let factor, _): for channel in gradient.indices { gradient[channel] *= factor }
      }
    }
    return gradient
  }

  private static func run(_ layer: Layer, on input: [Float]) -> [Float] {
    switch layer {
    case .product(let weight, let bias, let count, _):
      return bias.indices.map { output in
        var sum = bias[output]
        let row = output * count
        for channel in 0..<count { sum += weight[row + channel] * input[channel] }
        return sum
      }
    case .relu: return input.map { max($0, 0) }
    case .affine(let factor, let offset): return input.map { factor * $0 + offset }
    }
  }
}
