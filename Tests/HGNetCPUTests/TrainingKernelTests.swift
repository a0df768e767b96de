import CHGNetKernels
import HGNetCPU
import Testing

/// Every training kernel of every implementation against the scalar reference, over awkward shapes.
@Suite struct TrainingKernelTests {
  private func training(
    _ path: KeyPath<hg_training_kernels, hg_training_task>
  ) -> (Int32) -> KernelProblem<hg_pack>.Task {
    { hg_training_kernels_at($0).pointee[keyPath: path] }
  }

  @Test(
    arguments: [
      // columns, channels, taps, winograd tile
      [1, 1, 1, 0], [15, 7, 1, 0], [16, 8, 1, 0], [33, 12, 1, 0], [48, 64, 1, 0], [17, 5, 4, 0], [64, 67, 9, 0],
      [5, 3, 25, 0], [16, 16, 9, 4], [20, 48, 9, 4], [7, 1, 9, 2], [33, 16, 9, 2],
    ], [false, true]) func pack(_ shape: [Int], isFlipped: Bool)
  {
    var random = TestRandom(seed: 1)
    let memory = TestMemory()
    defer { memory.free() }
    let (columns, channels, taps, tile) = (shape[0], shape[1], shape[2], shape[3])
    let weight = memory.keep(random.values(columns * channels * taps))
    let panels = (columns + 15) / 16
    let points = tile == 0 ? taps : (tile + 2) * (tile + 2)
    for isExchanged in [false, true] {
      KernelProblem(
        label: "pack \(shape) flipped \(isFlipped) exchanged \(isExchanged)", tasks: panels,
        outputs: [[Float](repeating: .nan, count: panels * points * channels * 16)]
      ) { outputs, _ in
        hg_pack(
          weight: weight, column_stride: Int64(isExchanged ? taps : channels * taps),
          channel_stride: Int64(isExchanged ? columns * taps : taps), columns: Int32(columns),
          channels: Int32(channels), taps: Int32(taps), is_flipped: isFlipped ? 1 : 0, winograd_tile: Int32(tile),
          packed: outputs[0])
      }.check(training(\.pack))
    }
  }

  @Test(arguments: [[1, 1], [7, 9], [16, 25], [33, 9], [100, 4]]) func packChannels(_ shape: [Int]) {
    var random = TestRandom(seed: 2)
    let memory = TestMemory()
    defer { memory.free() }
    let (channels, taps) = (shape[0], shape[1])
    let weight = memory.keep(random.values(channels * taps))
    for isFlipped in [false, true] {
      KernelProblem(
        label: "pack_channels \(shape) flipped \(isFlipped)", tasks: 1,
        outputs: [[Float](repeating: .nan, count: (channels + 15) / 16 * 16 * taps)]
      ) { outputs, _ in
        hg_pack_channels(
          weight: weight, channels: Int32(channels), taps: Int32(taps), is_flipped: isFlipped ? 1 : 0,
          packed: outputs[0])
      }.check(training(\.pack_channels))
    }
  }

  /// What follows a convolution: normalised or not, with the statistics of the batch, of all processes or the running
  /// ones, rectified or not, with or without affine block and residual.
  struct Unit: Sendable, CustomTestStringConvertible {
    var rows = 1, channels = 1, rowsPerChunk = 1, rowsPerTask = 1
    var isNormalized = true, isFixed = false, isRectified = true, isAffine = false, hasResidual = false
    var hasTotal = false
    var testDescription: String {
      "\(rows)×\(channels), \(rowsPerChunk) rows a chunk, \(rowsPerTask) a task\(isNormalized ? ", normalised" : "")"
        + (isFixed ? ", fixed" : "") + (isRectified ? ", ReLU" : "") + (isAffine ? ", affine" : "")
        + (hasResidual ? ", residual" : "") + (hasTotal ? ", total" : "")
    }
  }

