import CHGNetKernels
import HGNetCore
import HGNetProgram

/// The largest byte of each window, in the scale of the result.
enum IntegerMaximumPool: IntegerImplementation {
  static let name = "int8-maximum-pool"

  static func computes(_ kind: Layer.Kind) -> Bool { MaximumPool.computes(kind) }

  static func refusal(of layer: Layer, on target: Target) -> String? { MaximumPool.refusal(of: layer, on: target) }

  static func elements(of layer: Layer) -> LayerElements { LayerElements(.uint8) }

  static func step(_ problem: Problem) throws(HGNetError) -> Step {
    guard case .maxPool(let kernel, let stride, let padding) = problem.layer.kind,
      let input = problem.scales.inputs.first ?? nil, let output = problem.scales.output
    else {
      throw HGNetError(.internalInconsistency, "expected a maximum pool with ranges", layer: problem.layer.name)
    }
    let height = problem.output.shape.height
    let rowsPerTask = MaximumPool.rowsPerTask(problem)
    let factor = Double(input.scale) / Double(output.scale)
    let work = IntegerMaximumPoolWork(
      operands: problem.operands, window: Window(kernel: kernel, stride: stride, padding: padding),
      factor: Float(factor), shift: Float(Double(output.zero) - Double(input.zero) * factor), rowsPerTask: rowsPerTask)
    return problem.step(work, tasks: problem.pictures * height.divided(by: rowsPerTask))
  }
}

private struct IntegerMaximumPoolWork: Work {
  var operands: Operands
  var window: Window
  var factor: Float
  var shift: Float
  var rowsPerTask: Int

  var algorithm: String { IntegerMaximumPool.name }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    try descriptor.set(
      hg_integer_maximum_pool(
        window: operands.integerGeometry(window, addresses), factor: factor, shift: shift,
        rows_per_task: Int32(rowsPerTask)))
    return addresses.integers.maximum_pool
  }
}

/// The mean of each channel of a picture in bytes, summed exactly.
enum IntegerAveragePool: IntegerImplementation {
  static let name = "int8-average-pool"

  static func computes(_ kind: Layer.Kind) -> Bool { AveragePool.computes(kind) }

  static func step(_ problem: Problem) throws(HGNetError) -> Step {
    guard let input = problem.scales.inputs.first ?? nil else {
      throw HGNetError(.internalInconsistency, "expected a mean with ranges", layer: problem.layer.name)
    }
    let output = problem.output.element == .uint8 ? problem.scales.output : nil
    let unit = Double(input.scale) / (output.map { Double($0.scale) } ?? 1)
    let channelsPerTask = AveragePool.channelsPerTask(problem)
    let work = IntegerAveragePoolWork(
      input: problem.input, output: problem.output, pictures: problem.pictures,
      factor: Float(unit / Double(problem.input.pixels)),
      shift: Float(Double(output?.zero ?? 0) - Double(input.zero) * unit), channelsPerTask: channelsPerTask)
    return problem.step(
      work, tasks: problem.pictures * problem.input.shape.channels.divided(by: channelsPerTask))
  }

  static func refusal(of problem: Problem) -> String? {
    problem.input.pixels <= 1 << 23 ? nil : "a sum of so many pixels may not fit 32 bits"
  }
}

private struct IntegerAveragePoolWork: Work {
  var input: Location
  var output: Location
  var pictures: Int
  var factor: Float
  var shift: Float
  var channelsPerTask: Int

  var algorithm: String { IntegerAveragePool.name }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    let isFloat = output.element == .float32
    try descriptor.set(
      hg_integer_average_pool(
        input: UnsafePointer(addresses.unsignedBytes(input)), input_stride: input.stride, batch: Int32(pictures),
        pixels: Int32(input.pixels), channels: Int32(input.shape.channels), output: addresses.bytes(output),
        output_stride: output.stride, factor: factor, shift: shift, lower: isFloat ? -.infinity : 0,
        upper: isFloat ? .infinity : 255, is_float: isFloat ? 1 : 0, channels_per_task: Int32(channelsPerTask)))
    return addresses.integers.average_pool
  }
}
