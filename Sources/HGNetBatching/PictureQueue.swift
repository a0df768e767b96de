import HGNetCore

/// The pictures that wait for a network; bounded.
///
/// Threads: safe to share; one thread takes.
final class PictureQueue<Output: Sendable>: Sendable {
  private struct State: Sendable {
    var waiting: [PictureRequest<Output>] = []
    var isClosed = false
  }

  private let state = Monitor(State())
  private let capacity: Int

  /// - Parameter capacity: the number of pictures that may wait.
  init(capacity: Int) { self.capacity = capacity }

  /// The number of pictures that wait.
  var count: Int { state.withLock { $0.waiting.count } }

  /// Appends a picture.
  ///
  /// - Throws: `HGNetError.Code.queueFull`.
  func append(_ request: PictureRequest<Output>) throws(HGNetError) {
    let isTaken = state.withLock { state in
      guard state.waiting.count < capacity else { return false }
      state.waiting.append(request)
      return true
    }
    guard isTaken else {
      throw HGNetError(
        .queueFull,
        "expected at most \(capacity) waiting pictures, found as many already; try again later, or raise queueCapacity")
    }
    state.announce()
  }

  /// Takes a picture out again, if it still waits.
  func remove(_ request: PictureRequest<Output>) {
    state.withLock { state in
      if let index = state.waiting.firstIndex(where: { $0 === request }) { state.waiting.remove(at: index) }
    }
  }

  /// Waits for pictures and takes as many as there are, at most `limit`; none once the queue is closed and empty.
  func take(atMost limit: Int) -> [PictureRequest<Output>] {
    state.wait { state in
      guard !state.waiting.isEmpty || state.isClosed else { return nil }
      let taken = Array(state.waiting.prefix(limit))
      state.waiting.removeFirst(taken.count)
      return taken
    }
  }

  /// Lets the thread end after what waits now.
  func close() {
    state.withLock { $0.isClosed = true }
    state.announce()
  }
}
