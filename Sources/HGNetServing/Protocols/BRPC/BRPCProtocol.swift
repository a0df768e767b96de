#if Serving
  import HGNetCore
  import NIOCore
  import NIOPosix
  import ServiceLifecycle
  import Synchronization

  /// Listens on the port of bRPC, on which HTTP and gRPC are answered, too: the first bytes of a connection decide.
  struct BRPCProtocol: ServingProtocol {
    let name = BRPC.name
    private let state: ServingState
    private let configuration: ServingConfiguration
    private let port: Int
    private let listeners: Listeners
    private let connections: BRPCConnections

    static func make(
      _ state: ServingState, _ configuration: ServingConfiguration, _ listeners: Listeners
    ) throws(HGNetError) -> (any ServingProtocol)? {
      configuration.brpcPort.map {
        BRPCProtocol(
          state: state, configuration: configuration, port: $0, listeners: listeners,
          connections: BRPCConnections(limit: configuration.connectionLimit))
      }
    }

    var connectionCount: Int { connections.count }

    func refuseConnections() async { await listeners[name].refuse() }

    func announceEnd() async { connections.tell(.refuseRequests) }

    func run() async throws {
      let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .serverChannelOption(.backlog, value: 256)
        .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
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
        .bind(host: configuration.host, port: port).get()
      listeners[name].set(channel)
      state.log.write(
        .info, "listening",
        [("protocol", name), ("host", configuration.host), ("port", "\(channel.localAddress?.port ?? port)")])
      try? await gracefulShutdown()
      try? await channel.close()
      connections.tell(.close)
      while connections.count > 0, !Task.isCancelled { try? await Task.sleep(for: .milliseconds(20)) }
      connections.closeAll()
    }

    /// Lets a connection speak what its first bytes say.
    private func decide(_ kind: FirstBytes.Kind, _ context: ChannelHandlerContext) {
      switch kind {
      case .brpc:
        let handler = BRPCConnection(
          service: BRPCService(state: state, bodyLimit: configuration.bodyLimit), configuration: configuration)
        proceed(context) { try context.channel.pipeline.syncOperations.addHandler(handler) }
      case .http1: relay(context, to: listeners[HTTPProtocol.protocolName].address)
      case .http2:
        guard let address = listeners[GRPCProtocol.protocolName].address else {
          // An empty frame of settings, then the end with the reason in words.
          let reason = Array("no gRPC here: the server was started with --no-grpc".utf8)
          end(
            context,
            saying: [0, 0, 0, 4, 0, 0, 0, 0, 0] + [0, 0, UInt8(8 + reason.count), 7, 0, 0, 0, 0, 0]
              + [0, 0, 0, 0, 0, 0, 0, 0xD] + reason)
          return
        }
        relay(context, to: address)
      // A fatal alert, "handshake failure": the port has no TLS.
      case .tls: end(context, saying: [0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 0x28])
      case .unknown: end(context, saying: [])
      }
    }

    /// Goes on with the bytes that have arrived, once the pipeline is ready for them.
    private func proceed(_ context: ChannelHandlerContext, _ prepare: () throws -> Void) {
      do {
        try prepare()
        context.pipeline.syncOperations.removeHandler(name: FirstBytes.name, promise: nil)
      } catch { context.close(promise: nil) }
    }

    /// Says something that the client understands, and closes.
    private func end(_ context: ChannelHandlerContext, saying bytes: [UInt8]) {
      var call = ServingCall(transport: name, protocolName: name, method: "-", operation: "other")
      call.isOpen = true
      let (state, passing) = (state, call)
      Task {
        _ = await state.pass(passing) { (_) throws(ServingError) -> Void in
          throw ServingError(.invalidRequest, "expected bRPC, HTTP or gRPC, found other bytes")
        }
      }
      let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
      context.channel.writeAndFlush(ByteBuffer(bytes: bytes)).whenComplete { _ in bound.value.close(promise: nil) }
    }

    /// Passes a connection on to the port of another protocol, so that each is spoken in one place.
    private func relay(_ context: ChannelHandlerContext, to address: SocketAddress?) {
      guard let address = address.flatMap(BRPCProtocol.reachable) else { return context.close(promise: nil) }
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

  /// The open connections on the port of bRPC; where there are as many as may be, more are closed.
  ///
  /// Threads: safe to share.
  final class BRPCConnections: Sendable {
    private let open = Mutex<[ObjectIdentifier: any Channel]>([:])
    private let limit: Int

    /// None yet.
    ///
    /// - Parameter limit: how many may be open at a time.
    init(limit: Int) { self.limit = limit }

    /// The connections that are open.
    var count: Int { open.withLock { $0.count } }

    /// Takes a connection, or closes it where the limit is reached.
    ///
    /// - Returns: whether it is taken.
    func add(_ channel: any Channel) -> Bool {
      let key = ObjectIdentifier(channel)
      let isTaken = open.withLock { open in
        guard open.count < limit else { return false }
        open[key] = channel
        return true
      }
      if isTaken {
        channel.closeFuture.whenComplete { _ in self.open.withLock { $0[key] = nil } }
      } else {
        channel.close(promise: nil)
      }
      return isTaken
    }

    /// Tells all of them that the server ends.
    func tell(_ farewell: BRPCConnection.Farewell) {
      for channel in open.withLock({ Array($0.values) }) { channel.pipeline.fireUserInboundEventTriggered(farewell) }
    }

    /// Closes what is left.
    func closeAll() {
      for channel in open.withLock({ Array($0.values) }) { channel.close(promise: nil) }
    }
  }
#endif
