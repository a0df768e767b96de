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
    try reader.copyBias(bias, count: outputFeatures, layer: layer.name, into: packed)
  }

  static func step(_ problem: Problem) throws(HGNetError) -> Step {
    let (rows, columns) = (problem.rows, problem.output.shape.channels)
    let inputFeatures = problem.input.shape.channels
    // Fewer, longer sums write the output less often.
    let channelsPerBlock = inputFeatures.divided(by: inputFeatures.divided(by: 512))
    let cut = ProductCut(problem, channelsPerBlock: channelsPerBlock)
    let work = ProductWork(
      operands: problem.operands, rows: rows, inputFeatures: inputFeatures, columns: columns,
      cut: cut, channelsPerBlock: channelsPerBlock)
    return problem.step(work, tasks: cut.tasks(rows: rows, columns: columns))
  }
}

/// How a product is cut into tasks: blocks of rows times blocks of panels of 16 columns.
struct ProductCut: Sendable {
  var rowsPerTask: Int
  var panelsPerTask: Int

  /// Cuts the product of a problem.
  ///
  /// - Parameter channelsPerBlock: how many values of a row, in units of four bytes, stay in the second cache beside a
  ///   block of weights.
  init(_ problem: Problem, channelsPerBlock: Int) {
    let (rows, columns) = (problem.rows, problem.output.shape.channels)
    let panels = columns.divided(by: 16)
    rowsPerTask = rows
    panelsPerTask = panels
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
  }

  /// The number of blocks of panels.
  func columnTasks(_ columns: Int) -> Int { columns.divided(by: 16).divided(by: panelsPerTask) }

  /// The number of tasks.
  func tasks(rows: Int, columns: Int) -> Int { rows.divided(by: rowsPerTask) * columnTasks(columns) }
}

private struct ProductWork: Work {
  var operands: Operands
  var rows: Int
  var inputFeatures: Int
  var columns: Int
  var cut: ProductCut
  var channelsPerBlock: Int

  var algorithm: String { Product.name }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    let values = addresses.values(of: operands.weights)
    try descriptor.set(
      hg_product(
        input: UnsafePointer(addresses.pointer(operands.input)), input_stride: operands.input.stride,
        rows: Int64(rows), channels: Int32(inputFeatures), columns: Int32(columns), weights: values.weights,
        bias: values.bias, output: addresses.pointer(operands.output), output_stride: operands.output.stride,
        epilogue: operands.productFinish(addresses), rows_per_task: Int32(cut.rowsPerTask),
        panels_per_task: Int32(cut.panelsPerTask),
        column_tasks: Int32(cut.columnTasks(columns)),
        channels_per_block: Int32(channelsPerBlock), is_added: operands.isAdded ? 1 : 0))
    return addresses.kernels.product
  }
}
