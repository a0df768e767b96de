import Synchronization

/// What is known of a request before its contents are read, whatever protocol it came by.
///
/// Threads: a value, safe to share.
package struct ServingCall: Sendable {
  /// The protocol in counts, such as `http` or `paddle-http`.
  package var transport: String
  /// The protocol in the log.
  package var protocolName: String
  /// What was called, in the log.
  package var method: String
  /// The kind of call, in counts of requests that reach no model.
  package var operation: String
  /// The client's own name for its request, or a new one.
  package var id: String
  /// The trace that the request is part of; nil for none.
  package var traceID: String?
  /// The token as `Bearer TOKEN`.
  package var authorization: String?
  /// Whether the call tells nothing, so that what watches over the server needs no token.
  package var isOpen = false
  /// Where the client is; nil where that is not known.
  package var clientAddress: String?
  /// When the request came.
  package var started = ContinuousClock.now
  /// When the client does not want the answer any more; nil where it has not said so.
  package var clientDeadline: ContinuousClock.Instant?
  /// Tells that the client has gone; nil where nothing can.
  package var departure: ClientDeparture?

  /// Names a request.
  ///
  /// - Parameter id: the client's own name for it; what could not stand in a line of a log gives way to a new one.
  package init(transport: String, protocolName: String, method: String, operation: String, id: String? = nil) {
    self.transport = transport
    self.protocolName = protocolName
    self.method = method
    self.operation = operation
    self.id = ServingCall.identifier(id)
  }

  /// A name that is harmless in a log: the given one, or a new one.
  static func identifier(_ given: String?) -> String {
    if let given, (1...128).contains(given.utf8.count), given.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) {
      return given
    }
    return String(UInt64.random(in: .min ... .max), radix: 16)
  }

  /// The trace in a header field `traceparent` (W3C Trace Context); nil for one that follows another form.
  static func traceID(ofParent text: String?) -> String? {
    guard let text, text.utf8.count <= 512 else { return nil }
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count >= 4, parts[0].utf8.count == 2, parts[0] != "ff", parts[1].utf8.count == 32,
      parts[2].utf8.count == 16, parts[3].utf8.count == 2, parts[0] != "00" || parts.count == 4,
      parts[0...3].allSatisfy({ $0.utf8.allSatisfy { ($0 >= 0x30 && $0 <= 0x39) || ($0 >= 0x61 && $0 <= 0x66) } }),
      parts[1].contains(where: { $0 != "0" }), parts[2].contains(where: { $0 != "0" })
    else { return nil }
    return String(parts[1])
  }
}

/// Tells the request that now runs that its client has gone.
///
/// Threads: safe to share.
package final class ClientDeparture: Sendable {
  private struct State {
    var isGone = false
    var cancel: (@Sendable () -> Void)?
  }

  private let state = Mutex(State())

  /// The client is there.
  package init() {}

  /// Says how the request is given up; nil when none runs.
  ///
  /// Where the client has gone already it is given up at once.
  package func setCancellation(_ cancel: (@Sendable () -> Void)?) {
    let isGone = state.withLock { state in
      state.cancel = cancel
      return state.isGone
    }
    if isGone { cancel?() }
  }

  /// Tells that the client has gone.
  package func end() {
    let cancel = state.withLock { state in
      state.isGone = true
      defer { state.cancel = nil }
      return state.cancel
    }
    cancel?()
  }
}
