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
    let name = GRPCProtocol.protocolName
    private let state: ServingState
    private let configuration: ServingConfiguration
    private let port: Int
    private let listener: Listener
    private let connections: GRPCConnections

    /// The name in the log and in counts.
    static let protocolName = "grpc"

    static func make(
      _ state: ServingState, _ configuration: ServingConfiguration, _ listeners: Listeners
    ) throws(HGNetError) -> (any ServingProtocol)? {
      configuration.grpcPort.map {
        GRPCProtocol(
          state: state, configuration: configuration, port: $0, listener: listeners[protocolName],
          connections: GRPCConnections(limit: configuration.connectionLimit))
      }
    }

    var connectionCount: Int { connections.count }

    func refuseConnections() async { await listener.refuse() }

    func announceEnd() async { connections.announceEnd() }

    func run() async throws {
      var security = HTTP2ServerTransport.Posix.TransportSecurity.plaintext
      if let certificate = configuration.certificate {
        security = .tls(
          certificateChain: [.file(path: certificate.chainPath, format: .pem)],
          privateKey: .file(path: certificate.keyPath, format: .pem))
      }
      // This transport wants the address itself.
      let host = configuration.host == "localhost" ? "127.0.0.1" : configuration.host
      let address: GRPCNIOTransportHTTP2.SocketAddress =
        host.contains(":") ? .ipv6(host: host, port: port) : .ipv4(host: host, port: port)
      let transport = HTTP2ServerTransport.Posix(
        address: address, transportSecurity: security,
        config: .defaults { settings in
          // Holds for a message when it is unpacked, too.
          settings.rpc.maxRequestPayloadSize = configuration.bodyLimit
          settings.compression.enabledAlgorithms = [.gzip, .deflate]
          settings.connection.maxIdleTime = nil
          settings.connection.keepalive.clientBehavior.allowWithoutCalls = true
          settings.http2.maxConcurrentStreams = 256
          settings.channelDebuggingCallbacks.onBindTCPListener = { [listener] channel in
            listener.set(channel)
            return channel.eventLoop.makeSucceededVoidFuture()
          }
          settings.channelDebuggingCallbacks.onAcceptTCPConnection = { [connections] channel in
            connections.add(channel)
            return channel.eventLoop.makeSucceededVoidFuture()
          }
          // A picture should not wait for its window; clients of bRPC do not wait at all, but give up.
          settings.http2.targetWindowSize = 8 << 20
        })
      let server = GRPCServer(
        transport: transport, services: [GRPCInference(state: state), GRPCPaddle(state: state)],
        interceptors: [GRPCInterceptor(state: state)])
      let log = state.log
      try await withGracefulShutdownHandler {
        try await withThrowingTaskGroup(of: Void.self) { group in
          group.addTask { try await server.serve() }
          if let address = try await server.listeningAddress {
            log.write(
              .info, "listening",
              [
                ("protocol", configuration.certificate == nil ? "grpc" : "grpcs"), ("host", configuration.host),
                ("port", "\(address.ipv4?.port ?? address.ipv6?.port ?? port)"),
              ])
          }
          try await group.waitForAll()
        }
      } onGracefulShutdown: {
        server.beginGracefulShutdown()
      }
    }
  }

  /// The open connections over gRPC.
  ///
  /// The packages underneath answer a request that crosses their farewell with a fault that ends the whole connection and
  /// all requests in it. So clients are told a little earlier to begin nothing new on theirs. Threads: safe to share.
  final class GRPCConnections: Sendable {
    private let open = Mutex<[ObjectIdentifier: any Channel]>([:])
    private let limit: Int

    /// None yet.
    ///
    /// - Parameter limit: how many may be open at a time.
    init(limit: Int) { self.limit = limit }

    /// The connections that are open.
    var count: Int { open.withLock { $0.count } }

    /// Takes a connection, or closes it where the limit is reached.
    func add(_ channel: any Channel) {
      let key = ObjectIdentifier(channel)
      let isTaken = open.withLock { open in
        guard open.count < limit else { return false }
        open[key] = channel
        return true
      }
      guard isTaken else { return channel.close(promise: nil) }
      channel.closeFuture.whenComplete { _ in self.open.withLock { $0[key] = nil } }
    }

    /// Sends each client the frame GOAWAY with the highest stream, which leaves all that has begun as it is.
    func announceEnd() {
      for channel in open.withLock({ Array($0.values) }) {
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
