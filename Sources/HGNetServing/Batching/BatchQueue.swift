import Dispatch
import Synchronization

/// The requests that wait for a batcher's thread; bounded.
///
/// Threads: safe to share; one thread takes.
final class BatchQueue: Sendable {
  private let state = Mutex(State())
  private let arrivals = DispatchSemaphore(value: 0)
  private let capacity: Int

  fileprivate struct State {
    var jobs: [BatchJob] = []
    var pictureCount = 0
    var isClosed = false
    /// Seconds per picture of the last batches, smoothed; for the advice when to come again.
    var secondsPerPicture = 0.01
  }

  /// - Parameter capacity: the number of pictures that may wait.
  init(capacity: Int) { self.capacity = capacity }

  /// The number of pictures that wait.
  var pictureCount: Int { state.withLock { $0.pictureCount } }

  /// Appends a request.
  ///
  /// - Throws: `overloaded` when too many pictures wait already.
  func append(_ job: BatchJob) throws(ServingError) {
    let refusal: ServingError? = state.withLock { state in
      guard !state.isClosed else { return ServingError(.unavailable, "the model has been unloaded") }
      guard state.jobs.isEmpty || state.pictureCount + job.pictures.count <= capacity else {
        let seconds = Double(state.pictureCount) * state.secondsPerPicture
        return ServingError(
          .overloaded, "\(state.pictureCount) pictures wait already and the queue holds \(capacity); try again later",
          retryAfter: max(1, Int(seconds.rounded(.up))))
      }
      state.jobs.append(job)
      state.pictureCount += job.pictures.count
      return nil
    }
    if let refusal { throw refusal }
    arrivals.signal()
  }

  /// Takes a request out again, if it still waits.
  func remove(_ job: BatchJob) {
    state.withLock { state in
      guard let index = state.jobs.firstIndex(where: { $0 === job }) else { return }
      state.jobs.remove(at: index)
      state.pictureCount -= job.pictures.count
    }
  }

  /// Waits for requests and takes as many as make a batch, at least one; nil once the queue is closed and empty.
  ///
  /// Requests whose time is over are answered here.
  func take(atMost limit: Int) -> [BatchJob]? {
    while true {
      arrivals.wait()
      let (batch, late, isEnd) = state.withLock { $0.take(atMost: limit, now: .now) }
      for job in late {
        job.answer.give(.failure(ServingError(.deadlineExceeded, "the request waited until its time was over")))
      }
      if !batch.isEmpty { return batch }
      if isEnd { return nil }
    }
  }

  /// Tells how long a batch took.
  func note(pictures: Int, seconds: Double) {
    guard pictures > 0 else { return }
    state.withLock { $0.secondsPerPicture += 0.1 * (seconds / Double(pictures) - $0.secondsPerPicture) }
  }

  /// Lets the thread end after what waits now.
  func close() {
    state.withLock { $0.isClosed = true }
    arrivals.signal()
  }
}

extension BatchQueue.State {
  /// What to run now, what is too late, and whether nothing will ever come again.
  fileprivate mutating func take(
    atMost limit: Int, now: ContinuousClock.Instant
  ) -> (batch: [BatchJob], late: [BatchJob], isEnd: Bool) {
    var batch: [BatchJob] = []
    var late: [BatchJob] = []
    var count = 0
    var rest: [BatchJob] = []
    for job in jobs {
      if let deadline = job.deadline, deadline <= now {
        late.append(job)
      } else if rest.isEmpty, batch.isEmpty || count + job.pictures.count <= limit {
        batch.append(job)
        count += job.pictures.count
      } else {
        rest.append(job)
      }
    }
    jobs = rest
    pictureCount = rest.reduce(0) { $0 + $1.pictures.count }
    return (batch, late, isClosed && rest.isEmpty)
  }
}
