import CHGNetKernels
import HGNetCore
import Testing

/// The same problem for the scalar reference and every other implementation of the 8-bit kernels: the same bits.
///
/// Weights are packed for each implementation. Outputs lie between guard bytes, one byte off any alignment; tasks run
/// backwards, since their order must not matter; scratch begins full of ones and must not be written beyond its end.
struct IntegerProblem {
  typealias Kernels = UnsafePointer<hg_integer_kernels>
  typealias Task = @convention(c) (UnsafeRawPointer, Int32, UnsafeMutablePointer<Float>?) -> Void

  /// One kernel call.
  struct Call<Descriptor: BitwiseCopyable> {
    var descriptor: Descriptor
    var tasks: Int
    var scratch = 0
  }

  var label: String
  /// Values of the output.
  var outputCount: Int
  /// Bytes of a value: 1, or 4 for float32, which lies at a multiple of them as everywhere.
  var valueSize = 1

  static var implementations: [Kernels] {
    (0..<hg_integer_kernels_count() - 1).map { hg_integer_kernels_at($0) }
  }
  static var reference: Kernels { hg_integer_kernels_at(hg_integer_kernels_count() - 1) }

  /// Compares every implementation with the reference; gives what the reference computed.
  @discardableResult func check<Descriptor: BitwiseCopyable>(
    _ kernel: KeyPath<hg_integer_kernels, Task>,
    _ make: (_ kernels: Kernels, _ memory: IntegerMemory, _ output: UnsafeMutableRawPointer) -> Call<Descriptor>
  ) -> [UInt8] {
    let expected = run(Self.reference, kernel, make)
    for kernels in Self.implementations {
      let found = run(kernels, kernel, make)
      let first = zip(found, expected).enumerated().first { $0.element.0 != $0.element.1 }
      if let (index, (byte, right)) = first {
        Issue.record(
          "\(String(cString: kernels.pointee.name)) \(label): byte \(index) is \(byte), expected \(right)")
      }
    }
    return expected
  }

  private func run<Descriptor: BitwiseCopyable>(
    _ kernels: Kernels, _ kernel: KeyPath<hg_integer_kernels, Task>,
    _ make: (Kernels, IntegerMemory, UnsafeMutableRawPointer) -> Call<Descriptor>
  ) -> [UInt8] {
    let guards = 64 + valueSize
    let byteCount = outputCount * valueSize
    let memory = IntegerMemory()
    defer { memory.free() }
    let output = memory.keep([UInt8](repeating: 0xA5, count: byteCount + 2 * guards))
    var call = make(kernels, memory, UnsafeMutableRawPointer(output + guards))
    let scratch = memory.keep([UInt32](repeating: .max, count: call.scratch + 16))
    scratch.withMemoryRebound(to: Float.self, capacity: call.scratch + 16) { scratch in
      for task in (0..<call.tasks).reversed() {
        kernels.pointee[keyPath: kernel](&call.descriptor, Int32(task), scratch)
      }
    }
    for index in call.scratch..<call.scratch + 16 where scratch[index] != .max {
      Issue.record("\(String(cString: kernels.pointee.name)) \(label): wrote behind its scratch memory")
    }
    let all = Array(UnsafeBufferPointer(start: output, count: byteCount + 2 * guards))
    for byte in all.prefix(guards) + all.suffix(guards) where byte != 0xA5 {
      Issue.record("\(String(cString: kernels.pointee.name)) \(label): wrote outside of its output")
    }
    return Array(all[guards..<guards + byteCount])
  }
}

/// Memory with an address that holds until `free`.
final class IntegerMemory {
  private var blocks: [UnsafeMutableRawPointer] = []

  func keep<Value: BitwiseCopyable>(_ values: [Value]) -> UnsafeMutablePointer<Value> {
    let block = UnsafeMutablePointer<Value>.allocate(capacity: values.count + 1)
    block.initialize(from: values, count: values.count)
    blocks.append(UnsafeMutableRawPointer(block))
    return block
  }

  func free() {
    for block in blocks { block.deallocate() }
    blocks = []
  }
}

/// Random numbers of a problem of 8-bit kernels.
struct IntegerRandom {
  var random: TestRandom
  /// Whether activations are all 255 and weights ±127.
  var isExtreme = false

