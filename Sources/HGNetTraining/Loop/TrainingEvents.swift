import Synchronization

/// What happens in a training run, in order; ends when the run ends.
///
/// Events that nobody has taken are kept. Of steps and of the progress of evaluations the newest 1024 are: a slow reader
/// misses some of them, never an epoch, an evaluation, a checkpoint or a warning.
///
/// Threads: safe to share; each event goes to one reader.
public struct TrainingEvents: AsyncSequence, Sendable {
  /// Takes the events.
  public struct Iterator: AsyncIteratorProtocol {
    fileprivate let buffer: TrainingEventBuffer

    /// The next event; nil when the run has ended, or the task that waits is cancelled.
    public mutating func next() async -> Trainer.Event? { await buffer.next() }
  }

  let buffer = TrainingEventBuffer()

  init() {}

  /// Makes a reader.
  public func makeAsyncIterator() -> Iterator { Iterator(buffer: buffer) }
}

/// Events on their way from the thread of a run to a reader.
final class TrainingEventBuffer: Sendable {
  private struct State {
    var events: [Trainer.Event] = []
    /// How many of the events may be dropped.
    var droppableCount = 0
    var readers: [(number: Int, continuation: CheckedContinuation<Trainer.Event?, Never>)] = []
    var readerCount = 0
    var cancelled: Set<Int> = []
    var isEnded = false
  }

  private static let droppableLimit = 1024
  private let state = Mutex(State())

  private static func isDroppable(_ event: Trainer.Event) -> Bool {
    switch event {
    case .step, .evaluating: true
    default: false
    }
  }

  /// Hands an event to the reader that waits, or keeps it.
  func add(_ event: Trainer.Event) {
    let reader: CheckedContinuation<Trainer.Event?, Never>? = state.withLock { state in
      if !state.readers.isEmpty { return state.readers.removeFirst().continuation }
      state.events.append(event)
      guard TrainingEventBuffer.isDroppable(event) else { return nil }
      state.droppableCount += 1
      if state.droppableCount > TrainingEventBuffer.droppableLimit,
        let first = state.events.firstIndex(where: TrainingEventBuffer.isDroppable)
      {
        state.events.remove(at: first)
        state.droppableCount -= 1
      }
      return nil
    }
    reader?.resume(returning: event)
  }

  /// Says that no event comes any more.
  func end() {
    let readers = state.withLock { state in
      state.isEnded = true
      defer { state.readers = [] }
      return state.readers
    }
    for reader in readers { reader.continuation.resume(returning: nil) }
  }

  /// The next event, nil after the last one.
  func next() async -> Trainer.Event? {
    let number = state.withLock { state in
      state.readerCount += 1
      return state.readerCount
    }
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let known: Trainer.Event?? = state.withLock { state in
          if state.cancelled.remove(number) != nil { return .some(nil) }
          if !state.events.isEmpty {
            let event = state.events.removeFirst()
            if TrainingEventBuffer.isDroppable(event) { state.droppableCount -= 1 }
            return event
          }
          if state.isEnded { return .some(nil) }
          state.readers.append((number, continuation))
          return nil
        }
        if let known { continuation.resume(returning: known) }
      }
    } onCancel: {
      let reader: CheckedContinuation<Trainer.Event?, Never>? = state.withLock { state in
        guard let index = state.readers.firstIndex(where: { $0.number == number }) else {
          state.cancelled.insert(number)
          return nil
        }
        return state.readers.remove(at: index).continuation
      }
      reader?.resume(returning: nil)
    }
  }
}
