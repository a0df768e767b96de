import CHGNetKernels
import HGNetCore
import HGNetProgram

/// The largest value of each window.
enum MaximumPool: Implementation {
  static let name = "maximum-pool"

  static func computes(_ kind: Layer.Kind) -> Bool { if case .maxPool = kind { true } else { false } }

  static func refusal(of layer: Layer, on target: Target) -> String? {
    guard case .maxPool(let kernel, _, let padding) = layer.kind else { return "it computes maximum pools" }
    return kernel.height * kernel.width <= 64 && padding.top < kernel.height && padding.left < kernel.width
      ? nil : "a \(kernel) pooling window with padding \(padding)"
  }

  /// How many rows of results a task takes.
  static func rowsPerTask(_ problem: Problem) -> Int {
    problem.part(of: problem.output.shape.height, most: 16, unit: 1)
  }

  static func step(_ problem: Problem) throws(HGNetError) -> Step {
    guard case .maxPool(let kernel, let stride, let padding) = problem.layer.kind else {
      throw HGNetError(.internalInconsistency, "expected a maximum pool", layer: problem.layer.name)
    }
    let height = problem.output.shape.height
    let rowsPerTask = rowsPerTask(problem)
    let work = MaximumPoolWork(
      operands: problem.operands, window: Window(kernel: kernel, stride: stride, padding: padding),
      rowsPerTask: rowsPerTask)
    return problem.step(work, tasks: problem.pictures * height.divided(by: rowsPerTask))
  }
}

private struct MaximumPoolWork: Work {
  var operands: Operands
  var window: Window
  var rowsPerTask: Int

  var algorithm: String { MaximumPool.name }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    try descriptor.set(
      hg_maximum_pool(window: operands.geometry(window, addresses), rows_per_task: Int32(rowsPerTask)))
    return addresses.kernels.maximum_pool
  }
}

/// Adds the gradient of a pool to the first largest pixel of each window.
struct MaximumPoolGradientWork: Work {
  var window: Window
  var input: Location
  var gradient: Location
  var target: Location
  var batch: Int

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    try descriptor.set(
      hg_maximum_pool_gradient(
        input: addresses.pointer(input), input_stride: input.stride, batch: Int32(batch),
        height: Int32(input.shape.height), width: Int32(input.shape.width), channels: Int32(input.shape.channels),
        gradient: addresses.pointer(gradient), gradient_stride: gradient.stride,
        output_height: Int32(gradient.shape.height), output_width: Int32(gradient.shape.width),
        kernel_height: Int32(window.kernel.height), kernel_width: Int32(window.kernel.width),
        stride_height: Int32(window.stride.height), stride_width: Int32(window.stride.width),
        padding_top: Int32(window.padding.top), padding_left: Int32(window.padding.left),
        input_gradient: addresses.pointer(target), input_gradient_stride: target.stride))
    return input.element == .bfloat16
      ? addresses.bfloat16Training.maximum_pool_gradient : addresses.training.maximum_pool_gradient
  }
}
