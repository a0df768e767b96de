import HGNetCore
import HGNetPlatform

/// A block of float64 numbers, zero at first.
///
/// Threads: whoever holds it says who writes it.
final class Numbers: Sendable {
  nonisolated(unsafe) let base: UnsafeMutablePointer<Double>
  let count: Int

  /// Takes a block.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` when there is not enough memory.
  init(
    count: Int, for subject: @autoclosure () -> String, advice: (_ share: Double) -> String = { _ in "" }
  ) throws(HGNetError) {
    let (bytes, overflow) = max(count, 1).multipliedReportingOverflow(by: MemoryLayout<Double>.stride)
    base = try MemoryBlock.allocate(byteCount: overflow ? .max : bytes, for: subject(), advice: advice)
      .bindMemory(to: Double.self, capacity: max(count, 1))
    base.initialize(repeating: 0, count: max(count, 1))
    self.count = count
  }

  deinit { free(base) }

  /// Takes over float32 values, as many as there are numbers.
  func copy(_ tensor: Tensor) {
    tensor.withUnsafeBufferPointer { source in
      for index in 0..<min(count, source.count) { base[index] = Double(source[index]) }
    }
  }

  /// The numbers rounded to float32.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` without memory.
  func tensor(_ shape: Shape) throws(HGNetError) -> Tensor {
    try Tensor(allocating: shape, for: "a parameter") { (target) throws(HGNetError) in
      for index in target.indices { target[index] = Float(base[index]) }
    }
  }
}

/// Named arrays of numbers, one per parameter.
struct NamedNumbers: Sendable {
  let arrays: [Numbers]
  let indices: [String: Int]

  /// The numbers of a parameter.
  ///
  /// - Throws: `HGNetError.Code.parameterMismatch` for a name that there is not.
  func pointer(_ name: String, layer: String) throws(HGNetError) -> UnsafeMutablePointer<Double> {
    guard let index = indices[name] else {
      throw HGNetError(.parameterMismatch, "the network does not declare this parameter", key: name, layer: layer)
    }
    return arrays[index].base
  }
}

/// Nanoseconds of a clock that never goes back.
func nanoseconds() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// e to the power of a number.
func exponential(_ power: Double) -> Double { exp(power) }
