import CHGNetKernels
import Testing

/// The kernels of the weight gradient, of every instruction set, against sums in Float64; scratch memory of exactly the
/// promised size, with a guard behind it.
@Suite struct WeightGradientTests {
  struct Shape: CustomTestStringConvertible, Sendable {
    var batch = 2, height = 7, width = 9, channels = 1, columns = 1, kernel = 1, stride = 1, padding = 0
    /// Floats between the channels of a pixel and the next pixel, of the input and of the gradient.
    var gap = 0, gradientGap = 0
    var isRun = false, isAdded = false
    var channelsPerTask = 128, columnsPerTask = 256, pixelsPerChunk = 1 << 20
    var outputHeight: Int { (height + 2 * padding - kernel) / stride + 1 }
    var outputWidth: Int { (width + 2 * padding - kernel) / stride + 1 }
    var pixels: Int { batch * outputHeight * outputWidth }
    var testDescription: String {
      "\(channels)->\(columns) k\(kernel) s\(stride)\(isRun ? " run" : "") blocks \(channelsPerTask)×\(columnsPerTask)"
    }
  }

  static let shapes = [
    Shape(channels: 13, columns: 21, gap: 3),
    Shape(channels: 100, columns: 70, isAdded: true),
    Shape(channels: 300, columns: 260, gap: 84, gradientGap: 5, pixelsPerChunk: 50),
    Shape(batch: 5, channels: 128, columns: 64, kernel: 3, stride: 2, padding: 1),
    Shape(channels: 16, columns: 64, kernel: 3, padding: 1, gap: 112),
    Shape(channels: 128, columns: 256, kernel: 3, padding: 1, channelsPerTask: 40),
    Shape(channels: 128, columns: 256, kernel: 3, padding: 1, channelsPerTask: 16),
    Shape(height: 9, channels: 3, columns: 16, kernel: 3, stride: 2, padding: 1, isRun: true, pixelsPerChunk: 128),
    Shape(batch: 9, channels: 16, columns: 8, kernel: 2, isRun: true, pixelsPerChunk: 256),
    Shape(channels: 32, columns: 17, kernel: 3, stride: 2, padding: 1, isRun: true),
    Shape(height: 1, width: 1, channels: 5, columns: 33, kernel: 3, padding: 1, isRun: true),
  ]

  static var implementations: [(name: String, kernels: hg_training_kernels)] {
    (0..<hg_kernels_count()).map {
      (String(cString: hg_kernels_at($0).pointee.name), hg_training_kernels_at($0).pointee)
    }
  }

  /// [taps][channels][columns].
  static func sums(_ shape: Shape, _ input: UnsafePointer<Float>, _ gradient: UnsafePointer<Float>) -> [Double] {
    let (taps, stride) = (shape.kernel * shape.kernel, shape.channels + shape.gap)
    var sums = [Double](repeating: 0, count: taps * shape.channels * shape.columns)
    for pixel in 0..<shape.pixels {
      let (x, y) = (pixel % shape.outputWidth, pixel / shape.outputWidth % shape.outputHeight)
      let image = pixel / shape.outputWidth / shape.outputHeight
      for tap in 0..<taps {
        let row = y * shape.stride - shape.padding + tap / shape.kernel
        let column = x * shape.stride - shape.padding + tap % shape.kernel
        guard (0..<shape.height).contains(row), (0..<shape.width).contains(column) else { continue }
        let from = input + ((image * shape.height + row) * shape.width + column) * stride
        let with = gradient + pixel * (shape.columns + shape.gradientGap)
        for c in 0..<shape.channels {
          let value = Double(from[c])
          for n in 0..<shape.columns { sums[(tap * shape.channels + c) * shape.columns + n] += value * Double(with[n]) }
        }
      }
    }
    return sums
  }

