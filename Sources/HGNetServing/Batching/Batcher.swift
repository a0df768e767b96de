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
  ///   - limits: the bounds.
  ///   - observe: told of each batch, on the batcher's thread.
  package init(
    network: ServedNetwork, usualSize: Size, limits: Limits,
    observe: @escaping @Sendable (BatchResult) -> Void = { _ in }
  ) {
    let queue = BatchQueue(capacity: limits.queueCapacity)
    self.queue = queue
    let thread = Thread {
      var runner = BatchRunner(network: network, usualSize: usualSize, limits: limits)
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
      await job.answer.wait()
    } onCancel: {
      queue.remove(job)
      job.answer.give(.failure(ServingError(.cancelled, "the client has gone")))
    }
    return try answer.get()
  }
}

/// The work of a batcher's thread.
private struct BatchRunner: ~Copyable {
  let network: ServedNetwork
  let limits: Batcher.Limits
  /// For pieces of 8, 4, 2 and 1 pictures of the usual size, so that a change of load plans nothing and allocates nothing.
  var sessions: SessionKeeper<Session>

  init(network: ServedNetwork, usualSize: Size, limits: Batcher.Limits) {
    self.network = network
    self.limits = limits
    let pieces = sequence(first: 1) { $0 * 2 }.prefix { $0 <= limits.batchSize }
    sessions = SessionKeeper(model: network.model, keeping: Array(pieces), of: usualSize)
  }

  /// Runs the requests of a batch and answers them.
  mutating func run(_ all: [BatchJob], observe: (BatchResult) -> Void) {
    let started = ContinuousClock.now
    let jobs = all.filter { !$0.answer.isGiven }
    let pictures = jobs.flatMap(\.pictures)
    guard !pictures.isEmpty else {
      for job in jobs {
        job.answer.give(
          .success(BatchResult(logits: [], queued: .zero, prepared: .zero, computed: .zero, batchSize: 0)))
      }
      return
    }
    let prepared = PreparedPictures(pictures.count, pool: network.model.device.pool) {
      [network, limits] (index) throws(HGNetError) in
      try pictures[index].prepared(recipe: network.recipe, pixelLimit: limits.pixelLimit)
    }
    let preparedAt = ContinuousClock.now
    let results = logits(of: prepared)
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
        job.answer.give(.failure(ServingError(.deadlineExceeded, "the result came after the time was over")))
      } else {
        job.answer.give(.success(result))
      }
    }
  }

  /// The largest piece in which a number of pictures runs; the results do not depend on it.
  private static func piece(of count: Int, atMost limit: Int) -> Int {
    var piece = 1
    while piece * 2 <= min(count, limit) { piece *= 2 }
    return piece
  }

  /// The logits of each picture; those of one size run together.
  private mutating func logits(of pictures: PreparedPictures) -> [Result<[Float], HGNetError>] {
    var results = pictures.results.map { $0.map { _ in [Float]() } }
    for group in pictures.groups {
      var start = 0
      while start < group.pictures.count {
        let count = BatchRunner.piece(of: group.pictures.count - start, atMost: limits.batchSize)
        let part: Result<[[Float]], HGNetError>
        do throws(HGNetError) {
          part = .success(try sessions.run(group.pictures[start..<start + count]).session.rows())
        } catch { part = .failure(error) }
        for place in 0..<count { results[group.indices[start + place]] = part.map { $0[place] } }
        start += count
      }
    }
    return results
  }
}
