#if Serving
  import HGNetCore
  import ServiceLifecycle

  /// A protocol over which a server answers: it listens when it is run, and ends with the group of services that it is in.
  ///
  /// Requests go through `ServingState.pass`; what a protocol adds is its framing, its messages and its numbers of errors.
  protocol ServingProtocol: Service {
    /// The name in the log, in counts, and of a socket that is inherited.
    static var protocolName: String { get }
    /// The connections that are open.
    var connectionCount: Int { get }
    /// Lets no new connection begin; those that have begun go on.
    func refuseConnections() async
    /// Tells the clients that the server is about to end, where the protocol has words for it.
    func announceEnd() async

    /// Makes the protocol ready; nil where the configuration does without it.
    ///
    /// - Throws: `HGNetError` for a configuration that cannot be used.
    static func make(
      _ state: ServingState, _ configuration: ServingConfiguration, _ listeners: Listeners
    ) throws(HGNetError) -> (any ServingProtocol)?
  }

  extension ServingProtocol {
    /// The name in the log and in counts.
    var name: String { Self.protocolName }
  }

  /// The protocols that a server knows, in the order in which they begin to listen.
  enum ServingProtocols {
    static let all: [any ServingProtocol.Type] = [HTTPProtocol.self, GRPCProtocol.self, BRPCProtocol.self]
  }
#endif