  init(seed: UInt64) { random = TestRandom(seed: seed) }

  mutating func pick(_ range: ClosedRange<Int>) -> Int {
    range.lowerBound + Int(random.uniform() * Float(range.count))
  }

  mutating func activations(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in isExtreme ? 255 : UInt8(random.uniform() * 256) }
  }

  mutating func weights(_ count: Int) -> [Int8] {
    (0..<count).map { _ in
      let value = Int(random.uniform() * 255) - 127
      return isExtreme ? (value < 0 ? -127 : 127) : Int8(value)
    }
  }

  mutating func floats(_ count: Int, _ range: ClosedRange<Float>) -> [Float] {
    (0..<count).map { _ in range.lowerBound + (range.upperBound - range.lowerBound) * random.uniform() }
  }
}

/// Every implementation of the 8-bit kernels against the scalar reference: the same bits for random extents.
@Suite struct IntegerKernelTests {
  /// What a window operator is given.
  struct Extents {
    var batch, height, width, channels, columns: Int
    var kernel, stride: (Int, Int)
    var padding: (Int, Int)
    var inputGap, outputGap: Int

    init(_ r: inout IntegerRandom) {
      kernel = (r.pick(1...6), r.pick(1...6))
      stride = (r.pick(1...3), r.pick(1...3))
      if r.pick(0...1) == 0 { (kernel.1, stride.1) = (kernel.0, stride.0) }
      (batch, channels, columns) = (r.pick(1...2), r.pick(1...70), r.pick(1...110))
      (height, width) = (r.pick(kernel.0...12), r.pick(kernel.1...20))
      padding = (r.pick(0...kernel.0 - 1), r.pick(0...kernel.1 - 1))
      (inputGap, outputGap) = (r.pick(0...3), r.pick(0...3))
    }

    var outputHeight: Int { (height + 2 * padding.0 - kernel.0) / stride.0 + 1 }
    var outputWidth: Int { (width + 2 * padding.1 - kernel.1) / stride.1 + 1 }
    var inputPixels: Int { batch * height * width }
    var outputPixels: Int { batch * outputHeight * outputWidth }
    var taps: Int { kernel.0 * kernel.1 }

    func geometry(
      _ input: UnsafeRawPointer, _ output: UnsafeMutableRawPointer, outputStride: Int
    ) -> hg_integer_geometry {
      hg_integer_geometry(
        input: input, input_stride: channels + inputGap, batch: Int32(batch), height: Int32(height),
        width: Int32(width), channels: Int32(channels), output: output, output_stride: outputStride,
        output_height: Int32(outputHeight), output_width: Int32(outputWidth), kernel_height: Int32(kernel.0),
        kernel_width: Int32(kernel.1), stride_height: Int32(stride.0), stride_width: Int32(stride.1),
        padding_top: Int32(padding.0), padding_left: Int32(padding.1))
    }
  }

  /// The epilogue's numbers, so that results spread over the bytes.
  struct Finish {
    var factors, biases: [Float]
    var residual: [UInt8]
    var isFloat, hasResidual: Bool
    var lower: Float

    init(_ r: inout IntegerRandom, columns: Int, terms: Int, residual count: Int) {
      let step = 1 / Float(terms) / (r.isExtreme ? 120 : 60)
      factors = r.floats(columns + 64, -step...4 * step)
      biases = r.floats(columns + 64, -100...300)
      residual = r.activations(count)
      (isFloat, hasResidual) = (r.pick(0...4) == 0, r.pick(0...2) == 0)
      lower = isFloat || hasResidual ? -30 : 20
    }

    func finish(_ memory: IntegerMemory, residualStride: Int) -> hg_integer_finish {
      hg_integer_finish(
        factor: memory.keep(factors), bias: memory.keep(biases), lower: lower, upper: 255,
        residual: hasResidual ? UnsafePointer(memory.keep(residual)) : nil, residual_stride: residualStride,
        residual_factor: 0.7, is_float: isFloat ? 1 : 0)
    }
  }

  static let seeds = 1...UInt64(60)

