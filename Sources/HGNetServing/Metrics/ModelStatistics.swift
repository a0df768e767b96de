import Synchronization

/// What a model has done since the server started.
///
/// The numbers are those of the page for Prometheus: its handlers hold them, and the totals of the Open Inference
/// Protocol are read from there. Threads: safe to share.
package final class ModelStatistics: Sendable {
  /// A number of events and the time that they took.
  package struct Total: Sendable {
    package var count = 0
    package var nanoseconds = 0

    /// Nothing.
    package init() {}

    fileprivate init(count: Int, seconds: Double) {
      self.count = count
      nanoseconds = Int(max(0, seconds * 1e9))
    }

    fileprivate init(_ histogram: PrometheusHistogram) {
      let current = histogram.current
      self.init(count: current.count, seconds: current.sum)
    }
  }

  /// All totals.
  package struct Totals: Sendable {
    /// Pictures that were run.
    package let pictureCount: Int
    /// Batches that were run, each counted by its parts.
    package let batchCount: Double
    /// Requests with a result.
    package let success: Total
    /// Requests without.
    package let failure: Total
    package let queue: Total
    package let prepare: Total
    package let compute: Total
  }

  /// What became of a request.
  private struct Outcome: Hashable {
    /// The protocol, such as `http` or `grpc`.
    let transport: String
    /// nil for a result.
    let refusal: ServingError.Kind?
  }

  private let labels: [PrometheusLabel]
  private let visibility = PrometheusVisibility(isOn: false)
  private let requests: PrometheusFamily<PrometheusCounter>
  private let outcomes = Mutex<[Outcome: PrometheusCounter]>([:])
  private let pictures: PrometheusCounter
  private let batchPictures: PrometheusHistogram
  private let requestSeconds: PrometheusHistogram
  private let queueSeconds: PrometheusHistogram
  private let prepareSeconds: PrometheusHistogram
  private let computeSeconds: PrometheusHistogram
  // Only the Open Inference Protocol asks for these two.
  private let batches = PrometheusCounter()
  private let failureSeconds = PrometheusCounter()

  /// Nothing yet, and not on the page.
  package init(name: String, version: String, metrics: ServingMetrics) {
    let labels = [PrometheusLabel("model", name), PrometheusLabel("version", version)]
    self.labels = labels
    requests = metrics.requests
    pictures = metrics.pictures.series(labels, visibility: visibility)
    batchPictures = metrics.batchPictures.series(labels, visibility: visibility)
    requestSeconds = metrics.requestSeconds.series(labels, visibility: visibility)
    let visibility = visibility
    func stage(_ name: String) -> PrometheusHistogram {
      metrics.stageSeconds.series(labels + [PrometheusLabel("stage", name)], visibility: visibility)
    }
    queueSeconds = stage("queue")
    prepareSeconds = stage("decode")
    computeSeconds = stage("network")
  }

  /// Whether the numbers are on the page; they go on where they were when they come back.
  package var isShown: Bool {
    get { visibility.isOn }
    set { visibility.isOn = newValue }
  }

  /// All totals at this moment.
  package var current: Totals {
    let counts = outcomes.withLock { $0.mapValues { $0.stepCount } }
    let succeeded = counts.reduce(0) { $0 + ($1.key.refusal == nil ? $1.value : 0) }
    let failed = counts.reduce(0) { $0 + ($1.key.refusal == nil ? 0 : $1.value) }
    let failureSeconds = failureSeconds.value
    return Totals(
      pictureCount: pictures.stepCount, batchCount: batches.value,
      success: Total(count: succeeded, seconds: requestSeconds.current.sum - failureSeconds),
      failure: Total(count: failed, seconds: failureSeconds),
      queue: Total(queueSeconds), prepare: Total(prepareSeconds), compute: Total(computeSeconds))
  }

  /// Counts a request's part in a batch.
  func note(_ result: BatchResult) {
    pictures.increment(by: Int64(result.logits.count))
    if result.batchSize > 0 { batches.increment(by: Double(result.logits.count) / Double(result.batchSize)) }
    batchPictures.record(Double(result.batchSize))
    queueSeconds.record(result.queued.inSeconds)
    prepareSeconds.record(result.prepared.inSeconds)
    computeSeconds.record(result.computed.inSeconds)
  }

  /// Counts an answer.
  package func note(transport: String, refusal: ServingError.Kind?, duration: Duration) {
    requestSeconds.record(duration.inSeconds)
    if refusal != nil { failureSeconds.increment(by: duration.inSeconds) }
    let counter = outcomes.withLock { outcomes in
      let outcome = Outcome(transport: transport, refusal: refusal)
      if let known = outcomes[outcome] { return known }
      let made = requests.series(
        labels + [
          PrometheusLabel("protocol", transport), PrometheusLabel("outcome", refusal?.rawValue ?? "ok"),
        ], visibility: visibility)
      outcomes[outcome] = made
      return made
    }
    counter.increment()
  }
}
