import CHGNetKernels
import HGNetCore
import HGNetProgram

/// Copies, sums, gates, sigmoid and softmax: work on each value or row by itself.
enum Elementwise: Implementation {
  static let name = "elementwise"

  static func computes(_ kind: Layer.Kind) -> Bool { number(of: kind) != nil }

  /// What the kernels call a kind of work; nil for a layer that is none of it.
  static func number(of kind: Layer.Kind) -> Int? {
    switch kind {
    case .copy: HG_COPY
    case .add: HG_ADD
    case .gate: HG_GATE
    case .pointwise(let function): HG_POINTWISE + function.number
    case .softmax: HG_SOFTMAX
    default: nil
    }
  }

  /// Rows whose values stay in the second cache.
  static func rowsPerTask(_ problem: Problem) -> Int {
    problem.part(of: problem.rows, most: max(1, 64 * 1024 / max(problem.output.shape.channels, 1)), unit: 1)
  }

  static func step(_ problem: Problem) throws(HGNetError) -> Step {
    guard let kind = number(of: problem.layer.kind) else {
      throw HGNetError(.internalInconsistency, "expected elementwise work", layer: problem.layer.name)
    }
    let rowsPerTask = rowsPerTask(problem)
    let work = ElementwiseWork(
      kind: kind, operands: problem.operands, other: problem.inputs.dropFirst().first, rowsPerTask: rowsPerTask)
    return problem.step(work, tasks: problem.rows.divided(by: rowsPerTask))
  }
}

private struct ElementwiseWork: Work {
  var kind: Int
  var operands: Operands
  var other: Location?
  var rowsPerTask: Int

  var algorithm: String { Elementwise.name }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    let output = operands.output
    try descriptor.set(
      hg_elementwise(
        kind: Int32(kind), rows: Int64(operands.pictures * output.pixels), rows_per_image: Int64(output.pixels),
        channels: Int32(output.shape.channels), input: UnsafePointer(addresses.pointer(operands.input)),
        input_stride: operands.input.stride, other: other.map { UnsafePointer(addresses.pointer($0)) },
        other_stride: other?.stride ?? 0, output: addresses.pointer(output), output_stride: output.stride,
        epilogue: operands.finish(addresses), rows_per_task: Int32(rowsPerTask)))
    return addresses.kernels.elementwise
  }
}

// MARK: - Training

/// Changes a gradient value by value.
struct ElementwiseGradientWork: Work {
  var kind: TrainingOperation.Elementwise
  var target: Location
  var gradient: Location?
  var factor: Location?
  var batch: Int

  var rows: Int { batch * target.pixels }
  var rowsPerTask: Int { min(rows, max(1, 32 * 1024 / max(target.shape.channels, 1))) }

  private var number: Int {
    switch kind {
    case .zero: HG_GRADIENT_ZERO
    case .add: HG_GRADIENT_ADD
    case .mean: HG_GRADIENT_MEAN
    case .gated: HG_GRADIENT_GATED
    case .pointwise(let function): HG_GRADIENT_POINTWISE + function.number
    case .mask: HG_GRADIENT_MASK
    }
  }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    try descriptor.set(
      hg_bfloat16_elementwise_gradient(
        elementwise: hg_elementwise_gradient(
          kind: Int32(number), rows: Int64(rows), rows_per_image: Int64(target.pixels),
          channels: Int32(target.shape.channels), target: addresses.pointer(target), target_stride: target.stride,
          gradient: gradient.map { UnsafePointer(addresses.pointer($0)) }, gradient_stride: gradient?.stride ?? 0,
          factor: factor.map { UnsafePointer(addresses.pointer($0)) }, factor_stride: factor?.stride ?? 0,
          rows_per_task: Int32(rowsPerTask)),
        is_half_target: target.isHalf, is_half_gradient: gradient?.isHalf ?? 0, is_half_factor: factor?.isHalf ?? 0))
    let isMixed = [target, gradient, factor].contains { $0?.element == .bfloat16 }
    return isMixed ? addresses.bfloat16Training.elementwise_gradient : addresses.training.elementwise_gradient
  }
}

/// The gradient of a gate: the sum over pixels of gradient × input.
struct GateGradientWork: Work {
  var input: Location
  var gradient: Location
  var target: Location
  var batch: Int

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    try descriptor.set(
      hg_bfloat16_gate_gradient(
        gate: hg_gate_gradient(
          input: addresses.pointer(input), input_stride: input.stride, gradient: addresses.pointer(gradient),
          gradient_stride: gradient.stride, batch: Int32(batch), pixels: Int32(input.pixels),
          channels: Int32(input.shape.channels), target: addresses.pointer(target), target_stride: target.stride),
        is_half_input: input.isHalf, is_half_gradient: gradient.isHalf, is_half_target: target.isHalf))
    let isMixed = [input, gradient, target].contains { $0.element == .bfloat16 }
    return isMixed ? addresses.bfloat16Training.gate_gradient : addresses.training.gate_gradient
  }
}

extension Pointwise {
  /// What the kernels call it.
  fileprivate var number: Int {
    switch self {
    case .sigmoid: HG_FUNCTION_SIGMOID
    }
  }
}