  @Test(arguments: seeds) func product(_ seed: UInt64) {
    var r = IntegerRandom(seed: seed)
    r.isExtreme = seed % 4 == 0
    let (rows, channels, columns) = (r.pick(1...40), r.pick(1...300), r.pick(1...130))
    let (inputStride, outputStride) = (channels + r.pick(0...3), columns + r.pick(0...3))
    let (rowsPerTask, panelsPerTask, zero) = (r.pick(1...rows), r.pick(1...9), r.pick(0...255))
    let input = r.activations((rows - 1) * inputStride + channels)
    let weights = r.weights(columns * channels)
    let finish = Finish(&r, columns: columns, terms: channels, residual: rows * columns)
    let columnTasks = columns.panels.divided(by: panelsPerTask)
    IntegerProblem(
      label: "product \(rows)×\(channels)×\(columns), seed \(seed)", outputCount: rows * outputStride,
      valueSize: finish.valueSize
    ).check(\.product) { kernels, memory, output in
      let packed = memory.keep(
        [Int8](repeating: 99, count: Int(hg_integer_dense_bytes(Int32(columns), Int32(channels), 1))))
      let start = memory.keep([Int32](repeating: 99, count: columns.panels * 16))
      hg_integer_pack_dense(
        kernels, weights, Int32(columns), Int32(channels), 1, Int32(zero), packed, start)
      return IntegerProblem.Call(
        descriptor: hg_integer_product(
          input: memory.keep(input), input_stride: inputStride, rows: Int64(rows), channels: Int32(channels),
          columns: Int32(columns), weights: packed, start: start, output: output, output_stride: outputStride,
          finish: finish.finish(memory, residualStride: columns), rows_per_task: Int32(rowsPerTask),
          panels_per_task: Int32(panelsPerTask), column_tasks: Int32(columnTasks)),
        tasks: rows.divided(by: rowsPerTask) * columnTasks,
        scratch: Int(hg_integer_product_scratch(kernels, Int32(rowsPerTask), Int32(channels))))
    }
  }

  @Test(arguments: seeds) func convolution(_ seed: UInt64) {
    var r = IntegerRandom(seed: seed)
    r.isExtreme = seed % 4 == 0
    var extents = Extents(&r)
    let isFloatInput = seed % 3 == 0
    if isFloatInput { extents.channels = 3 }
    let outputStride = extents.columns + extents.outputGap
    let (rowsPerTask, panelsPerTask) = (r.pick(1...extents.outputHeight), r.pick(1...7))
    let zero = r.pick(0...255)
    let inputCount = extents.inputPixels * (extents.channels + extents.inputGap)
    let input = r.activations(inputCount)
    var floats = r.floats(inputCount, -2...2)
    if isFloatInput { floats[0] = .nan }
    let weights = r.weights(extents.columns * extents.channels * extents.taps)
    let finish = Finish(
      &r, columns: extents.columns, terms: extents.channels * extents.taps,
      residual: extents.outputPixels * extents.columns)
    let columnTasks = extents.columns.panels.divided(by: panelsPerTask)
    IntegerProblem(
      label: "convolution \(extents), seed \(seed)",
      outputCount: extents.outputPixels * outputStride, valueSize: finish.valueSize
    ).check(\.convolution) { kernels, memory, output in
      let (columns, channels, taps) = (Int32(extents.columns), Int32(extents.channels), Int32(extents.taps))
      let packed = memory.keep([Int8](repeating: 99, count: Int(hg_integer_dense_bytes(columns, channels, taps))))
      let start = memory.keep([Int32](repeating: 99, count: extents.columns.panels * 16))
      hg_integer_pack_dense(kernels, weights, columns, channels, taps, Int32(zero), packed, start)
      let source = isFloatInput ? UnsafeRawPointer(memory.keep(floats)) : UnsafeRawPointer(memory.keep(input))
      let descriptor = hg_integer_convolution(
        window: extents.geometry(source, output, outputStride: outputStride), columns: columns, weights: packed,
        start: start, finish: finish.finish(memory, residualStride: extents.columns), zero: Int32(zero),
        is_float_input: isFloatInput ? 1 : 0, input_factor: 70, input_shift: 114, rows_per_task: Int32(rowsPerTask),
        panels_per_task: Int32(panelsPerTask), column_tasks: Int32(columnTasks))
      return IntegerProblem.Call(
        descriptor: descriptor,
        tasks: extents.batch * extents.outputHeight.divided(by: rowsPerTask) * columnTasks,
        scratch: Int(
          hg_integer_convolution_scratch(
            kernels, Int32((rowsPerTask - 1) * extents.stride.0 + extents.kernel.0),
            Int32((extents.outputWidth - 1) * extents.stride.1 + extents.kernel.1), Int32(extents.width), channels)))
    }
  }