  static let units = [
    Unit(), Unit(rows: 5, channels: 3, rowsPerChunk: 2, rowsPerTask: 2, isRectified: false),
    Unit(rows: 33, channels: 16, rowsPerChunk: 40, rowsPerTask: 7, isAffine: true),
    Unit(rows: 100, channels: 67, rowsPerChunk: 33, rowsPerTask: 100, isAffine: true, hasResidual: true),
    Unit(rows: 49, channels: 130, rowsPerChunk: 16, rowsPerTask: 5, isRectified: false, hasResidual: true),
    Unit(rows: 20, channels: 31, rowsPerChunk: 20, rowsPerTask: 3, isFixed: true, isAffine: true),
    Unit(rows: 20, channels: 17, rowsPerChunk: 6, rowsPerTask: 20, isNormalized: false, hasResidual: true),
    Unit(rows: 18, channels: 40, rowsPerChunk: 9, rowsPerTask: 4, isAffine: true, hasTotal: true),
  ]

  @Test(arguments: units) func unit(_ unit: Unit) {
    var random = TestRandom(seed: 3)
    let memory = TestMemory()
    defer { memory.free() }
    let padded = (unit.channels + 15) / 16 * 16
    let chunks = (unit.rows + unit.rowsPerChunk - 1) / unit.rowsPerChunk
    let outputStride = unit.channels + 3
    func channels(_ value: () -> Float) -> [Float] { rows(1, unit.channels, stride: padded, value) }
    let gamma = memory.keep(random.values(unit.channels))
    let bias = memory.keep(random.values(unit.channels))
    let scale = memory.keep([-0.8])
    let shift = memory.keep([0.4])
    let residual = memory.keep(random.values(unit.rows * (unit.channels + 1)))
    // Sums of all processes: as if there were twice as many rows, of mean 0.1 and variance 1.
    let count = Double(2 * unit.rows)
    var total = [Double](repeating: 0, count: 2 * padded + 1)
    for channel in 0..<unit.channels { (total[channel], total[padded + channel]) = (0.1 * count, 1.01 * count) }
    total[2 * padded] = count
    let totals = UnsafeMutablePointer<Double>.allocate(capacity: total.count)
    totals.initialize(from: total, count: total.count)
    defer { totals.deallocate() }
    // z, k, o, mean, deviation, alpha, beta, running mean, running variance, gradients of gamma, bias, scale, shift, output
    var state: [[Float]] = [random.values(unit.rows * unit.channels)]
    for _ in 0..<6 { state.append(channels { 0 }.map { $0 == KernelProblem<hg_unit>.gap ? 0 : $0 }) }
    state.append(random.values(unit.channels))
    state.append((0..<unit.channels).map { _ in 0.5 + random.uniform() })
    state += [random.values(unit.channels), random.values(unit.channels), [0.25], [-0.5]]
    state.append(rows(unit.rows, unit.channels, stride: outputStride) { random.normal() })
    var sums = [Double](repeating: 0, count: chunks * 4 * padded)

    func step(_ name: String, _ path: KeyPath<hg_training_kernels, hg_training_task>, tasks: Int) {
      let problem = KernelProblem(
        label: "\(name) \(unit.testDescription)", tasks: tasks, outputs: state, sums: sums
      ) { (at: [UnsafeMutablePointer<Float>], sums: UnsafeMutablePointer<Double>) in
        hg_unit(
          z: at[0], rows: Int64(unit.rows), channels: Int32(unit.channels), is_normalized: unit.isNormalized ? 1 : 0,
          is_fixed: unit.isFixed ? 1 : 0, is_rectified: unit.isRectified ? 1 : 0,
          rows_per_chunk: Int32(unit.rowsPerChunk), sums: sums, total: unit.hasTotal ? UnsafePointer(totals) : nil,
          k: at[1], o: at[2], mean: at[3], deviation: at[4], alpha: at[5], beta: at[6], epsilon: 1e-5, momentum: 0.9,
          gamma: unit.isNormalized ? UnsafePointer(gamma) : nil, bias: bias,
          running_mean: at[7], running_variance: at[8], scale: unit.isAffine ? UnsafePointer(scale) : nil,
          shift: unit.isAffine ? UnsafePointer(shift) : nil, gamma_gradient: at[9], bias_gradient: at[10],
          scale_gradient: at[11], shift_gradient: at[12], output: at[13], output_stride: outputStride,
          residual: unit.hasResidual ? UnsafePointer(residual) : nil, residual_stride: unit.channels + 1,
          rows_per_task: Int32(unit.rowsPerTask))
      }
      (state, sums) = problem.check(training(path))
    }
    let tasks = (unit.rows + unit.rowsPerTask - 1) / unit.rowsPerTask
    step("sums", \.sums, tasks: chunks)
    step("statistics", \.statistics, tasks: 1)
    step("apply", \.apply, tasks: tasks)
    state[13] = rows(unit.rows, unit.channels, stride: outputStride) { random.normal() }
    step("gradient_sums", \.gradient_sums, tasks: chunks)
    step("gradient_finish", \.gradient_finish, tasks: 1)
    step("gradient_apply", \.gradient_apply, tasks: tasks)
  }

