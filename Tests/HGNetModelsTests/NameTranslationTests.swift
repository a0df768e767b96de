import HGNetCore
import HGNetModels
import Testing

@Suite("Name translation") struct NameTranslationTests {
  private static let fixtures: String = {
    let tests = #filePath.split(separator: "/").dropLast(2).joined(separator: "/")
    return "/\(tests)/Fixtures/pickles"
  }()

  /// A store with the names and shapes of a list; the elements are bytes counting from 0.
  private func store(_ list: String, prefix: String = "") throws -> ParameterStore {
    let blob = try Blob(mapping: "\(Self.fixtures)/\(list).tsv")
    let text = blob.withUnsafeBytes { String(decoding: $0, as: UTF8.self) }
    var store = ParameterStore()
    for line in text.split(separator: "\n") {
      let parts = line.split(separator: "\t", omittingEmptySubsequences: false)
      let shape = Shape(parts[1].split(separator: ",").compactMap { Int($0) })
      let blob = Blob(count: shape.count) { memory in
        for index in 0..<min(memory.count, 1 << 14) { memory[index] = UInt8(truncatingIfNeeded: index) }
      }
      store[prefix + parts[0]] = try Parameter(shape: shape, elementType: .uint8, bytes: BlobSlice(blob))
    }
    return store
  }

  private func shapes(_ store: ParameterStore) -> [String: [Int]] {
    Dictionary(uniqueKeysWithValues: store.names.map { ($0, store[$0]?.shape.dimensions ?? []) })
  }

  @Test(
    "timm's names and shapes become PaddleClas' and come back",
    arguments: ["b0", "tiny"], ["", "module.", "model.backbone."])
  func timm(model: String, prefix: String) throws {
    let paddle = try store("\(model).paddle")
    let timm = try store("\(model).timm")
    let translation = try NameTranslation.translation(of: try store("\(model).timm", prefix: prefix))
    #expect(translation.recognition.convention == .timm)
    #expect(translation.recognition.prefix == prefix)
    #expect(translation.recognition.family == (model == "tiny" ? PPHGNet.family : PPHGNetV2.family))
    #expect(translation.unrelatedNames == [])
    #expect(shapes(translation.parameters) == shapes(paddle))
    #expect(shapes(try NameTranslation.fromPaddle(paddle, to: .timm)) == shapes(timm))
  }

  @Test(
    "The names of transformers become PaddleClas' and come back", arguments: ["", "model.backbone.model."])
  func huggingFace(prefix: String) throws {
    let paddle = try store("b0.paddle")
    var source = try store("b0.transformers", prefix: prefix)
    if !prefix.isEmpty { source["model.decoder.layers.0.fc1.weight"] = source[source.names[0]] }
    let translation = try NameTranslation.translation(of: source)
    #expect(translation.recognition.convention == .huggingFace)
    #expect(translation.unrelatedNames.count == (prefix.isEmpty ? 0 : 1))
    let headless = shapes(paddle).filter { $0.key.hasPrefix("stem") || $0.key.hasPrefix("stages") }
    #expect(shapes(translation.parameters) == headless)
    #expect(shapes(try NameTranslation.fromPaddle(paddle, to: .huggingFace)) == shapes(try store("b0.transformers")))
  }

  @Test("A classifier of transformers reads the last stage; its weight is [classes, channels]")
  func huggingFaceClassifier() throws {
    var paddle = try store("b0.paddle")
    for name in paddle.names where name.hasPrefix("last_conv") || name.hasPrefix("lab.") { paddle[name] = nil }
    let values = (0..<30).map(Float.init)
    paddle["fc.weight"] = Parameter(Tensor(shape: [10, 3], values: values))
    paddle["fc.bias"] = Parameter(Tensor(shape: [3], values: [1, 2, 3]))
    #expect(NameTranslation.headWithoutPlace(in: paddle, of: .huggingFace) == [])
    let written = try NameTranslation.fromPaddle(paddle, to: .huggingFace)
    #expect(written["fc.weight"]?.shape == [3, 10])
    let turned: [Float] = (0..<30).map { index in values[index % 10 * 3 + index / 10] }
    #expect(written["fc.weight"]?.tensor().values == turned)
    let backbone = try store("b0.transformers")
    #expect(Set(written.names) == Set(backbone.names + ["fc.weight", "fc.bias"]))
    let back = try NameTranslation.toPaddle(written)
    #expect(Set(back.names) == Set(paddle.names))
    #expect(back["fc.weight"]?.tensor().values == values)
  }

