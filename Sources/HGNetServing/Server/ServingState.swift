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
  /// How many requests of one client may be in flight.
  let clientLimit: ClientLimit
  /// Where clients are whose connections are passed on.
  let relayedClients = RelayedClients()
  private let draining = Atomic<Bool>(false)

  /// Puts the parts together.
  ///
  /// - Parameter clientLimit: how many requests of one client may be in flight; nil for as many as come.
  package init(
    repository: ModelRepository, log: ServingLog, token: BearerToken?, requestTimeout: Duration, clientLimit: Int? = nil
  ) {
    self.repository = repository
    metrics = repository.metrics
    self.log = log
    self.token = token
    self.requestTimeout = requestTimeout
    self.clientLimit = ClientLimit(clientLimit)
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

/// Where clients are whose connections the server passes on from one of its ports to another.
///
/// Threads: safe to share.
final class RelayedClients: Sendable {
  private let addresses = Mutex<[Int: String]>([:])

  /// Keeps the address of a client, by the port from which its connection is passed on.
  func add(_ address: String, port: Int) { addresses.withLock { $0[port] = address } }

  /// Forgets a connection that has ended.
  func remove(port: Int) { addresses.withLock { $0[port] = nil } }

  /// Where the client of a connection is.
  func address(of peer: String?, port: Int?) -> String? {
    guard let port, peer == "127.0.0.1" || peer == "::1" else { return peer }
    return addresses.withLock { $0[port] } ?? peer
  }
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

  /// The header field that carries the secret.
  var field: String { "Bearer " + String(decoding: secret, as: UTF8.self) }

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
