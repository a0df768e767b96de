import CHGNetKernels
import HGNetCore

extension TrainingPlan {
  /// Appends the gradient of a convolution's weights; `unit.z` holds that of its result.
  mutating func addWeightGradient(_ unit: Unit, _ node: FusedGraph.Node, input: Location) throws(HGNetError) {
    let convolution = unit.convolution
    let target = try parameters.gradientAddress(convolution.weight, layer: node.name)
    let name = node.name + " weight gradient"
    if convolution.isDepthwise {
      addDepthwiseGradient(unit, name, input: input, target: target)
    } else if try convolution.algorithm(layer: node.name) == .winogradF4 {
      addWinogradGradient(unit, name, input: input, target: target)
    } else {
      addDenseGradient(unit, name, input: input, target: target)
    }
  }

  private mutating func addDepthwiseGradient(
    _ unit: Unit, _ name: String, input: Location, target: UnsafeMutablePointer<Float>
  ) {
    let (batch, training, z, convolution) = (batch, training, unit.z, unit.convolution)
    let (kernel, stride, padding) = (convolution.kernel, convolution.stride, convolution.padding)
    add(name, tasks: (convolution.outputChannels + 15) / 16, uses: [input.buffer, z.buffer]) { addresses, memory in
      memory.initializeMemory(
        as: hg_depthwise_gradient.self,
        to: hg_depthwise_gradient(
          input: addresses.pointer(input), input_stride: input.stride, batch: Int32(batch),
          height: Int32(input.shape.height), width: Int32(input.shape.width), channels: Int32(input.shape.channels),
          gradient: addresses.pointer(z), output_height: Int32(z.shape.height), output_width: Int32(z.shape.width),
          kernel_height: Int32(kernel.height), kernel_width: Int32(kernel.width),
          stride_height: Int32(stride.height), stride_width: Int32(stride.width), padding_top: Int32(padding.top),
          padding_left: Int32(padding.left), weight_gradient: target))
      return training.depthwise_gradient
    }
  }

  /// The parts of a product over pixels: blocks of rows and lanes whose sums stay in a second-level cache.
  private func blocks(rows: Int, lanes: Int, taps: Int) -> (rowsPerTask: Int, lanesPerTask: Int, count: Int) {
    let lanesPerTask = min(lanes, 256)
    let sumsLimit = 96 * 1024 / (taps * ((lanesPerTask + 15) / 16 * 16))
    let rowsPerTask = min(rows, max(8, min(128, sumsLimit) / 8 * 8))
    return (
      rowsPerTask, lanesPerTask,
      ((rows + rowsPerTask - 1) / rowsPerTask) * ((lanes + lanesPerTask - 1) / lanesPerTask)
    )
  }

  private mutating func addDenseGradient(
    _ unit: Unit, _ name: String, input: Location, target: UnsafeMutablePointer<Float>
  ) {
    let (batch, training, z, convolution) = (batch, training, unit.z, unit.convolution)
    let (kernel, stride, padding) = (convolution.kernel, convolution.stride, convolution.padding)
    let taps = kernel.height * kernel.width
    // Rows and lanes so that the sums of a single tap lie as the weights do: [out][in], of linear layers [in][out].
    // Where that would leave the lanes of a register block empty, the join turns the sums round instead.
    let isSwapped =
      taps == 1 && stride == Size(1) && padding == Padding(0) && !unit.isLinear
      && (convolution.inputChannels >= 48 || convolution.inputChannels >= convolution.outputChannels)
    let (rowSide, laneSide) = isSwapped ? (z, input) : (input, z)
    let (rows, lanes) =
      isSwapped
      ? (convolution.outputChannels, convolution.inputChannels)
      : (convolution.inputChannels, convolution.outputChannels)
    // With few channels or columns, whole rows of the window fill a register block.
    let isRun = taps > 1 && input.stride == rows && (rows < 8 || lanes < 48)
    let (rowsPerTask, lanesPerTask, blockCount) =
      isRun ? (rows, lanes, 1) : blocks(rows: rows, lanes: lanes, taps: taps)
    // The number of chunks comes from shapes alone: enough tasks for many threads, and short sums in float32.
    let wanted = max((16 + blockCount - 1) / blockCount, (unit.rows + 8191) / 8192)
    let pixelsPerChunk = max(128, ((unit.rows + wanted - 1) / wanted + 127) / 128 * 128)
    let chunks = (unit.rows + pixelsPerChunk - 1) / pixelsPerChunk
    // The sums of one chunk that lie as the weights do go straight to the gradient.
    let isDirect = chunks == 1 && taps == 1 && (isSwapped || unit.isLinear)
    zeroCount = max(zeroCount, rows * kernel.width + 16)
    let partial = isDirect ? nil : newBuffer(chunks * taps * rows * lanes)
    add(
      name, algorithm: "outer-product", multiplyAdds: multiplyAdds(of: convolution, rows: unit.rows),
      tasks: chunks * blockCount,
      scratch: Int(
        hg_weight_gradient_scratch(
          Int32(rowsPerTask), Int32(lanesPerTask), Int32(kernel.height), Int32(kernel.width), isRun ? 1 : 0)),
      uses: [input.buffer, z.buffer] + (partial.map { [$0] } ?? [])
    ) { addresses, memory in
      memory.initializeMemory(
        as: hg_weight_gradient.self,
        to: hg_weight_gradient(
          input: addresses.pointer(rowSide), input_stride: rowSide.stride, batch: Int32(batch),
          height: Int32(rowSide.shape.height), width: Int32(rowSide.shape.width), channels: Int32(rows),
          gradient: addresses.pointer(laneSide), gradient_stride: laneSide.stride,
          output_height: Int32(z.shape.height), output_width: Int32(z.shape.width),
          columns: Int32(lanes), kernel_height: Int32(kernel.height), kernel_width: Int32(kernel.width),
          stride_height: Int32(stride.height), stride_width: Int32(stride.width), padding_top: Int32(padding.top),
          padding_left: Int32(padding.left), partial: partial.map { addresses.pointer($0) } ?? target,
          pixels_per_chunk: Int32(pixelsPerChunk), chunks: Int32(chunks), channels_per_task: Int32(rowsPerTask),
          columns_per_task: Int32(lanesPerTask), is_run: isRun ? 1 : 0, is_added: isDirect ? 1 : 0,
          zeros: UnsafePointer(addresses.zeros)))
      return training.weight_gradient
    }
    guard let partial else { return }
    let isPlain = isSwapped || unit.isLinear
    add(name + " join", tasks: (rows + 15) / 16, uses: [partial]) { addresses, memory in
      memory.initializeMemory(
        as: hg_weight_gradient_join.self,
        to: hg_weight_gradient_join(
          partial: addresses.pointer(partial), chunks: Int32(chunks), taps: Int32(taps), channels: Int32(rows),
          columns: Int32(lanes), gradient: target, column_stride: Int64(isPlain ? 1 : rows * taps),
          channel_stride: Int64(isPlain ? lanes : taps)))
      return training.weight_gradient_join
    }
  }

