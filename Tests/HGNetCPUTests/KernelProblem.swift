import CHGNetKernels
import HGNetCPU
import Testing

/// Memory before a kernel runs, and a descriptor on it: the same problem for the scalar reference and for every other
/// implementation.
///
/// Outputs lie between guard values, one float off any alignment; tasks run backwards, since their order must not matter;
/// scratch begins as NaN. A failure prints the whole problem.
struct KernelProblem<Descriptor: BitwiseCopyable> {
  typealias Task = @convention(c) (UnsafeRawPointer, Int32, UnsafeMutablePointer<Float>?) -> Void
  /// The kernel and every number of the problem.
  var label: String
  var tasks: Int
  /// What the kernel may write, with what is in it before; `gap` where nothing may be written.
  var outputs: [[Float]]
  /// Sums in double, written or read.
  var sums: [Double] = []
  /// Floats of scratch memory that are promised.
  var scratch = 0
  /// The largest difference ÷ the largest value of the same output: sums in float32 of up to some hundred terms.
  var tolerance: Float = 1e-5
  var make: (_ outputs: [UnsafeMutablePointer<Float>], _ sums: UnsafeMutablePointer<Double>) -> Descriptor

  /// A value that no kernel computes, between rows of an output.
  static var gap: Float { -777 }
  private static var guardCount: Int { 32 }

  /// Compares every implementation with the reference; gives what the reference computed.
  @discardableResult func check(
    _ kernel: (Int32) -> Task
  ) -> (outputs: [[Float]], sums: [Double]) {
    let last = hg_kernels_count() - 1
    let expected = run(kernel(last), name: "reference")
    for index in 0..<last {
      let name = String(cString: hg_kernels_at(index).pointee.name)
      let found = run(kernel(index), name: name)
      for output in expected.outputs.indices {
        compare(found.outputs[output], expected.outputs[output], "\(name) \(label), output \(output)")
      }
      let largest = expected.sums.reduce(1e-30) { max($0, abs($1)) }
      let worst = zip(found.sums, expected.sums).reduce(0) { max($0, abs($1.0 - $1.1)) }
      #expect(worst <= Double(tolerance) * largest, "\(name) \(label): sums off by \(worst) of \(largest)")
    }
    return expected
  }

  private func compare(_ found: [Float], _ expected: [Float], _ title: String) {
    let largest = expected.reduce(1e-30) { $1 == Self.gap ? $0 : max($0, abs($1)) }
    for index in expected.indices {
      if expected[index] == Self.gap {
        #expect(found[index] == Self.gap, "\(title): wrote \(found[index]) into the gap at \(index)")
        if found[index] != Self.gap { return }
      } else if !(abs(expected[index] - found[index]) <= tolerance * largest) {
        Issue.record("\(title): at \(index) expected \(expected[index]), found \(found[index]), largest \(largest)")
        return
      }
    }
  }

  private func run(_ task: Task, name: String) -> (outputs: [[Float]], sums: [Double]) {
    let guards = Self.guardCount
    let blocks = outputs.map { values in
      let block = UnsafeMutablePointer<Float>.allocate(capacity: values.count + 2 * guards + 1)
      block.initialize(repeating: Self.gap, count: values.count + 2 * guards + 1)
      for (index, value) in values.enumerated() { block[guards + 1 + index] = value }
      return block
    }
    let doubles = UnsafeMutablePointer<Double>.allocate(capacity: sums.count + 1)
    doubles.initialize(repeating: -777, count: sums.count + 1)
    for (index, value) in sums.enumerated() { doubles[index] = value }
    var space = [Float](repeating: .nan, count: scratch) + [Float](repeating: Self.gap, count: guards)
    defer {
      for block in blocks { block.deallocate() }
      doubles.deallocate()
    }
    var descriptor = make(blocks.map { $0 + guards + 1 }, doubles)
    for index in (0..<tasks).reversed() { task(&descriptor, Int32(index), &space) }
    for (block, values) in zip(blocks, outputs) {
      let isWhole =
        (0...guards).allSatisfy { block[$0] == Self.gap }
        && (0..<guards).allSatisfy { block[guards + 1 + values.count + $0] == Self.gap }
      #expect(isWhole, "\(name) \(label): wrote outside its output")
    }
    #expect(doubles[sums.count] == -777, "\(name) \(label): wrote behind its sums")
    #expect(space[scratch...].allSatisfy { $0 == Self.gap }, "\(name) \(label): wrote behind its scratch memory")
    return (
      zip(blocks, outputs).map { block, values in (0..<values.count).map { block[guards + 1 + $0] } },
      (0..<sums.count).map { doubles[$0] }
    )
  }
}

/// Rows of values with gaps between them.
func rows(_ count: Int, _ columns: Int, stride: Int, _ value: () -> Float) -> [Float] {
  (0..<count * stride).map { $0 % stride < columns ? value() : KernelProblem<hg_dilate>.gap }
}
