import CHGNetSystem
import Synchronization

/// Where threads wait until something has become true: for a moment in a loop, then asleep.
///
/// Asleep rather than giving way again and again: where there are more threads than processors, the thread that all
/// wait for needs the processor, and the system lets a sleeper back in first. Allocates nothing after it was made.
struct WaitingPlace: ~Copyable, Sendable {
  /// Changes with every announcement; the address is what sleepers sleep on.
  private nonisolated(unsafe) let word = UnsafeMutablePointer<Atomic<UInt32>>.allocate(capacity: 1)
  private let sleepers = Atomic<Int>(0)
  /// Some 50 µs: the pause between two pictures or two steps.
  private static let patience = 2_000

  init() { word.initialize(to: Atomic(0)) }

  deinit {
    word.deinitialize(count: 1)
    word.deallocate()
  }

  /// Returns once `condition` holds; it must read with sequential consistency.
  borrowing func wait(until condition: () -> Bool) {
    for _ in 0..<WaitingPlace.patience {
      if condition() { return }
      hg_spin_hint()
    }
    while true {
      let seen = word.pointee.load(ordering: .sequentiallyConsistent)
      sleepers.wrappingAdd(1, ordering: .sequentiallyConsistent)
      let holds = condition()
      if !holds { hg_sleep(word, seen) }
      sleepers.wrappingSubtract(1, ordering: .sequentiallyConsistent)
      if holds || condition() { return }
    }
  }

  /// Wakes those who sleep; call it after the condition has become true.
  borrowing func announce() {
    word.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
    if sleepers.load(ordering: .sequentiallyConsistent) > 0 { hg_wake(word, .max) }
  }
}