  @Test("What other names have no place for is named, and a head is left out whole")
  func withoutPlace() throws {
    var paddle = try store("b0.paddle")
    let head = ["last_conv.weight", "lab.scale", "lab.bias", "fc.weight", "fc.bias"]
    #expect(Set(NameTranslation.headWithoutPlace(in: paddle, of: .huggingFace)) == Set(head))
    #expect(NameTranslation.headWithoutPlace(in: paddle, of: .timm) == [])
    #expect(NameTranslation.headWithoutPlace(in: paddle, of: .paddle) == [])
    // A decoder stands under fc as well.
    for name in head { paddle[name] = nil }
    paddle["fc.decoder.layers.0.linear1.weight"] = Parameter(Tensor(shape: [2, 2]))
    for convention in [NameTranslation.Convention.timm, .huggingFace] {
      #expect(NameTranslation.headWithoutPlace(in: paddle, of: convention) == ["fc.decoder.layers.0.linear1.weight"])
      let written = try NameTranslation.fromPaddle(paddle, to: convention)
      #expect(!written.names.contains { $0.hasSuffix("linear1.weight") })
    }
  }

  @Test(
    "Of a network and its average the average is taken, and the rest is told", arguments: ["ema.module.", "model_ema."])
  func average(prefix: String) throws {
    let names = try store("b0.timm").names
    let both = names.map { "model.backbone.\($0)" } + names.map { "\(prefix)backbone.\($0)" }
    #expect(try NameTranslation.recognition(of: both).prefix == "\(prefix)backbone.")
    // "schema" is no average.
    let others = names.map { "schema.\($0)" } + names.map { "model.\($0)" }
    #expect(throws: HGNetError.self) { try NameTranslation.recognition(of: others) }
  }

  @Test(
    "PaddleClas' own names stay", arguments: ["b0", "tiny"], ["", "backbone."])
  func paddle(model: String, prefix: String) throws {
    let paddle = try store("\(model).paddle")
    let translated = try NameTranslation.toPaddle(try store("\(model).paddle", prefix: prefix))
    #expect(NameTranslation.convention(of: paddle.names) == .paddle)
    #expect(translated.names == paddle.names)
    #expect(shapes(translated) == shapes(paddle))
  }

  @Test("Linear weights are transposed") func linearWeights() throws {
    let timm = try store("b0.timm")
    let paddle = try NameTranslation.toPaddle(timm)
    let rows = try #require(timm["head.fc.weight"]).tensor()
    let columns = try #require(paddle["fc.weight"]).tensor()
    #expect(rows.shape == [4, 2048])
    #expect(columns.shape == [2048, 4])
    #expect((0..<8192).allSatisfy { columns[$0 % 2048 * 4 + $0 / 2048] == rows[$0] })
    let again = try NameTranslation.fromPaddle(paddle, to: .timm)
    #expect(again["head.fc.weight"]?.tensor().values == rows.values)
    #expect(Set(again.names) == Set(timm.names))
  }

  @Test("Of teacher and student the student is taken") func distillation() throws {
    var both = try store("tiny.paddle", prefix: "Teacher.")
    let student = try store("b0.paddle", prefix: "Student.")
    for name in student.names { both[name] = student[name] }
    let translation = try NameTranslation.translation(of: both)
    #expect(translation.recognition.prefix == "Student.")
    #expect(translation.parameters.names == (try store("b0.paddle")).names)
    #expect(translation.unrelatedNames.count == 193)
  }

  @Test func ambiguousAndUnknownNames() throws {
    var both = try store("b0.paddle", prefix: "a.")
    let second = try store("b0.paddle", prefix: "b.")
    for name in second.names { both[name] = second[name] }
    let error = #expect(throws: HGNetError.self) { _ = try NameTranslation.toPaddle(both) }
    #expect(error?.code == .parameterMismatch)
    #expect(error?.message.contains("a., b.") == true)
    let unknown = #expect(throws: HGNetError.self) {
      _ = try NameTranslation.recognition(of: ["layer1.0.conv1.weight"])
    }
    #expect(unknown?.code == .parameterMismatch)
    #expect(unknown?.message.contains("layer1.0.conv1.weight") == true)
    #expect(NameTranslation.convention(of: []) == nil)
    // A file with any number of networks is refused in no time.
    let many = (0..<100_000).map { "n\($0).stem.0.conv.weight" }
    let crowd = #expect(throws: HGNetError.self) { try NameTranslation.recognition(of: many) }
    #expect(crowd?.message.contains("found 100000") == true)
    let firstGeneration = try store("tiny.paddle")
    #expect(
      #expect(throws: HGNetError.self) { _ = try NameTranslation.fromPaddle(firstGeneration, to: .huggingFace) }?.code
        == .unsupported)
  }
}
