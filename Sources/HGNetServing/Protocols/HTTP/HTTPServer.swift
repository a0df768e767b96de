#if Serving
  import Foundation
  import HGNetCore
  import HTTPTypes
  import Hummingbird
  import HummingbirdCore
  import HummingbirdTLS
  import Logging
  import NIOCore
  import NIOSSL
  import ServiceLifecycle

  /// What a request is answered with beside itself.
  struct HTTPContext: InitializableFromSource {
    let channel: any Channel

    init(source: ApplicationRequestContextSource) { channel = source.channel }
  }

  /// Carries calls between Hummingbird and the routes: reads bodies within their limits and writes a line about each call.
  struct HTTPServer: HTTPResponder {
    let routes: HTTPRoutes
    let configuration: ServingConfiguration
    let connections: HTTPConnections

    func respond(to request: Request, context: HTTPContext) async throws -> Response {
      let started = ContinuousClock.now
      let requestID = HTTPServer.requestID(request.headers[.requestID])
      var call = HTTPServer.call(request)
      call.deadline = started + .seconds(configuration.requestSeconds)
      var answer: HTTPAnswer
      var mustClose = false
      do throws(ServingError) {
        if let refusal = routes.refusal(of: call) {
          answer = refusal
          mustClose = call.method != "GET"
        } else {
          call.body = try await body(of: request)
          try call.unpackBody(limit: configuration.bodyLimit)
          answer = await cancellable(call, on: context.channel)
        }
      } catch {
        answer = HTTPAnswer(error)
        // What is still to come of the body would be taken for the next request.
        mustClose = true
      }
      answer.fields.append(("x-request-id", requestID))
      if mustClose || routes.state.isDraining { answer.fields.append(("connection", "close")) }
      if mustClose {
        let channel = context.channel
        channel.eventLoop.scheduleTask(in: .seconds(1)) { channel.close(promise: nil) }
      }
      log(call, answer, requestID: requestID, duration: ContinuousClock.now - started)
      return HTTPServer.response(answer, isHead: call.method == "HEAD")
    }

    /// Answers a call, and gives up when the client has gone.
    private func cancellable(_ call: HTTPCall, on channel: any Channel) async -> HTTPAnswer {
      let connection = connections.connection(of: channel)
      let work = Task { await routes.answer(call) }
      connection.setCancellation { work.cancel() }
      defer { connection.setCancellation(nil) }
      return await work.value
    }

    /// The whole body.
    ///
    /// - Throws: `tooLarge`, `requestTimeout`, `invalidRequest` for a body that ends too early.
    private func body(of request: Request) async throws(ServingError) -> Blob {
      let limit = configuration.bodyLimit
      let announced = request.headers[.contentLength].flatMap { Int($0) }
      let isEmpty = announced == 0 || (announced == nil && request.headers[.transferEncoding] == nil)
      guard !isEmpty else { return Blob([]) }
      let tooLarge = ServingError(.tooLarge, "expected a body of at most \(limit) bytes; see --max-body")
      guard (announced ?? 0) <= limit else { throw tooLarge }
      let seconds = configuration.idleSeconds
      let body = request.body
      let read: Result<Blob, ServingError>
      do {
        read = try await withThrowingTaskGroup(of: Result<Blob, ServingError>.self) { group in
          group.addTask {
            var collected = ByteBuffer()
            for try await part in body {
              guard collected.readableBytes + part.readableBytes <= limit else { return .failure(tooLarge) }
              collected.writeImmutableBuffer(part)
            }
            guard announced == nil || announced == collected.readableBytes else {
              return .failure(
                ServingError(
                  .invalidRequest,
                  "expected a body of \(announced ?? 0) bytes, found \(collected.readableBytes); it was cut off"))
            }
            return collected.withUnsafeReadableBytes { bytes in
              do throws(HGNetError) {
                return .success(
                  try Blob(allocating: bytes.count, for: "the body of a request") { $0.copyMemory(from: bytes) })
              } catch { return .failure(ServingError(error)) }
            }
          }
          group.addTask {
            try await Task.sleep(for: .seconds(seconds))
            return .failure(ServingError(.requestTimeout, "the body did not arrive within \(seconds) s"))
          }
          let first = try await group.next()
          group.cancelAll()
          return first ?? .failure(ServingError(.internalFailure, "the body was not read"))
        }
      } catch {
        throw ServingError(.invalidRequest, "the body was cut off")
      }
      return try read.get()
    }

    private static func call(_ request: Request) -> HTTPCall {
      let target = request.head.path ?? "/"
      let sides = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
      var fields: [String: String] = [:]
      for field in request.headers {
        // Two fields of one name are one list.
        let name = field.name.canonicalName
        fields[name] = fields[name].map { "\($0), \(field.value)" } ?? field.value
      }
      return HTTPCall(
        method: request.method.rawValue, path: String(sides[0]), query: sides.count > 1 ? String(sides[1]) : "",
        fields: fields)
    }

    private static func response(_ answer: HTTPAnswer, isHead: Bool) -> Response {
      var fields = HTTPFields()
      for (name, value) in answer.fields {
        guard let name = HTTPField.Name(name) else { continue }
        fields.append(HTTPField(name: name, value: value))
      }
      fields[.contentLength] = "\(answer.body.count)"
      return Response(
        status: HTTPResponse.Status(code: answer.status), headers: fields,
        body: isHead || answer.body.isEmpty ? ResponseBody() : ResponseBody(byteBuffer: ByteBuffer(bytes: answer.body)))
    }

    /// The client's own name for its request, if it is harmless; else a new one.
    private static func requestID(_ given: String?) -> String {
      if let given, (1...128).contains(given.utf8.count), given.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) {
        return given
      }
      return String(UInt64.random(in: .min ... .max), radix: 16)
    }

    private func log(_ call: HTTPCall, _ answer: HTTPAnswer, requestID: String, duration: Duration) {
      let level: ServingLog.Level = answer.status >= 500 && answer.status != 503 ? .error : .info
      guard level >= routes.state.log.level else { return }
      var fields = [
        ("request", requestID), ("protocol", "http"), ("method", call.method), ("path", call.path),
        ("status", "\(answer.status)"), ("bytes", "\(call.body.count)"),
        ("milliseconds", FixedPoint.text(duration.inSeconds * 1e3, digits: 3)),
      ]
      if let model = answer.model { fields.append(("model", model)) }
      if let refusal = answer.refusal { fields.append(("outcome", refusal.rawValue)) }
      routes.state.log.write(level, "request", fields)
    }

    /// The service that listens.
    ///
    /// - Throws: `HGNetError.Code.unreadableFile` for a certificate or key that cannot be used.
    func service(
      listener: Listener, _ onRunning: @escaping @Sendable (Int) -> Void
    ) throws(HGNetError) -> some Service {
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
      return Application(
        responder: self, server: server,
        configuration: ApplicationConfiguration(
          address: .hostname(configuration.host, port: configuration.port), serverName: "hgnet",
          availableConnectionsDelegate: connections),
        onServerRunning: { channel in
          listener.set(channel)
          onRunning(channel.localAddress?.port ?? 0)
        },
        logger: Logger(label: "http") { _ in ServingLogHandler(log: routes.state.log) })
    }
  }

  extension HTTPField.Name {
    fileprivate static var requestID: HTTPField.Name { HTTPField.Name("x-request-id") ?? .from }
  }
#endif
