import CHGNetKernels
import Testing

/// Every kernel of mixed-precision training of every instruction set against its definition, over awkward shapes.
@Suite("Kernels of mixed-precision training") struct MixedTrainingKernelTests {
  private static func normal(_ seed: UInt64) -> () -> Float {
    var random = TestRandom(seed: seed)
    return { random.normal() }
  }

  @Test(
    arguments: [
      // columns, channels, taps, whether the weights are linear ones
      [1, 2, 1, 0], [16, 48, 1, 0], [33, 66, 1, 0], [33, 70, 1, 1], [48, 136, 1, 0], [64, 64, 1, 1], [17, 130, 9, 0],
      [48, 4, 25, 0],
    ], [false, true])
  func pack(_ shape: [Int], isFlipped: Bool) {
    let (columns, channels, taps, isLinear) = (shape[0], shape[1], shape[2], shape[3] == 1)
    let panels = (columns + 15) / 16
    MixedKernelProblem(
      label: "pack \(shape) flipped \(isFlipped)", tasks: panels,
      arrays: [
        .rows(.float, 1, columns * channels * taps, Self.normal(1)),
        .rows(.half, 1, panels * 16 * channels * taps) { -777 },
      ]
    ) { at in
      hg_pack(
        weight: at[0].floats, column_stride: Int64(isLinear ? 1 : channels * taps),
        channel_stride: Int64(isLinear ? columns : taps), columns: Int32(columns), channels: Int32(channels),
        taps: Int32(taps), is_flipped: isFlipped ? 1 : 0, winograd_tile: 0, packed: at[1].floats)
    }.check(\.pack)
  }

  @Test(arguments: [[16, 16], [33, 32], [48, 18]], [false, true]) func winogradPack(_ shape: [Int], isFlipped: Bool) {
    let (columns, channels) = (shape[0], shape[1])
    let panels = (columns + 15) / 16
    MixedKernelProblem(
      label: "winograd_pack \(shape) flipped \(isFlipped)", tasks: panels,
      arrays: [
        .rows(.float, 1, columns * channels * 9, Self.normal(1)),
        .rows(.half, 1, 16 * panels * 16 * channels) { -777 },
      ]
    ) { at in
      hg_pack(
        weight: at[0].floats, column_stride: Int64(channels * 9), channel_stride: 9, columns: Int32(columns),
        channels: Int32(channels), taps: 9, is_flipped: isFlipped ? 1 : 0, winograd_tile: 0, packed: at[1].floats)
    }.check(\.winograd_pack)
  }

  @Test(
    arguments: [
      // batch, height, width, channels, gap, columns, tiles of a task, whether there is a residual
      [1, 1, 1, 16, 0, 16, 1, 0], [2, 7, 9, 32, 16, 48, 5, 1], [1, 8, 4, 48, 0, 20, 64, 0], [3, 5, 6, 16, 4, 64, 7, 1],
    ], [MixedArray.Kind.half, .float])
  func winograd(_ shape: [Int], output: MixedArray.Kind) {
    let hasResidual = shape[7] == 1
    let (batch, height, width, channels, gap) = (shape[0], shape[1], shape[2], shape[3], shape[4])
    let (columns, tilesPerTask, pixels) = (shape[5], shape[6], shape[0] * shape[1] * shape[2])
    let panels = (columns + 15) / 16
    let tiles = batch * ((height + 1) / 2) * ((width + 1) / 2)
    MixedKernelProblem(
      label: "winograd \(shape) \(output) residual \(hasResidual)", tasks: (tiles + tilesPerTask - 1) / tilesPerTask,
      arrays: [
        .rows(.half, pixels, channels, gap: gap, Self.normal(20)),
        .rows(.half, 16 * panels * channels, 16, Self.normal(21)),
        .rows(.float, 1, panels * 16, Self.normal(22)), .rows(.half, 1, channels) { 0 },
        .rows(.half, pixels, columns, gap: 1, Self.normal(23)), .rows(output, pixels, columns, gap: 3) { 9 },
      ], scratch: Int(hg_bfloat16_winograd_scratch(Int64(channels), Int64(columns), Int64(tilesPerTask))),
      // What is next to a tie is rounded to either of two halves before the sums.
      tolerance: 2e-3
    ) { at in
      let halves = at.map { $0.assumingMemoryBound(to: UInt16.self) }
      return hg_bfloat16_winograd(
        window: hg_bfloat16_geometry(
          input: at[0], input_stride: channels + gap, is_float_input: 0, batch: Int32(batch), height: Int32(height),
          width: Int32(width), channels: Int32(channels), output: at[5], output_stride: columns + 3,
          is_float_output: output == .float ? 1 : 0, output_height: Int32(height), output_width: Int32(width),
          kernel_height: 3, kernel_width: 3, stride_height: 1, stride_width: 1, padding_top: 1, padding_left: 1),
        columns: Int32(columns), weights: halves[1], bias: at[2].floats, zeros: halves[3],
        epilogue: hg_bfloat16_epilogue(
          lower: -0.5, scale: 1.25, shift: -0.5, residual: hasResidual ? UnsafePointer(halves[4]) : nil,
          residual_stride: columns + 1), tiles_per_task: Int32(tilesPerTask))
    }.check(\.winograd)
  }

