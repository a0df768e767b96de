import CHGNetKernels
import HGNetCore
import HGNetProgram

/// Winograd with tiles of 4×4 results: 4 times fewer products than the direct sum, and ten times its rounding.
enum WinogradF4: Winograd {
  static let name = "winograd-f4"
  static let tile = 4
  static var layout: WeightLayout { WeightLayout(name) }

  static func refusal(of layer: Layer, on target: Target) -> String? {
    // Its rounding turns ReLUs on and off that PaddlePaddle has the other way, and their gradients with them.
    target.purpose == .trainingForward ? "it rounds too coarsely for a forward pass in training" : windowRefusal(layer)
  }
}

/// Winograd with tiles of 2×2 results: 2.25 times fewer products than the direct sum, and about its rounding.
enum WinogradF2: Winograd {
  static let name = "winograd-f2"
  static let tile = 2
  static var layout: WeightLayout { WeightLayout(name) }

  static func refusal(of layer: Layer, on target: Target) -> String? { windowRefusal(layer) }
}

/// 3×3 convolutions of stride 1 as products over tiles.
protocol Winograd: Implementation {
  /// The side of a tile of results.
  static var tile: Int { get }
}

extension Winograd {
  static func computes(_ kind: Layer.Kind) -> Bool { if case .convolution = kind { true } else { false } }

  static func windowRefusal(_ layer: Layer) -> String? {
    guard let convolution = denseConvolution(layer) else { return "it computes dense convolutions" }
    guard convolution.kernel == Size(3), convolution.stride == Size(1) else {
      return "it computes 3×3 windows of stride 1"
    }
    return convolution.inputChannels % 16 == 0 && convolution.outputChannels % 16 == 0
      ? nil : "it needs channels in multiples of 16"
  }

  static func extent(of layer: Layer) -> PackedExtent? {
    guard let convolution = denseConvolution(layer) else { return nil }
    let values = convolution.outputChannels.roundedUp(to: 16) * convolution.inputChannels * (tile + 2) * (tile + 2)
    return PackedExtent(layout: layout, weightCount: values, columns: convolution.outputChannels)
  }

  static func pack(_ layer: Layer, _ reader: ParameterReader, into packed: PackedWeights) throws(HGNetError) {
    try reader.packConvolution(layer, into: packed) { convolution, weight, factors in
      hg_pack_winograd(
        weight, factors, Int32(tile), Int32(convolution.outputChannels), Int32(convolution.inputChannels), 0,
        Int32(packed.paddedColumns / 16), packed.floats)
    }
  }

  static func packing(_ weights: TrainedWeights, into buffer: Int) -> WeightPacking? {
    PanelPacking(weights, winogradTile: tile, packed: buffer).packing
  }

  static func step(_ problem: Problem) throws(HGNetError) -> Step {
    guard let convolution = denseConvolution(problem.layer) else {
      throw HGNetError(.internalInconsistency, "expected a dense convolution", layer: problem.layer.name)
    }
    let shape = problem.output.shape
    let tiles = problem.pictures * shape.height.divided(by: tile) * shape.width.divided(by: tile)
    let columns = convolution.outputChannels.roundedUp(to: 16)
    let floatsPerTile = (tile + 2) * (tile + 2) * (convolution.inputChannels + columns)
    let most = min(max(680 * 1024 / floatsPerTile, problem.blockRows * 2), 256 / tile)
    let tilesPerTask = problem.part(of: tiles, most: most, unit: 1)
    let work = WinogradWork(
      algorithm: name, operands: problem.operands, window: Window(convolution), tile: tile,
      columns: convolution.outputChannels, tilesPerTask: tilesPerTask)
    return problem.step(
      work, tasks: tiles.divided(by: tilesPerTask),
      scratchCount: Int(
        hg_winograd_scratch(
          Int32(tile), Int32(convolution.inputChannels), Int32(convolution.outputChannels), Int32(tilesPerTask))))
  }
}

private struct WinogradWork: Work {
  var algorithm: String
  var operands: Operands
  var window: Window
  var tile: Int
  var columns: Int
  var tilesPerTask: Int

  var zeroCount: Int { operands.input.shape.channels * window.kernel.width }

  func operations(of step: Step) -> Int {
    let shape = operands.output.shape
    let tiles = step.pictures * shape.height.divided(by: tile) * shape.width.divided(by: tile)
    return 2 * tiles * (tile + 2) * (tile + 2) * operands.input.shape.channels * columns
  }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    let values = addresses.values(of: operands.weights)
    try descriptor.set(
      hg_winograd(
        window: operands.geometry(window, addresses), columns: Int32(columns), weights: values.weights,
        bias: values.bias, zeros: addresses.zeros, epilogue: operands.finish(addresses), tile: Int32(tile),
        is_bfloat16: operands.input.element == .bfloat16 ? 1 : 0, tiles_per_task: Int32(tilesPerTask),
        panels_per_task: Int32(columns.divided(by: 16)), column_tasks: 1))
    return addresses.kernels.winograd
  }
}