  @Test(
    arguments: [
      // chunks, taps, channels, columns; linear weights have their columns side by side
      [1, 1, 1, 1], [3, 1, 17, 33], [2, 9, 16, 16], [5, 4, 35, 7], [1, 25, 3, 40],
    ], [false, true]) func weightGradientJoin(_ shape: [Int], isLinear: Bool)
  {
    var random = TestRandom(seed: 4)
    let memory = TestMemory()
    defer { memory.free() }
    let (chunks, taps, channels, columns) = (shape[0], shape[1], shape[2], shape[3])
    guard !isLinear || taps == 1 else { return }
    let partial = memory.keep(random.values(chunks * taps * channels * columns))
    KernelProblem(
      label: "weight_gradient_join \(shape) linear \(isLinear)", tasks: (channels + 15) / 16,
      outputs: [random.values(taps * channels * columns)]
    ) { outputs, _ in
      hg_weight_gradient_join(
        partial: partial, chunks: Int32(chunks), taps: Int32(taps), channels: Int32(channels), columns: Int32(columns),
        gradient: outputs[0], column_stride: Int64(isLinear ? 1 : channels * taps),
        channel_stride: Int64(isLinear ? columns : taps))
    }.check(training(\.weight_gradient_join))
  }

  @Test(
    arguments: [
      // batch, height, width, channels, gap, spare tiles
      [1, 1, 1, 16, 0, 0], [2, 7, 9, 32, 16, 3], [1, 8, 4, 48, 0, 1], [3, 13, 6, 16, 4, 0],
    ], [false, true]) func winogradTiles(_ shape: [Int], isGradient: Bool)
  {
    var random = TestRandom(seed: 5)
    let memory = TestMemory()
    defer { memory.free() }
    let (batch, height, width, channels, gap) = (shape[0], shape[1], shape[2], shape[3], shape[4])
    let (down, across) = ((height + 3) / 4, (width + 3) / 4)
    let tiles = batch * down * across + shape[5]
    let input = memory.keep(random.values(batch * height * width * (channels + gap) + 16))
    let zeros = memory.keep([Float](repeating: 0, count: channels + 16))
    KernelProblem(
      label: "winograd_tiles \(shape) gradient \(isGradient)", tasks: (tiles + 1) / 2,
      outputs: [[Float](repeating: .nan, count: 36 * tiles * channels)]
    ) { outputs, _ in
      hg_winograd_tiles(
        input: input, stride: channels + gap, batch: Int32(batch), height: Int32(height), width: Int32(width),
        channels: Int32(channels), down: Int32(down), across: Int32(across), padding_top: isGradient ? 0 : 1,
        padding_left: isGradient ? 0 : 1, is_gradient: isGradient ? 1 : 0, tiles: Int32(tiles), tiles_per_task: 2,
        is_bfloat16: 0,
        values: outputs[0], zeros: zeros)
    }.check(training(\.winograd_tiles))
  }