  static func expectClose(_ found: [Float], _ expected: [Double], _ tolerance: Double, _ label: String) {
    let largest = expected.reduce(0) { max($0, abs($1)) }
    var worst = 0.0
    for (found, expected) in zip(found, expected) {
      let difference = abs(Double(found) - expected)
      worst = max(worst, difference.isNaN ? .infinity : difference)
    }
    #expect(worst <= tolerance * largest, "\(label): off by \(worst) of \(largest)")
  }

  /// Runs tasks backwards, since their order must not matter, and expects that scratch is enough.
  static func run(_ task: hg_task, _ descriptor: UnsafeRawPointer, tasks: Int, scratch: Int, _ label: String) {
    let guardValue: Float = -777
    var space = [Float](repeating: .nan, count: scratch) + [Float](repeating: guardValue, count: 4096)
    for index in (0..<tasks).reversed() { task(descriptor, Int32(index), &space) }
    let isTouched = space[scratch...].contains { $0 != guardValue }
    #expect(!isTouched, "\(label): wrote behind its scratch memory")
  }

  @Test(arguments: shapes) func dense(_ shape: Shape) {
    var random = TestRandom(seed: 11)
    let memory = TestMemory()
    defer { memory.free() }
    let (stride, gradientStride) = (shape.channels + shape.gap, shape.columns + shape.gradientGap)
    // Kernels may read 16 floats behind either.
    let input = memory.keep(random.values(shape.batch * shape.height * shape.width * stride + 16))
    let gradient = memory.keep(random.values(shape.pixels * gradientStride + 16))
    let zeros = memory.keep([Float](repeating: 0, count: shape.channels * shape.kernel + 16))
    let (taps, chunks) = (
      shape.kernel * shape.kernel, (shape.pixels + shape.pixelsPerChunk - 1) / shape.pixelsPerChunk
    )
    let channelsPerTask = shape.isRun ? shape.channels : min(shape.channels, shape.channelsPerTask)
    let columnsPerTask = shape.isRun ? shape.columns : min(shape.columns, shape.columnsPerTask)
    let blocks =
      ((shape.channels + channelsPerTask - 1) / channelsPerTask)
      * ((shape.columns + columnsPerTask - 1) / columnsPerTask)
    let count = taps * shape.channels * shape.columns
    let start: Float = shape.isAdded ? 0.5 : .nan
    let expected = Self.sums(shape, input, gradient).map { $0 + (shape.isAdded ? 0.5 : 0) }
    for (name, kernels) in Self.implementations {
      var partial = [Float](repeating: start, count: chunks * count)
      partial.withUnsafeMutableBufferPointer { partial in
        guard let base = partial.baseAddress else { return }
        var descriptor = hg_weight_gradient(
          input: input, input_stride: stride, batch: Int32(shape.batch), height: Int32(shape.height),
          width: Int32(shape.width), channels: Int32(shape.channels), gradient: gradient,
          gradient_stride: gradientStride, output_height: Int32(shape.outputHeight),
          output_width: Int32(shape.outputWidth), columns: Int32(shape.columns), kernel_height: Int32(shape.kernel),
          kernel_width: Int32(shape.kernel), stride_height: Int32(shape.stride), stride_width: Int32(shape.stride),
          padding_top: Int32(shape.padding), padding_left: Int32(shape.padding), partial: base,
          pixels_per_chunk: Int32(shape.pixelsPerChunk), chunks: Int32(chunks),
          channels_per_task: Int32(channelsPerTask),
          columns_per_task: Int32(columnsPerTask), is_run: shape.isRun ? 1 : 0, is_added: shape.isAdded ? 1 : 0,
          zeros: zeros)
        let scratch = hg_weight_gradient_scratch(
          Int32(channelsPerTask), Int32(columnsPerTask), Int32(shape.kernel), Int32(shape.kernel), shape.isRun ? 1 : 0)
        Self.run(
          kernels.weight_gradient, &descriptor, tasks: chunks * blocks, scratch: Int(scratch), "\(name) \(shape)")
      }
      let found = (0..<count).map { index in (0..<chunks).reduce(0) { $0 + partial[$1 * count + index] } }
      Self.expectClose(found, expected, 1e-5, "\(name) \(shape.testDescription)")
    }
  }

