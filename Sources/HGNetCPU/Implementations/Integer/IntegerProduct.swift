import CHGNetKernels
import HGNetCore
import HGNetProgram

extension WeightLayout {
  /// Panels of 16 output channels with groups of input channels: `[panels][taps][groups][16][group]`.
  static let integerPanels = WeightLayout("int8 panels")
}

/// An implementation whose weights lie in panels of bytes.
protocol IntegerPanelImplementation: IntegerImplementation {}

extension IntegerPanelImplementation {
  static var layout: WeightLayout { .integerPanels }

  /// Columns, input channels and taps of a dense layer; nil for another.
  static func dense(_ layer: Layer) -> (columns: Int, inputChannels: Int, taps: Int)? {
    if case .linear(_, _, let inputFeatures, let outputFeatures) = layer.kind {
      return (outputFeatures, inputFeatures, 1)
    }
    return denseConvolution(layer).map {
      ($0.outputChannels, $0.inputChannels, $0.kernel.height * $0.kernel.width)
    }
  }

  static func extent(of layer: Layer) -> PackedExtent? {
    dense(layer).map {
      PackedExtent(
        integers: layout,
        byteCount: Int(hg_integer_dense_bytes(Int32($0.columns), Int32($0.inputChannels), Int32($0.taps))),
        columns: $0.columns)
    }
  }

  static func pack(_ layer: Layer, _ reader: ParameterReader, into packed: PackedWeights) throws(HGNetError) {
    guard let dense = dense(layer) else {
      throw HGNetError(.internalInconsistency, "expected a dense layer", layer: layer.name)
    }
    if case .linear = layer.kind {
      return try reader.packIntegers(layer, into: packed) { weights, target, zero in
        hg_integer_pack_linear(
          target.kernels, weights, Int32(dense.columns), Int32(dense.inputChannels), zero, packed.signedBytes,
          packed.starts)
      }
    }
    try reader.packIntegers(layer, into: packed) { weights, target, zero in
      hg_integer_pack_dense(
        target.kernels, weights, Int32(dense.columns), Int32(dense.inputChannels), Int32(dense.taps), zero,
        packed.signedBytes, packed.starts)
    }
  }
}

/// 1×1 convolutions and linear layers in bytes, the whole sum of a result in registers.
enum IntegerProduct: IntegerPanelImplementation {
  static let name = "int8-product"

  static func computes(_ kind: Layer.Kind) -> Bool { Product.computes(kind) }

  static func refusal(of layer: Layer, on target: Target) -> String? {
    if let reason = Product.refusal(of: layer, on: target) { return reason }
    return sumRefusal(dense(layer)?.inputChannels ?? 0)
  }

  static func step(_ problem: Problem) throws(HGNetError) -> Step {
    let (rows, columns) = (problem.rows, problem.output.shape.channels)
    let inputFeatures = problem.input.shape.channels
    let kernels = problem.target.instructionSet.integerKernels
    let cut = ProductCut(problem, channelsPerBlock: inputFeatures.divided(by: Int(kernels.pointee.group)))
    let work = IntegerProductWork(
      operands: problem.integerOperands, rows: rows, inputFeatures: inputFeatures, columns: columns, cut: cut)
    return problem.step(
      work, tasks: cut.tasks(rows: rows, columns: columns),
      scratchCount: Int(hg_integer_product_scratch(kernels, Int32(cut.rowsPerTask), Int32(inputFeatures))))
  }
}

private struct IntegerProductWork: Work {
  var operands: IntegerOperands
  var rows: Int
  var inputFeatures: Int
  var columns: Int
  var cut: ProductCut

  var algorithm: String { IntegerProduct.name }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    let packed = try operands.packed()
    let (input, output) = (operands.operands.input, operands.operands.output)
    try descriptor.set(
      hg_integer_product(
        input: UnsafePointer(addresses.unsignedBytes(input)), input_stride: input.stride, rows: Int64(rows),
        channels: Int32(inputFeatures), columns: Int32(columns), weights: UnsafePointer(packed.signedBytes),
        start: UnsafePointer(packed.starts), output: addresses.bytes(output), output_stride: output.stride,
        finish: operands.finish(packed, addresses), rows_per_task: Int32(cut.rowsPerTask),
        panels_per_task: Int32(cut.panelsPerTask), column_tasks: Int32(cut.columnTasks(columns))))
    return addresses.integers.product
  }
}