  @Test(arguments: [[1, 16, 16], [3, 32, 48], [2, 48, 16]]) func winogradGradientJoin(_ shape: [Int]) {
    var random = TestRandom(seed: 6)
    let memory = TestMemory()
    defer { memory.free() }
    let (chunks, channels, columns) = (shape[0], shape[1], shape[2])
    let partial = memory.keep(random.values(36 * chunks * channels * columns))
    KernelProblem(
      label: "winograd_gradient_join \(shape)", tasks: channels / 16, outputs: [random.values(9 * channels * columns)]
    ) { outputs, _ in
      hg_weight_gradient_join(
        partial: partial, chunks: Int32(chunks), taps: 9, channels: Int32(channels), columns: Int32(columns),
        gradient: outputs[0], column_stride: Int64(channels * 9), channel_stride: 9)
    }.check(training(\.winograd_gradient_join))
  }

  @Test(arguments: KernelTests.geometries) func depthwiseGradient(_ geometry: KernelTests.Geometry) {
    var random = TestRandom(seed: 7)
    let memory = TestMemory()
    defer { memory.free() }
    let stride = geometry.channels + geometry.gap
    let pixels = geometry.batch * geometry.outputHeight * geometry.outputWidth
    let input = memory.keep(random.values(geometry.batch * geometry.height * geometry.width * stride))
    let gradient = memory.keep(random.values(pixels * geometry.channels))
    KernelProblem(
      label: "depthwise_gradient \(geometry.testDescription)", tasks: (geometry.channels + 15) / 16,
      outputs: [random.values(geometry.channels * geometry.kernel * geometry.kernel)]
    ) { outputs, _ in
      hg_depthwise_gradient(
        input: input, input_stride: stride, batch: Int32(geometry.batch), height: Int32(geometry.height),
        width: Int32(geometry.width), channels: Int32(geometry.channels), gradient: gradient,
        output_height: Int32(geometry.outputHeight), output_width: Int32(geometry.outputWidth),
        kernel_height: Int32(geometry.kernel), kernel_width: Int32(geometry.kernel),
        stride_height: Int32(geometry.stride), stride_width: Int32(geometry.stride), padding_top: Int32(geometry.top),
        padding_left: Int32(geometry.left), weight_gradient: outputs[0])
    }.check(training(\.depthwise_gradient))
  }

  /// Values are multiples of one half, so that many windows hold their maximum twice.
  @Test(arguments: KernelTests.geometries) func maximumPoolGradient(_ geometry: KernelTests.Geometry) {
    var random = TestRandom(seed: 8)
    let memory = TestMemory()
    defer { memory.free() }
    let (stride, gradientStride) = (geometry.channels + geometry.gap, geometry.channels + 1)
    let size = geometry.batch * geometry.height * geometry.width
    let pixels = geometry.batch * geometry.outputHeight * geometry.outputWidth
    let input = memory.keep(random.values(size * stride).map { ($0 * 2).rounded() / 2 })
    let gradient = memory.keep(random.values(pixels * gradientStride))
    KernelProblem(
      label: "maximum_pool_gradient \(geometry.testDescription)",
      tasks: geometry.batch * ((geometry.channels + 15) / 16),
      outputs: [rows(size, geometry.channels, stride: geometry.channels + 2) { random.normal() }]
    ) { outputs, _ in
      hg_maximum_pool_gradient(
        input: input, input_stride: stride, batch: Int32(geometry.batch), height: Int32(geometry.height),
        width: Int32(geometry.width), channels: Int32(geometry.channels), gradient: gradient,
        gradient_stride: gradientStride, output_height: Int32(geometry.outputHeight),
        output_width: Int32(geometry.outputWidth), kernel_height: Int32(geometry.kernel),
        kernel_width: Int32(geometry.kernel), stride_height: Int32(geometry.stride),
        stride_width: Int32(geometry.stride), padding_top: Int32(geometry.top), padding_left: Int32(geometry.left),
        input_gradient: outputs[0], input_gradient_stride: geometry.channels + 2)
    }.check(training(\.maximum_pool_gradient))
  }