  struct Unit: CustomTestStringConvertible, Sendable {
    var rows = 1, channels = 1, rowsPerChunk = 1, rowsPerTask = 1
    var isRectified = true, isAffine = false
    /// The types of z, of the output and of the residual; nil without one.
    var z = MixedArray.Kind.half, output = MixedArray.Kind.half, residual: MixedArray.Kind?
    /// Whether the gradient of z is in bfloat16 where z is not.
    var narrows = true
    var testDescription: String {
      "\(rows)×\(channels) z \(z) output \(output) residual \(residual.map { "\($0)" } ?? "none") narrows \(narrows)"
    }
  }

  static let units = [
    Unit(), Unit(rows: 5, channels: 3, rowsPerChunk: 2, rowsPerTask: 2, isRectified: false, z: .float),
    Unit(rows: 33, channels: 16, rowsPerChunk: 40, rowsPerTask: 7, isAffine: true, residual: .half),
    Unit(rows: 100, channels: 67, rowsPerChunk: 33, rowsPerTask: 100, isAffine: true, z: .float, residual: .half),
    Unit(
      rows: 49, channels: 130, rowsPerChunk: 16, rowsPerTask: 5, isRectified: false, output: .float, residual: .float),
    Unit(rows: 20, channels: 31, rowsPerChunk: 20, rowsPerTask: 3, z: .float, narrows: false),
    Unit(rows: 20, channels: 80, rowsPerChunk: 6, rowsPerTask: 20, z: .float, output: .float),
  ]

  /// z, output, residual, sums, and four values for each channel: k, o, alpha and beta, mean.
  private func problem(
    _ name: String, _ unit: Unit, tasks: Int, readAs: [Int: MixedArray.Kind] = [:]
  ) -> MixedKernelProblem<hg_bfloat16_unit> {
    let padded = (unit.channels + 15) / 16 * 16
    let chunks = (unit.rows + unit.rowsPerChunk - 1) / unit.rowsPerChunk
    let (isHalfGradient, residual) = (unit.z == .half || unit.narrows, unit.residual)
    return MixedKernelProblem(
      label: "\(name) \(unit.testDescription)", tasks: tasks,
      arrays: [
        .rows(unit.z, unit.rows, unit.channels, Self.normal(1)),
        .rows(unit.output, unit.rows, unit.channels, gap: 3, Self.normal(2)),
        .rows(residual ?? .half, unit.rows, unit.channels, gap: 1, Self.normal(3)),
        .rows(.double, chunks, 4 * padded) { 0 },
        .rows(.float, 5, padded, Self.normal(4)), .rows(.float, 1, 2) { -0.75 },
      ], readAs: readAs
    ) { at in
      let channel = { (number: Int) in at[4].floats + number * padded }
      let plain = hg_unit(
        z: at[0].floats, rows: Int64(unit.rows), channels: Int32(unit.channels), is_normalized: 1, is_fixed: 0,
        is_rectified: unit.isRectified ? 1 : 0, rows_per_chunk: Int32(unit.rowsPerChunk), sums: at[3].doubles,
        total: nil,
        k: channel(0), o: channel(1), mean: channel(4), deviation: channel(4), alpha: channel(2), beta: channel(3),
        epsilon: 1e-5, momentum: 0.9, gamma: nil, bias: nil, running_mean: nil, running_variance: nil,
        scale: unit.isAffine ? UnsafePointer(at[5].floats) : nil,
        shift: unit.isAffine ? UnsafePointer(at[5].floats + 1) : nil, gamma_gradient: nil, bias_gradient: nil,
        scale_gradient: nil, shift_gradient: nil, output: at[1].floats, output_stride: unit.channels + 3,
        residual: residual == nil ? nil : UnsafePointer(at[2].floats), residual_stride: unit.channels + 1,
        rows_per_task: Int32(unit.rowsPerTask))
      return hg_bfloat16_unit(
        unit: plain, is_half_z: unit.z == .half ? 1 : 0, is_half_output: unit.output == .half ? 1 : 0,
        is_half_residual: residual == .half ? 1 : 0, is_half_gradient: isHalfGradient ? 1 : 0)
    }
  }

