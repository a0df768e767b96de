import HGNet
import HGNetCore
import HGNetFormats

/// Answers calls over HTTP: the Open Inference Protocol, the simple form, Paddle Serving's, metrics and the page.
///
/// Threads: safe to share.
package struct HTTPRoutes: Sendable {
  /// What is answered from.
  package let state: ServingState
  /// Where pages lie that may use the server from a browser; `*` for anywhere.
  let allowedOrigins: Set<String>

  /// Answers from a state.
  ///
  /// - Parameter allowedOrigins: where pages lie that may use the server from a browser; `*` for anywhere.
  package init(state: ServingState, allowedOrigins: Set<String> = []) {
    self.state = state
    self.allowedOrigins = allowedOrigins
  }

  /// Paths that tell nothing: what watches over the server needs no token.
  private static let openPaths: Set = ["/", "/page.css", "/page.js", "/health", "/v2/health/live", "/v2/health/ready"]

  /// Answers a call.
  package func answer(_ call: HTTPCall) async -> HTTPAnswer {
    let parts = call.pathParts
    let route = parts.flatMap { HTTPRoute($0, method: call.method) }
    var served = ServingCall(
      transport: route?.transport ?? "http", protocolName: "http", method: call.method,
      operation: route?.operation ?? "other", id: call.fields["x-request-id"] ?? call.fields["log-id"])
    served.traceID = ServingCall.traceID(ofParent: call.fields["traceparent"])
    served.authorization = call.fields["authorization"]
    let preflight = preflight(call)
    served.isOpen = HTTPRoutes.openPaths.contains(call.path) || preflight != nil
    served.clientAddress = call.clientAddress
    served.departure = call.departure
    let result: Result<HTTPAnswer, ServingError> = await state.pass(
      served,
      logged: { result in
        let status =
          switch result {
          case .success(let answer): answer.status
          case .failure(let error): HTTPAnswer(error, to: route).status
          }
        return [("path", call.path), ("status", "\(status)")]
      }
    ) { (passage) throws(ServingError) -> HTTPAnswer in
      if let preflight { return preflight }
      guard parts != nil else { throw ServingError(.invalidRequest, "the path has an escape that is none") }
      guard let route else { throw ServingError(.notFound, "nothing is here; see GET /v2 for what there is") }
      guard route.methods.contains(call.method) else {
        throw ServingError(
          .methodNotAllowed, "expected \(route.methods.joined(separator: " or ")), found \(call.method)")
      }
      var call = call
      if let readBody = call.readBody { call.body = try await readBody() }
      passage.note(byteCount: call.body.count)
      try call.unpackBody(limit: call.bodyLimit)
      return try await respond(to: call, route, passage)
    }
    var answer: HTTPAnswer
    switch result {
    case .success(let made): answer = made
    case .failure(let error): answer = HTTPAnswer(error, to: route)
    }
    answer.fields.append(("x-request-id", served.id))
    allow(call, &answer)
    pack(call, &answer)
    return answer
  }

  /// Answers a call that has passed the gate, by what its path stands for.
  private func respond(
    to call: HTTPCall, _ route: HTTPRoute, _ passage: Passage
  ) async throws(ServingError) -> HTTPAnswer {
    switch route {
    case .infer(let name, let version): try await infer(call, passage, name: name, version: version)
    case .classify: try await classify(call, passage)
    case .generalModel(let method): try await generalModel(call, passage, method: method)
    case .prediction(let name): await prediction(call, passage, name: name)
    case .heatMap: try await heatMap(call, passage)
    case .page(let file): file.answer
    case .metrics:
      HTTPAnswer(
        fields: [("content-type", "text/plain; version=0.0.4; charset=utf-8")],
        body: Array(state.metrics.registry.text.utf8))
    default: try await describe(route)
    }
  }

  // MARK: - Inference

  private func infer(
    _ call: HTTPCall, _ passage: Passage, name: String, version: String?
  ) async throws(ServingError) -> HTTPAnswer {
    let model = try passage.model(named: name, version: version)
    var headerLength: Int?
    if let field = call.fields["inference-header-content-length"] {
      guard let length = Int(field) else {
        throw ServingError(
          .invalidRequest, "Inference-Header-Content-Length: expected a number of bytes, found \"\(field)\"")
      }
      headerLength = length
    }
    let request = try OpenInferenceRequest(body: call.body, headerLength: headerLength)
    let (bytes, length) = try await model.infer(request, deadline: passage.deadline).body()
    var answer = HTTPAnswer(body: bytes)
    if let length {
      answer.fields = [
        ("content-type", "application/octet-stream"), ("inference-header-content-length", "\(length)"),
      ]
    } else {
      answer.fields = [("content-type", "application/json")]
    }
    return answer
  }

  private func classify(_ call: HTTPCall, _ passage: Passage) async throws(ServingError) -> HTTPAnswer {
    let model = try passage.model(named: call.queryValue("model"), version: call.queryValue("version"))
    var topK: Int?
    if let text = call.queryValue("top_k") {
      guard let count = Int(text), count >= 1 else {
        throw ServingError(.invalidRequest, "top_k: expected a number of classes, found \"\(text)\"")
      }
      topK = count
    }
    let started = ContinuousClock.now
    var files: [MultipartForm.Part]
    if let type = call.fields["content-type"], type.lowercased().hasPrefix("multipart/form-data") {
      files = try MultipartForm(call.body, contentType: type).parts
    } else {
      files = [MultipartForm.Part(name: "", bytes: BlobSlice(call.body))]
    }
    let result = try await model.run(files.map { .encoded($0.bytes) }, deadline: passage.deadline)
    var predictions: [JSONText] = []
    var failure: HGNetError?
    for (file, logits) in zip(files, result.logits) {
      var entry: [(String, JSONText)] = file.name.isEmpty ? [] : [("file", .text(file.name))]
      do throws(HGNetError) {
        entry.append(("classes", .list(try model.scored(logits.get(), topK: topK).map(JSONText.init))))
      } catch {
        failure = failure ?? error
        entry.append(("error", .text(error.description)))
      }
      predictions.append(.object(entry))
    }
    // One bad picture among several does not harm the others.
    if let failure, result.logits.allSatisfy({ if case .failure = $0 { true } else { false } }) {
      throw ServingError(failure)
    }
    return .json(
      .object([
        ("model", .text(model.name)), ("version", .text(model.version)), ("predictions", .list(predictions)),
        (
          "milliseconds",
          .object([
            ("queue", .milliseconds(result.queued)), ("decode", .milliseconds(result.prepared)),
            ("network", .milliseconds(result.computed)), ("total", .milliseconds(ContinuousClock.now - started)),
          ])
        ),
      ]))
  }

  private func heatMap(_ call: HTTPCall, _ passage: Passage) async throws(ServingError) -> HTTPAnswer {
    let model = try passage.model(named: call.queryValue("model"), version: call.queryValue("version"))
    var classIndex: Int?
    if let text = call.queryValue("class") {
      guard let index = Int(text), (0..<model.network.classCount).contains(index) else {
        throw ServingError(
          .invalidRequest, "class: expected 0 to \(model.network.classCount - 1), found \"\(text)\"")
      }
      classIndex = index
    }
    let heat = try await model.network.heatMaps.map(
      of: BlobSlice(call.body), classIndex: classIndex, pixelLimit: model.pixelLimit, deadline: passage.deadline)
    let (map, part) = (heat.map, heat.part)
    var members: [(String, JSONText)] = [("class", .integer(map.classIndex))]
    if let label = model.network.recipe.labels?[map.classIndex] { members.append(("label", .text(label))) }
    return .json(
      .object(
        members + [
          ("logit", .number(Double(map.logit))), ("constant", .number(Double(map.constant))),
          ("height", .integer(map.size.height)), ("width", .integer(map.size.width)),
          ("values", .list(map.values.map { .number(Double($0)) })),
          (
            "part",
            .object([
              ("left", .number(part.left)), ("top", .number(part.top)), ("width", .number(part.width)),
              ("height", .number(part.height)),
            ])
          ),
          // Whether the picture was turned by its EXIF orientation before.
          ("turned", .boolean(model.network.recipe.decodingStyle == .openCV)),
        ]))
  }

  private func prediction(_ call: HTTPCall, _ passage: Passage, name: String) async -> HTTPAnswer {
    let request: PaddleServing.Request
    do throws(HGNetError) {
      request = PaddleServing.Request(
        try call.body.withUnsafeBytes { (bytes) throws(HGNetError) in try JSON(bytes) }, name: name)
    } catch {
      passage.note(refusal: .invalidRequest)
      // As the gateway before the real server words it; 3 is gRPC's number of an argument that is not valid.
      let message = JSONText.text("the body is no JSON: \(error.message)")
      return .json(
        .object([("error", message), ("code", .integer(3)), ("message", message), ("details", .list([]))]),
        status: 400)
    }
    let answer = await PaddleServing.answer(passage, request)
    // Its clients look at the number inside; only what a proxy should see gets a status of its own.
    var status = 200
    if let refusal = answer.refusal, [.overloaded, .unavailable, .internalFailure].contains(refusal.kind) {
      status = refusal.kind.httpStatus
    }
    var result = HTTPAnswer.json(answer.json, status: status)
    if let seconds = answer.refusal?.retryAfter { result.fields.append(("retry-after", "\(seconds)")) }
    return result
  }

  // MARK: - Descriptions

  private func describe(_ route: HTTPRoute) async throws(ServingError) -> HTTPAnswer {
    switch route {
    case .health: return HTTPAnswer(fields: [("content-type", "text/plain")], body: Array("OK".utf8))
    case .live: return HTTPAnswer()
    case .ready:
      guard state.isReady else { throw state.unreadiness }
      return HTTPAnswer()
    case .server: return .json(Descriptions.server)
    case .models: return .json(.list(state.repository.index.map(JSONText.init)))
    case .model(let name, let version):
      return .json(
        Descriptions.model(
          try state.repository.model(named: name, version: version), versions: state.repository.versions(of: name)))
    case .modelReady(let name, let version):
      _ = try state.repository.model(named: name, version: version)
      guard !state.isDraining else { throw state.unreadiness }
      return HTTPAnswer()
    case .configuration(let name, let version):
      return .json(Descriptions.configuration(try state.repository.model(named: name, version: version)))
    case .statistics(let name, let version):
      let models = try name.map { (name) throws(ServingError) in
        [try state.repository.model(named: name, version: version)]
      }
      return .json(
        .object([("model_stats", .list((models ?? state.repository.models).map(Descriptions.statistics)))]))
    case .load(let name):
      try await state.repository.load(name)
      return HTTPAnswer()
    case .unload(let name):
      try state.repository.unload(name)
      return HTTPAnswer()
    default: throw ServingError(.notFound, "nothing is here")
    }
  }
}

extension ServingState {
  /// Why the server is not ready.
  var unreadiness: ServingError {
    isDraining
      ? ServingError(.unavailable, "the server is about to end")
      : ServingError(.unavailable, "not every model is ready", retryAfter: 1)
  }
}

extension JSONText {
  fileprivate init(_ scored: ScoredClass) {
    var entry: [(String, JSONText)] = [("index", .integer(scored.index))]
    if let label = scored.label { entry.append(("label", .text(label))) }
    self = .object(entry + [("score", .number(scored.score))])
  }

  fileprivate static func milliseconds(_ duration: Duration) -> JSONText {
    .number((duration.inSeconds * 1e6).rounded() / 1e3)
  }

  fileprivate init(_ entry: ModelRepository.Entry) {
    var members: [(String, JSONText)] = [("name", .text(entry.name))]
    if !entry.version.isEmpty { members.append(("version", .text(entry.version))) }
    members += [("state", .text(entry.isReady ? "READY" : "UNAVAILABLE")), ("reason", .text(entry.reason))]
    self = .object(members)
  }
}
