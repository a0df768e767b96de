import CHGNetKernels
import HGNetCore
import HGNetProgram

/// Copies, sums and gates in bytes; a copy between types is the conversion.
enum IntegerElementwise: IntegerImplementation {
  static let name = "int8-elementwise"

  static func computes(_ kind: Layer.Kind) -> Bool { number(of: kind) != nil }

  private static func number(of kind: Layer.Kind) -> Int? {
    switch kind {
    case .copy: HG_INTEGER_COPY
    case .add: HG_INTEGER_ADD
    case .gate: HG_INTEGER_GATE
    default: nil
    }
  }

  static func refusal(of layer: Layer, on target: Target) -> String? {
    layer.residual == nil ? nil : "it adds no residual"
  }

  static func elements(of layer: Layer) -> LayerElements {
    switch layer.kind {
    // What gates is float32.
    case .gate: LayerElements(reads: [.float32, .uint8], writes: [.uint8, .float32])
    case .add: LayerElements(reads: [.uint8], writes: [.uint8, .float32])
    default: LayerElements(reads: [.uint8, .float32], writes: [.uint8, .float32])
    }
  }

  static func step(_ problem: Problem) throws(HGNetError) -> Step {
    guard let kind = number(of: problem.layer.kind) else {
      throw HGNetError(.internalInconsistency, "expected elementwise work", layer: problem.layer.name)
    }
    let other = problem.inputs.dropFirst().first
    guard kind != HG_INTEGER_GATE || other?.element == .float32 else {
      throw HGNetError(.internalInconsistency, "expected a gate in float32", layer: problem.layer.name)
    }
    let scales = problem.scales.inputs
    let rowsPerTask = Elementwise.rowsPerTask(problem)
    let work = IntegerElementwiseWork(
      kind: kind, operands: problem.operands, other: other, epilogue: problem.integerEpilogue,
      scale: problem.input.element == .uint8 ? scales.first ?? nil : nil,
      otherScale: other?.element == .uint8 ? scales.dropFirst().first ?? nil : nil, rowsPerTask: rowsPerTask)
    return problem.step(work, tasks: problem.rows.divided(by: rowsPerTask))
  }
}

private struct IntegerElementwiseWork: Work {
  var kind: Int
  var operands: Operands
  var other: Location?
  var epilogue: IntegerEpilogue
  /// What bytes of the inputs mean; nil for float32.
  var scale: ValueScale?
  var otherScale: ValueScale?
  var rowsPerTask: Int

  var algorithm: String { IntegerElementwise.name }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    let (input, output) = (operands.input, operands.output)
    let factor = Double(scale?.scale ?? 1) * epilogue.gain
    var shift = -Double(scale?.zero ?? 0) * factor
    var otherFactor = epilogue.shift
    if kind != HG_INTEGER_GATE {
      otherFactor = Double(otherScale?.scale ?? 0) * epilogue.gain
      shift += epilogue.shift - Double(otherScale?.zero ?? 0) * otherFactor
    }
    try descriptor.set(
      hg_integer_elementwise(
        kind: Int32(kind), is_float_input: input.isFloat, is_float_output: output.isFloat,
        rows: Int64(operands.pictures * output.pixels), rows_per_image: Int64(output.pixels),
        channels: Int32(output.shape.channels), input: UnsafeRawPointer(addresses.bytes(input)),
        input_stride: input.stride, other: other.map { UnsafeRawPointer(addresses.bytes($0)) },
        other_stride: other?.stride ?? 0, output: addresses.bytes(output), output_stride: output.stride,
        factor: Float(factor), shift: Float(shift), other_factor: Float(otherFactor), lower: epilogue.lower,
        upper: epilogue.upper, rows_per_task: Int32(rowsPerTask)))
    return addresses.integers.elementwise
  }
}
