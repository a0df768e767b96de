import CHGNetSystem
import Synchronization

/// One thread's turn, which a child of `fork` can tell from that of a thread that no longer exists.
///
/// The word says both that the turn is taken and in which process, in one exchange: the number of forks before it, plus
/// one. (`Mutex` writes down the number of the thread, which is wrong in a child.) Threads: safe to share.
struct Turn: ~Copyable, Sendable {
  private let holder = Atomic<UInt32>(0)
  private let place = WaitingPlace()

  init() { hg_fork_watch() }

  /// Waits for the turn and takes it.
  ///
  /// - Returns: false when it was taken over from a thread that was lost in a fork, in the middle of what it did.
  borrowing func take() -> Bool {
    let own = hg_fork_count() &+ 1
    while true {
      let found = holder.compareExchange(expected: 0, desired: own, ordering: .acquiringAndReleasing)
      if found.exchanged { return true }
      if found.original != own {
        let taken = holder.compareExchange(
          expected: found.original, desired: own, ordering: .acquiringAndReleasing)
        if taken.exchanged { return false }
        continue
      }
      place.wait { holder.load(ordering: .sequentiallyConsistent) != own }
    }
  }

  /// Gives it back.
  borrowing func giveBack() {
    holder.store(0, ordering: .sequentiallyConsistent)
    place.announce()
  }
}

/// A lock around a state that also tells the truth in a child of `fork`.
///
/// In a child only the thread that called `fork` goes on. What another thread held at that moment was left in the middle of
/// a change, for ever: using it is an error at once. What nobody held works on as before.
///
/// Threads: safe to share.
package final class ForkSafeLock<State: ~Copyable>: Sendable {
  private let turn = Turn()
  private nonisolated(unsafe) var state: State
  private nonisolated(unsafe) var isLost = false

  /// Makes it with a first state.
  package init(_ state: consuming sending State) { self.state = state }

  /// Calls `body` with the state while no other thread has it.
  ///
  /// - Throws: `HGNetError.Code.unsupported` in a child of `fork` when another thread of the parent had the state at that
  ///   moment, and what `body` throws.
  package func withLock<Result>(
    _ body: (inout State) throws(HGNetError) -> Result
  ) throws(HGNetError) -> Result {
    let isSound = turn.take()
    defer { turn.giveBack() }
    if !isSound { isLost = true }
    guard !isLost else {
      throw HGNetError(
        .unsupported,
        "this process was forked while another thread was using the network, which stays unfinished here; open it anew in "
          + "this process, or fork before it is used")
    }
    return try body(&state)
  }
}
