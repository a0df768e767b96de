import HGNet
import HGNetCore
import HGNetFormats
import HGNetModels
import TemporaryFolders
import Testing

@Suite("Weights of any format")
struct WeightsFileTests {
  let folder = TemporaryFolder()
  /// A small head, so that files are quick to write.
  let options = ModelOptions(classCount: 7, classExpand: 32)

  private func parameters(_ model: Model = .b0) throws -> ParameterStore {
    Model.randomParameters(for: try model.graph(options: options), seed: 3)
  }

  @Test("Formats and models are recognised by content, whatever the name", arguments: ["weights.pdparams", "weights"])
  func formats(name: String) throws {
    for model in [Model.b0, .tiny] {
      let store = try parameters(model)
      try PaddleParameters.write(store, to: folder.file(name))
      let paddle = try WeightsFile(contentsOf: folder.file(name))
      #expect(paddle.format == .paddleParameters)
      #expect(paddle.model == model)
      #expect(paddle.graph.classCount == 7)
      #expect(paddle.report.isComplete)
      #expect(paddle.report.matched.count == store.count)
      try Safetensors.write(store, to: folder.file(name))
      let safetensors = try WeightsFile(contentsOf: folder.file(name), model: model)
      #expect(safetensors.format == .safetensors)
      #expect(safetensors.parameters["fc.bias"]?.tensor().values == store["fc.bias"]?.tensor().values)
    }
  }

  @Test("Weights in memory are those of the file")
  func memory() throws {
    let store = try parameters()
    try PaddleParameters.write(store, to: folder.file("b0.pdparams"))
    try Safetensors.write(store, to: folder.file("b0.safetensors"))
    for name in ["b0.pdparams", "b0.safetensors"] {
      // No name tells the format.
      let bytes = try Blob(mapping: folder.file(name)).withUnsafeBytes { Array($0) }
      let file = try WeightsFile(decoding: Blob(bytes))
      #expect(file.model == .b0)
      #expect(file.path.isEmpty)
      #expect(file.parameters["fc.bias"]?.tensor().values == store["fc.bias"]?.tensor().values)
      let error = #expect(throws: HGNetError.self) { try WeightsFile(decoding: Blob(bytes.prefix(1000))) }
      #expect(error?.code == .malformedData)
    }
    let error = #expect(throws: HGNetError.self) { try WeightsFile(decoding: Blob([])) }
    #expect(error?.code == .malformedData)
  }

  @Test("Names of timm are translated")
  func timm() throws {
    let store = try parameters()
    try Safetensors.write(NameTranslation.fromPaddle(store, to: .timm), to: folder.file("timm.safetensors"))
    let file = try WeightsFile(contentsOf: folder.file("timm.safetensors"))
    #expect(file.model == .b0)
    #expect(file.parameters["fc.weight"]?.tensor().values == store["fc.weight"]?.tensor().values)
  }

  @Test("Formats have titles and endings of their own, and a folder is what brings its own network first")
  func formats() throws {
    let formats = WeightsFile.readers.map { $0.format }
    #expect(Set(formats.map(\.title)).count == formats.count)
    #expect(Set(WeightsFile.endings).count == WeightsFile.endings.count)
    let found = WeightsFile.model(inFolder: folder.path)
    #expect(found == nil)
    for (name, expected) in [
      ("model.safetensors", "/model.safetensors"), ("inference.onnx", "/inference.onnx"), ("inference.json", ""),
    ] {
      var file = try FileOutput(path: folder.file(name))
      try file.write("{}")
      try file.commit()
      #expect(WeightsFile.model(inFolder: folder.path) == folder.path + expected)
    }
  }

  @Test("The ending .pdparams may be left out")
  func prefix() throws {
    try PaddleParameters.write(try parameters(), to: folder.file("best_model.pdparams"))
    #expect(try WeightsFile(contentsOf: folder.file("best_model")).model == .b0)
  }