  @Test(arguments: units) func unit(_ unit: Unit) {
    let chunks = (unit.rows + unit.rowsPerChunk - 1) / unit.rowsPerChunk
    let tasks = (unit.rows + unit.rowsPerTask - 1) / unit.rowsPerTask
    if unit.z == .half { problem("sums", unit, tasks: chunks).check(\.sums) }
    problem("apply", unit, tasks: tasks).check(\.apply)
    problem("gradient_sums", unit, tasks: chunks).check(\.gradient_sums)
    // A row in bfloat16 takes the first half of one in float32; what is behind it is of no meaning.
    let isNarrowed = unit.z == .float && unit.narrows
    var gradient = problem("gradient_apply", unit, tasks: tasks)
    guard isNarrowed else {
      gradient.check(\.gradient_apply)
      return
    }
    gradient.readAs[0] = .half
    let plain = { () -> [[Double]] in
      var whole = unit
      whole.narrows = false
      return problem("gradient_apply", whole, tasks: tasks).check(\.gradient_apply)
    }()
    for kernels in MixedKernelProblem<hg_bfloat16_unit>.implementations {
      let found = gradient.run(kernels, \.gradient_apply)[0]
      for row in 0..<unit.rows {
        for c in 0..<unit.channels {
          let (one, other) = (found[row * 2 * unit.channels + c], plain[0][row * unit.channels + c])
          #expect(abs(one - other) <= abs(other) / 128 + 1e-5, "\(unit.testDescription): row \(row), channel \(c)")
        }
      }
    }
  }

  @Test(arguments: WeightGradientTests.shapes) func weightGradient(_ shape: WeightGradientTests.Shape) {
    let taps = shape.kernel * shape.kernel
    let chunks = (shape.pixels + shape.pixelsPerChunk - 1) / shape.pixelsPerChunk
    let (channelsPerTask, columnsPerTask) = (
      min(shape.channels, shape.channelsPerTask), min(shape.columns, shape.columnsPerTask)
    )
    let blocks =
      ((shape.channels + channelsPerTask - 1) / channelsPerTask)
      * ((shape.columns + columnsPerTask - 1) / columnsPerTask)
    MixedKernelProblem(
      label: "weight_gradient \(shape.testDescription)", tasks: chunks * blocks,
      arrays: [
        .rows(.half, shape.batch * shape.height * shape.width, shape.channels, gap: shape.gap, Self.normal(5)),
        .rows(.half, shape.pixels, shape.columns, gap: shape.gradientGap, Self.normal(6)),
        .rows(.float, chunks * taps * shape.channels, shape.columns) { 0.5 },
        .rows(.half, 1, max(shape.channels, 16)) { 0 },
      ],
      scratch: Int(hg_bfloat16_weight_gradient_scratch(Int32(channelsPerTask), Int32(columnsPerTask), Int32(taps)))
    ) { at in
      hg_weight_gradient(
        input: at[0].floats, input_stride: shape.channels + shape.gap, batch: Int32(shape.batch),
        height: Int32(shape.height), width: Int32(shape.width), channels: Int32(shape.channels), gradient: at[1].floats,
        gradient_stride: shape.columns + shape.gradientGap, output_height: Int32(shape.outputHeight),
        output_width: Int32(shape.outputWidth), columns: Int32(shape.columns), kernel_height: Int32(shape.kernel),
        kernel_width: Int32(shape.kernel), stride_height: Int32(shape.stride), stride_width: Int32(shape.stride),
        padding_top: Int32(shape.padding), padding_left: Int32(shape.padding), partial: at[2].floats,
        pixels_per_chunk: Int32(shape.pixelsPerChunk), chunks: Int32(chunks), channels_per_task: Int32(channelsPerTask),
        columns_per_task: Int32(columnsPerTask), is_run: 0, is_added: shape.isAdded ? 1 : 0, zeros: at[3].floats)
    }.check(\.weight_gradient)
  }

