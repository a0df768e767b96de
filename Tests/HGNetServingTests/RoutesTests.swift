import Foundation
import HGNet
import HGNetCore
import HGNetFormats
import HGNetServing
import Testing

@Suite("Calls over HTTP, without a network")
struct RoutesTests {
  let fixture = ServingFixture()

  private func routes(token: String? = nil) async throws -> HTTPRoutes {
    try fixture.place("shapes", version: 1, seed: 5)
    return HTTPRoutes(state: await fixture.state(token: token))
  }

  private func object(_ answer: HTTPAnswer) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(answer.body)) as? [String: Any])
  }

  /// The classes that the library gives for a picture.
  private func expected(_ picture: [UInt8]) throws -> [ScoredClass] {
    try Classifier(weights: "\(fixture.folder.path)/shapes/1/weights.safetensors").classify(decoding: Blob(picture))
  }

  @Test("A picture gets the library's classes")
  func classify() async throws {
    let routes = try await routes()
    let picture = try fixture.picture()
    let answer = await routes.answer(
      HTTPCall(method: "POST", path: "/v1/classify", query: "top_k=3", body: Blob(picture)))
    #expect(answer.status == 200)
    let predictions = try #require(try object(answer)["predictions"] as? [[String: Any]])
    let classes = try #require(predictions[0]["classes"] as? [[String: Any]])
    let library = try expected(picture)
    #expect(classes.map { $0["index"] as? Int } == library.prefix(3).map(\.index))
    for (told, known) in zip(classes, library) {
      // Foundation's reader rounds the last bit of a number otherwise.
      #expect(abs((told["score"] as? Double ?? -1) - known.score) < 1e-15)
    }
  }

  @Test("A packed body is unpacked within the limit; other codings are refused, and the known ones told")
  func packedBodies() throws {
    // python3 -c 'import gzip; print(gzip.compress(b"picture", mtime=0).hex())'
    let packed: [UInt8] = [
      0x1F, 0x8B, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0x2B, 0xC8, 0x4C, 0x2E, 0x29, 0x2D, 0x4A, 0x05, 0x00,
      0x89, 0x4F, 0xDB, 0x16, 0x07, 0x00, 0x00, 0x00,
    ]
    func unpacked(_ coding: String?, limit: Int = 100) throws(ServingError) -> [UInt8] {
      var call = HTTPCall(
        method: "POST", path: "/", fields: coding.map { ["content-encoding": $0] } ?? [:], body: Blob(packed))
      try call.unpackBody(limit: limit)
      return call.body.withUnsafeBytes { Array($0) }
    }
    #expect(try unpacked(nil) == packed && unpacked("identity") == packed)
    #expect(try unpacked("GZIP") == Array("picture".utf8))
    let refusals: [(String, Int, Int)] = [
      ("gzip", 6, 413), ("deflate", 100, 400), ("br", 100, 415), ("gzip, gzip", 100, 415),
    ]
    for (coding, limit, status) in refusals {
      let answer = HTTPAnswer(try #require(throws: ServingError.self) { try unpacked(coding, limit: limit) })
      #expect(answer.status == status)
      #expect(answer.fields.contains { $0 == ("accept-encoding", "gzip, deflate") } == (status == 415))
    }
  }

  @Test("A heat map's shares and its constant add up to the logit; what it cannot do is told")
  func heatMap() async throws {
    let routes = try await routes()
    let picture = try fixture.picture()
    let library = try expected(picture)
    for query in ["", "class=3"] {
      let answer = await routes.answer(
        HTTPCall(method: "POST", path: "/v1/heatmap", query: query, body: Blob(picture)))
      #expect(answer.status == 200)
      let map = try object(answer)
      #expect(map["class"] as? Int == (query.isEmpty ? library.first?.index : 3))
      #expect(map["height"] as? Int == 7 && map["width"] as? Int == 7)
      let values = try #require(map["values"] as? [Double])
      #expect(values.count == 49)
      let sum = values.reduce(0, +) + (map["constant"] as? Double ?? 0)
      #expect(abs(sum - (map["logit"] as? Double ?? .nan)) < 1e-4)
    }
    for (query, body, status) in [("class=5", picture, 400), ("class=x", picture, 400), ("", [1, 2, 3], 400)] {
      let answer = await routes.answer(
        HTTPCall(method: "POST", path: "/v1/heatmap", query: query, body: Blob(body)))
      #expect(answer.status == status)
    }
  }

  @Test("The page is whole and may load nothing from elsewhere")
  func page() async throws {
    let routes = try await routes(token: "secret")
    for (path, type) in [("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")] {
      let answer = await routes.answer(HTTPCall(method: "GET", path: path))
      #expect(answer.status == 200)
      let fields = Dictionary(answer.fields.map { ($0.name, $0.value) }) { first, _ in first }
      #expect(fields["content-type"]?.hasPrefix(type) == true)
      #expect(fields["content-security-policy"]?.contains("default-src 'none'") == true)
      #expect(!String(decoding: answer.body, as: UTF8.self).contains("://"))
    }
    #expect(await routes.answer(HTTPCall(method: "GET", path: "/page.none")).status == 401)
  }

  @Test("A form of several files: a bad one harms no other")
  func form() async throws {
    let routes = try await routes()
    var body: [UInt8] = []
    for (name, bytes) in [
      ("one.png", try fixture.picture()), ("bad.png", [1, 2, 3]), ("two.png", try fixture.picture(seed: 2)),
    ] {
      body +=
        "--edge\r\nContent-Disposition: form-data; name=\"f\"; filename=\"\(name)\"\r\n\r\n".utf8 + bytes + "\r\n".utf8
    }
    let call = HTTPCall(
      method: "POST", path: "/v1/classify", fields: ["content-type": "multipart/form-data; boundary=edge"],
      body: Blob(body + Array("--edge--\r\n".utf8)))
    let answer = await routes.answer(call)
    #expect(answer.status == 200)
    let predictions = try #require(try object(answer)["predictions"] as? [[String: Any]])
    #expect(predictions.map { $0["file"] as? String } == ["one.png", "bad.png", "two.png"])
    #expect(predictions.map { $0["error"] == nil } == [true, false, true])
    // Cut anywhere, the form is refused or misses its last files; it never traps.
    for count in stride(from: 0, to: body.count, by: 37) {
      var cut = call
      cut.body = Blob(body[..<count])
      #expect(await routes.answer(cut).status == 400)
    }
  }

  @Test("Paddle Serving's request and answer")
  func paddle() async throws {
    let routes = try await routes()
    let picture = try fixture.picture()
    let text = Data(picture).base64EncodedString()
    let best = try #require(try expected(picture).first)
    for name in ["shapes", "imagenet"] {
      let body = "{\"key\": [\"image\"], \"value\": [\"\(text)\"]}"
      let answer = try object(
        await routes.answer(HTTPCall(method: "POST", path: "/\(name)/prediction", body: Blob(Array(body.utf8)))))
      #expect(answer["err_no"] as? Int == 0)
      #expect(answer["key"] as? [String] == ["label", "prob"])
      let label = ["['a']", "['b c']", "[\"it's\"]", "['d']", "['e']"][best.index]
      #expect(answer["value"] as? [String] == [label, "[\(Double(Float(best.score)))]"])
    }
    // The numbers are those of the real server, paddle_serving_server 0.9.0.
    let tensors =
      "{\"tensors\": [{\"name\": \"image\", \"elem_type\": 12, \"shape\": [1], \"str_data\": [\"\(text)\"]}]}"
    let profiled = "{\"key\": [\"image\", \"pipeline.profile\"], \"value\": [\"\(text)\", \"1\"]}"
    for (path, body, number) in [
      ("/shapes/prediction", "{}", 10000), ("/nope/prediction", "{}", 3002), ("/imagenet/other", tensors, 0),
      ("/shapes/prediction", profiled, 0),
      ("/shapes/prediction", "{\"key\": [\"a\", \"b\"], \"value\": [\"x\"]}", 8000),
      ("/shapes/prediction", "{\"key\": [\"image\"], \"value\": [\"!\"]}", 10000),
      ("/shapes/prediction", "{\"tensors\": [{\"elem_type\": 1, \"float_data\": [1]}]}", 10000),
    ] {
      let answer = try object(await routes.answer(HTTPCall(method: "POST", path: path, body: Blob(Array(body.utf8)))))
      #expect(answer["err_no"] as? Int == number)
      if number == 0 {
        #expect((answer["value"] as? [String])?.dropFirst().first == "[\(Double(Float(best.score)))]")
        #expect((answer["key"] as? [String])?.contains("pipeline.profile") == (body == profiled))
      }
    }
    let noJSON = await routes.answer(
      HTTPCall(method: "POST", path: "/shapes/prediction", body: Blob(Array("no".utf8))))
    #expect(noJSON.status == 400)
    #expect(try object(noJSON)["code"] as? Int == 3)
  }

  @Test("GeneralModelService in JSON and as a message: the library's probabilities, and refusals with bRPC's numbers")
  func generalModel() async throws {
    let routes = try await routes()
    let picture = try fixture.picture()
    let probabilities = try expected(picture).sorted { $0.index < $1.index }.map { Double(Float($0.score)) }
    let body = """
      {"tensor": [{"data": ["\(Data(picture).base64EncodedString())"], "elem_type": 20, "shape": [1], "name": "x",
      "alias_name": "inputs"}], "fetch_var_names": ["prediction"], "log_id": "12", "unknown": [1]}
      """
    for path in ["/GeneralModelService/inference", "/\(GeneralModel.fullService)/debug"] {
      for method in ["POST", "PUT", "GET"] {
        let answer = try object(
          await routes.answer(HTTPCall(method: method, path: path, body: Blob(Array(body.utf8)))))
        #expect(answer["log_id"] as? Int == 12)
        let outputs = try #require(answer["outputs"] as? [[String: Any]])
        let tensor = try #require((outputs[0]["tensor"] as? [[String: Any]])?.first)
        #expect(tensor["alias_name"] as? String == "prediction")
        #expect(tensor["shape"] as? [Int] == [1, 5] && tensor["elem_type"] as? Int == 1)
        // Foundation's reader rounds the last bit of a number otherwise.
        #expect((tensor["float_data"] as? [Double])?.map { Float($0) } == probabilities.map { Float($0) })
      }
    }
    let message = BRPCFrames.request([BRPCFrames.text(picture)], fetched: ["y"])
    for type in ["application/proto", "application/x-protobuf"] {
      let answer = await routes.answer(
        HTTPCall(
          method: "POST", path: "/GeneralModelService/inference", fields: ["content-type": type], body: Blob(message)))
      #expect(answer.fields.contains { $0 == ("content-type", type) })
      let outputs = try BRPCFrames.outputs(answer.body)
      #expect(outputs.map(\.alias) == ["y"] && outputs[0].floats.map(Double.init) == probabilities)
    }
    let wrong: [(String, String, Int, String)] = [
      ("/GeneralModelService/other", "{}", 404, "1002"), ("/GeneralModelService/inference", "", 400, "1003"),
      ("/GeneralModelService/inference", "{\"tensor\": 1}", 400, "1003"),
      ("/GeneralModelService/inference", "{\"tensor\": [{\"float_data\": [\"1\"]}]}", 400, "1003"),
      ("/GeneralModelService/inference", "no", 400, "1003"),
    ]
    for (path, body, status, number) in wrong {
      let answer = await routes.answer(HTTPCall(method: "POST", path: path, body: Blob(Array(body.utf8))))
      #expect(answer.status == status)
      #expect(answer.fields.contains { $0 == ("x-bd-error-code", number) })
      #expect(answer.fields.contains { $0 == ("content-type", "text/plain") })
    }
  }

  @Test("Answers are packed where that is asked for and worth it; pages elsewhere are let in only where allowed")
  func fields() async throws {
    try fixture.place("shapes", version: 1, seed: 5)
    let state = await fixture.state()
    let open = HTTPRoutes(state: state, allowedOrigins: ["https://example.org"])
    for (accepted, isPacked) in [
      ("gzip", true), ("br, GZIP;q=0.5", true), ("*", true), ("gzip;q=0", false), ("identity", false),
      ("gzip;q=0, *", false),
    ] {
      var call = HTTPCall(method: "GET", path: "/metrics", fields: ["accept-encoding": accepted])
      let answer = await open.answer(call)
      #expect(answer.fields.contains { $0 == ("content-encoding", "gzip") } == isPacked)
      call.fields = [:]
      let plain = await open.answer(call)
      #expect(plain.fields.allSatisfy { $0.name != "content-encoding" })
      if isPacked {
        let unpacked = try Packing.gzip.unpack(Blob(answer.body), limit: 1 << 20).withUnsafeBytes { Array($0) }
        #expect(unpacked.starts(with: Array("# HELP".utf8)) && answer.body.count < plain.body.count)
      }
    }
    let small = await open.answer(HTTPCall(method: "GET", path: "/v2", fields: ["accept-encoding": "gzip"]))
    #expect(small.fields.allSatisfy { $0.name != "content-encoding" })

    func origin(_ answer: HTTPAnswer) -> String? {
      answer.fields.first { $0.name == "access-control-allow-origin" }?.value
    }
    for (given, expected) in [("https://example.org", "https://example.org"), ("https://example.com", nil)] {
      let answer = await open.answer(HTTPCall(method: "GET", path: "/v2", fields: ["origin": given]))
      #expect(answer.status == 200 && origin(answer) == expected)
      let asked = await open.answer(
        HTTPCall(
          method: "OPTIONS", path: "/v1/classify",
          fields: ["origin": given, "access-control-request-method": "POST"]))
      #expect(asked.status == 204 && origin(asked) == expected)
    }
    let closed = HTTPRoutes(state: state)
    #expect(origin(await closed.answer(HTTPCall(method: "GET", path: "/v2", fields: ["origin": "https://a"]))) == nil)
    #expect(await closed.answer(HTTPCall(method: "OPTIONS", path: "/v1/classify")).status == 405)
  }

  @Test("Binary and JSON inference agree, and damaged requests are refused")
  func infer() async throws {
    let routes = try await routes()
    let picture = try fixture.picture()
    var element = withUnsafeBytes(of: UInt32(picture.count).littleEndian) { Array($0) }
    element += picture
    let head = Array(
      """
      {"id": "7", "parameters": {"who": "me"}, "inputs": [{"name": "image", "datatype": "BYTES", "shape": [1],
      "parameters": {"binary_data_size": \(element.count)}}], "outputs": [{"name": "logits"}]}
      """.utf8)
    var call = HTTPCall(
      method: "POST", path: "/v2/models/shapes/versions/1/infer",
      fields: ["inference-header-content-length": "\(head.count)"], body: Blob(head + element))
    let binary = try object(await routes.answer(call))
    #expect(binary["id"] as? String == "7")
    #expect(binary["parameters"] as? [String: String] == ["who": "me"])
    let json = """
      {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["\(Data(picture).base64EncodedString())"]}],
      "outputs": [{"name": "logits"}]}
      """
    let text = try object(
      await routes.answer(
        HTTPCall(method: "POST", path: "/v2/models/shapes/infer", body: Blob(Array(json.utf8)))))
    let values = [binary, text].map { (($0["outputs"] as? [[String: Any]])?[0]["data"] as? [Double]) ?? [] }
    #expect(values[0].count == 5)
    #expect(values[0] == values[1])
    // Bounded fuzz: whatever is damaged, there is an answer.
    var random = SplitMix64(seed: 3)
    for _ in 0..<150 {
      var damaged = head + element.prefix(200)
      for _ in 0..<3 { damaged[Int(random.next() % UInt64(damaged.count))] = UInt8(truncatingIfNeeded: random.next()) }
      call.body = Blob(damaged)
      #expect((400..<500).contains(await routes.answer(call).status))
    }
  }

  @Test("A token is asked for everywhere but where nothing is told")
  func token() async throws {
    let routes = try await routes(token: " secret\n")
    for path in ["/v2", "/metrics", "/v2/models/shapes"] {
      #expect(await routes.answer(HTTPCall(method: "GET", path: path)).status == 401)
      for wrong in ["Bearer secre", "Bearer secrets", "Bearer ", "secret"] {
        #expect(
          await routes.answer(HTTPCall(method: "GET", path: path, fields: ["authorization": wrong])).status == 401)
      }
      #expect(
        await routes.answer(HTTPCall(method: "GET", path: path, fields: ["authorization": "Bearer secret"])).status
          == 200)
    }
    #expect(await routes.answer(HTTPCall(method: "GET", path: "/v2/health/live")).status == 200)
  }

  @Test("Paths, methods and readiness")
  func paths() async throws {
    let routes = try await routes()
    #expect(await routes.answer(HTTPCall(method: "GET", path: "/v2/health/ready")).status == 200)
    #expect(await routes.answer(HTTPCall(method: "GET", path: "/nothing")).status == 404)
    #expect(await routes.answer(HTTPCall(method: "GET", path: "/v1/classify")).status == 405)
    #expect(await routes.answer(HTTPCall(method: "POST", path: "/v1/other")).status == 404)
    #expect(await routes.answer(HTTPCall(method: "GET", path: "/shapes/other")).status == 404)
    #expect(await routes.answer(HTTPCall(method: "GET", path: "/health")).body == Array("OK".utf8))
    #expect(await routes.answer(HTTPCall(method: "GET", path: "/v2/models/%zz")).status == 400)
    #expect(await routes.answer(HTTPCall(method: "GET", path: "/v2/models/other")).status == 404)
    routes.state.drain()
    #expect(await routes.answer(HTTPCall(method: "GET", path: "/v2/health/ready")).status == 503)
    #expect(await routes.answer(HTTPCall(method: "GET", path: "/v2/health/live")).status == 200)
  }
}

/// Chance that is the same each time.
struct SplitMix64: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var value = state
    value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
    return value ^ (value >> 31)
  }
}