  @Test(arguments: seeds) func depthwise(_ seed: UInt64) {
    var r = IntegerRandom(seed: seed)
    r.isExtreme = seed % 4 == 0
    var extents = Extents(&r)
    if seed % 2 == 0 {
      // The windows of the networks have code of their own.
      let side = seed % 6 < 3 ? 3 : 5
      (extents.kernel, extents.padding) = ((side, side), (side / 2, side / 2))
      extents.stride = seed % 10 < 6 ? (1, 1) : (2, 2)
      (extents.height, extents.width) = (r.pick(side...12), r.pick(side...30))
    }
    let outputStride = extents.channels + extents.outputGap
    let (rowsPerTask, channelsPerTask) = (r.pick(1...extents.outputHeight), 16 * r.pick(1...3))
    let zero = r.pick(0...255)
    let input = r.activations(extents.inputPixels * (extents.channels + extents.inputGap))
    let weights = r.weights(extents.channels * extents.taps)
    let finish = Finish(
      &r, columns: extents.channels, terms: extents.taps, residual: extents.outputPixels * extents.channels)
    IntegerProblem(
      label: "depthwise \(extents), seed \(seed)", outputCount: extents.outputPixels * outputStride,
      valueSize: finish.valueSize
    ).check(\.depthwise) { kernels, memory, output in
      let (channels, high, wide) = (Int32(extents.channels), Int32(extents.kernel.0), Int32(extents.kernel.1))
      let packed = memory.keep(
        [Int8](repeating: 99, count: Int(hg_integer_depthwise_bytes(kernels, channels, high, wide))))
      let start = memory.keep([Int32](repeating: 99, count: extents.channels.panels * 16))
      hg_integer_pack_depthwise(kernels, weights, channels, high, wide, Int32(zero), packed, start)
      let descriptor = hg_integer_depthwise(
        window: extents.geometry(memory.keep(input), output, outputStride: outputStride), weights: packed,
        start: start, finish: finish.finish(memory, residualStride: extents.channels), zero: Int32(zero),
        rows_per_task: Int32(rowsPerTask), channels_per_task: Int32(channelsPerTask))
      return IntegerProblem.Call(
        descriptor: descriptor,
        tasks: extents.batch * extents.outputHeight.divided(by: rowsPerTask)
          * extents.channels.divided(by: channelsPerTask),
        scratch: Int(
          hg_integer_depthwise_scratch(
            kernels, Int32(extents.outputWidth), Int32(extents.stride.1), high, wide)))
    }
  }

  @Test(arguments: seeds) func pools(_ seed: UInt64) {
    var r = IntegerRandom(seed: seed)
    let extents = Extents(&r)
    let outputStride = extents.channels + extents.outputGap
    let rowsPerTask = r.pick(1...extents.outputHeight)
    let input = r.activations(extents.inputPixels * (extents.channels + extents.inputGap))
    let isSame = seed % 2 == 0
    IntegerProblem(label: "maximum pool \(extents), seed \(seed)", outputCount: extents.outputPixels * outputStride)
      .check(\.maximum_pool) { _, memory, output in
        IntegerProblem.Call(
          descriptor: hg_integer_maximum_pool(
            window: extents.geometry(memory.keep(input), output, outputStride: outputStride),
            factor: isSame ? 1 : 0.8, shift: isSame ? 0 : 3, rows_per_task: Int32(rowsPerTask)),
          tasks: extents.batch * extents.outputHeight.divided(by: rowsPerTask))
      }
    let (isFloat, pixels, channelsPerTask) = (seed % 3 == 0, extents.height * extents.width, 16 * r.pick(1...2))
    IntegerProblem(
      label: "average pool \(extents), seed \(seed)", outputCount: extents.batch * outputStride,
      valueSize: isFloat ? 4 : 1
    ).check(\.average_pool) { _, memory, output in
      IntegerProblem.Call(
        descriptor: hg_integer_average_pool(
          input: memory.keep(input), input_stride: extents.channels + extents.inputGap, batch: Int32(extents.batch),
          pixels: Int32(pixels), channels: Int32(extents.channels), output: output, output_stride: outputStride,
          factor: 1.3 / Float(pixels), shift: -2, lower: isFloat ? -3 : 0, upper: 255, is_float: isFloat ? 1 : 0,
          channels_per_task: Int32(channelsPerTask)),
        tasks: extents.batch * extents.channels.divided(by: channelsPerTask))
    }
  }

