import Synchronization

/// An answer that one task waits for and that is given exactly once, by whoever is first.
///
/// Threads: safe to share.
package final class OneAnswer<Answer: Sendable>: Sendable {
  private let state = Mutex(State.new)

  private enum State {
    case new
    case waiting(CheckedContinuation<Answer, Never>)
    case answered(Answer)
    case done
  }

  /// No answer yet.
  package init() {}

  /// Waits for the answer; to be called once.
  package func wait() async -> Answer {
    await withCheckedContinuation { continuation in
      let known: Answer? = state.withLock { state in
        if case .answered(let answer) = state {
          state = .done
          return answer
        }
        state = .waiting(continuation)
        return nil
      }
      if let known { continuation.resume(returning: known) }
    }
  }

  /// Gives the answer, unless there is one already.
  package func give(_ answer: Answer) {
    let continuation: CheckedContinuation<Answer, Never>? = state.withLock { state in
      switch state {
      case .new:
        state = .answered(answer)
        return nil
      case .waiting(let continuation):
        state = .done
        return continuation
      case .answered, .done: return nil
      }
    }
    continuation?.resume(returning: answer)
  }

  /// Whether nobody waits for it any more.
  package var isGiven: Bool {
    state.withLock { state in
      switch state {
      case .new, .waiting: false
      case .answered, .done: true
      }
    }
  }
}
