import CHGNetKernels
import HGNetCore

/// Makes the step of a fused node and cuts it into tasks that fill the threads and fit the caches.
///
/// How a step is cut never changes its bits: every sum has its fixed order inside one task.
struct TaskCutter {
  let batch: Int
  let threads: Int
  let kernels: hg_kernels

  /// The share of the second cache that a block of activations may take, in floats.
  private let cachedFloats = 96 * 1024
  private var blockRows: Int { Int(kernels.block_rows) }

  private func divided(_ count: Int, by size: Int) -> Int { (count + size - 1) / size }

  /// Cuts `count` into equal parts of at most `most`, in multiples of `unit`, whose number suits the threads.
  private func part(of count: Int, most: Int, unit: Int) -> Int {
    var parts = max(divided(count, by: max(most, unit)), 1)
    if threads > 1 { parts = divided(parts, by: threads) * threads }
    return max(divided(divided(count, by: parts), by: unit) * unit, unit)
  }

  func step(
    _ node: FusedGraph.Node, input: Location, other: Location?, residual: Location?, output: Location,
    weights: PackedWeights?, epilogue: EpilogueValues, multiplyAdds: Int
  ) throws(HGNetError) -> Plan.Step {
    var step = Plan.Step(
      name: node.name, pictures: batch, work: .averagePool(channelsPerTask: 64), input: input, other: other,
      residual: residual,
      output: output, weights: weights, epilogue: epilogue, taskCount: 1, multiplyAdds: multiplyAdds, scratchCount: 0)
    let pixels = batch * output.shape.height * output.shape.width
    switch node.kind {
    case .input, .concatenate, .decoder:
      throw HGNetError(.internalInconsistency, "this node is not a step", layer: node.name)
    case .linear(_, _, let inputFeatures, let outputFeatures):
      cutProduct(&step, rows: pixels, inputFeatures: inputFeatures, columns: outputFeatures)
    case .convolution(let convolution, _):
      let window = Plan.Step.Window(
        kernel: convolution.kernel, stride: convolution.stride, padding: convolution.padding)
      let columns = convolution.outputChannels
      switch weights?.algorithm {
      case .product:
        let pixelsPerImage = output.shape.height * output.shape.width
        if !cutStrassen(&step, pixels: pixelsPerImage, inputFeatures: convolution.inputChannels, columns: columns) {
          cutProduct(&step, rows: pixels, inputFeatures: convolution.inputChannels, columns: columns)
        }
      case .direct:
        let pixelsPerTask = part(of: pixels, most: 512, unit: blockRows)
        step.work = .convolution(window, columns: columns, pixelsPerTask: pixelsPerTask)
        step.taskCount = divided(pixels, by: pixelsPerTask)
        step.scratchCount =
          blockRows * convolution.kernel.height * convolution.kernel.width * convolution.inputChannels
      case .winogradF2: cutWinograd(&step, window, convolution, tile: 2)
      case .winogradF4: cutWinograd(&step, window, convolution, tile: 4)
      case .depthwise:
        let channelsPerTask = min(convolution.outputChannels, 64)
        let channelTasks = divided(convolution.outputChannels, by: channelsPerTask)
        let rowsPerTask = part(
          of: output.shape.height, most: threads == 1 ? output.shape.height : max(8, output.shape.height / 2), unit: 1)
        step.work = .depthwise(window, rowsPerTask: rowsPerTask, channelsPerTask: channelsPerTask)
        step.taskCount = batch * divided(output.shape.height, by: rowsPerTask) * channelTasks
      case nil: throw HGNetError(.internalInconsistency, "a convolution without weights", layer: node.name)
      }
    case .maxPool(let kernel, let stride, let padding):
      guard kernel.height * kernel.width <= 64, padding.top < kernel.height, padding.left < kernel.width else {
        throw HGNetError(.unsupported, "a \(kernel) pooling window with padding \(padding)", layer: node.name)
      }
      let rowsPerTask = part(of: output.shape.height, most: 16, unit: 1)
      step.work = .maximumPool(
        Plan.Step.Window(kernel: kernel, stride: stride, padding: padding), rowsPerTask: rowsPerTask)
      step.taskCount = batch * divided(output.shape.height, by: rowsPerTask)
    case .globalAveragePool:
      let channels = input.shape.channels
      let channelsPerTask = threads == 1 ? channels : divided(divided(channels, by: threads), by: 16) * 16
      step.work = .averagePool(channelsPerTask: channelsPerTask)
      step.taskCount = batch * divided(channels, by: channelsPerTask)
    case .copy, .add, .gate, .sigmoid, .softmax:
      let kind =
        switch node.kind {
        case .add: HG_ADD
        case .gate: HG_GATE
        case .sigmoid: HG_SIGMOID
        case .softmax: HG_SOFTMAX
        default: HG_COPY
        }
      return elementwise(
        kind, node: node, input: input, other: other, residual: residual, output: output, epilogue: epilogue)
    }
    return step
  }

