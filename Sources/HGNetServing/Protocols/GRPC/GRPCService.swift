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
  struct GRPCService: Service {
    let state: ServingState
    let configuration: ServingConfiguration
    let port: Int
    let listener: Listener
    let connections: GRPCConnections

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
          // A picture should not wait for its window.
          settings.http2.targetWindowSize = 1 << 20
        })
      let server = GRPCServer(
        transport: transport, services: [GRPCInference(state: state), GRPCPaddle(state: state)],
        interceptors: [GRPCGuard(state: state)])
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

  /// Lets in who has the token, and tells refusals in gRPC's codes.
  struct GRPCGuard: ServerInterceptor {
    let state: ServingState

    private static let openMethods: Set = ["ServerLive", "ServerReady"]

    func intercept<Input: Sendable, Output: Sendable>(
      request: StreamingServerRequest<Input>, context: ServerContext,
      next: @Sendable (StreamingServerRequest<Input>, ServerContext) async throws -> StreamingServerResponse<Output>
    ) async throws -> StreamingServerResponse<Output> {
      if let token = state.token, !GRPCGuard.openMethods.contains(context.descriptor.method) {
        guard token.matches(request.metadata[stringValues: "authorization"].first { _ in true }) else {
          state.otherRequests.note(transport: "grpc", operation: "other", refusal: .unauthorized)
          throw RPCError(
            code: .unauthenticated, message: "expected the token of this server in \"authorization: Bearer TOKEN\"")
        }
      }
      guard let text = request.metadata[stringValues: "grpc-timeout"].first(where: { _ in true }),
        let timeout = GRPCGuard.timeout(text)
      else { return try await next(request, context) }
      return try await GRPCGuard.$deadline.withValue(.now + timeout) { try await next(request, context) }
    }

    /// When the client does not want the answer any more; nil where it has not said so.
    @TaskLocal static var deadline: ContinuousClock.Instant?

    /// Up to eight digits and a unit, as the protocol writes a timeout.
    static func timeout(_ text: String) -> Duration? {
      guard let unit = text.last, (2...9).contains(text.utf8.count), let amount = Int(text.dropLast()), amount >= 0
      else {
        return nil
      }
      switch unit {
      case "H": return .seconds(amount * 3600)
      case "M": return .seconds(amount * 60)
      case "S": return .seconds(amount)
      case "m": return .milliseconds(amount)
      case "u": return .microseconds(amount)
      case "n": return .nanoseconds(amount)
      default: return nil
      }
    }

    /// When a request that began at a moment is refused: by the client's time or the server's, whichever is sooner.
    static func deadline(from started: ContinuousClock.Instant, _ state: ServingState) -> ContinuousClock.Instant {
      let own = started + state.requestTimeout
      return deadline.map { min($0, own) } ?? own
    }
  }

  extension ServingError: RPCErrorConvertible {
    package var rpcErrorCode: RPCError.Code {
      switch kind {
      case .invalidRequest: .invalidArgument
      case .notFound: .notFound
      case .methodNotAllowed, .unsupported: .unimplemented
      case .tooLarge: .outOfRange
      case .unauthorized: .unauthenticated
      case .overloaded: .resourceExhausted
      case .requestTimeout, .deadlineExceeded: .deadlineExceeded
      case .cancelled: .cancelled
      case .unavailable: .unavailable
      case .internalFailure: .internalError
      }
    }

    package var rpcErrorMessage: String { message }

    package var rpcErrorMetadata: Metadata {
      retryAfter.map { ["retry-after": "\($0)"] } ?? [:]
    }
  }
#endif
