import CHGNetKernels
import HGNetCore

/// Adds the sums behind batch statistics over the processes that train together.
///
/// A training session calls it in the same order in every process, on one thread at a time, forward and backward.
package protocol StatisticsReduction: AnyObject, Sendable {
  /// Replaces each value by its sum over all processes; the pointer must not escape.
  ///
  /// It cannot throw, since a step of the network cannot end halfway; a failure is to be told afterwards.
  func sum(_ values: UnsafeMutableBufferPointer<Double>)
}

/// A step of a training plan that adds sums over processes.
///
/// The chunks of a layer's sums are joined in ascending order, so that the result does not depend on the number of
/// threads, and followed by the number of rows, which may differ between processes.
struct StatisticsStep {
  /// What the descriptor points to; the session keeps it alive.
  final class Reducer: Sendable {
    let reduction: any StatisticsReduction
    init(_ reduction: any StatisticsReduction) { self.reduction = reduction }
  }

  let reducer: Unmanaged<Reducer>
  let sums: UnsafePointer<Double>
  let chunkCount: Int
  let paddedChannels: Int
  let rows: Int
  let total: UnsafeMutablePointer<Double>

  func run() {
    for index in 0..<2 * paddedChannels {
      var sum = 0.0
      for chunk in 0..<chunkCount { sum += sums[chunk * 4 * paddedChannels + index] }
      total[index] = sum
    }
    total[2 * paddedChannels] = Double(rows)
    let all = UnsafeMutableBufferPointer(start: total, count: 2 * paddedChannels + 1)
    reducer._withUnsafeGuaranteedRef { $0.reduction.sum(all) }
  }
}

extension TrainingPlan {
  /// Appends the addition of a unit's sums over processes; nothing where each keeps its own.
  mutating func addReduction(_ unit: Unit, _ name: String) {
    guard let reduction, let total = unit.total else { return }
    let padded = (unit.convolution.outputChannels + 15) / 16 * 16
    let chunks = (unit.rows + unit.rowsPerChunk - 1) / unit.rowsPerChunk
    add(name + " of all processes", tasks: 1, uses: [unit.sums, total]) { addresses, memory in
      func doubles(_ buffer: Int) -> UnsafeMutablePointer<Double> {
        UnsafeMutableRawPointer(addresses.pointer(buffer)).assumingMemoryBound(to: Double.self)
      }
      memory.initializeMemory(
        as: StatisticsStep.self,
        to: StatisticsStep(
          reducer: .passUnretained(reduction), sums: UnsafePointer(doubles(unit.sums)), chunkCount: chunks,
          paddedChannels: padded, rows: unit.rows, total: doubles(total)))
      return { descriptor, _, _ in descriptor.assumingMemoryBound(to: StatisticsStep.self).pointee.run() }
    }
  }
}