  @Test(arguments: seeds) func elementwise(_ seed: UInt64) {
    var r = IntegerRandom(seed: seed)
    let kind = Int(seed) % 3
    let (isFloatInput, isFloatOutput) = (r.pick(0...1) == 1, r.pick(0...1) == 1)
    let (rows, channels, gap) = (r.pick(1...30), r.pick(1...70), r.pick(0...3))
    let (rowsPerImage, rowsPerTask, stride) = (r.pick(1...rows), r.pick(1...rows), channels + gap)
    let (bytes, other) = (r.activations(rows * stride), r.activations(rows * stride))
    let (floats, gate) = (r.floats(rows * stride, -100...300), r.floats(rows * stride, -1...2))
    IntegerProblem(
      label: "elementwise \(kind) \(rows)×\(channels), seed \(seed)",
      outputCount: rows * stride, valueSize: isFloatOutput ? 4 : 1
    ).check(\.elementwise) { _, memory, output in
      IntegerProblem.Call(
        descriptor: hg_integer_elementwise(
          kind: Int32(kind), is_float_input: isFloatInput ? 1 : 0, is_float_output: isFloatOutput ? 1 : 0,
          rows: Int64(rows), rows_per_image: Int64(rowsPerImage), channels: Int32(channels),
          input: isFloatInput ? UnsafeRawPointer(memory.keep(floats)) : UnsafeRawPointer(memory.keep(bytes)),
          input_stride: stride,
          other: kind == HG_INTEGER_GATE
            ? UnsafeRawPointer(memory.keep(gate)) : UnsafeRawPointer(memory.keep(other)),
          other_stride: stride, output: output, output_stride: stride, factor: 0.37, shift: 3.2, other_factor: 0.61,
          lower: isFloatOutput ? -1000 : 0, upper: isFloatOutput ? 1000 : 255, rows_per_task: Int32(rowsPerTask)),
        tasks: rows.divided(by: rowsPerTask))
    }
  }

  /// The largest sums that there are, where multiplying bytes in 16 bits would saturate: known values.
  @Test func extremes() {
    let (channels, columns) = (2048, 2)
    for kernels in IntegerProblem.implementations + [IntegerProblem.reference] {
      let memory = IntegerMemory()
      defer { memory.free() }
      let weights = [Int8](repeating: 127, count: channels) + [Int8](repeating: -127, count: channels)
      let packed = memory.keep([Int8](repeating: 0, count: 16 * channels))
      let start = memory.keep([Int32](repeating: 0, count: 16))
      hg_integer_pack_dense(kernels, weights, Int32(columns), Int32(channels), 1, 3, packed, start)
      let output = memory.keep([Float](repeating: 0, count: 2))
      var descriptor = hg_integer_product(
        input: memory.keep([UInt8](repeating: 255, count: channels)), input_stride: channels, rows: 1,
        channels: Int32(channels), columns: Int32(columns), weights: packed, start: start, output: output,
        output_stride: columns,
        finish: hg_integer_finish(
          factor: memory.keep([Float](repeating: 1, count: 16)), bias: memory.keep([Float](repeating: 0, count: 16)),
          lower: -.infinity, upper: .infinity, residual: nil, residual_stride: 0, residual_factor: 0, is_float: 1),
        rows_per_task: 1, panels_per_task: 1, column_tasks: 1)
      let scratch = memory.keep(
        [Float](repeating: 0, count: Int(hg_integer_product_scratch(kernels, 1, Int32(channels)))))
      kernels.pointee.product(&descriptor, 0, scratch)
      let sum = Float(252 * 127 * channels)
      #expect([output[0], output[1]] == [sum, -sum], "\(String(cString: kernels.pointee.name))")
    }
  }
}

extension IntegerKernelTests.Finish {
  fileprivate var valueSize: Int { isFloat ? 4 : 1 }
}

extension Int {
  fileprivate var panels: Int { divided(by: 16) }
}
