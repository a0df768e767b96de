import HGNetFormats

extension HTTPRoutes {
  /// What a page elsewhere may read of an answer, beside what any may.
  private static let exposedFields = "x-request-id, retry-after, inference-header-content-length, x-bd-error-code"
  /// What a page elsewhere may send.
  private static let sentFields =
    "authorization, content-type, content-encoding, inference-header-content-length, x-request-id, traceparent, log-id"
  /// Bytes below which packing is not worth it.
  private static let packingFloor = 1024

  /// The answer to a browser that asks, before a page's request, whether the page may send it; nil for other calls.
  func preflight(_ call: HTTPCall) -> HTTPAnswer? {
    guard !allowedOrigins.isEmpty, call.method == "OPTIONS", call.fields["origin"] != nil,
      call.fields["access-control-request-method"] != nil
    else { return nil }
    var answer = HTTPAnswer(status: 204)
    if let origin = allowedOrigin(of: call) {
      answer.fields = [
        ("access-control-allow-origin", origin), ("access-control-allow-methods", "GET, POST"),
        ("access-control-allow-headers", HTTPRoutes.sentFields), ("access-control-max-age", "600"),
      ]
    }
    answer.fields.append(("vary", "origin"))
    return answer
  }

  /// Adds to an answer what a page elsewhere needs to read it, where that is allowed.
  func allow(_ call: HTTPCall, _ answer: inout HTTPAnswer) {
    guard !allowedOrigins.isEmpty else { return }
    answer.fields.append(("vary", "origin"))
    guard let origin = allowedOrigin(of: call) else { return }
    answer.fields += [
      ("access-control-allow-origin", origin), ("access-control-expose-headers", HTTPRoutes.exposedFields),
    ]
  }

  private func allowedOrigin(of call: HTTPCall) -> String? {
    guard let origin = call.fields["origin"] else { return nil }
    if allowedOrigins.contains("*") { return "*" }
    return allowedOrigins.contains(origin) ? origin : nil
  }

  /// Packs an answer where the client asks for it and it is worth it.
  func pack(_ call: HTTPCall, _ answer: inout HTTPAnswer) {
    guard answer.body.count >= HTTPRoutes.packingFloor, HTTPRoutes.takesGzip(call.fields["accept-encoding"]),
      let packed = Packing.gzip.pack(answer.body), packed.count < answer.body.count / 10 * 9
    else { return }
    answer.body = packed
    answer.fields += [("content-encoding", "gzip"), ("vary", "accept-encoding")]
  }

  /// Whether a header field `Accept-Encoding` names gzip, with a weight that is not 0.
  static func takesGzip(_ field: String?) -> Bool {
    guard let field else { return false }
    var takesAny = false
    for part in field.lowercased().split(separator: ",") {
      let sides = part.split(separator: ";").map { $0.filter { $0 != " " && $0 != "\t" } }
      guard let coding = sides.first, ["gzip", "x-gzip", "*"].contains(coding) else { continue }
      let weight = sides.dropFirst().first { $0.hasPrefix("q=") }.map { Double($0.dropFirst(2)) ?? 0 } ?? 1
      if coding != "*" { return weight > 0 }
      takesAny = weight > 0
    }
    return takesAny
  }
}
