import CHGNetKernels
import HGNetCore
import HGNetProgram

extension WeightLayout {
  /// `[kernel height][groups of taps][channels padded to 16][group]`.
  static let integerDepthwise = WeightLayout("int8 depthwise")
}

/// Depthwise convolutions and lone batch normalisations in bytes.
enum IntegerDepthwise: IntegerImplementation {
  static let name = "int8-depthwise"
  static var layout: WeightLayout { .integerDepthwise }

  static func computes(_ kind: Layer.Kind) -> Bool { Depthwise.computes(kind) }

  static func refusal(of layer: Layer, on target: Target) -> String? {
    if let reason = Depthwise.refusal(of: layer, on: target) { return reason }
    guard case .convolution(let convolution, _) = layer.kind else { return "it computes convolutions" }
    let kernel = convolution.kernel
    return kernel.height <= Int(HG_INTEGER_TAPS)
      ? sumRefusal(kernel.height * kernel.width) : "a \(kernel) window is higher than \(HG_INTEGER_TAPS) pixels"
  }

  static func extent(of layer: Layer) -> PackedExtent? {
    guard case .convolution(let convolution, _) = layer.kind else { return nil }
    // As many as the widest group of taps needs: which it is depends on the processor.
    let taps = convolution.kernel.height * convolution.kernel.width.roundedUp(to: 4)
    return PackedExtent(
      integers: layout, byteCount: convolution.outputChannels.roundedUp(to: 16) * taps,
      columns: convolution.outputChannels)
  }

  static func pack(_ layer: Layer, _ reader: ParameterReader, into packed: PackedWeights) throws(HGNetError) {
    guard case .convolution(let convolution, _) = layer.kind else {
      throw HGNetError(.internalInconsistency, "expected a depthwise convolution", layer: layer.name)
    }
    try reader.packIntegers(layer, into: packed) { weights, target, zero in
      hg_integer_pack_depthwise(
        target.kernels, weights, Int32(convolution.outputChannels), Int32(convolution.kernel.height),
        Int32(convolution.kernel.width), zero, packed.signedBytes, packed.starts)
    }
  }

  static func step(_ problem: Problem) throws(HGNetError) -> Step {
    let cut = try Depthwise.cut(problem)
    let window = cut.window
    return problem.step(
      IntegerDepthwiseWork(operands: problem.integerOperands, cut: cut), tasks: cut.tasks(problem),
      scratchCount: Int(
        hg_integer_depthwise_scratch(
          problem.target.instructionSet.integerKernels, Int32(problem.output.shape.width),
          Int32(window.stride.width), Int32(window.kernel.height), Int32(window.kernel.width))))
  }
}

private struct IntegerDepthwiseWork: Work {
  var operands: IntegerOperands
  var cut: Depthwise.Cut

  var algorithm: String { IntegerDepthwise.name }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    let packed = try operands.packed()
    try descriptor.set(
      hg_integer_depthwise(
        window: operands.geometry(cut.window, addresses), weights: UnsafePointer(packed.signedBytes),
        start: UnsafePointer(packed.starts), finish: operands.finish(packed, addresses), zero: operands.zero,
        rows_per_task: Int32(cut.rowsPerTask), channels_per_task: Int32(cut.channelsPerTask)))
    return addresses.integers.depthwise
  }
}
