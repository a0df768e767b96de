import HGNet
import HGNetCore
import HGNetFormats

/// Answers calls over HTTP: the Open Inference Protocol, the simple form, Paddle Serving's, metrics and the page.
///
/// Threads: safe to share.
package struct HTTPRoutes: Sendable {
  /// What is answered from.
  package let state: ServingState

  /// Answers from a state.
  package init(state: ServingState) { self.state = state }

  /// Refuses a call before its body is read; nil for one that may go on.
  package func refusal(of call: HTTPCall) -> HTTPAnswer? {
    guard let token = state.token, !HTTPRoutes.openPaths.contains(call.path) else { return nil }
    guard !token.matches(call.fields["authorization"]) else { return nil }
    return HTTPAnswer(
      ServingError(.unauthorized, "expected the token of this server in \"Authorization: Bearer TOKEN\""))
  }

  /// Paths that tell nothing: what watches over the server needs no token.
  private static let openPaths: Set = ["/", "/page.css", "/page.js", "/v2/health/live", "/v2/health/ready"]

  /// Answers a call.
  package func answer(_ call: HTTPCall) async -> HTTPAnswer {
    if let refusal = refusal(of: call) {
      state.otherRequests.note(transport: "http", operation: "other", refusal: .unauthorized)
      return refusal
    }
    guard let parts = call.pathParts else {
      return HTTPAnswer(ServingError(.invalidRequest, "the path has an escape that is none"))
    }
    let route = HTTPRoute(parts)
    guard let route else {
      state.otherRequests.note(transport: "http", operation: "other", refusal: .notFound)
      return HTTPAnswer(ServingError(.notFound, "nothing is here; see GET /v2 for what there is"))
    }
    guard route.methods.contains(call.method) else {
      state.otherRequests.note(transport: "http", operation: route.operation, refusal: .methodNotAllowed)
      var answer = HTTPAnswer(
        ServingError(
          .methodNotAllowed, "expected \(route.methods.joined(separator: " or ")), found \(call.method)"))
      answer.fields.append(("allow", route.methods.joined(separator: ", ")))
      return answer
    }
    let answer: HTTPAnswer
    switch route {
    case .infer(let name, let version): return await infer(call, name: name, version: version)
    case .classify: return await classify(call)
    case .prediction(let name): return await prediction(call, name: name)
    case .heatMap: return await heatMap(call)
    case .page(let file): answer = file.answer
    case .metrics:
      answer = HTTPAnswer(
        fields: [("content-type", "text/plain; version=0.0.4; charset=utf-8")],
        body: Array(state.metrics.registry.text.utf8))
    default: answer = await describe(route)
    }
    state.otherRequests.note(transport: "http", operation: route.operation, refusal: answer.refusal)
    return answer
  }

  // MARK: - Inference

  /// Runs what a call asks of a model and counts it.
  private func counted(
    _ name: String?, version: String?,
    _ body: (ServedModel) async throws(ServingError) -> HTTPAnswer
  ) async -> HTTPAnswer {
    let started = ContinuousClock.now
    do throws(ServingError) {
      let model =
        if let name { try state.repository.model(named: name, version: version) } else {
          try state.repository.defaultModel()
        }
      var answer: HTTPAnswer
      do throws(ServingError) { answer = try await body(model) } catch { answer = HTTPAnswer(error) }
      model.statistics.note(
        transport: "http", refusal: answer.refusal, duration: ContinuousClock.now - started)
      answer.model = "\(model.name)/\(model.version)"
      return answer
    } catch {
      state.otherRequests.note(transport: "http", operation: "infer", refusal: error.kind)
      return HTTPAnswer(error)
    }
  }

  private func infer(_ call: HTTPCall, name: String, version: String?) async -> HTTPAnswer {
    await counted(name, version: version) { (model) throws(ServingError) in
      var headerLength: Int?
      if let field = call.fields["inference-header-content-length"] {
        guard let length = Int(field) else {
          throw ServingError(
            .invalidRequest, "Inference-Header-Content-Length: expected a number of bytes, found \"\(field)\"")
        }
        headerLength = length
      }
      let request = try OpenInferenceRequest(body: call.body, headerLength: headerLength)
      let (bytes, length) = try await model.infer(request, deadline: call.deadline).body()
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
  }

  private func classify(_ call: HTTPCall) async -> HTTPAnswer {
    await counted(call.queryValue("model"), version: call.queryValue("version")) { (model) throws(ServingError) in
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
      let result = try await model.run(files.map { .encoded($0.bytes) }, deadline: call.deadline)
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
  }

  private func heatMap(_ call: HTTPCall) async -> HTTPAnswer {
    await counted(call.queryValue("model"), version: call.queryValue("version")) { (model) throws(ServingError) in
      var classIndex: Int?
      if let text = call.queryValue("class") {
        guard let index = Int(text), (0..<model.network.classCount).contains(index) else {
          throw ServingError(
            .invalidRequest, "class: expected 0 to \(model.network.classCount - 1), found \"\(text)\"")
        }
        classIndex = index
      }
      let heat = try await model.network.heatMaps.map(
        of: BlobSlice(call.body), classIndex: classIndex, pixelLimit: model.pixelLimit, deadline: call.deadline)
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
  }

  private func prediction(_ call: HTTPCall, name: String) async -> HTTPAnswer {
    let answer = await PaddleServing.answer(
      state, name: name, transport: "paddle-http", started: .now, deadline: call.deadline
    ) { () throws(ServingError) in
      do throws(HGNetError) {
        let document = try call.body.withUnsafeBytes { (bytes) throws(HGNetError) in try JSON(bytes) }
        func texts(_ key: String) -> [String] { (document[key]?.elements ?? []).compactMap(\.text) }
        return (texts("key"), texts("value"))
      } catch {
        throw ServingError(.invalidRequest, "the body is no JSON: \(error.message)")
      }
    }
    // Its clients look at the number inside; only what a proxy should see gets a status of its own.
    var status = 200
    if let refusal = answer.refusal, [.overloaded, .unavailable, .internalFailure].contains(refusal.kind) {
      status = refusal.kind.httpStatus
    }
    var result = HTTPAnswer.json(answer.json, status: status)
    result.refusal = answer.refusal?.kind
    if let seconds = answer.refusal?.retryAfter { result.fields.append(("retry-after", "\(seconds)")) }
    return result
  }

  // MARK: - Descriptions

  private func describe(_ route: HTTPRoute) async -> HTTPAnswer {
    do throws(ServingError) {
      switch route {
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
    } catch { return HTTPAnswer(error) }
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
