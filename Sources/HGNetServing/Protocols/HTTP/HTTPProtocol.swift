#if Serving
  import HGNetCore
  import Hummingbird
  import HummingbirdCore
  import HummingbirdTLS
  import Logging
  import NIOCore
  import NIOSSL
  import ServiceLifecycle

  /// Listens for HTTP, from the start of the server until it has drained.
  struct HTTPProtocol: ServingProtocol {
    let name = HTTPProtocol.protocolName
    private let application: Application<HTTPServer>
    private let listener: Listener
    private let connections: HTTPConnections

    /// The name in counts.
    static let protocolName = "http"

    static func make(
      _ state: ServingState, _ configuration: ServingConfiguration, _ listeners: Listeners
    ) throws(HGNetError) -> (any ServingProtocol)? {
      let connections = HTTPConnections(limit: configuration.connectionLimit)
      let listener = listeners[protocolName]
      let responder = HTTPServer(
        routes: HTTPRoutes(state: state, allowedOrigins: configuration.allowedOrigins), configuration: configuration,
        connections: connections)
      let log = state.log
      let application = Application(
        responder: responder, server: try builder(configuration),
        configuration: ApplicationConfiguration(
          address: .hostname(configuration.host, port: configuration.port), serverName: "hgnet",
          availableConnectionsDelegate: connections),
        onServerRunning: { channel in
          listener.set(channel)
          log.write(
            .info, "listening",
            [
              ("protocol", configuration.certificate == nil ? "http" : "https"), ("host", configuration.host),
              ("port", "\(channel.localAddress?.port ?? 0)"),
            ])
        },
        logger: Logger(label: "http") { _ in ServingLogHandler(log: log) })
      return HTTPProtocol(application: application, listener: listener, connections: connections)
    }

    var connectionCount: Int { connections.count }

    func run() async throws { try await application.run() }

    func refuseConnections() async { await listener.refuse() }

    /// Answers carry the news: `Connection: close`.
    func announceEnd() async {}

    /// What happens on a connection.
    ///
    /// - Throws: `HGNetError.Code.unreadableFile` for a certificate or key that cannot be used.
    private static func builder(_ configuration: ServingConfiguration) throws(HGNetError) -> HTTPServerBuilder {
      let bodyLimit = configuration.bodyLimit
      let http = HTTPServerBuilder.http1(
        configuration: HTTP1Channel.Configuration(
          additionalChannelHandlers: [
            FarewellHandler(delay: .milliseconds(500)), ContinueHandler(bodyLimit: bodyLimit),
          ],
          idleTimeout: .seconds(Int64(configuration.idleSeconds)),
          httpDecoderConfiguration: .init(
            maxHeaderFieldSize: configuration.headerLimit, maxHeaderListSize: configuration.headerLimit)))
      var server = http
      if let certificate = configuration.certificate {
        do {
          let chain = try NIOSSLCertificate.fromPEMFile(certificate.chainPath).map {
            NIOSSLCertificateSource.certificate($0)
          }
          let key = try NIOSSLPrivateKey(file: certificate.keyPath, format: .pem)
          var settings = TLSConfiguration.makeServerConfiguration(certificateChain: chain, privateKey: .privateKey(key))
          settings.minimumTLSVersion = .tlsv12
          server = try .tls(http, tlsConfiguration: settings)
        } catch {
          throw HGNetError(
            .unreadableFile, "expected a certificate and its key in PEM; check both files",
            path: "\(certificate.chainPath), \(certificate.keyPath)", cause: "\(error)")
        }
      }
      return server
    }
  }
#endif