  /// The transpose of Winograd F(4×4, 3×3): both sides as 36 points per tile, a product over tiles for each point, and
  /// the points back to nine taps.
  private mutating func addWinogradGradient(
    _ unit: Unit, _ name: String, input: Location, target: UnsafeMutablePointer<Float>
  ) {
    let (batch, training, z, convolution) = (batch, training, unit.z, unit.convolution)
    let (channels, columns) = (convolution.inputChannels, convolution.outputChannels)
    let (down, across) = ((z.shape.height + 3) / 4, (z.shape.width + 3) / 4)
    // Chunks of equal length, as for other layers; the last is filled up with zeros.
    let chunks = (batch * down * across + 8191) / 8192
    let tilesPerChunk = (batch * down * across + chunks - 1) / chunks
    let tiles = chunks * tilesPerChunk
    zeroCount = max(zeroCount, max(channels, columns) + 16)
    let sides = [(input, channels, convolution.padding, false), (z, columns, Padding(0), true)]
    let values = sides.map { newBuffer(36 * tiles * $0.1) }
    for ((side, channels, padding, isGradient), buffer) in zip(sides, values) {
      let tilesPerTask = max(1, min(64, 16 * 1024 / channels))
      add(
        name + (isGradient ? " tiles of the gradient" : " tiles of the input"),
        tasks: (tiles + tilesPerTask - 1) / tilesPerTask, uses: [side.buffer, buffer]
      ) { addresses, memory in
        memory.initializeMemory(
          as: hg_winograd_tiles.self,
          to: hg_winograd_tiles(
            input: addresses.pointer(side), stride: side.stride, batch: Int32(batch), height: Int32(side.shape.height),
            width: Int32(side.shape.width), channels: Int32(channels), down: Int32(down), across: Int32(across),
            padding_top: Int32(padding.top), padding_left: Int32(padding.left), is_gradient: isGradient ? 1 : 0,
            tiles: Int32(tiles), tiles_per_task: Int32(tilesPerTask), values: addresses.pointer(buffer),
            zeros: UnsafePointer(addresses.zeros)))
        return training.winograd_tiles
      }
    }
    let (channelsPerTask, columnsPerTask, blockCount) = blocks(rows: channels, lanes: columns, taps: 1)
    let partial = newBuffer(36 * chunks * channels * columns)
    add(
      name, algorithm: "winograd-f4", multiplyAdds: multiplyAdds(of: convolution, rows: unit.rows),
      tasks: 36 * chunks * blockCount,
      scratch: Int(hg_weight_gradient_scratch(Int32(channelsPerTask), Int32(columnsPerTask), 1, 1, 0)),
      uses: values + [partial]
    ) { addresses, memory in
      memory.initializeMemory(
        as: hg_weight_gradient.self,
        to: hg_weight_gradient(
          input: addresses.pointer(values[0]), input_stride: channels, batch: 36, height: 1, width: Int32(tiles),
          channels: Int32(channels), gradient: addresses.pointer(values[1]), gradient_stride: columns,
          output_height: 1, output_width: Int32(tiles), columns: Int32(columns), kernel_height: 1, kernel_width: 1,
          stride_height: 1, stride_width: 1, padding_top: 0, padding_left: 0, partial: addresses.pointer(partial),
          pixels_per_chunk: Int32(tilesPerChunk), chunks: Int32(36 * chunks),
          channels_per_task: Int32(channelsPerTask), columns_per_task: Int32(columnsPerTask), is_run: 0,
          is_added: 0, zeros: UnsafePointer(addresses.zeros)))
      return training.weight_gradient
    }
    add(name + " join", tasks: (channels + 15) / 16, uses: [partial]) { addresses, memory in
      memory.initializeMemory(
        as: hg_weight_gradient_join.self,
        to: hg_weight_gradient_join(
          partial: addresses.pointer(partial), chunks: Int32(chunks), taps: 9, channels: Int32(channels),
          columns: Int32(columns), gradient: target, column_stride: Int64(channels * 9), channel_stride: 9))
      return training.winograd_gradient_join
    }
  }
}
