import HGNetCore
import HGNetFormats

/// A request over HTTP whose body has been read, independent of the server that read it.
package struct HTTPCall: Sendable {
  package var method: String
  /// The path as it was sent, without the query.
  package var path: String
  /// What follows the question mark, as it was sent.
  package var query: String
  /// Header fields with names in lower case.
  package var fields: [String: String]
  package var body: Blob
  /// Reads the body of a request that is let in; nil where `body` has it already.
  package var readBody: (@Sendable () async throws(ServingError) -> Blob)?
  /// The most bytes that a body may have when it is unpacked.
  package var bodyLimit = 32 << 20
  /// Where the client is; nil where that is not known.
  package var clientAddress: String?
  /// Tells that the client has gone; nil where nothing can.
  package var departure: ClientDeparture?

  package init(
    method: String, path: String, query: String = "", fields: [String: String] = [:], body: Blob = Blob([])
  ) {
    self.method = method
    self.path = path
    self.query = query
    self.fields = fields
    self.body = body
  }

  /// The parts of the path, with escapes undone; nil for an escape that is none.
  var pathParts: [String]? {
    var parts: [String] = []
    for part in path.split(separator: "/", omittingEmptySubsequences: true) {
      guard let text = HTTPCall.unescaped(part, plusIsSpace: false) else { return nil }
      parts.append(text)
    }
    return parts
  }

  /// The value of a name in the query.
  func queryValue(_ name: String) -> String? {
    for pair in query.split(separator: "&") {
      let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard HTTPCall.unescaped(sides[0], plusIsSpace: true) == name else { continue }
      return sides.count > 1 ? HTTPCall.unescaped(sides[1], plusIsSpace: true) : ""
    }
    return nil
  }

  /// Undoes how the body was packed on its way, as `Content-Encoding` says.
  ///
  /// - Parameter limit: the most bytes that a body may have when it is unpacked.
  /// - Throws: `unsupported` for another coding or several, `tooLarge`, `invalidRequest`.
  package mutating func unpackBody(limit: Int) throws(ServingError) {
    let packing: Packing
    switch fields["content-encoding"]?.lowercased() {
    case nil, "", "identity": return
    case "gzip", "x-gzip": packing = .gzip
    case "deflate": packing = .zlib
    case .some(let coding):
      throw ServingError(
        .unsupported,
        "content-encoding: expected one of \(HTTPCall.codings), or a body that is not packed, found \"\(coding)\"")
    }
    do throws(HGNetError) { body = try packing.unpack(body, limit: limit) } catch {
      throw ServingError(ServingError(error).kind, "content-encoding: \(error.description)")
    }
  }

  /// How a body may be packed, as HTTP lists it.
  static let codings = "gzip, deflate"

  /// Text with `%41` and the like undone.
  private static func unescaped(_ text: Substring, plusIsSpace: Bool) -> String? {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
      switch byte {
      case UInt8(ascii: "%"):
        guard rest.count >= 2, let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) else {
          return nil
        }
        bytes.append(value)
        rest = rest.dropFirst(2)
      case UInt8(ascii: "+") where plusIsSpace: bytes.append(0x20)
      default: bytes.append(byte)
      }
    }
    return String(validating: bytes, as: UTF8.self)
  }
}

/// An answer over HTTP.
package struct HTTPAnswer: Sendable {
  package var status: Int
  package var fields: [(name: String, value: String)]
  package var body: [UInt8]

  package init(status: Int = 200, fields: [(name: String, value: String)] = [], body: [UInt8] = []) {
    self.status = status
    self.fields = fields
    self.body = body
  }

  /// An answer in JSON.
  static func json(_ value: JSONText, status: Int = 200) -> HTTPAnswer {
    HTTPAnswer(
      status: status, fields: [("content-type", "application/json")], body: Array((value.line + "\n").utf8))
  }

  /// A refusal as the Open Inference Protocol words it.
  package init(_ error: ServingError) {
    self = .json(.object([("error", .text(error.message))]), status: error.kind.httpStatus)
    if let seconds = error.retryAfter { fields.append(("retry-after", "\(seconds)")) }
    if error.kind == .unsupported { fields.append(("accept-encoding", HTTPCall.codings)) }
    if error.kind == .unauthorized { fields.append(("www-authenticate", "Bearer")) }
  }
}

extension ServingError.Kind {
  /// The status of HTTP.
  package var httpStatus: Int {
    switch self {
    case .invalidRequest: 400
    case .unauthorized: 401
    case .notFound: 404
    case .methodNotAllowed: 405
    case .requestTimeout: 408
    case .tooLarge: 413
    case .unsupported: 415
    // What others use for a client that has gone; nobody reads it.
    case .cancelled: 499
    case .internalFailure: 500
    case .tooManyRequests: 429
    case .overloaded, .unavailable: 503
    case .deadlineExceeded: 504
    }
  }
}
