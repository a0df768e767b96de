import CHGNetKernels
import HGNetCore
import HGNetProgram

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

  func epilogue(of layer: Layer) throws(HGNetError) -> EpilogueValues { try store.epilogue(of: layer) }

  /// Folds a convolution's normalisation and writes its bias; `body` packs the weights, each column times its factor.
  func packConvolution(
    _ layer: Layer, into packed: PackedWeights,
    _ body: (Convolution, _ weight: UnsafePointer<Float>, _ factors: [Float]) -> Void
  ) throws(HGNetError) {
    guard case .convolution(let convolution, let normalization) = layer.kind else {
      throw HGNetError(.internalInconsistency, "expected a convolution", layer: layer.name)
    }
    let columns = convolution.outputChannels
    let (factors, biases) = try store.folding(convolution, normalization, layer: layer.name)
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
