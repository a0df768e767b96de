import HGNetCore
import HGNetProgram

/// The memory of sessions that never run at the same time: activations, scratch of each thread, and zeros for borders.
///
/// Sessions for several batches can share one, so that a server keeps the activations of its largest batch and no more.
/// What no run has touched yet is not resident. Threads: as the sessions, one task at a time.
final class SessionMemory: EngineMemory {
  /// As many as the largest plan wants, always zero.
  let zeros: UnsafeMutablePointer<Float>
  /// One piece for each thread.
  let scratch: UnsafeMutablePointer<Float>
  let scratchDistance: Int
  /// The arenas of all plans, one upon the other; last, so that small plans touch little.
  let activations: UnsafeMutableRawPointer
  private let base: UnsafeMutableRawPointer
  let byteCount: Int
  private let counts: (zeros: Int, threads: Int, arenaBytes: Int)

  /// Allocates what the hungriest of the plans wants.
  ///
  /// - Parameter plans: what will run here.
  /// - Throws: `HGNetError.Code.limitExceeded` when there is not enough memory.
  init(for plans: [Plan]) throws(HGNetError) {
    let threads = plans.map(\.threads).max() ?? 1
    let largest = plans.max { $0.arenaByteCount < $1.arenaByteCount }
    let zeroCount = (plans.map(\.zeroCount).max() ?? 0).roundedUp(to: 16)
    let arenaByteCount = plans.map(\.arenaByteCount).max() ?? 0
    counts = (zeroCount, threads, arenaByteCount)
    scratchDistance = (plans.map(\.scratchCount).max() ?? 0).roundedUp(to: 16) + 16
    let floatCount = zeroCount + scratchDistance * threads
    byteCount = 4 * floatCount + arenaByteCount
    base = try UnsafeMutableRawPointer.pages(
      byteCount: byteCount, isLarge: false,
      for: "a run of the network on \(largest?.batch ?? 0) pictures of \(largest?.inputSize ?? Size(0))",
      advice: MemoryNeed.fittingPictures(largest?.batch ?? 0, of: largest?.inputSize ?? Size(0)))
    zeros = base.bindMemory(to: Float.self, capacity: floatCount)
    zeros.update(repeating: 0, count: zeroCount)
    scratch = zeros + zeroCount
    activations = base + 4 * floatCount
  }

  deinit { base.deallocatePages() }

  /// Whether a plan has room here.
  func fits(_ plan: Plan) -> Bool {
    plan.zeroCount <= counts.zeros && plan.scratchCount <= scratchDistance && plan.arenaByteCount <= counts.arenaBytes
      && plan.threads <= counts.threads
  }
}
