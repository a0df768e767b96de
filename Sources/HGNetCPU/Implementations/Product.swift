import CHGNetKernels
import HGNetCore
import HGNetProgram

/// 1×1 convolutions and linear layers as a product of pixels and weights, on the memory as it lies.
enum Product: PanelImplementation {
  static let name = "product"

  static func computes(_ kind: Layer.Kind) -> Bool {
    switch kind {
    case .convolution, .linear: true
    default: false
    }
  }

  static func refusal(of layer: Layer, on target: Target) -> String? {
    if case .linear = layer.kind { return nil }
    guard let convolution = denseConvolution(layer) else { return "it computes dense convolutions" }
    return convolution.kernel == Size(1) && convolution.stride == Size(1) && convolution.padding == Padding(0)
      ? nil : "it computes 1×1 windows of stride 1"
  }

  static func pack(_ layer: Layer, _ reader: ParameterReader, into packed: PackedWeights) throws(HGNetError) {
    guard case .linear(let weight, let bias, let inputFeatures, let outputFeatures) = layer.kind else {
      return try reader.packPanels(layer, into: packed)
    }
    try reader.withValues(weight, shape: [inputFeatures, outputFeatures], layer: layer.name) {
      hg_pack_linear($0, Int32(outputFeatures), Int32(inputFeatures), packed.floats)
    }
    if let bias {
      let values = try reader.tensor(bias, shape: [outputFeatures], layer: layer.name)
      for column in 0..<outputFeatures { packed.bias[column] = values[column] }
    }
  }

  static func step(_ problem: Problem) throws(HGNetError) -> Step {
    let (rows, columns) = (problem.rows, problem.output.shape.channels)
    let inputFeatures = problem.input.shape.channels
    let panels = columns.divided(by: 16)
    // A block of weights and the rows of a task stay in the second cache; fewer, longer sums write the output less often.
    let channelsPerBlock = inputFeatures.divided(by: inputFeatures.divided(by: 512))
    var rowsPerTask = rows
    var panelsPerTask = panels
    let blockRows = problem.blockRows
    let mostRows = max(Problem.cachedFloats / channelsPerBlock, blockRows)
    if columns > rows {
      // Few pixels: every thread streams its own share of the weights.
      rowsPerTask = problem.part(of: rows, most: mostRows, unit: blockRows)
      if rows.divided(by: rowsPerTask) < problem.threads || rows <= mostRows {
        rowsPerTask = min(rows, rows.divided(by: rows.divided(by: mostRows)).roundedUp(to: blockRows))
        panelsPerTask = problem.part(
          of: panels, most: problem.threads == 1 ? panels : panels.divided(by: problem.threads * 2), unit: 1)
      }
    } else {
      rowsPerTask = problem.part(of: rows, most: mostRows, unit: blockRows)
    }
    let work = ProductWork(
      operands: problem.operands, rows: rows, inputFeatures: inputFeatures, columns: columns,
      rowsPerTask: rowsPerTask, panelsPerTask: panelsPerTask, channelsPerBlock: channelsPerBlock)
    return problem.step(work, tasks: rows.divided(by: rowsPerTask) * panels.divided(by: panelsPerTask))
  }
}

private struct ProductWork: Work {
  var operands: Operands
  var rows: Int
  var inputFeatures: Int
  var columns: Int
  var rowsPerTask: Int
  var panelsPerTask: Int
  var channelsPerBlock: Int

  var algorithm: String { Product.name }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    let values = addresses.values(of: operands.weights)
    try descriptor.set(
      hg_product(
        input: UnsafePointer(addresses.pointer(operands.input)), input_stride: operands.input.stride,
        rows: Int64(rows), channels: Int32(inputFeatures), columns: Int32(columns), weights: values.weights,
        bias: values.bias, output: addresses.pointer(operands.output), output_stride: operands.output.stride,
        epilogue: operands.productFinish(addresses), rows_per_task: Int32(rowsPerTask),
        panels_per_task: Int32(panelsPerTask),
        column_tasks: Int32(columns.divided(by: 16).divided(by: panelsPerTask)),
        channels_per_block: Int32(channelsPerBlock), is_added: operands.isAdded ? 1 : 0))
    return addresses.kernels.product
  }
}