  @Test("Loading is strict and lists every difference")
  func strict() throws {
    var store = try parameters()
    store["stem.stem1.bn._mean"] = nil
    store["extra.weight"] = Parameter(Tensor(shape: [2]))
    store["last_conv.weight"] = Parameter(Tensor(shape: [32, 5, 1, 1]))
    try Safetensors.write(store, to: folder.file("x.safetensors"))
    let error = #expect(throws: HGNetError.self) {
      try WeightsFile(contentsOf: folder.file("x.safetensors"), model: .b0, options: options)
    }
    #expect(error?.code == .parameterMismatch)
    let text = error?.description ?? ""
    for part in ["x.safetensors", "1 missing (stem.stem1.bn._mean)", "extra.weight", "[32, 5, 1, 1]"] {
      #expect(text.contains(part), "\(text)")
    }
  }

  @Test("Only a new head may differ, and only when asked for")
  func newHead() throws {
    let store = try parameters()
    let path = folder.file("x.safetensors")
    try Safetensors.write(store, to: path)
    var other = options
    other.classCount = 3
    let error = #expect(throws: HGNetError.self) { try WeightsFile(contentsOf: path, model: .b0, options: other) }
    #expect(error?.code == .parameterMismatch)
    #expect(error?.message.contains("class_num") == true)
    let file = try WeightsFile(contentsOf: path, model: .b0, options: other, allowsNewHead: true)
    #expect(file.report.fresh == ["fc.weight", "fc.bias"])
    #expect(file.parameters["fc.weight"]?.shape == [32, 3])
    #expect(
      file.parameters["stem.stem1.conv.weight"]?.tensor().values == store["stem.stem1.conv.weight"]?.tensor().values)
    var damaged = store
    damaged["stem.stem1.conv.weight"] = nil
    try Safetensors.write(damaged, to: path)
    #expect(throws: HGNetError.self) {
      try WeightsFile(contentsOf: path, model: .b0, options: other, allowsNewHead: true)
    }
  }

  private func named(_ store: ParameterStore) -> [(String, Parameter)] {
    store.names.compactMap { name in store[name].map { (name, $0) } }
  }

  /// The parameters of a backbone.
  private func backbone(_ model: Model = .b0, stageCount: Int = 4) throws -> ParameterStore {
    let graph = try model.backboneGraph(options: ModelOptions(useLastConvolution: false), stageCount: stageCount)
    return Model.randomParameters(for: graph, seed: 3)
  }

  @Test(
    "A backbone without a classifier has features, under any names and inside a detector", arguments: [Model.b0, .tiny])
  func backbones(model: Model) throws {
    let store = try backbone(model)
    var detector = ParameterStore()
    for (name, parameter) in try named(NameTranslation.fromPaddle(store, to: .timm)) {
      // Frozen normalisations count no batches.
      if !name.hasSuffix("num_batches_tracked") { detector["model.backbone.\(name)"] = parameter }
    }
    detector["model.encoder.input_proj.weight"] = Parameter(Tensor(shape: [2, 2]))
    var stores = [store, try NameTranslation.fromPaddle(store, to: .timm), detector]
    if model == .b0 { stores.append(try NameTranslation.fromPaddle(store, to: .huggingFace)) }
    let picture = Tensor(shape: [32, 32, 3], values: (0..<3072).map { Float($0 % 17) / 8 - 1 })
    var expected: FeatureExtractor.Features?
    for (number, own) in stores.enumerated() {
      let path = folder.file("\(model)-\(number).safetensors")
      try Safetensors.write(own, to: path)
      let file = try WeightsFile(contentsOf: path)
      #expect(file.model == model)
      #expect(!file.hasClassifier)
      #expect(file.report.ignored == (number == 2 ? ["model.encoder.input_proj.weight"] : []))
      let found = try FeatureExtractor(file, keepsStages: true).features(of: picture)
      #expect(found.stages.map(\.shape.dimensions.first) == [8, 4, 2, 1])
      let last = try #require(found.stages.last)
      #expect(found.embedding == last.values)
      if let expected { #expect(found.embedding == expected.embedding) }
      expected = found
    }
    let file = try WeightsFile(contentsOf: folder.file("\(model)-0.safetensors"))
    for error in [
      #expect(throws: HGNetError.self) { try Classifier(file) },
      #expect(throws: HGNetError.self) { try ClassActivation(file) },
      #expect(throws: HGNetError.self) { try WeightsFile(contentsOf: file.path, model: model, options: options) },
    ] {
      #expect(error?.code == .unsupported)
      #expect(error?.context.path == file.path)
      #expect(error?.message.contains("a backbone without one") == true, "\(error?.message ?? "")")
      #expect(error?.message.contains("hgnet train") == true)
    }
  }

  @Test("A backbone that ends before the fourth stage has the features that it has")
  func shortBackbone() throws {
    let path = folder.file("short.pdparams")
    try PaddleParameters.write(try backbone(stageCount: 3), to: path)
    let file = try WeightsFile(contentsOf: path)
    #expect(file.stageNames == ["stages.0", "stages.1", "stages.2"])
    let picture = Tensor(shape: [32, 32, 3], values: (0..<3072).map { Float($0 % 13) / 8 - 1 })
    let features = try FeatureExtractor(file, keepsStages: true).features(of: picture)
    #expect(features.stages.count == 3)
    #expect(features.embedding.count == 512)
    let map = try #require(features.stages.last).values
    let mean = map.indices.filter { $0 % 512 == 0 }.reduce(Float(0)) { $0 + map[$1] } / 4
    #expect(abs(features.embedding[0] - mean) < 1e-5 * max(1, abs(mean)))
    let error = #expect(throws: HGNetError.self) {
      try WeightsFile(contentsOf: path, model: .b0, options: options, allowsNewHead: true)
    }
    #expect(error?.message.contains("stages.3.") == true, "\(error?.message ?? "")")
  }

  @Test("A backbone gets a new head, and so does a classifier without a last convolution")
  func newHeadOnBackbone() throws {
    let path = folder.file("x.safetensors")
    var store = try backbone()
    let head = ["last_conv.weight", "lab.scale", "lab.bias", "fc.weight", "fc.bias"]
    for hasClassifier in [false, true] {
      if hasClassifier {
        store["fc.weight"] = Parameter(Tensor(shape: [1024, 4]))
        store["fc.bias"] = Parameter(Tensor(shape: [4]))
      }
      try Safetensors.write(store, to: path)
      let file = try WeightsFile(contentsOf: path, model: .b0, options: options, allowsNewHead: true)
      #expect(file.hasClassifier)
      #expect(Set(file.report.fresh) == Set(head))
      #expect(file.parameters["fc.weight"]?.shape == [32, 7])
      #expect(file.report.summary.contains("5 new with fresh values (last_conv.weight; lab.scale"))
    }
    let kept = try WeightsFile(contentsOf: path)
    #expect(kept.hasClassifier)
    #expect(kept.graph.classCount == 4)
    // The other way round: a last convolution that the new network does not have is named.
    try Safetensors.write(try parameters(), to: path)
    var direct = options
    direct.useLastConvolution = false
    let file = try WeightsFile(contentsOf: path, model: .b0, options: direct, allowsNewHead: true)
    #expect(file.report.fresh == ["fc.weight", "fc.bias"])
    #expect(Set(file.report.ignored) == ["last_conv.weight", "lab.scale", "lab.bias"])
  }

  @Test("Weights of another model are named")
  func otherModel() throws {
    try Safetensors.write(try parameters(.b1), to: folder.file("b1.safetensors"))
    let error = #expect(throws: HGNetError.self) {
      try WeightsFile(contentsOf: folder.file("b1.safetensors"), model: .b0)
    }
    #expect(error?.code == .parameterMismatch)
    #expect(error?.message.contains("PPHGNetV2_B1") == true, "\(error?.description ?? "")")
  }

  @Test(
    "What is not weights says what it is",
    arguments: [
      ("a.pdparams", [], .malformedData, "empty"), ("a.safetensors", [], .malformedData, "empty"),
      ("a.pdparams", Array("<!DOCTYPE html>".utf8), .malformedData, "web page"),
      ("a.pdparams", [0xFF, 0xD8, 0xFF, 0xE0], .malformedData, "picture"),
      ("a.bin", Array("version https://git-lfs".utf8), .malformedData, "LFS"),
      ("a.xyz", [1, 2, 3, 4], .malformedData, "something else"), ("a.pdparams", [1, 2, 3], .malformedData, ""),
      ("a.safetensors", [8, 0, 0, 0, 0, 0, 0, 0], .malformedData, ""),
    ] as [(String, [UInt8], HGNetError.Code, String)])
  func foreign(name: String, bytes: [UInt8], code: HGNetError.Code, word: String) throws {
    let path = try folder.write(bytes, to: name)
    let error = #expect(throws: HGNetError.self) { try WeightsFile(contentsOf: path) }
    #expect(error?.code == code)
    #expect(error?.context.path == path)
    #expect(error?.message.contains(word) == true || word.isEmpty, "\(error?.description ?? "")")
  }

  @Test("Missing files and folders without a model")
  func absent() throws {
    let missing = #expect(throws: HGNetError.self) { try WeightsFile(contentsOf: folder.file("none.pdparams")) }
    #expect(missing?.code == .fileNotFound)
    let empty = #expect(throws: HGNetError.self) { try WeightsFile(contentsOf: folder.path) }
    #expect(empty?.code == .fileNotFound)
    #expect(empty?.message.contains("inference") == true)
  }
}
