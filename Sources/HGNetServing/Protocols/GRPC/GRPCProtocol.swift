#if Serving
  import Foundation
  import GRPCCore
  import GRPCNIOTransportHTTP2
  import HGNetCore
  import NIOCore
  import NIOHTTP2
  import ServiceLifecycle
  import Synchronization

  /// Listens for gRPC, from the start of the server until it has drained.
  struct GRPCProtocol: ServingProtocol {
    static let protocolName = "grpc"
    private let state: ServingState
    private let configuration: ServingConfiguration
    private let port: Int
    private let listeners: Listeners
    private let connections: OpenConnections

    static func make(
      _ state: ServingState, _ configuration: ServingConfiguration, _ listeners: Listeners
    ) throws(HGNetError) -> (any ServingProtocol)? {
      if configuration.grpcPort == nil, listeners[protocolName].inherited != nil {
        throw HGNetError(.invalidArgument, "a socket for grpc was handed over, but the server is to have no gRPC")
      }
      return configuration.grpcPort.map {
        GRPCProtocol(
          state: state, configuration: configuration, port: $0, listeners: listeners,
          connections: OpenConnections(limit: configuration.connectionLimit))
      }
    }

    var connectionCount: Int { connections.count }

    func refuseConnections() async { await listeners[name].refuse() }

    func announceEnd() async { connections.announceEndOfStreams() }

    func run() async throws {
      var security = HTTP2ServerTransport.Posix.TransportSecurity.plaintext
      if let certificate = configuration.certificate {
        security = .tls(
          certificateChain: [.file(path: certificate.chainPath, format: .pem)],
          privateKey: .file(path: certificate.keyPath, format: .pem))
      }
      let listener = listeners[name]
      let transport: HTTP2ServerTransport.Posix
      if let socket = listener.inherited {
        transport = HTTP2ServerTransport.Posix(
          listeningSocketDescriptor: Int(socket), transportSecurity: security, config: settings)
      } else {
        transport = HTTP2ServerTransport.Posix(address: address, transportSecurity: security, config: settings)
      }
      let server = GRPCServer(
        transport: transport, services: [GRPCInference(state: state), GRPCPaddle(state: state)],
        interceptors: [GRPCInterceptor(state: state)])
      try await withGracefulShutdownHandler {
        try await withThrowingTaskGroup(of: Void.self) { group in
          group.addTask { try await server.serve() }
          _ = try await server.listeningAddress
          let title = configuration.certificate == nil ? "grpc" : "grpcs"
          listener.announce(title, host: configuration.host, log: state.log)
          try await group.waitForAll()
        }
      } onGracefulShutdown: {
        server.beginGracefulShutdown()
      }
    }

    /// The address as this transport wants it.
    private var address: GRPCNIOTransportHTTP2.SocketAddress {
      let host = configuration.host == "localhost" ? "127.0.0.1" : configuration.host
      return host.contains(":") ? .ipv6(host: host, port: port) : .ipv4(host: host, port: port)
    }

    private var settings: HTTP2ServerTransport.Posix.Config {
      let isSecret = configuration.certificate != nil
      let wrongPort = WrongPort(
        name: name, title: "gRPC", isSecret: isSecret, state: state, listeners: listeners)
      let (listener, connections, configuration, log) = (listeners[name], connections, configuration, state.log)
      return .defaults { settings in
        // Holds for a message when it is unpacked, too.
        settings.rpc.maxRequestPayloadSize = configuration.bodyLimit
        settings.compression.enabledAlgorithms = [.gzip, .deflate]
        settings.connection.maxIdleTime = nil
        settings.connection.keepalive.clientBehavior.allowWithoutCalls = true
        settings.http2.maxConcurrentStreams = 256
        // A picture should not wait for its window; clients of bRPC do not wait at all, but give up.
        settings.http2.targetWindowSize = 8 << 20
        settings.channelDebuggingCallbacks.onBindTCPListener = { channel in
          listener.set(channel)
          return channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(listener.acceptHandler(log: log), position: .first)
          }
        }
        settings.channelDebuggingCallbacks.onAcceptTCPConnection = { channel in
          channel.eventLoop.makeCompletedFuture {
            guard connections.add(channel) else { return }
            try channel.pipeline.syncOperations.addHandler(
              wrongPort.guardian(allowing: [.http2], timeout: .seconds(Int64(configuration.idleSeconds))),
              position: .first)
          }
        }
      }
    }
  }

  extension OpenConnections {
    /// Sends each client of gRPC the frame GOAWAY with the highest stream, which leaves all that has begun as it is.
    ///
    /// The packages underneath answer a request that crosses their farewell with a fault that ends the whole connection and
    /// all requests in it. So clients are told a little earlier to begin nothing new on theirs.
    fileprivate func announceEndOfStreams() {
      for channel in channels {
        channel.eventLoop.execute {
          guard let context = try? channel.pipeline.syncOperations.context(handlerType: NIOHTTP2Handler.self) else {
            return
          }
          let frame: [UInt8] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7F, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0]
          context.writeAndFlush(NIOAny(ByteBuffer(bytes: frame)), promise: nil)
        }
      }
    }
  }
#endif