// MARK: - The gradient of the weights

/// The transpose of Winograd F(4×4, 3×3): both sides as 36 points per tile, a product over tiles for each point, and the
/// points back to nine taps.
extension WinogradF4: WeightGradient {
  static func refusal(of unit: TrainingUnit) -> String? {
    unit.isLinear ? "it computes 3×3 windows of stride 1" : windowRefusal(unit.layer)
  }

  static func addGradient(_ unit: TrainingUnit, _ name: String, input: Location, to plan: inout TrainingPlan) {
    let (z, convolution) = (unit.convolvedGradient, unit.convolution)
    let (channels, columns) = (convolution.inputChannels, convolution.outputChannels)
    let (down, across) = (z.shape.height.divided(by: 4), z.shape.width.divided(by: 4))
    let all = plan.batch * down * across
    // Chunks of equal length, as for other layers; the last is filled up with zeros.
    let chunks = all.divided(by: 8192)
    let tilesPerChunk = all.divided(by: chunks)
    let tiles = chunks * tilesPerChunk
    let sides = [(input, convolution.padding, false), (z, Padding(0), true)]
    let values = [plan.newBuffer(36 * tiles * channels), plan.newBuffer(36 * tiles * columns)]
    for ((side, padding, isGradient), buffer) in zip(sides, values) {
      let work = WinogradTilesWork(
        side: side, batch: plan.batch, channels: isGradient ? columns : channels, down: down, across: across,
        padding: padding, isGradient: isGradient, tiles: tiles, values: buffer)
      plan.add(
        name + (isGradient ? " tiles of the gradient" : " tiles of the input"), work,
        tasks: tiles.divided(by: work.tilesPerTask), uses: [side.buffer, buffer])
    }
    let block = OuterProduct.Block(rows: channels, lanes: columns, taps: 1)
    let partial = plan.newBuffer(36 * chunks * channels * columns)
    let product = WinogradGradientWork(
      values: values, tiles: tiles, channels: channels, columns: columns, partial: partial,
      tilesPerChunk: tilesPerChunk, chunks: chunks, block: block)
    plan.add(
      name, product, multiplyAdds: plan.multiplyAdds(of: convolution, rows: unit.rows),
      tasks: 36 * chunks * block.count,
      scratch: Int(hg_weight_gradient_scratch(Int32(block.rowsPerTask), Int32(block.lanesPerTask), 1, 1, 0)),
      uses: values + [partial])
    let join = OuterProduct.JoinWork(
      partial: partial, chunks: chunks, taps: 9, channels: channels, columns: columns, weight: convolution.weight,
      columnStride: channels * 9, channelStride: 9, isWinograd: true)
    plan.add(name + " join", join, tasks: channels.divided(by: 16), uses: [partial])
  }
}

private struct WinogradTilesWork: Work {
  var side: Location
  var batch: Int
  var channels: Int
  var down: Int
  var across: Int
  var padding: Padding
  var isGradient: Bool
  var tiles: Int
  var values: Int

  var tilesPerTask: Int { max(1, min(64, 16 * 1024 / channels)) }
  var zeroCount: Int { channels + 16 }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    try descriptor.set(
      hg_winograd_tiles(
        input: addresses.pointer(side), stride: side.stride, batch: Int32(batch), height: Int32(side.shape.height),
        width: Int32(side.shape.width), channels: Int32(channels), down: Int32(down), across: Int32(across),
        padding_top: Int32(padding.top), padding_left: Int32(padding.left), is_gradient: isGradient ? 1 : 0,
        tiles: Int32(tiles), tiles_per_task: Int32(tilesPerTask), is_bfloat16: side.isHalf,
        values: addresses.floats(values),
        zeros: UnsafePointer(addresses.zeros)))
    return addresses.training.winograd_tiles
  }
}

/// The products over tiles, one for each of the 36 points.
private struct WinogradGradientWork: Work {
  var values: [Int]
  var tiles: Int
  var channels: Int
  var columns: Int
  var partial: Int
  var tilesPerChunk: Int
  var chunks: Int
  var block: OuterProduct.Block

  var algorithm: String { WinogradF4.name }
  var zeroCount: Int { max(channels, columns) + 16 }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    try descriptor.set(
      hg_weight_gradient(
        input: addresses.floats(values[0]), input_stride: channels, batch: 36, height: 1, width: Int32(tiles),
        channels: Int32(channels), gradient: addresses.floats(values[1]), gradient_stride: columns,
        output_height: 1, output_width: Int32(tiles), columns: Int32(columns), kernel_height: 1, kernel_width: 1,
        stride_height: 1, stride_width: 1, padding_top: 0, padding_left: 0, partial: addresses.floats(partial),
        pixels_per_chunk: Int32(tilesPerChunk), chunks: Int32(36 * chunks),
        channels_per_task: Int32(block.rowsPerTask), columns_per_task: Int32(block.lanesPerTask), is_run: 0,
        is_added: 0, zeros: UnsafePointer(addresses.zeros)))
    return addresses.training.weight_gradient
  }
}
