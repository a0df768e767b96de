import CHGNetKernels
import HGNetCore
import HGNetProgram

/// Copies, sums and gates in bfloat16; a copy between types is the conversion.
enum BFloat16Elementwise: BFloat16Implementation {
  static let name = "bfloat16-elementwise"

  static func computes(_ kind: Layer.Kind) -> Bool { number(of: kind) != nil }

  private static func number(of kind: Layer.Kind) -> Int? {
    switch kind {
    case .copy, .add, .gate: Elementwise.number(of: kind)
    default: nil
    }
  }

  static func elements(of layer: Layer) -> LayerElements {
    LayerElements(reads: [.bfloat16, .float32], writes: [.bfloat16, .float32])
  }

  static func step(_ problem: Problem) throws(HGNetError) -> Step {
    guard let kind = number(of: problem.layer.kind) else {
      throw HGNetError(.internalInconsistency, "expected elementwise work", layer: problem.layer.name)
    }
    let rowsPerTask = Elementwise.rowsPerTask(problem)
    let work = BFloat16ElementwiseWork(
      kind: kind, operands: problem.operands, other: problem.inputs.dropFirst().first, rowsPerTask: rowsPerTask)
    return problem.step(work, tasks: problem.rows.divided(by: rowsPerTask))
  }
}

private struct BFloat16ElementwiseWork: Work {
  var kind: Int
  var operands: Operands
  var other: Location?
  var rowsPerTask: Int

  var algorithm: String { BFloat16Elementwise.name }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    let (input, output) = (operands.input, operands.output)
    try descriptor.set(
      hg_bfloat16_elementwise(
        kind: Int32(kind), rows: Int64(operands.pictures * output.pixels), rows_per_image: Int64(output.pixels),
        channels: Int32(output.shape.channels), input: UnsafeRawPointer(addresses.bytes(input)),
        input_stride: input.stride, is_float_input: input.isFloat,
        other: other.map { UnsafeRawPointer(addresses.bytes($0)) }, other_stride: other?.stride ?? 0,
        is_float_other: other?.isFloat ?? 0, output: addresses.bytes(output), output_stride: output.stride,
        is_float_output: output.isFloat, epilogue: operands.bfloat16Finish(addresses),
        rows_per_task: Int32(rowsPerTask)))
    return addresses.bfloat16.elementwise
  }
}
