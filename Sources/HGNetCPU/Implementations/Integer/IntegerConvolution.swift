import CHGNetKernels
import HGNetCore
import HGNetProgram

/// Dense convolutions of any window in bytes by direct sums; takes pictures in float32.
enum IntegerConvolution: IntegerPanelImplementation {
  static let name = "int8-direct"

  static func computes(_ kind: Layer.Kind) -> Bool { DirectConvolution.computes(kind) }

  static func refusal(of layer: Layer, on target: Target) -> String? {
    guard let dense = dense(layer) else { return "it computes dense convolutions" }
    if let reason = DirectConvolution.refusal(of: layer, on: target) { return reason }
    // Four times fewer products outweigh widened bytes, which are multiplied 1.4 times as fast as float32.
    if target.instructionSet.integerKernels.pointee.group != 4, WinogradF4.refusal(of: layer, on: target) == nil {
      return "Winograd in float32 is quicker where the processor does not multiply four bytes at a time"
    }
    return sumRefusal(dense.inputChannels * dense.taps)
  }

  static func elements(of layer: Layer) -> LayerElements {
    LayerElements(reads: [.uint8, .float32], writes: [.uint8, .float32])
  }

  static func step(_ problem: Problem) throws(HGNetError) -> Step {
    guard let convolution = denseConvolution(problem.layer) else {
      throw HGNetError(.internalInconsistency, "expected a dense convolution", layer: problem.layer.name)
    }
    let (input, output) = (problem.input.shape, problem.output.shape)
    let columns = (output.width - 1) * convolution.stride.width + convolution.kernel.width
    // The rows under the results of a task stay in the second cache beside the weights.
    let row = columns * input.channels * convolution.stride.height
    let most = max(512 * 1024 / max(row, 1) - convolution.kernel.height, 1)
    let rowsPerTask = problem.part(of: output.height, most: min(most, problem.threads == 1 ? most : 16), unit: 1)
    let work = IntegerConvolutionWork(
      operands: problem.integerOperands, window: Window(convolution), columns: convolution.outputChannels,
      rowsPerTask: rowsPerTask)
    return problem.step(
      work, tasks: problem.pictures * output.height.divided(by: rowsPerTask),
      scratchCount: Int(
        hg_integer_convolution_scratch(
          problem.target.instructionSet.integerKernels,
          Int32((rowsPerTask - 1) * convolution.stride.height + convolution.kernel.height), Int32(columns),
          Int32(input.width), Int32(input.channels))))
  }
}

private struct IntegerConvolutionWork: Work {
  var operands: IntegerOperands
  var window: Window
  var columns: Int
  var rowsPerTask: Int

  var algorithm: String { IntegerConvolution.name }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    let packed = try operands.packed()
    let isFloat = operands.operands.input.element == .float32
    guard let scale = operands.input else {
      throw HGNetError(.internalInconsistency, "a convolution in bytes whose input has no range")
    }
    try descriptor.set(
      hg_integer_convolution(
        window: operands.geometry(window, addresses), columns: Int32(columns),
        weights: UnsafePointer(packed.signedBytes), start: UnsafePointer(packed.starts),
        finish: operands.finish(packed, addresses), zero: operands.zero, is_float_input: isFloat ? 1 : 0,
        input_factor: 1 / scale.scale, input_shift: Float(scale.zero), rows_per_task: Int32(rowsPerTask),
        panels_per_task: Int32(columns.divided(by: 16)), column_tasks: 1))
    return addresses.integers.convolution
  }
}
