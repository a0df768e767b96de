#if Serving
  import HGNetCore
  import HummingbirdCore
  import HummingbirdTLS
  import Logging
  import NIOCore
  import NIOHTTP1
  import NIOPosix
  import NIOSSL
  import ServiceLifecycle

  /// Listens for HTTP, from the start of the server until it has drained.
  struct HTTPProtocol: ServingProtocol {
    static let protocolName = "http"
    private let configuration: ServingConfiguration
    private let channel: any ServerChildChannel
    private let listener: Listener
    private let connections: HTTPConnections
    private let wrongPort: WrongPort
    private let log: ServingLog

    static func make(
      _ state: ServingState, _ configuration: ServingConfiguration, _ listeners: Listeners
    ) throws(HGNetError) -> (any ServingProtocol)? {
      let connections = HTTPConnections(limit: configuration.connectionLimit)
      let server = HTTPServer(
        routes: HTTPRoutes(state: state, allowedOrigins: configuration.allowedOrigins), configuration: configuration,
        connections: connections)
      return HTTPProtocol(
        configuration: configuration, channel: try channel(server, configuration, state),
        listener: listeners[protocolName],
        connections: connections,
        wrongPort: WrongPort(
          name: protocolName, title: "HTTP", isSecret: configuration.certificate != nil, state: state,
          listeners: listeners),
        log: state.log)
    }

    var connectionCount: Int { connections.count }

    func refuseConnections() async { await listener.refuse() }

    /// Answers carry the news: `Connection: close`.
    func announceEnd() async {}

    func run() async throws { try await channel.serve(self) }

    /// Takes connections until the server ends, and returns when the last one has ended.
    fileprivate func serve<Child: ServerChildChannel>(_ child: Child) async throws {
      let (connections, listener, log) = (connections, listener, log)
      let logger = Logger(label: "http") { _ in ServingLogHandler(log: log) }
      let bootstrap = ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .serverChannelOption(.backlog, value: 256)
        .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
        .childChannelOption(.allowRemoteHalfClosure, value: true)
        .serverChannelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(listener.acceptHandler(log: log))
            try channel.pipeline.syncOperations.addHandler(AvailableConnectionsChannelHandler(delegate: connections))
          }
        }
      let prepare: @Sendable (any Channel) -> EventLoopFuture<Child.Value> = { channel in
        connections.open.add(channel)
        return child.setup(channel: channel, logger: logger).flatMapThrowing { value in
          // Some methods of HTTP nobody knows; whether there is such a one is seen when the request is read.
          let guardian = wrongPort.guardian(
            allowing: [.http1, .unknown], timeout: .seconds(Int64(configuration.idleSeconds)))
          try channel.pipeline.syncOperations.addHandler(guardian, position: .first)
          return value
        }
      }
      let server: NIOAsyncChannel<Child.Value, Never>
      if let socket = listener.inherited {
        server = try await bootstrap.bind(socket, childChannelInitializer: prepare)
      } else {
        server = try await bootstrap.bind(
          host: configuration.host, port: configuration.port, childChannelInitializer: prepare)
      }
      listener.set(server.channel)
      listener.announce(
        configuration.certificate == nil ? "http" : "https", host: configuration.host, log: log)
      try await withGracefulShutdownHandler {
        try await withThrowingDiscardingTaskGroup { group in
          try await server.executeThenClose { connections in
            for try await connection in connections {
              group.addTask { await child.handle(value: connection, logger: logger) }
            }
          }
        }
      } onGracefulShutdown: {
        server.channel.close(promise: nil)
        connections.open.tell(ChannelShouldQuiesceEvent())
      }
    }

    /// What happens on a connection.
    ///
    /// - Throws: `HGNetError.Code.unreadableFile` for a certificate or key that cannot be used.
    private static func channel(
      _ server: HTTPServer, _ configuration: ServingConfiguration, _ state: ServingState
    ) throws(HGNetError) -> any ServerChildChannel {
      let bodyLimit = configuration.bodyLimit
      let http = HTTP1Channel(
        responder: { (request: Request, writer: consuming ResponseWriter, channel: any Channel) in
          let response = await server.respond(to: request, channel: channel)
          do { try await writer.write(response: response.head, body: response.body) } catch is HTTPParserError {
            // That error would be answered, in the middle of this answer.
            throw ChannelError.inputClosed
          }
        },
        configuration: HTTP1Channel.Configuration(
          additionalChannelHandlers: [
            FarewellHandler(delay: .milliseconds(500)), MalformedRequestHandler(state: state),
            ContinueHandler(bodyLimit: bodyLimit),
          ],
          idleTimeout: .seconds(Int64(configuration.idleSeconds)),
          httpDecoderConfiguration: .init(
            maxHeaderFieldSize: configuration.headerLimit, maxHeaderListSize: configuration.headerLimit)))
      guard let certificate = configuration.certificate else { return http }
      do {
        let chain = try NIOSSLCertificate.fromPEMFile(certificate.chainPath).map {
          NIOSSLCertificateSource.certificate($0)
        }
        let key = try NIOSSLPrivateKey(file: certificate.keyPath, format: .pem)
        var settings = TLSConfiguration.makeServerConfiguration(certificateChain: chain, privateKey: .privateKey(key))
        settings.minimumTLSVersion = .tlsv12
        return try TLSChannel(http, tlsConfiguration: settings)
      } catch {
        throw HGNetError(
          .unreadableFile, "expected a certificate and its key in PEM; check both files",
          path: "\(certificate.chainPath), \(certificate.keyPath)", cause: "\(error)")
      }
    }
  }

  extension ServerChildChannel {
    /// Makes a value of some type one of its own type.
    fileprivate func serve(_ http: HTTPProtocol) async throws { try await http.serve(self) }
  }
#endif
