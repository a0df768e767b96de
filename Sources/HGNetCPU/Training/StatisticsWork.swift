import CHGNetKernels
import HGNetCore
import HGNetProgram

/// Adds the sums of a layer over processes.
///
/// The chunks of a layer's sums are joined in ascending order, so that the result does not depend on the number of
/// threads, and followed by the number of rows, which may differ between processes.
struct StatisticsWork: Work {
  /// What the descriptor points to; the session keeps it alive.
  final class Reducer: Sendable {
    let reduction: any StatisticsReduction
    init(_ reduction: any StatisticsReduction) { self.reduction = reduction }
  }

  let reducer: Reducer
  let sums: Int
  let chunkCount: Int
  let paddedChannels: Int
  let rows: Int
  let total: Int

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    try descriptor.set(
      Call(
        reducer: .passUnretained(reducer), sums: UnsafePointer(addresses.doubles(sums)), chunkCount: chunkCount,
        paddedChannels: paddedChannels, rows: rows, total: addresses.doubles(total)))
    return { descriptor, _, _ in descriptor.assumingMemoryBound(to: Call.self).pointee.run() }
  }

  /// The same with addresses.
  private struct Call {
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
}
