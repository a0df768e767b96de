import HGNetCore
import Synchronization

/// A picture that a task waits for.
///
/// It is answered exactly once: by its result, or because the task was cancelled. Threads: safe to share.
final class PictureRequest<Output: Sendable>: Sendable {
  typealias Answer = Result<Output, any Error>

  /// Where the picture is.
  enum Source: Sendable {
    /// A file.
    case file(String)
    /// The bytes of a file.
    case bytes(Blob)
  }

  let source: Source
  private let state = Mutex(State.new)

  private enum State {
    case new
    case waiting(CheckedContinuation<Answer, Never>)
    case answered(Answer)
    case done
  }

  init(_ source: Source) { self.source = source }

  /// Waits for the answer; to be called once.
  func answer() async -> Answer {
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
  func finish(_ answer: Answer) {
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

  /// Whether nobody waits for a result any more.
  var isFinished: Bool {
    state.withLock { state in
      switch state {
      case .new, .waiting: false
      case .answered, .done: true
      }
    }
  }
}
