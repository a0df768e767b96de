#if Serving
  import Foundation
  import HGNetCore
  import HTTPTypes
  import HummingbirdCore
  import NIOCore
  import Synchronization

  /// Carries calls between Hummingbird and the routes: reads bodies within their limits and writes a line about each call.
  struct HTTPServer: Sendable {
    let routes: HTTPRoutes
    let configuration: ServingConfiguration
    let connections: HTTPConnections
    private let date = HTTPDate()

    init(routes: HTTPRoutes, configuration: ServingConfiguration, connections: HTTPConnections) {
      self.routes = routes
      self.configuration = configuration
      self.connections = connections
    }

    /// Answers a request that has come over a channel.
    func respond(to request: Request, channel: any Channel) async -> Response {
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
      answer.fields += [("date", date.text), ("server", "hgnet")]
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

  /// The time for the field `Date` of answers, written once a second.
  ///
  /// Threads: safe to share.
  package final class HTTPDate: Sendable {
    private static let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    private static let months = [
      "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]
    private let last = Mutex<(second: Int, text: String)>((0, ""))

    /// The time now, such as `Sun, 06 Nov 1994 08:49:37 GMT`.
    var text: String {
      let second = time(nil)
      return last.withLock { last in
        if last.second != second { last = (second, HTTPDate.text(of: second)) }
        return last.text
      }
    }

    /// A time in seconds since 1970.
    package static func text(of second: Int) -> String {
      var (second, parts) = (time_t(second), tm())
      gmtime_r(&second, &parts)
      func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
      let day = "\(days[Int(parts.tm_wday) % 7]), \(two(parts.tm_mday)) \(months[Int(parts.tm_mon) % 12])"
      return "\(day) \(1900 + Int(parts.tm_year)) \(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)) GMT"
    }
  }
#endif
