import CHGNetKernels
import Testing

/// An array that a kernel of mixed precision reads or writes.
struct MixedArray {
  enum Kind { case half, float, double }

  var kind: Kind
  var values: [Double]

  /// Rows of values with NaNs between them, which no kernel may read into a result or write.
  static func rows(_ kind: Kind, _ count: Int, _ columns: Int, gap: Int = 0, _ value: () -> Float) -> MixedArray {
    let stride = columns + gap
    return MixedArray(
      kind: kind, values: (0..<count * stride).map { $0 % stride < columns ? Double(value()) : .nan })
  }

  /// The bytes of a value.
  var size: Int {
    switch kind {
    case .half: 2
    case .float: 4
    case .double: 8
    }
  }

  func write(to start: UnsafeMutableRawPointer) {
    for (place, value) in values.enumerated() {
      switch kind {
      case .half: start.storeBytes(of: hg_bfloat16_of(Float(value)), toByteOffset: 2 * place, as: UInt16.self)
      case .float: start.storeBytes(of: Float(value), toByteOffset: 4 * place, as: Float.self)
      case .double: start.storeBytes(of: value, toByteOffset: 8 * place, as: Double.self)
      }
    }
  }

  func read(_ kind: Kind, from start: UnsafeMutableRawPointer, count: Int) -> [Double] {
    (0..<count).map { place in
      switch kind {
      case .half: Double(hg_float_of_bfloat16(start.load(fromByteOffset: 2 * place, as: UInt16.self)))
      case .float: Double(start.load(fromByteOffset: 4 * place, as: Float.self))
      case .double: start.load(fromByteOffset: 8 * place, as: Double.self)
      }
    }
  }
}

/// The same problem for the definition of a kernel and for every other implementation.
///
/// All arrays lie between guards and are compared afterwards, those that are only read, too; tasks run backwards, since their
/// order must not matter; scratch memory begins as NaN and is followed by a guard.
struct MixedKernelProblem<Descriptor: BitwiseCopyable> {
  /// The kernel and every number of the problem.
  var label: String
  var tasks: Int
  var arrays: [MixedArray]
  /// Floats of scratch memory that are promised.
  var scratch = 0
  /// How far a value may be off, as a part of the largest: sums in float32.
  var tolerance = 2e-5
  /// What an array is read as, by its number, where the kernel writes another type into it.
  var readAs: [Int: MixedArray.Kind] = [:]
  var make: (_ at: [UnsafeMutableRawPointer]) -> Descriptor

  /// All implementations, the definition last.
  static var implementations: [hg_bfloat16_kernels] {
    (0..<hg_bfloat16_kernels_count()).map { hg_bfloat16_kernels_at($0).pointee }
  }

  /// Compares every implementation with the definition; gives what that computed.
  @discardableResult
  func check(_ kernel: KeyPath<hg_bfloat16_training_kernels, hg_training_task>) -> [[Double]] {
    let all = Self.implementations
    let expected = run(all[all.count - 1], kernel)
    for kernels in all.dropLast() {
      let name = String(cString: kernels.name)
      let found = run(kernels, kernel)
      for index in arrays.indices { compare(found[index], expected[index], index, "\(name) \(label), array \(index)") }
    }
    return expected
  }

  private func compare(_ found: [Double], _ expected: [Double], _ index: Int, _ title: String) {
    let largest = expected.reduce(1e-30) { $1.isNaN ? $0 : max($0, abs($1)) }
    let isHalf = (readAs[index] ?? arrays[index].kind) == .half
    for place in expected.indices {
      let (one, other) = (found[place], expected[place])
      if other.isNaN {
        if !one.isNaN { Issue.record("\(title): wrote \(one) into the gap at \(place)") }
      } else if !(abs(one - other) <= tolerance * largest + (isHalf ? abs(other) / 128 : 0)) {
        // Where sums differ by their rounding, a half may be rounded to its neighbour.
        Issue.record("\(title): at \(place) expected \(other), found \(one), largest \(largest)")
        return
      }
    }
  }

  func run(
    _ kernels: hg_bfloat16_kernels, _ kernel: KeyPath<hg_bfloat16_training_kernels, hg_training_task>
  ) -> [[Double]] {
    let guardBytes = 64
    let blocks = arrays.map { array in
      let count = array.values.count * array.size
      let block = UnsafeMutableRawPointer.allocate(byteCount: count + 2 * guardBytes, alignment: 64)
      block.initializeMemory(as: UInt8.self, repeating: 0x5a, count: count + 2 * guardBytes)
      array.write(to: block + guardBytes)
      return block
    }
    defer { for block in blocks { block.deallocate() } }
    var space = [Float](repeating: .nan, count: scratch) + [Float](repeating: -777, count: 4096)
    var descriptor = make(blocks.map { $0 + guardBytes })
    let task = kernels.training.pointee[keyPath: kernel]
    for index in (0..<tasks).reversed() { task(&descriptor, Int32(index), &space) }
    let isWithin = space[scratch...].allSatisfy { $0 == -777 }
    #expect(isWithin, "\(String(cString: kernels.name)) \(label): wrote behind its scratch memory")
    return zip(blocks, arrays).enumerated().map { index, pair in
      let (block, array) = pair
      let bytes = array.values.count * array.size
      let isWhole = (0..<guardBytes).allSatisfy { place in
        block.load(fromByteOffset: place, as: UInt8.self) == 0x5a
          && block.load(fromByteOffset: guardBytes + bytes + place, as: UInt8.self) == 0x5a
      }
      #expect(isWhole, "\(String(cString: kernels.name)) \(label), array \(index): wrote outside")
      let kind = readAs[index] ?? array.kind
      let size = kind == .half ? 2 : kind == .float ? 4 : 8
      return array.read(kind, from: block + guardBytes, count: bytes / size)
    }
  }
}

extension UnsafeMutableRawPointer {
  /// As the descriptors have the address of an array of any type.
  var floats: UnsafeMutablePointer<Float> { assumingMemoryBound(to: Float.self) }
  var doubles: UnsafeMutablePointer<Double> { assumingMemoryBound(to: Double.self) }
}
