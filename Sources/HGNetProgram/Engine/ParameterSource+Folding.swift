import HGNetCore

/// The numbers of an epilogue; the residual's place is the plan's business.
package struct EpilogueValues: Hashable, Sendable {
  /// What smaller values become.
  package var lower: Float
  /// The factor after that.
  package var scale: Float
  /// The addend after that.
  package var shift: Float

  /// Leaves a result as it is.
  package static let none = EpilogueValues(lower: -.infinity, scale: 1, shift: 0)
}

extension ParameterSource {
  /// The whole affine part of a layer's epilogue as one factor and one addend.
  ///
  /// - Throws: `HGNetError.Code.parameterMismatch` naming parameter and layer.
  package func epilogue(of layer: Layer) throws(HGNetError) -> EpilogueValues {
    func scalar(_ name: String) throws(HGNetError) -> Float {
      try parameter(name, shape: [1], layer: layer.name).tensor()[0]
    }
    var scale: Float = 1
    var shift: Float = 0
    for step in layer.affine {
      switch step {
      case .affine(let scaleName, let biasName):
        let factor = try scalar(scaleName)
        scale *= factor
        shift = shift * factor + (try scalar(biasName))
      case .dropout(let probability):
        scale *= 1 - probability
        shift *= 1 - probability
      }
    }
    return EpilogueValues(lower: layer.hasReLU ? 0 : -.infinity, scale: scale, shift: shift)
  }

  /// What a convolution's weights are multiplied by and what is added then, one number for each output channel: the
  /// normalisation behind it and its own bias.
  ///
  /// - Throws: `HGNetError.Code.parameterMismatch` naming parameter and layer.
  package func folding(
    _ convolution: Convolution, _ normalization: BatchNormalization?, layer: String
  ) throws(HGNetError) -> (factors: [Float], biases: [Float]) {
    let columns = convolution.outputChannels
    func values(_ name: String) throws(HGNetError) -> [Float] {
      let parameter = try parameter(name, shape: [columns], layer: layer)
      let values = try parameter.allocatedTensor().values
      parameter.discardPages()
      return values
    }
    if let normalization {
      let folding = try normalization.folding(into: convolution.bias, values: values)
      return (folding.factors.map { Float($0) }, folding.biases)
    }
    return (
      [Float](repeating: 1, count: columns),
      try convolution.bias.map(values) ?? [Float](repeating: 0, count: columns)
    )
  }
}