  @Test(arguments: KernelTests.geometries) func depthwiseGradient(_ geometry: KernelTests.Geometry) {
    let pixels = geometry.batch * geometry.outputHeight * geometry.outputWidth
    MixedKernelProblem(
      label: "depthwise_gradient \(geometry.testDescription)", tasks: (geometry.channels + 15) / 16,
      arrays: [
        .rows(
          .half, geometry.batch * geometry.height * geometry.width, geometry.channels, gap: geometry.gap, Self.normal(7)
        ),
        .rows(.half, pixels, geometry.channels, gap: 5, Self.normal(8)),
        .rows(.float, geometry.channels, geometry.kernel * geometry.kernel, Self.normal(9)),
      ]
    ) { at in
      hg_bfloat16_depthwise_gradient(
        depthwise: hg_depthwise_gradient(
          input: at[0].floats, input_stride: geometry.channels + geometry.gap, batch: Int32(geometry.batch),
          height: Int32(geometry.height), width: Int32(geometry.width), channels: Int32(geometry.channels),
          gradient: at[1].floats, output_height: Int32(geometry.outputHeight),
          output_width: Int32(geometry.outputWidth),
          kernel_height: Int32(geometry.kernel), kernel_width: Int32(geometry.kernel),
          stride_height: Int32(geometry.stride), stride_width: Int32(geometry.stride), padding_top: Int32(geometry.top),
          padding_left: Int32(geometry.left), weight_gradient: at[2].floats), gradient_stride: geometry.channels + 5)
    }.check(\.depthwise_gradient)
  }

  /// Values are multiples of one half, so that many windows hold their maximum twice.
  @Test(arguments: KernelTests.geometries) func maximumPoolGradient(_ geometry: KernelTests.Geometry) {
    let size = geometry.batch * geometry.height * geometry.width
    let pixels = geometry.batch * geometry.outputHeight * geometry.outputWidth
    let value = Self.normal(10)
    MixedKernelProblem(
      label: "maximum_pool_gradient \(geometry.testDescription)",
      tasks: geometry.batch * ((geometry.channels + 15) / 16),
      arrays: [
        .rows(.half, size, geometry.channels, gap: geometry.gap) { (value() * 2).rounded() / 2 },
        .rows(.half, pixels, geometry.channels, gap: 1, Self.normal(11)),
        // Sums of one kind, which is rounded in the same order by all.
        .rows(.half, size, geometry.channels, gap: 2) { 0 },
      ]
    ) { at in
      hg_maximum_pool_gradient(
        input: at[0].floats, input_stride: geometry.channels + geometry.gap, batch: Int32(geometry.batch),
        height: Int32(geometry.height), width: Int32(geometry.width), channels: Int32(geometry.channels),
        gradient: at[1].floats, gradient_stride: geometry.channels + 1, output_height: Int32(geometry.outputHeight),
        output_width: Int32(geometry.outputWidth), kernel_height: Int32(geometry.kernel),
        kernel_width: Int32(geometry.kernel), stride_height: Int32(geometry.stride),
        stride_width: Int32(geometry.stride),
        padding_top: Int32(geometry.top), padding_left: Int32(geometry.left), input_gradient: at[2].floats,
        input_gradient_stride: geometry.channels + 2)
    }.check(\.maximum_pool_gradient)
  }

  @Test(arguments: [[1, 1, 1, 1, 2, 2], [2, 3, 5, 7, 2, 2], [1, 4, 3, 16, 1, 3], [2, 2, 2, 33, 3, 1]])
  func dilate(_ shape: [Int]) {
    let (height, width) = ((shape[1] - 1) * shape[4] + 1, (shape[2] - 1) * shape[5] + 1)
    MixedKernelProblem(
      label: "dilate \(shape)", tasks: shape[0] * height,
      arrays: [
        .rows(.half, shape[0] * shape[1] * shape[2], shape[3], gap: 4, Self.normal(12)),
        .rows(.half, shape[0] * height * width, shape[3]) { 7 },
      ]
    ) { at in
      hg_bfloat16_dilate(
        dilate: hg_dilate(
          input: at[0].floats, batch: Int32(shape[0]), height: Int32(shape[1]), width: Int32(shape[2]),
          channels: Int32(shape[3]), stride_height: Int32(shape[4]), stride_width: Int32(shape[5]), output: at[1].floats
        ),
        input_stride: shape[3] + 4)
    }.check(\.dilate)
  }

