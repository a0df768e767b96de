import CHGNetKernels
import HGNetCPU
import Testing

/// The kernels of quantisation-aware training: every implementation gives the bits of the scalar reference.
@Suite struct QuantizationKernelTests {
  private func training(
    _ path: KeyPath<hg_training_kernels, hg_training_task>
  ) -> (Int32) -> KernelProblem<hg_quantize>.Task {
    { hg_training_kernels_at($0).pointee[keyPath: path] }
  }

  private static let ranges: [[Float]] = [[-1, 2], [0, 1.5], [-0.7, 0], [0.5, 1], [0, 0], [2, -2]]

  @Test(arguments: [[1, 1, 1], [9, 5, 4], [12, 16, 5], [50, 67, 50], [3, 24, 2]], ranges)
  func values(shape: [Int], range: [Float]) {
    var random = TestRandom(seed: 21)
    let memory = TestMemory()
    defer { memory.free() }
    let (count, channels, rowsPerTask) = (shape[0], shape[1], shape[2])
    let ends = memory.keep(range)
    // Ties fall to even whole numbers everywhere.
    let scale = hg_byte_scale_of(ends).scale
    var isTie = false
    let values = rows(count, channels, stride: channels + 3) {
      isTie.toggle()
      return isTie ? (random.normal() * 40).rounded(.down) * scale + scale / 2 : random.normal()
    }
    let words = (count * channels + 3) / 4
    var problem = KernelProblem(
      label: "quantize \(shape) \(range)", tasks: (count + rowsPerTask - 1) / rowsPerTask,
      outputs: [values, [Float](repeating: 0, count: words)]
    ) { outputs, _ in
      hg_quantize(
        values: outputs[0], stride: channels + 3, rows: Int64(count), channels: Int32(channels), range: ends,
        outside: UnsafeMutableRawPointer(outputs[1]).assumingMemoryBound(to: UInt8.self),
        rows_per_task: Int32(rowsPerTask))
    }
    problem.tolerance = 0
    let found = problem.check(training(\.quantize)).outputs
    // The definition: the nearest of 256 steps that hold the range and 0, and what lies outside of them.
    let bytes = hg_byte_scale_of(ends)
    let flags = found[1].withUnsafeBytes { Array($0.prefix(count * channels)) }
    for row in 0..<count {
      for channel in 0..<channels {
        let (before, after) = (values[row * (channels + 3) + channel], found[0][row * (channels + 3) + channel])
        let (least, greatest) = (Float(-bytes.zero) * bytes.scale, Float(255 - bytes.zero) * bytes.scale)
        #expect(abs(after - min(max(before, least), greatest)) <= bytes.scale * 0.500_01)
        let whole = after / bytes.scale
        #expect(abs(whole.rounded() - whole) < 1e-3)
        let steps = before * (1 / bytes.scale)
        let margin = Float(HG_OUTSIDE)
        let flag: UInt8 = steps < Float(-bytes.zero) - margin ? 1 : steps > Float(255 - bytes.zero) + margin ? 2 : 0
        #expect(flags[row * channels + channel] == flag)
      }
    }
  }

  @Test("A value that is no number stays none") func notANumber() {
    for index in 0..<hg_kernels_count() {
      var values: [Float] = [.nan, 1, .infinity, -.infinity]
      let range: [Float] = [-1, 1]
      values.withUnsafeMutableBufferPointer { values in
        range.withUnsafeBufferPointer { range in
          guard let values = values.baseAddress, let range = range.baseAddress else { return }
          var problem = hg_quantize(
            values: values, stride: 4, rows: 1, channels: 4, range: range, outside: nil, rows_per_task: 1)
          hg_training_kernels_at(index).pointee.quantize(&problem, 0, nil)
        }
      }
      #expect(values[0].isNaN && values[2] <= 1.01 && values[3] >= -1.01)
    }
  }

  @Test(arguments: [[1, 1, 1], [9, 5, 4], [12, 16, 5], [50, 67, 50], [7, 24, 2]]) func gradients(_ shape: [Int]) {
    var random = TestRandom(seed: 22)
    let memory = TestMemory()
    defer { memory.free() }
    let (count, channels, rowsPerTask) = (shape[0], shape[1], shape[2])
    let tasks = (count + rowsPerTask - 1) / rowsPerTask
    let flags = (0..<count * channels).map { _ in UInt8([0, 0, 0, 1, 2][Int(random.uniform() * 5)]) }
    let outside = UnsafeMutablePointer<UInt8>.allocate(capacity: flags.count)
    defer { outside.deallocate() }
    outside.initialize(from: flags, count: flags.count)
    let values = rows(count, channels, stride: channels + 2) { random.normal() }
    let found = KernelProblem(
      label: "quantize_gradient \(shape)", tasks: tasks, outputs: [values],
      sums: [Double](repeating: .nan, count: 2 * tasks), tolerance: 1e-12
    ) { outputs, sums in
      hg_quantize_gradient(
        gradient: outputs[0], stride: channels + 2, rows: Int64(count), channels: Int32(channels), outside: outside,
        sums: sums, rows_per_task: Int32(rowsPerTask))
    }.check(training(\.quantize_gradient))
    for flag in 1...2 {
      let expected = flags.enumerated().filter { $0.element == flag }
        .reduce(0.0) { $0 + Double(values[$1.offset / channels * (channels + 2) + $1.offset % channels]) }
      let sum = (0..<tasks).reduce(0.0) { $0 + found.sums[2 * $1 + flag - 1] }
      #expect(abs(sum - expected) <= 1e-9)
    }
  }

  @Test(arguments: [[1, 1], [16, 9], [17, 5], [33, 64]], [false, true]) func weights(_ shape: [Int], isLinear: Bool) {
    var random = TestRandom(seed: 23)
    let memory = TestMemory()
    defer { memory.free() }
    let (channels, count) = (shape[0], shape[1])
    var values = random.values(channels * count)
    // A channel of zeros.
    for index in 0..<count { values[isLinear ? index * channels : index] = 0 }
    let weights = memory.keep(values)
    var problem = KernelProblem(
      label: "quantize_weights \(shape) linear \(isLinear)", tasks: (channels + 15) / 16,
      outputs: [[Float](repeating: .nan, count: channels * count)]
    ) { outputs, _ in
      hg_quantize_weights(
        weights: weights, channel_stride: isLinear ? 1 : Int64(count), value_stride: isLinear ? Int64(channels) : 1,
        count: Int64(count), channels: Int32(channels), rounded: outputs[0])
    }
    problem.tolerance = 0
    let found = problem.check(training(\.quantize_weights)).outputs[0]
    for channel in 0..<channels {
      let places = (0..<count).map { isLinear ? $0 * channels + channel : channel * count + $0 }
      let scale = places.reduce(Float(0)) { max($0, abs(values[$1])) } / 127
      for place in places { #expect(abs(found[place] - values[place]) <= 0.500_01 * scale) }
    }
  }
}
