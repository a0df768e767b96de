import CHGNetKernels
import HGNetCore
import Testing

/// Each bfloat16 kernel of each implementation beside the scalar definition, with any cut into tasks.
@Suite("Kernels in bfloat16") struct BFloat16KernelTests {
  /// All implementations, the definition last.
  private static var implementations: [hg_bfloat16_kernels] {
    (0..<hg_bfloat16_kernels_count()).map { hg_bfloat16_kernels_at($0).pointee }
  }

  /// What no kernel may read into a result: a NaN.
  private static let gap = UInt16(0x7fc1)

  /// Rows of values with gaps between them.
  static func rows(_ count: Int, _ columns: Int, stride: Int, _ random: inout TestRandom) -> [UInt16] {
    var values = [UInt16](repeating: gap, count: count * stride)
    for row in 0..<count {
      for column in 0..<columns { values[row * stride + column] = hg_bfloat16_of(random.normal()) }
    }
    return values
  }

  static func floats(_ count: Int, _ random: inout TestRandom) -> [Float] {
    (0..<count).map { _ in random.normal() }
  }

  /// Runs a kernel with both types of results and compares them with the definition's.
  ///
  /// - Parameters:
  ///   - count: the pixels of the result.
  ///   - columns: the values of a pixel, which lie `columns + 3` apart.
  ///   - tasks: the number of tasks.
  ///   - kernel: of an implementation.
  ///   - describe: calls its body with the descriptor that writes to a place.
  private static func compare(
    _ label: String, count: Int, columns: Int, tasks: Int, scratch: Int = 0,
    kernel: KeyPath<hg_bfloat16_kernels, hg_task>,
    describe: (UnsafeMutableRawPointer, Int32, (UnsafeRawPointer) -> Void) -> Void
  ) {
    let stride = columns + 3
    for isFloat in [false, true] {
      func results(_ kernels: hg_bfloat16_kernels) -> [Float] {
        // 16 values before and behind that must stay.
        let bytes = (count * stride + 32) * (isFloat ? 4 : 2)
        let block = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
        block.initializeMemory(as: UInt8.self, repeating: 0x5a, count: bytes)
        defer { block.deallocate() }
        let start = block + 16 * (isFloat ? 4 : 2)
        var space = [Float](repeating: .nan, count: scratch + 16)
        describe(start, isFloat ? 1 : 0) { descriptor in
          for task in (0..<tasks).reversed() { kernels[keyPath: kernel](descriptor, Int32(task), &space) }
        }
        func isKept(_ place: Int) -> Bool {
          isFloat
            ? start.load(fromByteOffset: place * 4, as: UInt32.self) == 0x5a5a_5a5a
            : start.load(fromByteOffset: place * 2, as: UInt16.self) == 0x5a5a
        }
        for place in -16..<count * stride + 16 where !(0..<count * stride).contains(place) || place % stride >= columns
        {
          if !isKept(place) { Issue.record("\(label) \(String(cString: kernels.name)): wrote at \(place)") }
        }
        return (0..<count * columns).map { index in
          let place = index / columns * stride + index % columns
          return isFloat
            ? start.load(fromByteOffset: place * 4, as: Float.self)
            : hg_float_of_bfloat16(start.load(fromByteOffset: place * 2, as: UInt16.self))
        }
      }
      let implementations = Self.implementations
      let expected = results(implementations[implementations.count - 1])
      let largest = expected.reduce(0) { max($0, abs($1)) }
      #expect(largest > 0 && largest.isFinite)
      for kernels in implementations.dropLast() {
        for (one, other) in zip(results(kernels), expected) {
          // Where sums differ by their rounding, a result may be rounded to the neighbour.
          let bound = 2e-5 * largest + (isFloat ? 0 : abs(other) / 128)
          guard abs(one - other) <= bound else {
            Issue.record("\(label) \(String(cString: kernels.name)): \(one), expected \(other)")
            return
          }
        }
      }
    }
  }

  private static func epilogue(_ residual: UnsafePointer<UInt16>?, stride: Int) -> hg_bfloat16_epilogue {
    hg_bfloat16_epilogue(lower: 0, scale: 1.25, shift: -0.5, residual: residual, residual_stride: stride)
  }

  /// Numbers of a test that stay where they are until it ends.
  private final class Memory {
    private var blocks: [UnsafeMutableRawPointer] = []
    private var random = TestRandom(seed: 3)

    func halves(_ count: Int, _ columns: Int, stride: Int) -> UnsafePointer<UInt16> {
      keep(BFloat16KernelTests.rows(count, columns, stride: stride, &random))
    }

    func floats(_ count: Int) -> UnsafePointer<Float> { keep(BFloat16KernelTests.floats(count, &random)) }

    func keep<Value: BitwiseCopyable>(_ values: [Value]) -> UnsafePointer<Value> {
      let block = UnsafeMutableRawPointer.allocate(
        byteCount: values.count * MemoryLayout<Value>.stride + 64, alignment: 64)
      blocks.append(block)
      let start = block.bindMemory(to: Value.self, capacity: values.count)
      start.initialize(from: values, count: values.count)
      return UnsafePointer(start)
    }

