import CHGNetKernels
import HGNetCore

/// What a pool of threads can do at most on this machine: the two ceilings of a roofline.
package struct MachinePeak: Sendable {
  /// Operations a second, a multiply-add counted as two, in registers alone.
  package var arithmetic: Double
  /// Bytes a second read from main memory.
  package var reading: Double

  /// Measures both on all threads of a pool, the best of several rounds; takes about half a second.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` when there is no memory of 256 MiB to read.
  package static func measured(
    on pool: ThreadPool, instructionSet: InstructionSet = .best
  ) throws(HGNetError) -> MachinePeak {
    let kernels = instructionSet.kernels.pointee
    // Larger than any third cache, so that each pass comes from memory.
    let memoryCount = (256 << 20) / 4
    let block = try UnsafeMutableRawPointer.pages(
      byteCount: 4 * memoryCount, isLarge: true, for: "a measurement of the machine")
    defer { block.deallocatePages() }
    let memory = block.bindMemory(to: Float.self, capacity: memoryCount)
    memory.update(repeating: 0, count: memoryCount)
    let few = try UnsafeMutableRawPointer.pages(
      byteCount: 64 * pool.count, isLarge: false, for: "a measurement of the machine")
    defer { few.deallocatePages() }
    let sums = few.bindMemory(to: Float.self, capacity: 16 * pool.count)

    func seconds(_ task: hg_task, _ descriptor: hg_peak) -> Double {
      var best = Double.infinity
      for _ in 0..<7 {
        let begin = StepReport.nanoseconds()
        withUnsafePointer(to: descriptor) { pointer in
          pool.forEach(pool.count) { thread in task(pointer, Int32(truncatingIfNeeded: thread), nil) }
        }
        best = min(best, Double(max(StepReport.nanoseconds() - begin, 1)) / 1e9)
      }
      return best
    }
    let repeats = kernels.lanes > 1 ? 4_000_000 / Int(kernels.lanes) : 400_000
    let part = memoryCount / pool.count / 64 * 64
    let arithmetic = seconds(
      kernels.peak_arithmetic, hg_peak(repeats: Int64(repeats), memory: nil, count: 0, sums: sums))
    let reading = seconds(kernels.peak_reading, hg_peak(repeats: 1, memory: memory, count: Int64(part), sums: sums))
    return MachinePeak(
      arithmetic: Double(24 * Int(kernels.lanes) * repeats * pool.count) / arithmetic,
      reading: Double(part * pool.count * 4) / reading)
  }
}