  func elementwise(
    _ kind: Int, node: FusedGraph.Node, input: Location, other: Location?, residual: Location?, output: Location,
    epilogue: EpilogueValues
  ) -> Plan.Step {
    let rows = batch * output.shape.height * output.shape.width
    let rowsPerTask = part(of: rows, most: max(1, 64 * 1024 / max(output.shape.channels, 1)), unit: 1)
    return Plan.Step(
      name: node.name, pictures: batch, work: .elementwise(kind: kind, rowsPerTask: rowsPerTask), input: input,
      other: other,
      residual: residual, output: output, weights: nil, epilogue: epilogue, taskCount: divided(rows, by: rowsPerTask),
      multiplyAdds: 0, scratchCount: 0)
  }

  private func cutProduct(_ step: inout Plan.Step, rows: Int, inputFeatures: Int, columns: Int) {
    let panels = divided(columns, by: 16)
    // A block of weights and the rows of a task stay in the second cache; fewer, longer sums write the output less often.
    let most = 512
    let channelsPerBlock = divided(inputFeatures, by: divided(inputFeatures, by: most))
    var rowsPerTask = rows
    var panelsPerTask = panels
    let mostRows = max(cachedFloats / channelsPerBlock, blockRows)
    if columns > rows {
      // Few pixels: every thread streams its own share of the weights.
      rowsPerTask = part(of: rows, most: mostRows, unit: blockRows)
      if divided(rows, by: rowsPerTask) < threads || rows <= mostRows {
        rowsPerTask = min(rows, divided(divided(rows, by: divided(rows, by: mostRows)), by: blockRows) * blockRows)
        panelsPerTask = part(of: panels, most: threads == 1 ? panels : divided(panels, by: threads * 2), unit: 1)
      }
    } else {
      rowsPerTask = part(of: rows, most: mostRows, unit: blockRows)
    }
    step.work = .product(
      rows: rows, inputFeatures: inputFeatures, columns: columns, rowsPerTask: rowsPerTask,
      panelsPerTask: panelsPerTask,
      channelsPerBlock: channelsPerBlock)
    step.taskCount = divided(rows, by: rowsPerTask) * divided(panels, by: panelsPerTask)
  }

  /// Takes one level of Strassen's algorithm where the table of costs has it quicker and halves are whole.
  private func cutStrassen(_ step: inout Plan.Step, pixels: Int, inputFeatures: Int, columns: Int) -> Bool {
    guard pixels % 2 == 0, inputFeatures % 2 == 0, columns % 32 == 0,
      AlgorithmCosts(kernels: kernels).strassen.ratio(
        pixelCount: pixels, inputFeatures: inputFeatures, columnCount: columns) < AlgorithmCosts.Strassen.greatestRatio
    else { return false }
    let (pairs, halfChannels, halfPanels) = (pixels / 2, inputFeatures / 2, columns / 32)
    // Sums of activations stay in the second cache; fewer pairs would read the weights for too little work.
    let tasksPerImage = divided(pairs, by: 112)
    let channelsPerBlock = divided(halfChannels, by: divided(halfChannels, by: 384))
    let rowTasks = batch * tasksPerImage
    let columnTasks = rowTasks >= 8 * threads ? 1 : min(leastFactor(of: rowTasks, dividing: threads), halfPanels)
    let panelsPerTask = divided(halfPanels, by: columnTasks)
    step.work = .strassen(
      pixels: pixels, inputFeatures: inputFeatures, columns: columns, tasksPerImage: tasksPerImage,
      panelsPerTask: panelsPerTask, channelsPerBlock: channelsPerBlock)
    step.taskCount = rowTasks * divided(halfPanels, by: panelsPerTask)
    step.scratchCount = Int(hg_strassen_scratch(Int32(divided(pairs, by: tasksPerImage)), Int32(channelsPerBlock)))
    return true
  }

  /// The least factor that makes `count` a multiple of `divisor`.
  private func leastFactor(of count: Int, dividing divisor: Int) -> Int {
    var (a, b) = (count, divisor)
    while b != 0 { (a, b) = (b, a % b) }
    return divisor / a
  }

  private func cutWinograd(
    _ step: inout Plan.Step, _ window: Plan.Step.Window, _ convolution: Convolution, tile: Int
  ) {
    let tiles = batch * divided(step.output.shape.height, by: tile) * divided(step.output.shape.width, by: tile)
    let columns = divided(convolution.outputChannels, by: 16) * 16
    let floatsPerTile = (tile + 2) * (tile + 2) * (convolution.inputChannels + columns)
    let most = min(max(680 * 1024 / floatsPerTile, blockRows * 2), 256 / tile)
    let tilesPerTask = part(of: tiles, most: most, unit: 1)
    step.work = .winograd(window, tile: tile, columns: convolution.outputChannels, tilesPerTask: tilesPerTask)
    step.taskCount = divided(tiles, by: tilesPerTask)
    step.scratchCount = Int(
      hg_winograd_scratch(
        Int32(tile), Int32(convolution.inputChannels), Int32(convolution.outputChannels), Int32(tilesPerTask)))
  }
}