    deinit { for block in blocks { block.deallocate() } }
  }

  @Test(arguments: [[1, 2, 1], [9, 34, 17], [37, 64, 48], [50, 130, 70], [16, 512, 33], [3, 48, 144]])
  func product(_ extents: [Int]) {
    let (count, channels, columns) = (extents[0], extents[1], extents[2])
    let memory = Memory()
    let input = memory.halves(count, channels, stride: channels + 2)
    let residual = memory.halves(count, columns, stride: columns + 1)
    let bias = memory.floats(columns.roundedUp(to: 16))
    var packed = [UInt16](repeating: 0, count: columns.roundedUp(to: 16) * channels)
    hg_pack_bfloat16(
      memory.floats(columns * channels), memory.floats(columns), Int32(columns), Int32(channels), 1, &packed)
    let weights = memory.keep(packed)
    for (rowsPerTask, panelsPerTask) in [(count, columns.divided(by: 16)), (5, 1), (8, 2)] {
      let columnTasks = columns.divided(by: 16).divided(by: panelsPerTask)
      Self.compare(
        "product \(extents)", count: count, columns: columns, tasks: count.divided(by: rowsPerTask) * columnTasks,
        scratch: Int(hg_bfloat16_product_scratch(Int64(rowsPerTask), Int64(channels))), kernel: \.product
      ) { output, isFloat, body in
        var descriptor = hg_bfloat16_product(
          input: input, input_stride: channels + 2, rows: Int64(count), channels: Int32(channels),
          columns: Int32(columns), weights: weights, bias: bias, output: output, output_stride: columns + 3,
          is_float_output: isFloat, epilogue: Self.epilogue(residual, stride: columns + 1),
          rows_per_task: Int32(rowsPerTask), panels_per_task: Int32(panelsPerTask), column_tasks: Int32(columnTasks))
        body(&descriptor)
      }
    }
  }

  private static func window(
    _ geometry: KernelTests.Geometry, _ input: UnsafeRawPointer, isFloatInput: Bool, _ output: UnsafeMutableRawPointer,
    isFloat: Int32, columns: Int
  ) -> hg_bfloat16_geometry {
    hg_bfloat16_geometry(
      input: input, input_stride: geometry.channels + geometry.gap, is_float_input: isFloatInput ? 1 : 0,
      batch: Int32(geometry.batch), height: Int32(geometry.height), width: Int32(geometry.width),
      channels: Int32(geometry.channels), output: output, output_stride: columns + 3, is_float_output: isFloat,
      output_height: Int32(geometry.outputHeight), output_width: Int32(geometry.outputWidth),
      kernel_height: Int32(geometry.kernel), kernel_width: Int32(geometry.kernel),
      stride_height: Int32(geometry.stride), stride_width: Int32(geometry.stride), padding_top: Int32(geometry.top),
      padding_left: Int32(geometry.left))
  }

  private static func pictures(_ geometry: KernelTests.Geometry) -> Int {
    geometry.batch * geometry.height * geometry.width
  }

  @Test(arguments: KernelTests.geometries.filter { $0.channels % 2 == 0 })
  func convolution(_ geometry: KernelTests.Geometry) {
    let memory = Memory()
    let (channels, columns, kernel) = (geometry.channels, geometry.columns, geometry.kernel)
    let input = memory.halves(Self.pictures(geometry), channels, stride: channels + geometry.gap)
    let taps = kernel * kernel
    var packed = [UInt16](repeating: 7, count: columns.roundedUp(to: 16) * taps * channels)
    hg_pack_bfloat16(
      memory.floats(columns * channels * taps), nil, Int32(columns), Int32(channels), Int32(taps),
      &packed)
    let weights = memory.keep(packed)
    let bias = memory.floats(columns.roundedUp(to: 16))
    let pixels = geometry.batch * geometry.outputHeight * geometry.outputWidth
    let residual = memory.halves(pixels, columns, stride: columns)
    for pixelsPerTask in [pixels, 5] {
      Self.compare(
        "convolution \(geometry)", count: pixels, columns: columns, tasks: pixels.divided(by: pixelsPerTask),
        scratch: Int(hg_bfloat16_convolution_scratch(Int64(taps), Int64(channels))), kernel: \.convolution
      ) { output, isFloat, body in
        var descriptor = hg_bfloat16_convolution(
          window: Self.window(
            geometry, input, isFloatInput: false, output, isFloat: isFloat, columns: columns),
          columns: Int32(columns), weights: weights, bias: bias,
          epilogue: Self.epilogue(pixelsPerTask == 5 ? nil : residual, stride: columns),
          pixels_per_task: Int32(pixelsPerTask))
        body(&descriptor)
      }
    }
  }

