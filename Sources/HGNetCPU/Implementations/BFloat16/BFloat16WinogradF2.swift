import CHGNetKernels
import HGNetCore
import HGNetProgram

/// Winograd with tiles of 2×2 results and transformed values in bfloat16, for training: 2.25 times fewer products than the
/// direct sum, and twice its rounding.
///
/// Inference has tiles of 4×4 in float32, whose rounding is that of the results alone.
enum BFloat16WinogradF2: BFloat16Implementation {
  static let name = "bfloat16-winograd-f2"
  static var layout: WeightLayout { WeightLayout(name) }

  static func computes(_ kind: Layer.Kind) -> Bool { WinogradF2.computes(kind) }

  static func refusal(of layer: Layer, on target: Target) -> String? {
    target.purpose == .inference ? "it rounds more than tiles of 4×4 in float32" : WinogradF2.windowRefusal(layer)
  }

  static func extent(of layer: Layer) -> PackedExtent? {
    guard let convolution = denseConvolution(layer) else { return nil }
    return PackedExtent(
      layout: layout, weightCount: 16 * convolution.outputChannels.roundedUp(to: 16) * convolution.inputChannels,
      element: .bfloat16, columns: convolution.outputChannels)
  }

  static func packing(_ weights: TrainedWeights, into buffer: Int) -> WeightPacking? {
    WeightPacking(
      work: PairPacking(weights, isWinograd: true, packed: buffer),
      taskCount: weights.used.outputChannels.divided(by: 16))
  }

  static func step(_ problem: Problem) throws(HGNetError) -> Step {
    guard let convolution = denseConvolution(problem.layer) else {
      throw HGNetError(.internalInconsistency, "expected a dense convolution", layer: problem.layer.name)
    }
    let (shape, channels, columns) = (problem.output.shape, convolution.inputChannels, convolution.outputChannels)
    let tiles = problem.pictures * shape.height.divided(by: 2) * shape.width.divided(by: 2)
    // The points of both sides stay in the second cache.
    let floatsPerTile = 8 * channels + 16 * columns.roundedUp(to: 16)
    let most = min(max(2 * Problem.cachedFloats / floatsPerTile, problem.blockRows * 2), 128)
    let tilesPerTask = problem.part(of: tiles, most: most, unit: 1)
    let work = BFloat16WinogradF2Work(
      operands: problem.operands, window: Window(convolution), columns: columns, tilesPerTask: tilesPerTask)
    return problem.step(
      work, tasks: tiles.divided(by: tilesPerTask),
      scratchCount: Int(hg_bfloat16_winograd_scratch(Int64(channels), Int64(columns), Int64(tilesPerTask))))
  }
}

private struct BFloat16WinogradF2Work: Work {
  var operands: Operands
  var window: Window
  var columns: Int
  var tilesPerTask: Int

  var algorithm: String { BFloat16WinogradF2.name }
  var zeroCount: Int { operands.input.shape.channels }

  func operations(of step: Step) -> Int {
    let shape = operands.output.shape
    return 32 * step.pictures * shape.height.divided(by: 2) * shape.width.divided(by: 2)
      * operands.input.shape.channels * columns
  }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    let values = addresses.bfloat16Values(of: operands.weights)
    try descriptor.set(
      hg_bfloat16_winograd(
        window: operands.bfloat16Geometry(window, addresses), columns: Int32(columns), weights: values.weights,
        bias: values.bias, zeros: UnsafeRawPointer(addresses.zeros).assumingMemoryBound(to: UInt16.self),
        epilogue: operands.bfloat16Finish(addresses), tiles_per_task: Int32(tilesPerTask)))
    return addresses.bfloat16Training.winograd
  }
}