  @Test(
    arguments: [HG_GRADIENT_ZERO, HG_GRADIENT_ADD, HG_GRADIENT_MEAN, HG_GRADIENT_GATED, HG_GRADIENT_MASK],
    [[2, 9, 5, 4, 7], [3, 4, 16, 5, 1], [1, 50, 67, 50, 2], [2, 3, 33, 2, 4]])
  func elementwiseGradient(kind: Int, shape: [Int]) {
    let (images, pixels, channels, rowsPerTask) = (shape[0], shape[1], shape[2], shape[3])
    let count = images * pixels
    // Which of target, gradient and factor are halves.
    let kinds = (0..<3).map { shape[4] >> $0 & 1 == 1 ? MixedArray.Kind.half : .float }
    let (hasGradient, hasFactor) = (kind != HG_GRADIENT_ZERO && kind != HG_GRADIENT_MASK, kind >= HG_GRADIENT_GATED)
    MixedKernelProblem(
      label: "elementwise_gradient kind \(kind) \(shape)", tasks: (count + rowsPerTask - 1) / rowsPerTask,
      arrays: [
        .rows(kinds[0], count, channels, gap: 2, Self.normal(13)),
        .rows(kinds[1], count, channels, gap: 1, Self.normal(14)),
        .rows(kinds[2], count, channels, gap: 4, Self.normal(15)),
      ]
    ) { at in
      hg_bfloat16_elementwise_gradient(
        elementwise: hg_elementwise_gradient(
          kind: Int32(kind), rows: Int64(count), rows_per_image: Int64(pixels), channels: Int32(channels),
          target: at[0].floats, target_stride: channels + 2, gradient: hasGradient ? UnsafePointer(at[1].floats) : nil,
          gradient_stride: channels + 1, factor: hasFactor ? UnsafePointer(at[2].floats) : nil,
          factor_stride: channels + 4, rows_per_task: Int32(rowsPerTask)),
        is_half_target: kinds[0] == .half ? 1 : 0, is_half_gradient: kinds[1] == .half ? 1 : 0,
        is_half_factor: kinds[2] == .half ? 1 : 0)
    }.check(\.elementwise_gradient)
  }

  @Test(arguments: [[1, 1, 1, 1], [2, 9, 5, 3], [3, 4, 16, 7], [1, 50, 67, 6]]) func gateGradient(_ shape: [Int]) {
    let (images, pixels, channels) = (shape[0], shape[1], shape[2])
    let kinds = (0..<3).map { shape[3] >> $0 & 1 == 1 ? MixedArray.Kind.half : .float }
    MixedKernelProblem(
      label: "gate_gradient \(shape)", tasks: images,
      arrays: [
        .rows(kinds[0], images * pixels, channels, gap: 3, Self.normal(16)),
        .rows(kinds[1], images * pixels, channels, gap: 1, Self.normal(17)),
        .rows(kinds[2], images, channels, gap: 2, Self.normal(18)),
      ]
    ) { at in
      hg_bfloat16_gate_gradient(
        gate: hg_gate_gradient(
          input: at[0].floats, input_stride: channels + 3, gradient: at[1].floats, gradient_stride: channels + 1,
          batch: Int32(images), pixels: Int32(pixels), channels: Int32(channels), target: at[2].floats,
          target_stride: channels + 2),
        is_half_input: kinds[0] == .half ? 1 : 0, is_half_gradient: kinds[1] == .half ? 1 : 0,
        is_half_target: kinds[2] == .half ? 1 : 0)
    }.check(\.gate_gradient)
  }

  /// Tiles of halves are those of the same values in float32, bit for bit.
  @Test(arguments: [false, true]) func winogradTiles(isGradient: Bool) {
    let (batch, height, width, channels, gap, tiles) = (2, 7, 9, 32, 16, 15)
    let value = Self.normal(19)
    let halves = (0..<batch * height * width * (channels + gap)).map { _ in hg_bfloat16_of(value()) }
    let floats = halves.map { hg_float_of_bfloat16($0) }
    let memory = TestMemory()
    defer { memory.free() }
    let zeros = memory.keep([Float](repeating: 0, count: channels + 16))
    for index in 0..<hg_kernels_count() {
      func points(_ input: UnsafeRawPointer, isHalf: Bool) -> [Float] {
        var values = [Float](repeating: .nan, count: 36 * tiles * channels)
        values.withUnsafeMutableBufferPointer { values in
          guard let base = values.baseAddress else { return }
          var descriptor = hg_winograd_tiles(
            input: input.assumingMemoryBound(to: Float.self), stride: channels + gap, batch: Int32(batch),
            height: Int32(height), width: Int32(width), channels: Int32(channels), down: 2, across: 3,
            padding_top: isGradient ? 0 : 1, padding_left: isGradient ? 0 : 1, is_gradient: isGradient ? 1 : 0,
            tiles: Int32(tiles), tiles_per_task: 2, is_bfloat16: isHalf ? 1 : 0, values: base, zeros: zeros)
          for task in 0..<Int32((tiles + 1) / 2) {
            hg_training_kernels_at(index).pointee.winograd_tiles(&descriptor, task, nil)
          }
        }
        return values
      }
      #expect(points(halves, isHalf: true) == points(floats, isHalf: false))
    }
  }
}