  @Test(arguments: KernelTests.geometries.filter { $0.kernel > 1 }) func depthwise(_ geometry: KernelTests.Geometry) {
    let memory = Memory()
    let channels = geometry.channels
    let input = memory.halves(Self.pictures(geometry), channels, stride: channels + geometry.gap)
    let weights = memory.floats(geometry.kernel * geometry.kernel * channels.roundedUp(to: 16))
    let bias = memory.floats(channels.roundedUp(to: 16))
    for (rowsPerTask, channelsPerTask) in [(geometry.outputHeight, channels), (2, 16)] {
      let tasks =
        geometry.batch * geometry.outputHeight.divided(by: rowsPerTask) * channels.divided(by: channelsPerTask)
      Self.compare(
        "depthwise \(geometry)", count: geometry.batch * geometry.outputHeight * geometry.outputWidth,
        columns: channels, tasks: tasks, kernel: \.depthwise
      ) { output, isFloat, body in
        var descriptor = hg_bfloat16_depthwise(
          window: Self.window(geometry, input, isFloatInput: false, output, isFloat: isFloat, columns: channels),
          weights: weights, bias: bias, epilogue: Self.epilogue(nil, stride: 0), rows_per_task: Int32(rowsPerTask),
          channels_per_task: Int32(channelsPerTask))
        body(&descriptor)
      }
    }
  }

  @Test(arguments: KernelTests.geometries.filter { $0.kernel > 1 }) func maximumPool(_ geometry: KernelTests.Geometry) {
    let memory = Memory()
    let channels = geometry.channels
    let input = memory.halves(Self.pictures(geometry), channels, stride: channels + geometry.gap)
    Self.compare(
      "maximum pool \(geometry)", count: geometry.batch * geometry.outputHeight * geometry.outputWidth,
      columns: channels, tasks: geometry.batch * geometry.outputHeight.divided(by: 2), kernel: \.maximum_pool
    ) { output, isFloat, body in
      var descriptor = hg_bfloat16_maximum_pool(
        window: Self.window(geometry, input, isFloatInput: false, output, isFloat: isFloat, columns: channels),
        rows_per_task: 2)
      body(&descriptor)
    }
  }

  @Test(arguments: [[1, 1, 2, 16], [2, 49, 34, 16], [3, 5, 64, 64]]) func averagePool(_ shape: [Int]) {
    let memory = Memory()
    let input = memory.halves(shape[0] * shape[1], shape[2], stride: shape[2] + 2)
    Self.compare(
      "average pool \(shape)", count: shape[0], columns: shape[2], tasks: shape[0] * shape[2].divided(by: shape[3]),
      kernel: \.average_pool
    ) { output, isFloat, body in
      var descriptor = hg_bfloat16_average_pool(
        input: input, input_stride: shape[2] + 2, batch: Int32(shape[0]), pixels: Int32(shape[1]),
        channels: Int32(shape[2]), output: output, output_stride: shape[2] + 3, is_float_output: isFloat,
        channels_per_task: Int32(shape[3]))
      body(&descriptor)
    }
  }

  @Test(arguments: [HG_COPY, HG_ADD, HG_GATE], [false, true]) func elementwise(_ kind: Int, isFloatInput: Bool) {
    let memory = Memory()
    let (count, columns) = (12, 37)
    let input =
      isFloatInput
      ? UnsafeRawPointer(memory.floats(count * 40)) : UnsafeRawPointer(memory.halves(count, columns, stride: 40))
    let other = memory.floats(count * columns)
    Self.compare(
      "elementwise \(kind)", count: count, columns: columns, tasks: 3, kernel: \.elementwise
    ) { output, isFloat, body in
      var descriptor = hg_bfloat16_elementwise(
        kind: Int32(kind), rows: Int64(count), rows_per_image: 6, channels: Int32(columns), input: input,
        input_stride: 40, is_float_input: isFloatInput ? 1 : 0, other: other, other_stride: columns,
        is_float_other: 1, output: output, output_stride: columns + 3, is_float_output: isFloat,
        epilogue: Self.epilogue(nil, stride: 0), rows_per_task: 5)
      body(&descriptor)
    }
  }

  @Test("Rounding is to the nearest, ties to even; NaN and infinity stay") func rounding() {
    // Values and the upper halves of what NumPy with ml_dtypes 0.6.0 makes of them.
    let cases: [(Float, UInt16)] = [
      (0, 0), (-0.0, 0x8000), (1, 0x3f80), (1.003_906_25, 0x3f80), (1.011_718_75, 0x3f82), (1.003_906_4, 0x3f81),
      (-3.141_592_7, 0xc049), (3.4e38, 0x7f80), (.infinity, 0x7f80), (-.infinity, 0xff80),
      (Float(bitPattern: 0x0001_16c2), 0x0001),
    ]
    for (value, bits) in cases { #expect(hg_bfloat16_of(value) == bits, "\(value)") }
    #expect(hg_float_of_bfloat16(hg_bfloat16_of(.nan)).isNaN)
    #expect(hg_float_of_bfloat16(0xc049) == -3.140_625)
  }
}
