import Synchronization

/// Leads the threads of a pool through steps of numbered tasks: no task of a step begins before all of the one before
/// have ended.
///
/// A thread that is late, or that the system has taken off its processor, holds nobody up unless it has a task in hand;
/// the others share the rest. Allocates nothing after it was made.
package struct StepQueue: ~Copyable, Sendable {
  /// The step in the upper half, the next task of it in the lower.
  private let ticket = Atomic<UInt64>(0)
  private let ended = Atomic<Int>(0)
  private let place = WaitingPlace()

  /// Makes a queue that stands before the first step.
  package init() {}

  /// Goes back to the first step; call it while no thread is in `work`.
  package borrowing func restart() {
    ended.store(0, ordering: .relaxed)
    ticket.store(0, ordering: .sequentiallyConsistent)
  }

  /// Takes part until all steps have ended; every thread of the pool calls it.
  ///
  /// - Parameters:
  ///   - stepCount: the number of steps, less than 2³¹.
  ///   - taskCount: the number of tasks of a step, 1 … 2³⁰.
  ///   - perform: does a task of a step.
  ///   - stepEnded: called once after each step, by the thread that did its last task, before the next begins.
  package borrowing func work(
    stepCount: Int, taskCount: (_ step: Int) -> Int, perform: (_ step: Int, _ task: Int) -> Void,
    stepEnded: (_ step: Int) -> Void
  ) {
    while true {
      let mine = ticket.wrappingAdd(1, ordering: .sequentiallyConsistent).oldValue
      let step = Int(mine >> 32)
      guard step < stepCount else { return }
      let task = Int(mine & 0xFFFF_FFFF)
      let tasks = taskCount(step)
      if task < tasks {
        perform(step, task)
        guard ended.wrappingAdd(1, ordering: .acquiringAndReleasing).newValue == tasks else { continue }
        stepEnded(step)
        ended.store(0, ordering: .relaxed)
        ticket.store(UInt64(step + 1) << 32, ordering: .sequentiallyConsistent)
        place.announce()
      } else {
        place.wait { Int(ticket.load(ordering: .sequentiallyConsistent) >> 32) != step }
      }
    }
  }
}
