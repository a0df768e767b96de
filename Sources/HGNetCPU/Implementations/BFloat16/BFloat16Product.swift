import CHGNetKernels
import HGNetCore
import HGNetProgram

/// 1×1 convolutions and linear layers in bfloat16, the whole sum of a result in registers.
enum BFloat16Product: PairImplementation {
  static let name = "bfloat16-product"

  static func computes(_ kind: Layer.Kind) -> Bool { Product.computes(kind) }

  static func refusal(of layer: Layer, on target: Target) -> String? {
    if let reason = Product.refusal(of: layer, on: target) { return reason }
    switch layer.kind {
    case .convolution(let convolution, _) where convolution.inputChannels % 2 != 0:
      return "it needs pairs of input channels"
    case .linear(_, _, let inputFeatures, _) where inputFeatures % 2 != 0: return "it needs pairs of input features"
    default: return nil
    }
  }

  static func step(_ problem: Problem) throws(HGNetError) -> Step {
    let (rows, columns) = (problem.rows, problem.output.shape.channels)
    let inputFeatures = problem.input.shape.channels
    let cut = ProductCut(problem, channelsPerBlock: inputFeatures.divided(by: 2))
    let work = BFloat16ProductWork(
      operands: problem.operands, rows: rows, inputFeatures: inputFeatures, columns: columns, cut: cut)
    return problem.step(
      work, tasks: cut.tasks(rows: rows, columns: columns),
      scratchCount: Int(hg_bfloat16_product_scratch(Int64(cut.rowsPerTask), Int64(inputFeatures))))
  }
}

private struct BFloat16ProductWork: Work {
  var operands: Operands
  var rows: Int
  var inputFeatures: Int
  var columns: Int
  var cut: ProductCut

  var algorithm: String { BFloat16Product.name }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    let values = addresses.bfloat16Values(of: operands.weights)
    let output = operands.output
    try descriptor.set(
      hg_bfloat16_product(
        input: UnsafePointer(addresses.halves(operands.input)), input_stride: operands.input.stride,
        rows: Int64(rows), channels: Int32(inputFeatures), columns: Int32(columns), weights: values.weights,
        bias: values.bias, output: addresses.bytes(output), output_stride: output.stride,
        is_float_output: output.isFloat, epilogue: operands.bfloat16Finish(addresses),
        rows_per_task: Int32(cut.rowsPerTask), panels_per_task: Int32(cut.panelsPerTask),
        column_tasks: Int32(cut.columnTasks(columns))))
    return addresses.bfloat16.product
  }
}
