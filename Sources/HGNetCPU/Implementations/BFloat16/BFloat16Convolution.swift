import CHGNetKernels
import HGNetCore
import HGNetProgram

/// Dense convolutions of any window in bfloat16 by direct sums.
///
/// Pictures have three channels and no pairs: their convolution is float32's, which takes less time than gathering pairs.
enum BFloat16Convolution: PairImplementation {
  static let name = "bfloat16-direct"

  static func computes(_ kind: Layer.Kind) -> Bool { DirectConvolution.computes(kind) }

  static func refusal(of layer: Layer, on target: Target) -> String? {
    guard let convolution = denseConvolution(layer) else { return "it computes dense convolutions" }
    if convolution.inputChannels % 2 != 0 { return "it needs pairs of input channels" }
    return DirectConvolution.refusal(of: layer, on: target)
  }

  static func step(_ problem: Problem) throws(HGNetError) -> Step {
    guard let convolution = denseConvolution(problem.layer) else {
      throw HGNetError(.internalInconsistency, "expected a dense convolution", layer: problem.layer.name)
    }
    let pixelsPerTask = DirectConvolution.pixelsPerTask(problem)
    let work = BFloat16ConvolutionWork(
      operands: problem.operands, window: Window(convolution), columns: convolution.outputChannels,
      pixelsPerTask: pixelsPerTask)
    let taps = convolution.kernel.height * convolution.kernel.width
    return problem.step(
      work, tasks: problem.rows.divided(by: pixelsPerTask),
      scratchCount: Int(hg_bfloat16_convolution_scratch(Int64(taps), Int64(convolution.inputChannels))))
  }
}

private struct BFloat16ConvolutionWork: Work {
  var operands: Operands
  var window: Window
  var columns: Int
  var pixelsPerTask: Int

  var algorithm: String { BFloat16Convolution.name }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    let values = addresses.bfloat16Values(of: operands.weights)
    try descriptor.set(
      hg_bfloat16_convolution(
        window: operands.bfloat16Geometry(window, addresses), columns: Int32(columns), weights: values.weights,
        bias: values.bias, epilogue: operands.bfloat16Finish(addresses), pixels_per_task: Int32(pixelsPerTask)))
    return addresses.bfloat16.convolution
  }
}