  /// Tiles of both sides, a product for each of 36 points, and the join, against the nine taps summed directly.
  @Test(arguments: [(1, 1, 0), (4, 4, 1), (7, 9, 1), (13, 6, 0)]) func winograd(_ size: (Int, Int, Int)) {
    let (height, width, gap) = (size.0, size.1, size.2 * 16)
    let (channels, columns, batch, spare) = (32, 48, 2, 3)
    let shape = Shape(
      batch: batch, height: height, width: width, channels: channels, columns: columns, kernel: 3, padding: 1, gap: gap)
    var random = TestRandom(seed: 12)
    let memory = TestMemory()
    defer { memory.free() }
    let input = memory.keep(random.values(batch * height * width * (channels + gap) + 16))
    let gradient = memory.keep(random.values(shape.pixels * columns + 16))
    let zeros = memory.keep([Float](repeating: 0, count: columns + 16))
    let (down, across) = ((height + 3) / 4, (width + 3) / 4)
    let tiles = batch * down * across + spare
    let sums = Self.sums(shape, input, gradient)
    // The weights are [out][in][taps].
    let expected = (0..<columns * channels * 9).map {
      sums[($0 % 9 * channels + $0 / 9 % channels) * columns + $0 / 9 / channels]
    }
    for (name, kernels) in Self.implementations {
      let values = [channels, columns].map { memory.keep([Float](repeating: .nan, count: 36 * tiles * $0 + 16)) }
      let partial = memory.keep([Float](repeating: .nan, count: 36 * channels * columns))
      let result = memory.keep([Float](repeating: 1, count: 9 * channels * columns))
      for (index, side) in [UnsafePointer(input), UnsafePointer(gradient)].enumerated() {
        var descriptor = hg_winograd_tiles(
          input: side, stride: index == 0 ? channels + gap : columns, batch: Int32(batch), height: Int32(height),
          width: Int32(width), channels: Int32(index == 0 ? channels : columns), down: Int32(down),
          across: Int32(across), padding_top: index == 0 ? 1 : 0, padding_left: index == 0 ? 1 : 0,
          is_gradient: Int32(index), tiles: Int32(tiles), tiles_per_task: 3, is_bfloat16: 0, values: values[index],
          zeros: zeros)
        Self.run(kernels.winograd_tiles, &descriptor, tasks: (tiles + 2) / 3, scratch: 0, name)
      }
      var product = hg_weight_gradient(
        input: values[0], input_stride: channels, batch: 36, height: 1, width: Int32(tiles), channels: Int32(channels),
        gradient: values[1], gradient_stride: columns, output_height: 1, output_width: Int32(tiles),
        columns: Int32(columns), kernel_height: 1, kernel_width: 1, stride_height: 1, stride_width: 1, padding_top: 0,
        padding_left: 0, partial: partial, pixels_per_chunk: Int32(tiles), chunks: 36,
        channels_per_task: Int32(channels), columns_per_task: Int32(columns), is_run: 0, is_added: 0, zeros: zeros)
      let scratch = Int(hg_weight_gradient_scratch(Int32(channels), Int32(columns), 1, 1, 0))
      Self.run(kernels.weight_gradient, &product, tasks: 36, scratch: scratch, name)
      var join = hg_weight_gradient_join(
        partial: partial, chunks: 1, taps: 9, channels: Int32(channels), columns: Int32(columns), gradient: result,
        column_stride: Int64(channels * 9), channel_stride: 9)
      Self.run(kernels.winograd_gradient_join, &join, tasks: (channels + 15) / 16, scratch: 0, name)
      let found = (0..<9 * channels * columns).map { result[$0] - 1 }
      Self.expectClose(found, expected, 3e-5, "\(name) \(height)×\(width)")
    }
  }
}
