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
      let channel = context.channel
      var call = HTTPServer.call(request)
      let body = HTTPBody(of: request, limit: configuration.bodyLimit, seconds: configuration.idleSeconds)
      call.readBody = { () async throws(ServingError) in try await body.read() }
      call.bodyLimit = configuration.bodyLimit
      call.departure = connections.departure(of: channel)
      let state = routes.state
      if state.clientLimit.isOn {
        let peer = channel.remoteAddress
        call.clientAddress = state.relayedClients.address(of: peer?.ipAddress, port: peer?.port)
      }
      var answer = await routes.answer(call)
      // What is still to come of a body would be taken for the next request.
      let mustClose = !body.leavesConnection
      if mustClose || state.isDraining { answer.fields.append(("connection", "close")) }
      if mustClose {
        channel.eventLoop.scheduleTask(in: .seconds(1)) { channel.close(promise: nil) }
      }
      return HTTPServer.response(answer, isHead: call.method == "HEAD")
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
  }
#endif
