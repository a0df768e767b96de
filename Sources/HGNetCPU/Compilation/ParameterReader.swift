import CHGNetKernels
import HGNetCore
import HGNetProgram

/// The numbers of an epilogue; the residual's place is the plan's business.
struct EpilogueValues: Hashable, Sendable {
  var lower: Float
  var scale: Float
  var shift: Float

  /// Leaves a result as it is.
  static let none = EpilogueValues(lower: -.infinity, scale: 1, shift: 0)
}

/// Reads parameters by name with their shapes checked.
struct ParameterReader {
  let store: any ParameterSource
  /// What packing for bytes needs besides; nil at another precision.
  var integers: IntegerTarget?

  func tensor(_ name: String, shape: Shape, layer: String) throws(HGNetError) -> Tensor {
    let parameter = try store.parameter(name, shape: shape, layer: layer)
    let tensor = try parameter.allocatedTensor()
    parameter.discardPages()
    return tensor
  }

  /// Calls `body` with the values of a large parameter, without a copy where there need be none.
  func withValues(
    _ name: String, shape: Shape, layer: String, _ body: (UnsafePointer<Float>) -> Void
  ) throws(HGNetError) {
    let parameter = try store.parameter(name, shape: shape, layer: layer)
    parameter.withFloats { values in
      if let base = values.baseAddress { body(base) }
    }
    parameter.discardPages()
  }

  func scalar(_ name: String, layer: String) throws(HGNetError) -> Float {
    try store.parameter(name, shape: [1], layer: layer).tensor()[0]
  }

  /// The whole affine part of a layer's epilogue as one factor and one addend.
  func epilogue(of layer: Layer) throws(HGNetError) -> EpilogueValues {
    var scale: Float = 1
    var shift: Float = 0
    for step in layer.affine {
      switch step {
      case .affine(let scaleName, let biasName):
        let factor = try scalar(scaleName, layer: layer.name)
        scale *= factor
        shift = shift * factor + (try scalar(biasName, layer: layer.name))
      case .dropout(let probability):
        scale *= 1 - probability
        shift *= 1 - probability
      }
    }
    return EpilogueValues(lower: layer.hasReLU ? 0 : -.infinity, scale: scale, shift: shift)
  }

  /// Folds a convolution's normalisation and writes its bias; `body` packs the weights, each column times its factor.
  func packConvolution(
    _ layer: Layer, into packed: PackedWeights,
    _ body: (Convolution, _ weight: UnsafePointer<Float>, _ factors: [Float]) -> Void
  ) throws(HGNetError) {
    guard case .convolution(let convolution, let normalization) = layer.kind else {
      throw HGNetError(.internalInconsistency, "expected a convolution", layer: layer.name)
    }
    let columns = convolution.outputChannels
    var factors = [Float](repeating: 1, count: columns)
    var biases = [Float](repeating: 0, count: columns)
    func values(_ name: String) throws(HGNetError) -> [Float] {
      try tensor(name, shape: [columns], layer: layer.name).values
    }
    if let normalization {
      let folding = try normalization.folding(into: convolution.bias, values: values)
      factors = folding.factors.map { Float($0) }
      biases = folding.biases
    } else if let name = convolution.bias {
      biases = try values(name)
    }
    packed.bias.update(from: biases, count: columns)
    if convolution.isIdentity { return body(convolution, [Float](repeating: 1, count: columns), factors) }
    try withValues(
      convolution.weight,
      shape: [
        columns, convolution.inputChannels / convolution.groups, convolution.kernel.height, convolution.kernel.width,
      ], layer: layer.name
    ) { body(convolution, $0, factors) }
  }

  /// Copies the bias of a linear layer, which may have none.
  func copyBias(_ name: String?, count: Int, layer: String, into packed: PackedWeights) throws(HGNetError) {
    guard let name else { return }
    let values = try tensor(name, shape: [count], layer: layer)
    for column in 0..<count { packed.bias[column] = values[column] }
  }

  /// Packs a dense convolution into panels of 16 output channels.
  func packPanels(_ layer: Layer, into packed: PackedWeights) throws(HGNetError) {
    try packConvolution(layer, into: packed) { convolution, weight, factors in
      hg_pack_dense(
        weight, factors, Int32(convolution.outputChannels), Int32(convolution.inputChannels / convolution.groups),
        Int32(convolution.kernel.height * convolution.kernel.width), packed.floats)
    }
  }

  /// Copies a parameter as it is, or its first values.
  func copy(
    _ name: String, _ shape: Shape, layer: String, to target: UnsafeMutablePointer<Float>, count: Int? = nil
  ) throws(HGNetError) {
    try tensor(name, shape: shape, layer: layer).withUnsafeBufferPointer { source in
      if let base = source.baseAddress { target.update(from: base, count: min(count ?? source.count, source.count)) }
    }
  }
}
