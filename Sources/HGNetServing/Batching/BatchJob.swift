import HGNetCore
import Synchronization

/// The pictures of one request on their way through a batcher.
///
/// It is answered exactly once: by its result, by its deadline, or because the client has gone.
final class BatchJob: Sendable {
  typealias Answer = Result<BatchResult, ServingError>

  let pictures: [PictureInput]
  let deadline: ContinuousClock.Instant?
  let queuedAt = ContinuousClock.now
  private let state = Mutex(State.new)

  private enum State {
    case new
    case waiting(CheckedContinuation<Answer, Never>)
    case answered(Answer)
    case done
  }

  init(pictures: [PictureInput], deadline: ContinuousClock.Instant?) {
    self.pictures = pictures
    self.deadline = deadline
  }

  /// Waits for the answer.
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

/// What a batcher makes of the pictures of one request.
package struct BatchResult: Sendable {
  /// The logits of each picture, or why there are none.
  package let logits: [Result<[Float], HGNetError>]
  /// How long the request waited before its batch began.
  package let queued: Duration
  /// How long its batch took to decode and prepare.
  package let prepared: Duration
  /// How long the network ran on its batch.
  package let computed: Duration
  /// The pictures of the batch.
  package let batchSize: Int
}
