#if Serving
  import HGNetCore
  import NIOCore
  import NIOPosix
  import ServiceLifecycle
  import Synchronization

  /// Listens on the port of bRPC, on which HTTP and gRPC are answered, too: the first bytes of a connection decide.
  struct BRPCProtocol: ServingProtocol {
    static let protocolName = BRPC.name
    private let state: ServingState
    private let configuration: ServingConfiguration
    private let port: Int
    private let listeners: Listeners
    private let connections: OpenConnections
    private let wrongPort: WrongPort

    static func make(
      _ state: ServingState, _ configuration: ServingConfiguration, _ listeners: Listeners
    ) throws(HGNetError) -> (any ServingProtocol)? {
      let handedOver = listeners[protocolName].inherited == nil ? nil : 0
      guard let port = configuration.brpcPort ?? handedOver else { return nil }
      guard configuration.certificate == nil else {
        throw HGNetError(.invalidArgument, "the port of bRPC has no TLS; leave it or the certificate out")
      }
      return BRPCProtocol(
        state: state, configuration: configuration, port: port, listeners: listeners,
        connections: OpenConnections(limit: configuration.connectionLimit),
        wrongPort: WrongPort(name: protocolName, title: "bRPC, HTTP and gRPC", state: state, listeners: listeners))
    }

    var connectionCount: Int { connections.count }

    func refuseConnections() async { await listeners[name].refuse() }

    func announceEnd() async { connections.tell(BRPCConnection.Farewell.refuseRequests) }

    func run() async throws {
      let bootstrap = ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .serverChannelOption(.backlog, value: 256)
        .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
        .serverChannelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(listeners[name].acceptHandler(log: state.log))
          }
        }
        .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
        .childChannelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            guard connections.add(channel) else { return }
            let handler = FirstBytes(timeout: .seconds(Int64(configuration.idleSeconds))) { kind, context in
              decide(kind, context)
            }
            try channel.pipeline.syncOperations.addHandler(handler, name: FirstBytes.name)
          }
        }
      let listener = listeners[name]
      let channel: any Channel
      if let socket = listener.inherited {
        channel = try await bootstrap.withBoundSocket(socket).get()
      } else {
        channel = try await bootstrap.bind(host: configuration.host, port: port).get()
      }
      listener.set(channel)
      listener.announce(name, host: configuration.host, log: state.log)
      try? await gracefulShutdown()
      try? await channel.close()
      connections.tell(BRPCConnection.Farewell.close)
      while connections.count > 0, !Task.isCancelled { try? await Task.sleep(for: .milliseconds(20)) }
      connections.closeAll()
    }

    /// Lets a connection speak what its first bytes say.
    private func decide(_ kind: FirstBytes.Kind, _ context: ChannelHandlerContext) -> FirstBytes.Decision {
      switch kind {
      case .brpc:
        let handler = BRPCConnection(
          service: BRPCService(state: state, bodyLimit: configuration.bodyLimit), configuration: configuration)
        do {
          try context.channel.pipeline.syncOperations.addHandler(handler)
          return .goOn
        } catch { return wrongPort.refusal(of: .unknown) }
      case .http1: return relay(context, to: listeners[HTTPProtocol.protocolName].address)
      case .http2:
        // Where there is no gRPC, the client is told so.
        guard let address = listeners[GRPCProtocol.protocolName].address else { return wrongPort.refusal(of: kind) }
        return relay(context, to: address)
      case .tls, .unknown: return wrongPort.refusal(of: kind)
      }
    }

    /// Passes a connection on to the port of another protocol, so that each is spoken in one place.
    private func relay(_ context: ChannelHandlerContext, to address: SocketAddress?) -> FirstBytes.Decision {
      guard let address = address.flatMap(BRPCProtocol.reachable) else { return .end { _ in [] } }
      let (near, far) = Relay.pair()
      let channel = context.channel
      let state = state
      let ends = NIOLoopBound((context, near, far), eventLoop: context.eventLoop)
      channel.setOption(.allowRemoteHalfClosure, value: true)
        .and(channel.setOption(.autoRead, value: false))
        .flatMap { _ in
          ClientBootstrap(group: channel.eventLoop)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.autoRead, value: false)
            .connect(to: address)
        }
        .whenComplete { result in
          let (context, near, far) = ends.value
          guard case .success(let other) = result, context.channel.isActive else {
            if case .success(let other) = result { other.close(promise: nil) }
            return context.close(promise: nil)
          }
          if let port = other.localAddress?.port, let client = channel.remoteAddress?.ipAddress {
            state.relayedClients.add(client, port: port)
            other.closeFuture.whenComplete { _ in state.relayedClients.remove(port: port) }
          }
          do {
            try other.pipeline.syncOperations.addHandler(far)
            try context.pipeline.syncOperations.addHandler(near)
          } catch { return context.close(promise: nil) }
          context.pipeline.syncOperations.removeHandler(name: FirstBytes.name).whenComplete { _ in
            for channel in [channel, other] {
              channel.setOption(.autoRead, value: true).whenSuccess { channel.read() }
            }
          }
        }
      return .wait
    }

    /// An address to which this machine can connect, for one that is listened on.
    private static func reachable(_ address: SocketAddress) -> SocketAddress? {
      guard let port = address.port else { return nil }
      switch address.ipAddress {
      case "0.0.0.0": return try? SocketAddress(ipAddress: "127.0.0.1", port: port)
      case "::": return try? SocketAddress(ipAddress: "::1", port: port)
      default: return address
      }
    }
  }
#endif
