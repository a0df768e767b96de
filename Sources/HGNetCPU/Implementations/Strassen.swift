import CHGNetKernels
import HGNetCore
import HGNetProgram

/// 1×1 convolutions by one level of Strassen's algorithm: seven products for eight, rounding about three times as large.
enum Strassen: PanelImplementation {
  static let name = "strassen"

  static func computes(_ kind: Layer.Kind) -> Bool { if case .convolution = kind { true } else { false } }

  static func refusal(of layer: Layer, on target: Target) -> String? {
    if let reason = Product.refusal(of: layer, on: target) { return reason }
    guard let convolution = denseConvolution(layer) else { return "it computes dense convolutions" }
    return convolution.inputChannels % 2 == 0 && convolution.outputChannels % 32 == 0
      ? nil : "it needs an even number of input channels and output channels in multiples of 32"
  }

  /// By the table of costs, never by timing, so that the same model and input give the same bits in every run.
  static func refusal(of problem: Problem) -> String? {
    let pixels = problem.output.pixels
    guard pixels % 2 == 0 else { return "it needs an even number of pixels" }
    let ratio = AlgorithmCosts(kernels: problem.target.kernels).strassen.ratio(
      pixelCount: pixels, inputFeatures: problem.input.shape.channels, columnCount: problem.output.shape.channels)
    return ratio < AlgorithmCosts.Strassen.greatestRatio
      ? nil : "it would take \(Int((ratio * 100).rounded())) % of the plain product's time"
  }

  static func step(_ problem: Problem) throws(HGNetError) -> Step {
    let (pixels, threads) = (problem.output.pixels, problem.threads)
    let (inputFeatures, columns) = (problem.input.shape.channels, problem.output.shape.channels)
    let (pairs, halfChannels, halfPanels) = (pixels / 2, inputFeatures / 2, columns / 32)
    // Sums of activations stay in the second cache; fewer pairs would read the weights for too little work.
    let tasksPerImage = pairs.divided(by: 112)
    let channelsPerBlock = halfChannels.divided(by: halfChannels.divided(by: 384))
    let rowTasks = problem.pictures * tasksPerImage
    let columnTasks = rowTasks >= 8 * threads ? 1 : min(leastFactor(of: rowTasks, dividing: threads), halfPanels)
    let panelsPerTask = halfPanels.divided(by: columnTasks)
    let work = StrassenWork(
      operands: problem.operands, pixels: pixels, inputFeatures: inputFeatures, columns: columns,
      tasksPerImage: tasksPerImage, panelsPerTask: panelsPerTask, channelsPerBlock: channelsPerBlock)
    return problem.step(
      work, tasks: rowTasks * halfPanels.divided(by: panelsPerTask),
      scratchCount: Int(hg_strassen_scratch(Int32(pairs.divided(by: tasksPerImage)), Int32(channelsPerBlock))))
  }

  /// The least factor that makes `count` a multiple of `divisor`.
  private static func leastFactor(of count: Int, dividing divisor: Int) -> Int {
    var (a, b) = (count, divisor)
    while b != 0 { (a, b) = (b, a % b) }
    return divisor / a
  }
}

private struct StrassenWork: Work {
  var operands: Operands
  var pixels: Int
  var inputFeatures: Int
  var columns: Int
  var tasksPerImage: Int
  var panelsPerTask: Int
  var channelsPerBlock: Int

  var algorithm: String { Strassen.name }

  func operations(of step: Step) -> Int { step.multiplyAdds * 2 * 7 / 8 }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    let values = addresses.values(of: operands.weights)
    try descriptor.set(
      hg_strassen(
        input: UnsafePointer(addresses.pointer(operands.input)), input_stride: operands.input.stride,
        pixels: Int64(pixels), channels: Int32(inputFeatures), columns: Int32(columns), weights: values.weights,
        bias: values.bias, output: addresses.pointer(operands.output), output_stride: operands.output.stride,
        epilogue: operands.productFinish(addresses), tasks_per_image: Int32(tasksPerImage),
        panels_per_task: Int32(panelsPerTask), column_tasks: Int32((columns / 32).divided(by: panelsPerTask)),
        channels_per_block: Int32(channelsPerBlock), is_added: operands.isAdded ? 1 : 0))
    return addresses.kernels.strassen
  }
}
