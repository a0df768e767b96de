import Synchronization

/// What a model has done since the server started, in nanoseconds and counts.
///
/// Threads: safe to share.
package final class ModelStatistics: Sendable {
  /// A number of events and the time that they took.
  package struct Total: Sendable {
    package var count = 0
    package var nanoseconds = 0

    mutating func add(_ duration: Duration) {
      count += 1
      nanoseconds += Int(duration.inSeconds * 1e9)
    }
  }

  /// All totals.
  package struct Totals: Sendable {
    /// Pictures that were run.
    package var pictureCount = 0
    /// Batches that were run, each counted by its parts.
    package var batchCount = 0.0
    /// Requests with a result.
    package var success = Total()
    /// Requests without.
    package var failure = Total()
    package var queue = Total()
    package var prepare = Total()
    package var compute = Total()
    /// How often a request was part of a batch of so many pictures.
    package var batchSizes = Histogram(bounds: [1, 2, 4, 8, 16, 32, 64])
    package var queueSeconds = Histogram(bounds: Histogram.latencyBounds)
    package var prepareSeconds = Histogram(bounds: Histogram.latencyBounds)
    package var computeSeconds = Histogram(bounds: Histogram.latencyBounds)
    package var requestSeconds = Histogram(bounds: Histogram.latencyBounds)
    /// Requests by protocol and outcome.
    package var requests: [Outcome: Int] = [:]
  }

  /// What became of a request.
  package struct Outcome: Hashable, Sendable, Comparable {
    /// The protocol, such as `http` or `grpc`.
    package let transport: String
    /// `ok` or the kind of refusal.
    package let code: String

    package static func < (left: Outcome, right: Outcome) -> Bool {
      (left.transport, left.code) < (right.transport, right.code)
    }
  }

  private let totals = Mutex(Totals())

  /// Nothing yet.
  package init() {}

  /// All totals at this moment.
  package var current: Totals { totals.withLock { $0 } }

  /// Counts a request's part in a batch.
  func note(_ result: BatchResult) {
    totals.withLock { totals in
      totals.pictureCount += result.logits.count
      if result.batchSize > 0 { totals.batchCount += Double(result.logits.count) / Double(result.batchSize) }
      totals.queue.add(result.queued)
      totals.prepare.add(result.prepared)
      totals.compute.add(result.computed)
      totals.batchSizes.add(Double(result.batchSize))
      totals.queueSeconds.add(result.queued.inSeconds)
      totals.prepareSeconds.add(result.prepared.inSeconds)
      totals.computeSeconds.add(result.computed.inSeconds)
    }
  }

  /// Counts an answer.
  package func note(transport: String, refusal: ServingError.Kind?, duration: Duration) {
    totals.withLock { totals in
      if refusal == nil { totals.success.add(duration) } else { totals.failure.add(duration) }
      totals.requestSeconds.add(duration.inSeconds)
      totals.requests[Outcome(transport: transport, code: refusal?.rawValue ?? "ok"), default: 0] += 1
    }
  }
}

/// Counts of values by size, as Prometheus reads them.
package struct Histogram: Sendable {
  /// From half a millisecond to ten seconds.
  package static let latencyBounds = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
  ]

  /// The upper bounds, ascending.
  package let bounds: [Double]
  /// Values up to each bound and above the one before; the last holds what is above all.
  package private(set) var counts: [Int]
  /// The sum of all values.
  package private(set) var sum = 0.0

  /// No values yet.
  package init(bounds: [Double]) {
    self.bounds = bounds
    counts = [Int](repeating: 0, count: bounds.count + 1)
  }

  /// Counts a value.
  package mutating func add(_ value: Double) {
    counts[bounds.firstIndex { value <= $0 } ?? bounds.count] += 1
    sum += value
  }
}