  @Test(arguments: [
    // batch, height, width, channels, stride of rows, stride of columns
    [1, 1, 1, 1, 2, 2], [2, 3, 5, 7, 2, 2], [1, 4, 3, 16, 1, 3], [2, 2, 2, 33, 3, 1],
  ]) func dilate(_ shape: [Int]) {
    var random = TestRandom(seed: 9)
    let memory = TestMemory()
    defer { memory.free() }
    let (height, width) = ((shape[1] - 1) * shape[4] + 1, (shape[2] - 1) * shape[5] + 1)
    let input = memory.keep(random.values(shape[0] * shape[1] * shape[2] * shape[3]))
    KernelProblem(
      label: "dilate \(shape)", tasks: shape[0] * height,
      outputs: [[Float](repeating: .nan, count: shape[0] * height * width * shape[3])], tolerance: 0
    ) { outputs, _ in
      hg_dilate(
        input: input, batch: Int32(shape[0]), height: Int32(shape[1]), width: Int32(shape[2]),
        channels: Int32(shape[3]), stride_height: Int32(shape[4]), stride_width: Int32(shape[5]), output: outputs[0])
    }.check(training(\.dilate))
  }

  @Test(
    arguments: [
      HG_GRADIENT_ZERO, HG_GRADIENT_ADD, HG_GRADIENT_MEAN, HG_GRADIENT_GATED, HG_GRADIENT_MASK,
      HG_GRADIENT_POINTWISE + HG_FUNCTION_SIGMOID,
    ], [[1, 1, 1, 1], [2, 9, 5, 4], [3, 4, 16, 5], [1, 50, 67, 50]])
  func elementwiseGradient(kind: Int, shape: [Int]) {
    var random = TestRandom(seed: 10)
    let memory = TestMemory()
    defer { memory.free() }
    let (images, pixels, channels, rowsPerTask) = (shape[0], shape[1], shape[2], shape[3])
    let count = images * pixels
    let gradient = memory.keep(random.values(count * (channels + 1)))
    let factor = memory.keep(random.values(count * (channels + 4)))
    let hasGradient = kind != HG_GRADIENT_ZERO && kind != HG_GRADIENT_MASK
    let hasFactor = kind >= HG_GRADIENT_GATED
    KernelProblem(
      label: "elementwise_gradient kind \(kind) \(shape)", tasks: (count + rowsPerTask - 1) / rowsPerTask,
      outputs: [rows(count, channels, stride: channels + 2) { random.normal() }]
    ) { outputs, _ in
      hg_elementwise_gradient(
        kind: Int32(kind), rows: Int64(count), rows_per_image: Int64(pixels), channels: Int32(channels),
        target: outputs[0], target_stride: channels + 2, gradient: hasGradient ? UnsafePointer(gradient) : nil,
        gradient_stride: channels + 1, factor: hasFactor ? UnsafePointer(factor) : nil, factor_stride: channels + 4,
        rows_per_task: Int32(rowsPerTask))
    }.check(training(\.elementwise_gradient))
  }

  @Test(arguments: [[1, 1, 1], [2, 9, 5], [3, 4, 16], [1, 50, 67]]) func gateGradient(_ shape: [Int]) {
    var random = TestRandom(seed: 11)
    let memory = TestMemory()
    defer { memory.free() }
    let (images, pixels, channels) = (shape[0], shape[1], shape[2])
    let input = memory.keep(random.values(images * pixels * (channels + 3)))
    let gradient = memory.keep(random.values(images * pixels * (channels + 1)))
    KernelProblem(
      label: "gate_gradient \(shape)", tasks: images,
      outputs: [rows(images, channels, stride: channels + 2) { random.normal() }]
    ) { outputs, _ in
      hg_gate_gradient(
        input: input, input_stride: channels + 3, gradient: gradient, gradient_stride: channels + 1,
        batch: Int32(images), pixels: Int32(pixels), channels: Int32(channels), target: outputs[0],
        target_stride: channels + 2)
    }.check(training(\.gate_gradient))
  }
}
