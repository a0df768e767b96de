import CHGNetKernels
import HGNetCore
import HGNetProgram

/// An implementation in bfloat16: weights and activations in halves, sums in float32.
protocol BFloat16Implementation: Implementation {}

extension BFloat16Implementation {
  static var precision: Precision { .bfloat16 }
  static func elements(of layer: Layer) -> LayerElements {
    LayerElements(reads: [.bfloat16], writes: [.bfloat16, .float32])
  }
  static func packing(_ weights: TrainedWeights, into buffer: Int) -> WeightPacking? { nil }
}

extension WeightLayout {
  /// Panels of 16 output channels with pairs of input channels: `[panels][taps][pairs][16][2]`.
  static let pairs = WeightLayout("bfloat16 pairs")
}

/// An implementation whose weights lie in pairs.
protocol PairImplementation: BFloat16Implementation {}

extension PairImplementation {
  static var layout: WeightLayout { .pairs }

  static func packing(_ weights: TrainedWeights, into buffer: Int) -> WeightPacking? {
    WeightPacking(work: PairPacking(weights, packed: buffer), taskCount: weights.used.outputChannels.divided(by: 16))
  }

  static func extent(of layer: Layer) -> PackedExtent? {
    switch layer.kind {
    case .convolution(let convolution, _):
      let taps = convolution.kernel.height * convolution.kernel.width
      return PackedExtent(
        layout: .pairs, weightCount: convolution.outputChannels.roundedUp(to: 16) * taps * convolution.inputChannels,
        element: .bfloat16, columns: convolution.outputChannels)
    case .linear(_, _, let inputFeatures, let outputFeatures):
      return PackedExtent(
        layout: .pairs, weightCount: outputFeatures.roundedUp(to: 16) * inputFeatures,
        element: .bfloat16, columns: outputFeatures)
    default: return nil
    }
  }

  static func pack(_ layer: Layer, _ reader: ParameterReader, into packed: PackedWeights) throws(HGNetError) {
    let target = packed.weights.assumingMemoryBound(to: UInt16.self)
    guard case .linear(let weight, let bias, let inputFeatures, let outputFeatures) = layer.kind else {
      return try reader.packConvolution(layer, into: packed) { convolution, weight, factors in
        hg_pack_bfloat16(
          weight, factors, Int32(convolution.outputChannels), Int32(convolution.inputChannels),
          Int32(convolution.kernel.height * convolution.kernel.width), target)
      }
    }
    try reader.withValues(weight, shape: [inputFeatures, outputFeatures], layer: layer.name) {
      hg_pack_bfloat16_linear($0, Int32(outputFeatures), Int32(inputFeatures), target)
    }
    try reader.copyBias(bias, count: outputFeatures, layer: layer.name, into: packed)
  }
}

extension Operands {
  /// The epilogue of a kernel in bfloat16, which adds the residual itself.
  func bfloat16Finish(_ addresses: Addresses) -> hg_bfloat16_epilogue {
    hg_bfloat16_epilogue(
      lower: epilogue.lower, scale: epilogue.scale, shift: epilogue.shift,
      residual: residual.map { UnsafePointer(addresses.halves($0)) }, residual_stride: residual?.stride ?? 0)
  }

  /// The window of a convolution or pool in bfloat16.
  func bfloat16Geometry(_ window: Window, _ addresses: Addresses) -> hg_bfloat16_geometry {
    hg_bfloat16_geometry(
      input: UnsafeRawPointer(addresses.bytes(input)), input_stride: input.stride, is_float_input: input.isFloat,
      batch: Int32(pictures), height: Int32(input.shape.height), width: Int32(input.shape.width),
      channels: Int32(input.shape.channels), output: addresses.bytes(output), output_stride: output.stride,
      is_float_output: output.isFloat, output_height: Int32(output.shape.height),
      output_width: Int32(output.shape.width), kernel_height: Int32(window.kernel.height),
      kernel_width: Int32(window.kernel.width), stride_height: Int32(window.stride.height),
      stride_width: Int32(window.stride.width), padding_top: Int32(window.padding.top),
      padding_left: Int32(window.padding.left))
  }
}

extension Location {
  /// Whether its values are float32, as the kernels are told.
  var isFloat: Int32 { element == .float32 ? 1 : 0 }
}

extension InstructionSet {
  /// The kernels in bfloat16 that belong to it.
  var bfloat16Kernels: UnsafePointer<hg_bfloat16_kernels> { hg_bfloat16_kernels_beside(kernels.pointee.name) }
}

extension Addresses {
  /// The kernels in bfloat16.
  var bfloat16: hg_bfloat16_kernels { instructionSet.bfloat16Kernels.pointee }

  /// The first value of a location of bfloat16.
  func halves(_ location: Location) -> UnsafeMutablePointer<UInt16> {
    bytes(location).assumingMemoryBound(to: UInt16.self)
  }

  /// Weights in halves and bias of a step.
  func bfloat16Values(of weights: Weights) -> (weights: UnsafePointer<UInt16>, bias: UnsafePointer<Float>) {
    let values = values(of: weights)
    return (UnsafeRawPointer(values.weights).assumingMemoryBound(to: UInt16.self), values.bias)
  }
}
