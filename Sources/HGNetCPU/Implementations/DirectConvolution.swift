import CHGNetKernels
import HGNetCore
import HGNetProgram

/// Dense convolutions of any window by direct sums.
enum DirectConvolution: PanelImplementation {
  static let name = "direct"

  static func computes(_ kind: Layer.Kind) -> Bool { if case .convolution = kind { true } else { false } }

  static func refusal(of layer: Layer, on target: Target) -> String? {
    guard case .convolution(let convolution, _) = layer.kind else { return "it computes convolutions" }
    guard convolution.groups == 1 else {
      return "a convolution of \(convolution.groups) groups is neither dense nor depthwise"
    }
    return convolution.kernel.height * convolution.kernel.width <= 64
      ? nil : "a \(convolution.kernel) convolution window is larger than 64 pixels"
  }

  /// How many pixels of results a task takes.
  static func pixelsPerTask(_ problem: Problem) -> Int {
    problem.part(of: problem.rows, most: 512, unit: problem.blockRows)
  }

  static func step(_ problem: Problem) throws(HGNetError) -> Step {
    guard let convolution = denseConvolution(problem.layer) else {
      throw HGNetError(.internalInconsistency, "expected a dense convolution", layer: problem.layer.name)
    }
    let pixelsPerTask = pixelsPerTask(problem)
    let work = DirectConvolutionWork(
      operands: problem.operands, window: Window(convolution), columns: convolution.outputChannels,
      pixelsPerTask: pixelsPerTask)
    let taps = convolution.kernel.height * convolution.kernel.width
    return problem.step(
      work, tasks: problem.rows.divided(by: pixelsPerTask),
      scratchCount: problem.blockRows * taps * convolution.inputChannels)
  }
}

private struct DirectConvolutionWork: Work {
  var operands: Operands
  var window: Window
  var columns: Int
  var pixelsPerTask: Int

  var algorithm: String { DirectConvolution.name }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    let values = addresses.values(of: operands.weights)
    try descriptor.set(
      hg_convolution(
        window: operands.geometry(window, addresses), columns: Int32(columns), weights: values.weights,
        bias: values.bias, epilogue: operands.finish(addresses), pixels_per_task: Int32(pixelsPerTask)))
    return addresses.kernels.convolution
  }
}
