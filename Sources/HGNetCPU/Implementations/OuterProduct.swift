import CHGNetKernels
import HGNetCore
import HGNetProgram

/// The gradient of dense weights as a sum over pixels of input × gradient, both of one type.
enum OuterProduct: WeightGradient {
  static let name = "outer-product"

  static func refusal(of unit: TrainingUnit) -> String? { nil }

  /// The parts of a product over pixels: blocks of rows and lanes whose sums stay in a second-level cache.
  struct Block: Hashable, Sendable {
    var rowsPerTask: Int
    var lanesPerTask: Int
    var count: Int

    init(rows: Int, lanes: Int, taps: Int) {
      lanesPerTask = min(lanes, 256)
      let sumsLimit = 96 * 1024 / (taps * lanesPerTask.roundedUp(to: 16))
      rowsPerTask = min(rows, max(8, min(128, sumsLimit) / 8 * 8))
      count = rows.divided(by: rowsPerTask) * lanes.divided(by: lanesPerTask)
    }

    /// One block of everything.
    init(allRows rows: Int, lanes: Int) { (rowsPerTask, lanesPerTask, count) = (rows, lanes, 1) }
  }

  static func addGradient(_ unit: TrainingUnit, _ name: String, input: Location, to plan: inout TrainingPlan) {
    let (z, convolution) = (unit.convolvedGradient, unit.convolution)
    let isHalf = z.element == .bfloat16
    let window = Window(convolution)
    let taps = window.kernel.height * window.kernel.width
    // Rows and lanes so that the sums of a single tap lie as the weights do: [out][in], of linear layers [in][out].
    // Where that would leave the lanes of a register block empty, the join turns the sums round instead.
    let isSwapped =
      taps == 1 && window.stride == Size(1) && window.padding == Padding(0) && !unit.isLinear
      && (convolution.inputChannels >= 48 || convolution.inputChannels >= convolution.outputChannels)
    let (rows, lanes) =
      isSwapped
      ? (convolution.outputChannels, convolution.inputChannels)
      : (convolution.inputChannels, convolution.outputChannels)
    // With few channels or columns, whole rows of the window fill a register block.
    let isRun = !isHalf && taps > 1 && input.stride == rows && (rows < 8 || lanes < 48)
    let block = isRun ? Block(allRows: rows, lanes: lanes) : Block(rows: rows, lanes: lanes, taps: taps)
    // The number of chunks comes from shapes alone: enough tasks for many threads, and short sums in float32.
    let wanted = max(16.divided(by: block.count), unit.rows.divided(by: 8192))
    let pixelsPerChunk = max(128, unit.rows.divided(by: wanted).roundedUp(to: 128))
    let chunks = unit.rows.divided(by: pixelsPerChunk)
    // The sums of one chunk that lie as the weights do go straight to the gradient.
    let isDirect = chunks == 1 && taps == 1 && (isSwapped || unit.isLinear)
    let partial = isDirect ? nil : plan.newBuffer(chunks * taps * rows * lanes)
    let work = OuterProductWork(
      rowSide: isSwapped ? z : input, laneSide: isSwapped ? input : z, batch: plan.batch, rows: rows, lanes: lanes,
      window: window, result: z.shape, partial: partial, weight: convolution.weight, pixelsPerChunk: pixelsPerChunk,
      chunks: chunks, block: block, isRun: isRun)
    let (rowsPerTask, lanesPerTask) = (Int32(block.rowsPerTask), Int32(block.lanesPerTask))
    let scratch =
      isHalf
      ? hg_bfloat16_weight_gradient_scratch(rowsPerTask, lanesPerTask, Int32(taps))
      : hg_weight_gradient_scratch(
        rowsPerTask, lanesPerTask, Int32(window.kernel.height), Int32(window.kernel.width), isRun ? 1 : 0)
    plan.add(
      name, work, multiplyAdds: plan.multiplyAdds(of: convolution, rows: unit.rows), tasks: chunks * block.count,
      scratch: Int(scratch), uses: [input.buffer, z.buffer] + [partial].compactMap { $0 })
    guard let partial else { return }
    let isPlain = isSwapped || unit.isLinear
    let join = JoinWork(
      partial: partial, chunks: chunks, taps: taps, channels: rows, columns: lanes, weight: convolution.weight,
      columnStride: isPlain ? 1 : rows * taps, channelStride: isPlain ? lanes : taps, isWinograd: false)
    plan.add(name + " join", join, tasks: rows.divided(by: 16), uses: [partial])
  }

  /// Adds the sums of chunks, in their order, to the gradient of a weight.
  struct JoinWork: Work {
    var partial: Int
    var chunks: Int
    var taps: Int
    var channels: Int
    var columns: Int
    var weight: String
    var columnStride: Int
    var channelStride: Int
    /// Whether the sums are the 36 points of Winograd's tiles.
    var isWinograd: Bool

    func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
      try descriptor.set(
        hg_weight_gradient_join(
          partial: addresses.floats(partial), chunks: Int32(chunks), taps: Int32(taps), channels: Int32(channels),
          columns: Int32(columns), gradient: addresses.gradientToWrite(weight), column_stride: Int64(columnStride),
          channel_stride: Int64(channelStride)))
      return isWinograd ? addresses.training.winograd_gradient_join : addresses.training.weight_gradient_join
    }
  }
}

private struct OuterProductWork: Work {
  /// The side whose channels are the rows of the sums, and the one whose channels are their lanes.
  var rowSide: Location
  var laneSide: Location
  var batch: Int
  var rows: Int
  var lanes: Int
  var window: Window
  var result: ActivationShape
  /// Where the sums of chunks go; nil: straight to the gradient.
  var partial: Int?
  var weight: String
  var pixelsPerChunk: Int
  var chunks: Int
  var block: OuterProduct.Block
  var isRun: Bool

  var algorithm: String { OuterProduct.name }
  var zeroCount: Int { rows * window.kernel.width + 16 }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    let target = if let partial { addresses.floats(partial) } else { try addresses.gradientToWrite(weight) }
    try descriptor.set(
      hg_weight_gradient(
        input: addresses.pointer(rowSide), input_stride: rowSide.stride, batch: Int32(batch),
        height: Int32(rowSide.shape.height), width: Int32(rowSide.shape.width), channels: Int32(rows),
        gradient: addresses.pointer(laneSide), gradient_stride: laneSide.stride,
        output_height: Int32(result.height), output_width: Int32(result.width), columns: Int32(lanes),
        kernel_height: Int32(window.kernel.height), kernel_width: Int32(window.kernel.width),
        stride_height: Int32(window.stride.height), stride_width: Int32(window.stride.width),
        padding_top: Int32(window.padding.top), padding_left: Int32(window.padding.left), partial: target,
        pixels_per_chunk: Int32(pixelsPerChunk), chunks: Int32(chunks), channels_per_task: Int32(block.rowsPerTask),
        columns_per_task: Int32(block.lanesPerTask), is_run: isRun ? 1 : 0, is_added: partial == nil ? 1 : 0,
        zeros: UnsafePointer(addresses.zeros)))
    return rowSide.element == .bfloat16
      ? addresses.bfloat16Training.weight_gradient : addresses.training.weight_gradient
  }
}
