import CHGNetKernels
import HGNetCore

/// A kernel call with its addresses.
struct ResolvedStep {
  let task: hg_task
  let descriptor: UnsafeRawPointer
  let taskCount: Int
}

/// The kernel calls of a session, and what they are told.
final class ResolvedSteps {
  let steps: UnsafeMutablePointer<ResolvedStep>
  private let descriptors: UnsafeMutableRawPointer

  /// Writes all descriptors.
  ///
  /// - Throws: `HGNetError.Code.internalInconsistency`, `parameterMismatch` for a parameter that is not there.
  init(_ planned: [Step], at addresses: Addresses) throws(HGNetError) {
    let count = max(planned.count, 1)
    descriptors = .allocate(byteCount: count * Descriptor.byteCount, alignment: 64)
    steps = .allocate(capacity: count)
    for (index, step) in planned.enumerated() {
      let descriptor = Descriptor(memory: descriptors + index * Descriptor.byteCount)
      let task = try step.work.write(addresses, into: descriptor)
      (steps + index).initialize(
        to: ResolvedStep(task: task, descriptor: UnsafeRawPointer(descriptor.memory), taskCount: step.taskCount))
    }
  }

  deinit {
    steps.deallocate()
    descriptors.deallocate()
  }
}

/// What the threads of one run share.
struct SessionRun: ~Copyable {
  let steps: UnsafeMutablePointer<ResolvedStep>
  let count: Int
  let scratch: UnsafeMutablePointer<Float>
  let scratchDistance: Int
  let threads: Int
  /// Nanoseconds at the start of the run and at the end of each step; nil unless wanted.
  let times: UnsafeMutablePointer<UInt64>?
  let queue = StepQueue()
  /// Called after each step by the thread that ended it; set only while no thread is at work.
  var stepEnded: (@Sendable (Int) -> Void)?

  init(
    steps: UnsafeMutablePointer<ResolvedStep>, count: Int, scratch: UnsafeMutablePointer<Float>, scratchDistance: Int,
    threads: Int, times: UnsafeMutablePointer<UInt64>?
  ) {
    self.steps = steps
    self.count = count
    self.scratch = scratch
    self.scratchDistance = scratchDistance
    self.threads = threads
    self.times = times
  }

  /// One thread's part of the run: all threads walk through the steps together and share the tasks of each.
  borrowing func work(as worker: Int) {
    let own = scratch + worker * scratchDistance
    guard threads > 1 else {
      for index in 0..<count {
        let step = steps[index]
        for task in 0..<step.taskCount { step.task(step.descriptor, Int32(truncatingIfNeeded: task), own) }
        if let times { times[index + 1] = StepReport.nanoseconds() }
        stepEnded?(index)
      }
      return
    }
    queue.work(
      stepCount: count, taskCount: { steps[$0].taskCount },
      perform: { steps[$0].task(steps[$0].descriptor, Int32(truncatingIfNeeded: $1), own) },
      stepEnded: { index in
        if let times { times[index + 1] = StepReport.nanoseconds() }
        stepEnded?(index)
      })
  }
}
