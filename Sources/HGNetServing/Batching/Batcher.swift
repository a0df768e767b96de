import Foundation
import HGNet
import HGNetCore
import HGNetVision

/// Runs the requests of many clients through one network, several at a time while it is busy.
///
/// An idle network takes a request at once: nothing waits for a batch to fill. What arrives during a run makes up the
/// next batch. Decoding and the network run on a thread of the batcher's own and on the pool, never on the callers'.
/// Threads: safe to share.
package final class Batcher: Sendable {
  /// The bounds of a batcher.
  package struct Limits: Sendable {
    /// Pictures of a batch.
    package var batchSize = 8
    /// Pictures that may wait; more are refused.
    package var queueCapacity = 128
    /// Pixels of a picture, height × width.
    package var pixelLimit = 50_000_000

    /// Makes the usual bounds.
    package init() {}
  }

  private let queue: BatchQueue

  /// Starts the thread.
  ///
  /// - Parameters:
  ///   - network: what is run.
  ///   - usualSize: the picture size for which sessions are kept.
  ///   - pool: the threads that share the work.
  ///   - limits: the bounds.
  ///   - observe: told of each batch, on the batcher's thread.
  package init(
    network: ServedNetwork, usualSize: Size, pool: ThreadPool, limits: Limits,
    observe: @escaping @Sendable (BatchResult) -> Void = { _ in }
  ) {
    let queue = BatchQueue(capacity: limits.queueCapacity)
    self.queue = queue
    let thread = Thread {
      var runner = BatchRunner(network: network, usualSize: usualSize, pool: pool, limits: limits)
      while let jobs = queue.take(atMost: limits.batchSize) {
        let started = ContinuousClock.now
        runner.run(jobs, observe: observe)
        queue.note(
          pictures: jobs.reduce(0) { $0 + $1.pictures.count }, seconds: (ContinuousClock.now - started).inSeconds)
      }
    }
    thread.name = "batcher"
    // Decoders keep tables on the stack.
    thread.stackSize = 4 << 20
    thread.start()
  }

  deinit { queue.close() }

  /// The number of pictures that wait.
  package var queueLength: Int { queue.pictureCount }

  /// Runs pictures through the network.
  ///
  /// A task that is cancelled takes its pictures out of the queue.
  ///
  /// - Parameters:
  ///   - pictures: the pictures of one request; they may have different sizes.
  ///   - deadline: when the result is of no use any more.
  /// - Throws: `overloaded`, `deadlineExceeded`, `cancelled`.
  package func run(
    _ pictures: [PictureInput], deadline: ContinuousClock.Instant? = nil
  ) async throws(ServingError) -> BatchResult {
    let job = BatchJob(pictures: pictures, deadline: deadline)
    try queue.append(job)
    let answer = await withTaskCancellationHandler {
      await job.answer()
    } onCancel: {
      queue.remove(job)
      job.finish(.failure(ServingError(.cancelled, "the client has gone")))
    }
    return try answer.get()
  }
}

/// The work of a batcher's thread.
private struct BatchRunner {
  let network: ServedNetwork
  let pool: ThreadPool
  let limits: Batcher.Limits
  var sessions: SessionCache

  init(network: ServedNetwork, usualSize: Size, pool: ThreadPool, limits: Batcher.Limits) {
    self.network = network
    self.pool = pool
    self.limits = limits
    sessions = SessionCache(
      model: network.model, pool: pool, usualSize: usualSize, largestBatch: limits.batchSize)
  }

  /// Runs the requests of a batch and answers them.
  mutating func run(_ all: [BatchJob], observe: (BatchResult) -> Void) {
    let started = ContinuousClock.now
    let jobs = all.filter { !$0.isFinished }
    let pictures = jobs.flatMap(\.pictures)
    guard !pictures.isEmpty else {
      for job in jobs {
        job.finish(
          .success(BatchResult(logits: [], queued: .zero, prepared: .zero, computed: .zero, batchSize: 0)))
      }
      return
    }
    let tensors = PreparedPictures(pictures.count, pool: pool) { [network, limits] (index) throws(HGNetError) in
      try pictures[index].tensor(recipe: network.recipe, pixelLimit: limits.pixelLimit)
    }
    let preparedAt = ContinuousClock.now
    let results = logits(of: tensors)
    let finished = ContinuousClock.now
    var first = 0
    for job in jobs {
      let own = Array(results[first..<first + job.pictures.count])
      first += job.pictures.count
      let result = BatchResult(
        logits: own, queued: started - job.queuedAt, prepared: preparedAt - started, computed: finished - preparedAt,
        batchSize: pictures.count)
      observe(result)
      if let deadline = job.deadline, deadline <= finished {
        job.finish(.failure(ServingError(.deadlineExceeded, "the result came after the time was over")))
      } else {
        job.finish(.success(result))
      }
    }
  }

  /// The logits of each picture; those of one size run together.
  private mutating func logits(of pictures: PreparedPictures) -> [Result<[Float], HGNetError>] {
    var results = pictures.results.map { $0.map { _ in [Float]() } }
    for group in pictures.groups {
      var start = 0
      while start < group.tensors.count {
        let count = SessionCache.piece(of: group.tensors.count - start, at: limits.batchSize)
        let part = Result { () throws(HGNetError) in
          try sessions.logits(of: group.tensors[start..<start + count])
        }
        for place in 0..<count { results[group.indices[start + place]] = part.map { $0[place] } }
        start += count
      }
    }
    return results
  }
}
