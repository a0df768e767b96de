import HGNet
import HGNetCore
import HGNetFormats
import HGNetServing
import Testing

@Suite("bRPC, without a network")
struct BRPCTests {
  let fixture = ServingFixture()

  private func service() async throws -> BRPCService {
    try fixture.place("shapes", version: 1, seed: 5)
    return BRPCService(state: await fixture.state(), bodyLimit: 1 << 20)
  }

  // MARK: - What others have written

  @Test("Requests of Paddle's own client are read")
  func realRequests() throws {
    // Of paddle_serving_client 0.9.0: a text that is no picture, the bytes of no picture, and a tensor.
    let text = try #require(
      BRPCFrames.messages(
        "5052504300000097000000590a4f0a4062616964752e706164646c655f73657276696e672e707265646963746f722e67656e6572616c5f6d6f"
          + "64656c2e47656e6572616c4d6f64656c536572766963651209696e666572656e6365180018002082808080200a2e4a1c2f396a2f3443427562"
          + "335167595342795a574673494570515255633d50145a01016a01787206696e70757473120a70726564696374696f6e204d"
      ).first)
    #expect(text.meta.service == GeneralModel.fullService && text.meta.method == "inference")
    #expect(text.meta.correlationID == 8_589_934_594 && text.meta.packing == 0 && text.meta.attachmentSize == 0)
    let first = try GeneralModel.Request(text.payload.get())
    #expect(first.fetched == ["prediction"] && first.tensors.count == 1)
    #expect(first.tensors[0].elementType == 20 && first.tensors[0].shape == [1])
    #expect(first.tensors[0].name == "x" && first.tensors[0].alias == "inputs")
    #expect(
      first.tensors[0].texts[0].withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
        == "/9j/4CBub3QgYSByZWFsIEpQRUc=")

    let bytes = try #require(
      BRPCFrames.messages(
        "50525043000000800000005a0a4f0a4062616964752e706164646c655f73657276696e672e707265646963746f722e67656e6572616c5f6d6f"
          + "64656c2e47656e6572616c4d6f64656c536572766963651209696e666572656e6365180018002082808080a0030a184a06ffd8ffe000105014"
          + "5a01016a01787206696e70757473120a70726564696374696f6e"
      ).first)
    let second = try GeneralModel.Request(bytes.payload.get())
    #expect(second.tensors[0].texts[0].withUnsafeBytes { Array($0) } == [0xFF, 0xD8, 0xFF, 0xE0, 0x00, 0x10])

    let tensor = try #require(
      BRPCFrames.messages(
        "505250430000013e000000590a4f0a4062616964752e706164646c655f73657276696e672e707265646963746f722e67656e6572616c5f6d6f"
          + "64656c2e47656e6572616c4d6f64656c536572766963651209696e666572656e6365180018002082808080200ad60112c001"
          + String(repeating: "0", count: 384) + "50015a04010304046a01787206696e70757473120a70726564696374696f6e"
      ).first)
    let third = try GeneralModel.Request(tensor.payload.get())
    #expect(third.tensors[0].elementType == 1 && third.tensors[0].shape == [1, 3, 4, 4])
    #expect(third.tensors[0].floats == [Float](repeating: 0, count: 48))
  }

  @Test("What real servers of bRPC refuse is refused with their numbers and words")
  func realRefusals() async throws {
    let service = try await service()
    // Request, number, text; the real text has the address and the number in front.
    let known: [(String, Int, String)] = [
      (
        "50525043000000400000001c0a180a0b612e622e4e6f7468696e671209696e666572656e636520070a1612080000003f0000803f50015a0201"
          + "026a0178720178120a70726564696374696f6e", 1002, "Fail to find method=a.b.Nothing/inference"
      ),
      (
        "5052504300000074000000500a4c0a4062616964752e706164646c655f73657276696e672e707265646963746f722e67656e6572616c5f6d6f"
          + "64656c2e47656e6572616c4d6f64656c5365727669636512086e6f6e73656e736520070a1612080000003f0000803f50015a0201026a017872"
          + "0178120a70726564696374696f6e", 1002,
        "Fail to find method=baidu.paddle_serving.predictor.general_model.GeneralModelService/nonsense"
      ),
      (
        "505250430000005c000000510a4d0a4062616964752e706164646c655f73657276696e672e707265646963746f722e67656e6572616c5f6d6f"
          + "64656c2e47656e6572616c4d6f64656c536572766963651209696e666572656e63652007ffffffff67617262616765", 1003,
        "Fail to parse request message"
      ),
    ]
    for (hex, number, text) in known {
      let message = try #require(BRPCFrames.messages(hex).first)
      let answer = try BRPCFrames.answer(await service.answer(message))
      #expect(answer.number == number && answer.correlationID == 7)
      #expect(answer.text.hasPrefix(text))
      #expect(answer.payload.isEmpty)
    }
  }

  @Test("A request in gzip, written by a real client, and blocks of snappy are unpacked within the limit")
  func packedRequests() throws {
    let packed = try #require(
      BRPCFrames.messages(
        "505250430000008b000000530a4d0a4062616964752e706164646c655f73657276696e672e707265646963746f722e67656e6572616c5f6d6f"
          + "64656c2e47656e6572616c4d6f64656c536572766963651209696e666572656e6365180220071f8b08005dc40b6b02ffe31213e2606060b067"
          + "6068b00f608c626264ca62ac2862ac10e22a284a4dc94c2ec9cccf0300e40d302524000000"
      ).first)
    #expect(packed.meta.packing == 2)
    let plain = try Packing.gzip.unpack(packed.payload.get(), limit: 100)
    let request = try GeneralModel.Request(BlobSlice(plain))
    #expect(request.tensors[0].shape == [1, 2] && request.tensors[0].alias == "x")
    // cramjam.snappy.compress_raw(b"picture picture picture! " + bytes(range(100)) + b"ab" * 60)
    let block = BRPCFrames.bytes(
      "f5011c70696374757265203a0800f0692120000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20212223242526"
        + "2728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f"
        + "6061626361626162fe0400ce0400")
    let expected =
      Array("picture picture picture! ".utf8) + (0..<100).map { UInt8($0) }
      + Array(String(repeating: "ab", count: 60).utf8)
    #expect(try Snappy.unpack(BlobSlice(Blob(block)), limit: 245).withUnsafeBytes { Array($0) } == expected)
    #expect(throws: HGNetError.self) { try Snappy.unpack(BlobSlice(Blob(block)), limit: 244) }
    #expect(try #require(Snappy.pack(expected)).count <= block.count)
    for count in [0, 1, 3, 4, 59, 60, 61, 256, 257, 65_536, 70_000] {
      for period in [1, 5, 1000, 1 << 20] {
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: ($0 % period) * 40_503 >> 3) }
        let packed = BlobSlice(Blob(try #require(Snappy.pack(bytes))))
        #expect(try Snappy.unpack(packed, limit: count).withUnsafeBytes { Array($0) } == bytes)
      }
    }
    for count in 0..<block.count {
      #expect(throws: HGNetError.self) { try Snappy.unpack(BlobSlice(Blob(block[..<count])), limit: 1000) }
    }
    var random = SplitMix64(seed: 3)
    for _ in 0..<2000 {
      var damaged = block
      damaged[Int.random(in: 0..<damaged.count, using: &random)] = .random(in: .min ... .max, using: &random)
      _ = try? Snappy.unpack(BlobSlice(Blob(damaged)), limit: 1000)
    }
  }

  @Test("An answer is packed as its request was, if that is worth it")
  func packedAnswers() async throws {
    let service = try await service()
    let tensor = BRPCFrames.text(try fixture.picture())
    let large = BRPCFrames.request([tensor], fetched: (0..<16).map { "output-\($0)" })
    let small = BRPCFrames.request([tensor])
    func answer(_ request: [UInt8], packing: Int) async throws -> BRPCFrames.Answer {
      let packed: [UInt8]? =
        switch packing {
        case 1: Snappy.pack(request)
        case 2: Packing.gzip.pack(request)
        case 3: Packing.zlib.pack(request)
        default: request
        }
      let frame = BRPCFrames.frame(try #require(packed), packing: packing)
      let message = try #require(BRPCFrames.messages(of: frame).first)
      return try BRPCFrames.answer(await service.answer(message))
    }
    let plain = try await answer(large, packing: 0)
    let expected = try BRPCFrames.outputs(plain.payload)
    #expect(plain.packing == 0 && expected.count == 16)
    for packing in 1...3 {
      let found = try await answer(large, packing: packing)
      #expect(found.number == 0 && found.packing == packing && found.payload.count < plain.payload.count)
      let payload = BlobSlice(Blob(found.payload))
      let unpacked =
        switch packing {
        case 1: try Snappy.unpack(payload, limit: 1 << 20)
        case 2: try Packing.gzip.unpack(payload, limit: 1 << 20)
        default: try Packing.zlib.unpack(payload, limit: 1 << 20)
        }
      let outputs = try BRPCFrames.outputs(unpacked.withUnsafeBytes { Array($0) })
      #expect(outputs.map(\.alias) == expected.map(\.alias) && outputs.map(\.floats) == expected.map(\.floats))
      // Few bytes go back as they are.
      #expect(try await answer(small, packing: packing).packing == 0)
    }
  }

  // MARK: - Pictures

  @Test("A picture gets the library's probabilities, however it is sent and whatever its names are")
  func pictures() async throws {
    let service = try await service()
    let picture = try fixture.picture()
    let classifier = try Classifier(weights: "\(fixture.folder.path)/shapes/1/weights.safetensors")
    let expected = try classifier.classify(decoding: Blob(picture)).sorted { $0.index < $1.index }.map {
      Float($0.score)
    }
    let text = Base64.encoded(picture)
    let broken = stride(from: 0, to: text.utf8.count, by: 76).map { start in
      String(decoding: Array(text.utf8)[start..<min(start + 76, text.utf8.count)], as: UTF8.self)
    }.joined(separator: "\n")
    for tensor in [
      BRPCFrames.text(Array(text.utf8)), BRPCFrames.text(Array(broken.utf8)), BRPCFrames.text(picture),
      BRPCFrames.content(picture, type: 7, shape: [picture.count]), BRPCFrames.content(picture, type: 7, shape: [1]),
      BRPCFrames.text(Array(text.utf8) + [0, 1, 2]),
    ] {
      for name in ["prediction", "softmax_1.tmp_0", ""] {
        let request = BRPCFrames.request([tensor], fetched: name.isEmpty ? [] : [name])
        for service in [service] {
          let message = try #require(BRPCFrames.messages(of: BRPCFrames.frame(request, correlationID: -5)).first)
          let answer = try BRPCFrames.answer(await service.answer(message))
          #expect(answer.number == 0 && answer.correlationID == -5)
          let outputs = try BRPCFrames.outputs(answer.payload)
          #expect(outputs.count == 1)
          #expect(outputs[0].alias == (name.isEmpty ? "prediction" : name))
          #expect(outputs[0].shape == [1, 5] && outputs[0].elementType == 1)
          #expect(outputs[0].floats == expected)
        }
      }
    }
  }

  @Test("Labels and scores where they are asked for by name; several pictures; the short name of the service; debug")
  func outputs() async throws {
    let service = try await service()
    let pictures = try [fixture.picture(), fixture.picture(seed: 2)]
    let classifier = try Classifier(weights: "\(fixture.folder.path)/shapes/1/weights.safetensors")
    let best = try pictures.map { try #require(try classifier.classify(decoding: Blob($0)).first) }
    let names = ["a", "b, c", "it's", "d", "e"]
    let request = BRPCFrames.request(
      [BRPCFrames.texts(pictures)], fetched: ["label", "score", "index", "prediction"], logID: 9)
    for (name, method) in [(GeneralModel.service, "inference"), (GeneralModel.fullService, "debug")] {
      let frame = BRPCFrames.frame(request, service: name, method: method)
      let message = try #require(BRPCFrames.messages(of: frame).first)
      let answer = try BRPCFrames.answer(await service.answer(message))
      let outputs = try BRPCFrames.outputs(answer.payload)
      #expect(outputs.map(\.alias) == ["label", "score", "index", "prediction"])
      #expect(outputs[0].texts[0] == names[best[0].index] && outputs[0].texts[5] == names[best[1].index])
      #expect(outputs[1].floats[0] == Float(best[0].score) && outputs[1].floats[5] == Float(best[1].score))
      #expect(outputs[2].integers[5] == best[1].index)
      #expect(outputs[3].shape == [2, 5])
    }
  }

  @Test("What holds no picture is refused with 1003 and a text that says why")
  func refusals() async throws {
    let service = try await service()
    let floats = [UInt8](repeating: 0, count: 4 * 3 * 32 * 32)
    let wrong: [([[UInt8]], String)] = [
      ([], "expected one tensor"), ([BRPCFrames.text([1, 2, 3])], "expected a picture in base64"),
      ([BRPCFrames.text([0xFF, 0xD8, 0xFF, 0xE0])], ""), ([BRPCFrames.texts([])], "expected at least one picture"),
      ([BRPCFrames.content(floats, type: 1, shape: [1, 3, 32, 33])], "asks for"),
      ([BRPCFrames.content(floats, type: 1, shape: [1, 3, -32, -32])], "expected the shape"),
      ([BRPCFrames.content(floats, type: 1, shape: [1, 3, 1 << 30, 1 << 30])], "at most"),
      ([BRPCFrames.content(floats, type: 7, shape: [1, 32, 32, 3])], "asks for"),
      ([BRPCFrames.content(floats, type: 2, shape: [1])], "elem_type"),
      ([BRPCFrames.content([], type: 0, shape: [1])], "elem_type"),
    ]
    for (tensors, text) in wrong {
      let frame = BRPCFrames.frame(BRPCFrames.request(tensors))
      let message = try #require(BRPCFrames.messages(of: frame).first)
      let answer = try BRPCFrames.answer(await service.answer(message))
      #expect(answer.number == 1003 || answer.text.contains("at most"))
      #expect(text.isEmpty || answer.text.contains(text), "\(answer.text)")
    }
  }

  // MARK: - Frames

  @Test("Messages are cut out of any pieces; heads that lie are refused before anything is allocated")
  func frames() throws {
    let good = BRPCFrames.frame(BRPCFrames.request([BRPCFrames.text([1])]), attachment: [7, 7, 7])
    let three = good + good + good
    for size in [1, 2, 3, 11, 12, 13, 100, 1000] {
      #expect(BRPCFrames.messages(of: three, piece: size).count == 3)
    }
    func head(_ body: UInt32, _ meta: UInt32) -> [UInt8] {
      BRPC.magic + [body, meta].flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) } }
    }
    // A meta larger than its body: skipped, and the connection goes on.
    let (messages, reason, isOver) = BRPCFrames.steps(head(10, 11) + [UInt8](repeating: 1, count: 10) + good)
    #expect(messages.count == 1 && reason != nil && !isOver)
    // A body of four gigabytes is refused as soon as its meta is there.
    var large = good
    large.replaceSubrange(4..<8, with: [0xFF, 0xFF, 0xFF, 0xFF])
    let refused = BRPCFrames.steps(large)
    #expect(refused.messages.count == 1 && !refused.isOver)
    #expect(throws: ServingError.self) { try refused.messages[0].payload.get() }
    // A meta that is too large or none, and another magic, end the connection.
    for end in [head(1 << 20, 1 << 17), head(8, 8) + [UInt8](repeating: 0xFF, count: 8), Array("XRPC".utf8) + [0]] {
      #expect(BRPCFrames.steps(end).isOver)
    }
    // An attachment of more bytes than there are.
    let lying = BRPCFrames.frame([], attachmentSize: 1000)
    #expect(throws: ServingError.self) { try BRPCFrames.steps(lying).messages[0].payload.get() }
    #expect(throws: ServingError.self) {
      try BRPCFrames.steps(BRPCFrames.frame([], attachmentSize: -1)).messages[0].payload.get()
    }
  }

  @Test("Damaged frames and messages never trap")
  func damage() async throws {
    let service = try await service()
    let good = BRPCFrames.frame(
      BRPCFrames.request([BRPCFrames.content([UInt8](repeating: 1, count: 300), type: 7, shape: [10, 10, 3])]))
    var random = SplitMix64(seed: 1)
    for round in 0..<1500 {
      var damaged = good
      for _ in 0...(round % 4) {
        damaged[Int.random(in: 0..<damaged.count, using: &random)] = .random(in: .min ... .max, using: &random)
      }
      for message in BRPCFrames.steps(damaged).messages {
        _ = try BRPCFrames.answer(await service.answer(message))
      }
    }
  }

  @Test("Packed bombs, foreign packings, a token, and the end of the server")
  func gate() async throws {
    try fixture.place("shapes", version: 1, seed: 5)
    let service = BRPCService(state: await fixture.state(token: "secret"), bodyLimit: 1 << 20)
    func number(
      _ frame: [UInt8], authorization: String? = "Bearer secret", isEnding: Bool = false
    ) async throws -> Int {
      let message = try #require(BRPCFrames.messages(of: frame).first)
      var connection = BRPCService.Connection()
      connection.authorization = authorization
      connection.isEnding = isEnding
      return try BRPCFrames.answer(await service.answer(message, on: connection)).number
    }
    let good = BRPCFrames.frame(BRPCFrames.request([BRPCFrames.text(try fixture.picture())]))
    #expect(try await number(good) == 0)
    #expect(try await number(good, authorization: nil) == 1004)
    #expect(try await number(good, authorization: "Bearer other") == 1004)
    #expect(try await number(good, isEnding: true) == 2003)
    // A block of snappy that says it has 2^31 bytes.
    #expect(try await number(BRPCFrames.frame([0x80, 0x80, 0x80, 0x80, 0x08, 0, 1], packing: 1)) == 1003)
    for packing in [1, 2, 3, 4, -1, 99] {
      #expect(try await number(BRPCFrames.frame([1, 2, 3, 4], packing: packing)) == 1003)
    }
  }
}
