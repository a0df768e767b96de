import Foundation
import HGNet
import HGNetCore
import HGNetServing
import Synchronization
import Testing

/// A way of asking the server about a picture, without a network.
enum Way: String, CaseIterable, Sendable {
  case inference, classify, pipeline, generalJSON, generalMessage, brpc

  /// The protocol in counts.
  var transport: String {
    switch self {
    case .inference, .classify: "http"
    case .pipeline: "paddle-http"
    case .generalJSON, .generalMessage: "brpc-http"
    case .brpc: "brpc"
    }
  }

  /// What it gives for a refusal.
  func number(_ kind: ServingError.Kind) -> Int {
    switch self {
    case .inference, .classify: kind.httpStatus
    case .pipeline: kind == .unauthorized || kind == .tooManyRequests ? kind.httpStatus : kind.paddleNumber
    case .generalJSON, .generalMessage, .brpc: kind.brpcNumber
    }
  }

  /// Asks, and gives the number of the answer (0 for a result) and its bytes.
  func ask(
    _ picture: [UInt8], of state: ServingState, id: String = "1", token: String? = nil, address: String? = nil,
    departure: ClientDeparture? = nil
  ) async throws -> (number: Int, body: [UInt8]) {
    let text = Base64.encoded(picture)
    if self == .brpc {
      var connection = BRPCService.Connection()
      connection.authorization = token
      connection.clientAddress = address
      connection.departure = departure
      let frame = BRPCFrames.frame(BRPCFrames.request([BRPCFrames.text(Array(text.utf8))]), requestID: id)
      let message = try #require(BRPCFrames.messages(of: frame).first)
      let answer = try BRPCFrames.answer(
        await BRPCService(state: state, bodyLimit: 1 << 20).answer(message, on: connection))
      return (answer.number, answer.payload)
    }
    var call: HTTPCall
    switch self {
    case .classify: call = HTTPCall(method: "POST", path: "/v1/classify", body: Blob(picture))
    case .pipeline:
      let body = "{\"key\": [\"image\"], \"value\": [\"\(text)\"]}"
      call = HTTPCall(method: "POST", path: "/shapes/prediction", body: Blob(Array(body.utf8)))
    case .generalJSON:
      let body = "{\"tensor\": [{\"data\": [\"\(text)\"], \"elem_type\": 20}]}"
      call = HTTPCall(method: "POST", path: "/GeneralModelService/inference", body: Blob(Array(body.utf8)))
    case .generalMessage:
      call = HTTPCall(
        method: "POST", path: "/GeneralModelService/inference", fields: ["content-type": "application/proto"],
        body: Blob(BRPCFrames.request([BRPCFrames.text(picture)])))
    case .inference, .brpc:
      let body = """
        {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["\(text)"]}],
        "outputs": [{"name": "probabilities"}]}
        """
      call = HTTPCall(method: "POST", path: "/v2/models/shapes/infer", body: Blob(Array(body.utf8)))
    }
    call.fields["x-request-id"] = id
    call.fields["authorization"] = token
    call.clientAddress = address
    call.departure = departure
    let answer = await HTTPRoutes(state: state).answer(call)
    if let number = answer.fields.first(where: { $0.name == "x-bd-error-code" }) {
      return (Int(number.value) ?? -1, answer.body)
    }
    if self == .pipeline, answer.status != 401, answer.status != 429 {
      let document = try #require(try JSONSerialization.jsonObject(with: Data(answer.body)) as? [String: Any])
      return (document["err_no"] as? Int ?? -1, answer.body)
    }
    return (answer.status == 200 ? 0 : answer.status, answer.body)
  }
}

@Suite("One gate, every protocol")
struct GateTests {
  let fixture = ServingFixture()
  private let lines = Lines()

  /// What the log has written.
  private final class Lines: Sendable {
    private let all = Mutex<[String]>([])

    func add(_ line: String) { all.withLock { $0.append(line) } }

    /// The lines since the last time.
    func take() -> [String] {
      all.withLock { all in
        defer { all = [] }
        return all
      }
    }
  }

  private func state(
    token: String? = nil, limits: Batcher.Limits = Batcher.Limits(), timeout: Duration = .seconds(30),
    clientLimit: Int? = nil
  ) async throws -> ServingState {
    try fixture.place("shapes", version: 1, seed: 5)
    let models = fixture.repository(limits: limits)
    await models.refresh()
    let lines = lines
    return ServingState(
      repository: models, log: ServingLog(level: .info, isJSON: false, output: { lines.add($0) }),
      token: token.flatMap { BearerToken($0) }, requestTimeout: timeout, clientLimit: clientLimit)
  }

  /// The counts of requests of a protocol, by outcome.
  private func counts(_ state: ServingState, _ transport: String) -> [String: Int] {
    var counts: [String: Int] = [:]
    for line in state.metrics.registry.text.split(separator: "\n") {
      guard line.contains("protocol=\"\(transport)\""),
        let outcome = line.split(separator: "outcome=\"").dropFirst().first,
        let value = line.split(separator: " ").last.flatMap({ Int($0) })
      else { continue }
      counts[String(outcome.prefix { $0 != "\"" }), default: 0] += value
    }
    return counts
  }

