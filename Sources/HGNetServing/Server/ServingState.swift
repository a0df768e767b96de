import Synchronization

/// What all protocols of a server share.
///
/// Threads: safe to share.
package final class ServingState: Sendable {
  /// The models.
  package let repository: ModelRepository
  /// What is written about each request.
  package let log: ServingLog
  /// The secret that requests must carry; nil where none is asked for.
  package let token: BearerToken?
  /// The time after which a request is refused, whatever the client says.
  package let requestTimeout: Duration
  /// Requests that are no inference, by transport, operation and outcome.
  package var otherRequests: RequestCounts { metrics.otherRequests }
  /// The numbers for Prometheus.
  package let metrics: ServingMetrics
  private let draining = Atomic<Bool>(false)

  /// Puts the parts together.
  package init(repository: ModelRepository, log: ServingLog, token: BearerToken?, requestTimeout: Duration) {
    self.repository = repository
    metrics = repository.metrics
    self.log = log
    self.token = token
    self.requestTimeout = requestTimeout
    metrics.registry.readings(
      "hgnet_ready", help: "Whether every model is ready and the server is not about to end."
    ) { [weak self] in self.map { [([], $0.isReady ? 1 : 0)] } ?? [] }
    metrics.registry.readings("hgnet_queue_pictures", help: "Pictures that wait for the network.") {
      [weak repository] in
      (repository?.models ?? []).map { model in
        ([PrometheusLabel("model", model.name), PrometheusLabel("version", model.version)], Double(model.queueLength))
      }
    }
  }

  /// Whether requests may come: every model is ready and the server is not about to end.
  package var isReady: Bool { !isDraining && repository.isReady }

  /// Whether the server is about to end: requests are still answered, but others should be asked.
  package var isDraining: Bool { draining.load(ordering: .relaxed) }

  /// Lets the server end.
  package func drain() { draining.store(true, ordering: .relaxed) }
}

/// A secret that requests carry in `Authorization: Bearer …`.
package struct BearerToken: Sendable {
  private let secret: [UInt8]

  /// Takes the secret.
  ///
  /// - Parameter text: the secret; white space around it does not count. nil for nothing else.
  package init?(_ text: String) {
    let space: Set<UInt8> = [0x20, 0x09, 0x0A, 0x0D]
    var bytes = Array(text.utf8)[...]
    while let first = bytes.first, space.contains(first) { bytes = bytes.dropFirst() }
    while let last = bytes.last, space.contains(last) { bytes = bytes.dropLast() }
    guard !bytes.isEmpty else { return nil }
    secret = Array(bytes)
  }

  /// Whether a header field carries the secret; takes the same time whatever part of it agrees.
  package func matches(_ authorization: String?) -> Bool {
    guard let authorization else { return false }
    let bytes = Array(authorization.utf8)
    let scheme = Array("bearer ".utf8)
    guard bytes.count > scheme.count, zip(bytes, scheme).allSatisfy({ $0 | 0x20 == $1 }) else { return false }
    let given = bytes[scheme.count...]
    var difference: UInt8 = given.count == secret.count ? 0 : 1
    for (index, byte) in given.enumerated() { difference |= byte ^ secret[index % secret.count] }
    return difference == 0
  }
}
