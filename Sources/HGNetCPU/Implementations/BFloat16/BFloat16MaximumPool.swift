import CHGNetKernels
import HGNetCore
import HGNetProgram

/// The largest value of each window, which rounds nothing.
enum BFloat16MaximumPool: BFloat16Implementation {
  static let name = "bfloat16-maximum-pool"

  static func computes(_ kind: Layer.Kind) -> Bool { MaximumPool.computes(kind) }

  static func refusal(of layer: Layer, on target: Target) -> String? { MaximumPool.refusal(of: layer, on: target) }

  static func step(_ problem: Problem) throws(HGNetError) -> Step {
    guard case .maxPool(let kernel, let stride, let padding) = problem.layer.kind else {
      throw HGNetError(.internalInconsistency, "expected a maximum pool", layer: problem.layer.name)
    }
    let height = problem.output.shape.height
    let rowsPerTask = MaximumPool.rowsPerTask(problem)
    let work = BFloat16MaximumPoolWork(
      operands: problem.operands, window: Window(kernel: kernel, stride: stride, padding: padding),
      rowsPerTask: rowsPerTask)
    return problem.step(work, tasks: problem.pictures * height.divided(by: rowsPerTask))
  }
}

private struct BFloat16MaximumPoolWork: Work {
  var operands: Operands
  var window: Window
  var rowsPerTask: Int

  var algorithm: String { BFloat16MaximumPool.name }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    try descriptor.set(
      hg_bfloat16_maximum_pool(
        window: operands.bfloat16Geometry(window, addresses), rows_per_task: Int32(rowsPerTask)))
    return addresses.bfloat16.maximum_pool
  }
}