  @Test("A result, a bad picture, a wrong token: one answer, one count, one line each", arguments: Way.allCases)
  func outcomes(_ way: Way) async throws {
    let state = try await state(token: "secret")
    let picture = try fixture.picture()
    let cases: [(picture: [UInt8], token: String?, outcome: ServingError.Kind?)] = [
      (picture, "Bearer secret", nil), ([1, 2, 3], "Bearer secret", .invalidRequest), (picture, nil, .unauthorized),
      (picture, "Bearer other", .unauthorized),
    ]
    for (index, one) in cases.enumerated() {
      let before = counts(state, way.transport)
      let answer = try await way.ask(one.picture, of: state, id: "number-\(index)", token: one.token)
      #expect(answer.number == one.outcome.map { way.number($0) } ?? 0)
      let name = one.outcome?.rawValue ?? "ok"
      var expected = before
      expected[name, default: 0] += 1
      #expect(counts(state, way.transport) == expected)
      let lines = lines.take()
      #expect(lines.count == 1)
      let line = try #require(lines.first)
      #expect(line.contains(" request=number-\(index) ") && line.hasSuffix(" outcome=\(name)"))
      #expect(line.contains(" model=shapes/1 ") == (one.outcome != .unauthorized))
    }
  }

  @Test("A passed deadline, a full queue and a client with too many requests are refused", arguments: Way.allCases)
  func limits(_ way: Way) async throws {
    let picture = try fixture.picture()
    let late = try await state(timeout: .zero)
    #expect(try await way.ask(picture, of: late).number == way.number(.deadlineExceeded))

    let limited = try await state(clientLimit: 1)
    // While one request of the client is in flight, another is refused; those of others are not.
    let departure = ClientDeparture()
    let hold = Task { try await way.ask(picture, of: limited, address: "10.0.0.1", departure: departure) }
    var refused = false
    while !refused, !hold.isCancelled {
      async let other = way.ask(picture, of: limited, address: "10.0.0.2")
      async let one = way.ask(picture, of: limited, address: "10.0.0.1")
      async let two = way.ask(picture, of: limited, address: "10.0.0.1")
      let numbers = try await [one.number, two.number]
      #expect(try await other.number == 0)
      refused = numbers.contains(way.number(.tooManyRequests))
    }
    #expect(refused)
    _ = try await hold.value
    #expect(try await way.ask(picture, of: limited, address: "10.0.0.1").number == 0)
  }

  @Test("A client that has gone takes its request along", arguments: Way.allCases)
  func departure(_ way: Way) async throws {
    let state = try await state()
    let departure = ClientDeparture()
    departure.end()
    #expect(try await way.ask(fixture.picture(), of: state, departure: departure).number == way.number(.cancelled))
    #expect(lines.take().last?.hasSuffix(" outcome=cancelled") == true)
  }

  @Test("Every protocol tells the library's probabilities")
  func probabilities() async throws {
    let state = try await state()
    let picture = try fixture.picture()
    let expected = try Classifier(weights: "\(fixture.folder.path)/shapes/1/weights.safetensors")
      .classify(decoding: Blob(picture)).sorted { $0.index < $1.index }.map { Float($0.score) }
    for way in [Way.generalMessage, .brpc] {
      #expect(try BRPCFrames.outputs(await way.ask(picture, of: state).body)[0].floats == expected)
    }
    let document = try JSONSerialization.jsonObject(with: Data(await Way.inference.ask(picture, of: state).body))
    let outputs = (document as? [String: Any])?["outputs"] as? [[String: Any]]
    #expect((outputs?[0]["data"] as? [Double])?.map { Float($0) } == expected)
  }

  @Test("Traces are told in the log, and only good ones")
  func traces() async throws {
    let state = try await state()
    let id = "4bf92f3577b34da6a3ce929d0e0e4736"
    for (field, isGood) in [
      ("00-\(id)-00f067aa0ba902b7-01", true), ("00-\(id)-00f067aa0ba902b7", false),
      ("ff-\(id)-00f067aa0ba902b7-01", false), ("00-\(id.uppercased())-00f067aa0ba902b7-01", false),
      ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", false), ("", false),
      ("01-\(id)-00f067aa0ba902b7-01-more", true), ("00-\(id)-00f067aa0ba902b7-01-more", false),
    ] {
      _ = await HTTPRoutes(state: state).answer(
        HTTPCall(method: "GET", path: "/v2", fields: ["traceparent": field]))
      #expect(lines.take().first?.contains(" trace=\(id) ") == isGood)
    }
  }

  @Test("The check lets each model answer")
  func check() async throws {
    let state = try await state(token: "secret")
    let told = try await ServerCheck.run(state)
    #expect(told.count == 1 && told[0].hasPrefix("shapes/1 answers"))
  }
}
