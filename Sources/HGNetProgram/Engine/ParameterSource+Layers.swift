import HGNetCore

extension ParameterSource {
  /// A parameter of a known shape.
  ///
  /// - Throws: `HGNetError.Code.parameterMismatch` naming the parameter and the layer when it is missing or has another
  ///   shape.
  package func parameter(_ name: String, shape: Shape, layer: String?) throws(HGNetError) -> Parameter {
    guard let parameter = self[name] else {
      throw HGNetError(.parameterMismatch, "the parameter is missing from the weights", key: name, layer: layer)
    }
    // A stored scalar may have any number of axes.
    guard parameter.shape == shape || (shape == [1] && parameter.shape.count == 1) else {
      throw HGNetError(
        .parameterMismatch, "expected shape \(shape), found \(parameter.shape)", key: name, layer: layer)
    }
    return parameter
  }
}

extension Layer {
  /// The parameters that the layer reads in inference, with their shapes; in training these and no others.
  package var parameterShapes: [(name: String, shape: Shape)] {
    var result: [(name: String, shape: Shape)] = []
    switch kind {
    case .convolution(let convolution, let normalization):
      let columns = convolution.outputChannels
      if !convolution.isIdentity {
        let kernel = convolution.kernel
        let channels = convolution.inputChannels / max(convolution.groups, 1)
        result.append((convolution.weight, [columns, channels, kernel.height, kernel.width]))
      }
      if let bias = convolution.bias { result.append((bias, [columns])) }
      if let normalization {
        for name in [normalization.weight, normalization.bias, normalization.mean, normalization.variance] {
          result.append((name, [columns]))
        }
      }
    case .linear(let weight, let bias, let inputFeatures, let outputFeatures):
      result.append((weight, [inputFeatures, outputFeatures]))
      if let bias { result.append((bias, [outputFeatures])) }
    case .decoder(.queries(let weight, let count, let features)): result.append((weight, [count, features]))
    case .decoder(.layerNormalization(let weight, let bias, let features, _)):
      for name in [weight, bias] { result.append((name, [features])) }
    case .decoder(.groupedLinear(let weight, let bias, let tokens, let features, let classesPerToken, _)):
      let rows = tokens * classesPerToken
      result.append((weight, [rows, features, 1, 1]))
      result.append((bias, [rows]))
    case .maxPool, .globalAveragePool, .concatenate, .copy, .add, .gate, .pointwise, .softmax: break
    case .decoder(.attention), .decoder(.dropout): break
    }
    for case .affine(let scale, let bias) in affine { for name in [scale, bias] { result.append((name, [1])) } }
    if let range = quantization?.range { result.append((range, [2])) }
    return result
  }
}
