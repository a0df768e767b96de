import Foundation
import HGNet
import HGNetCore
import HGNetExport
import HGNetFormats
import HGNetModels
import HGNetVision
import TemporaryFolders
import Testing

@Suite("Networks out and back")
struct ModelExportTests {
  let folder = TemporaryFolder()

  /// Weights of a narrow network of a model.
  private func weights(_ model: Model, classes: Int = 6) throws -> WeightsFile {
    let graph = try model.graph(options: ModelOptions(classCount: classes, classExpand: 32))
    let path = folder.file("\(model).pdparams")
    try PaddleParameters.write(
      Model.randomParameters(for: graph, seed: 3), to: path, internalNames: graph.internalParameterNames)
    return try WeightsFile(contentsOf: path)
  }

  private func network(_ weights: WeightsFile, _ activation: Activation = .softmax) throws -> ExportedNetwork {
    try ExportedNetwork(weights, activation: activation, inputSize: Size(64))
  }

  @Test("Every format is read back as the same network", arguments: [Model.b0, .b4, .tiny, .base])
  func formats(model: Model) throws {
    let weights = try weights(model)
    var formats: [(ModelExport.Format, String)] = [
      (.paddle(.description), "a.pdmodel"), (.paddle(.intermediate), "b.json"),
      (.onnx(OnnxExport.Options()), "c.onnx"), (.onnx(OnnxExport.Options(foldsNormalization: false)), "d.onnx"),
      (.safetensors(.paddle, metadata: ["model": "\(model)"]), "e.safetensors"),
      (.safetensors(.timm, metadata: [:]), "f.safetensors"), (.paddleParameters, "g.pdparams"),
    ]
    // The largest network, whose files take most of the time, stands for its dropout.
    if model == .base { formats.removeAll { ["b.json", "d.onnx", "f.safetensors"].contains($0.1) } }
    for (format, name) in formats {
      let stem = String(name.prefix(1))
      let result = try ModelExport(weights, as: network(weights), format: format).write(into: folder.path, stem: stem)
      #expect(result.files.contains(folder.file(name)))
      // Only folding changes numbers.
      if name == "c.onnx" { #expect(result.difference < 1e-6) } else { #expect(result.difference == 0) }
    }
    #expect(try WeightsFile(contentsOf: folder.file("e.safetensors")).metadata == ["model": "\(model)"])
    #expect(!folder.names.contains { $0.hasPrefix(".") })
    // Names that a program has lost are found again, and with them the same bytes.
    let original = FileManager.default.bytes(folder.file("\(model).pdparams"))
    #expect(FileManager.default.bytes(folder.file("g.pdparams")) == original)
    for name in ["a.pdmodel", "b.json", "d.onnx", "f.safetensors"] where formats.contains(where: { $0.1 == name }) {
      let source = try WeightsFile(contentsOf: folder.file(name))
      _ = try ModelExport(source, as: try ExportedNetwork(source), format: .paddleParameters)
        .write(into: folder.path, stem: "back")
      #expect(FileManager.default.bytes(folder.file("back.pdparams")) == original, "\(name)")
    }
  }

  @Test("Both programs share one file of parameters, and each is what it is alone")
  func bothPrograms() throws {
    let weights = try weights(.b0)
    for (encoding, stem) in [(PaddleExport.Encoding.both, "both"), (.description, "old"), (.intermediate, "new")] {
      let result = try ModelExport(weights, as: network(weights), format: .paddle(encoding))
        .write(into: folder.path, stem: stem)
      #expect(result.files == PaddleExport.suffixes(of: encoding).map { folder.file(stem + $0) })
    }
    for (stem, suffixes) in [
      ("old", [".pdmodel", ".pdiparams", ".pdiparams.info"]), ("new", [".json", ".pdiparams"]),
    ] {
      for suffix in suffixes {
        let isSame =
          FileManager.default.bytes(folder.file("both" + suffix))
          == FileManager.default.bytes(folder.file(stem + suffix))
        #expect(isSame, "\(stem)\(suffix)")
      }
    }
    for name in ["both.json", "both.pdmodel", "both.pdiparams"] {
      #expect(try WeightsFile(contentsOf: folder.file(name)).graph.classCount == 6, "\(name)")
    }
  }

  @Test(
    "In transformers' names a classifier on the last stage is whole, one with a last convolution becomes a backbone")
  func transformersClassifier() throws {
    let path = folder.file("direct.pdparams")
    for hasLastConvolution in [false, true] {
      let graph = try Model.b0.graph(
        options: ModelOptions(classCount: 3, classExpand: 32, useLastConvolution: hasLastConvolution))
      try PaddleParameters.write(Model.randomParameters(for: graph, seed: 3), to: path)
      let weights = try WeightsFile(contentsOf: path)
      let result = try ModelExport(weights, as: network(weights), format: .safetensors(.huggingFace, metadata: [:]))
        .write(into: folder.path, stem: "hf")
      #expect(result.difference == 0)
      let head = hasLastConvolution ? ["last_conv.weight", "lab.scale", "lab.bias", "fc.weight", "fc.bias"] : []
      #expect(result.leftOut == head)
      let back = try WeightsFile(contentsOf: folder.file("hf.safetensors"))
      #expect(back.hasClassifier == !hasLastConvolution)
      #expect(
        back.parameters["fc.weight"]?.tensor().values == weights.parameters["fc.weight"]?.tensor().values
          || hasLastConvolution)
    }
  }

  @Test("A backbone goes from any names to any, and no further", arguments: [1, 4])
  func backbone(stageCount: Int) throws {
    let graph = try Model.b0.backboneGraph(options: ModelOptions(useLastConvolution: false), stageCount: stageCount)
    let store = Model.randomParameters(for: graph, seed: 3)
    for convention in NameTranslation.Convention.allCases {
      try Safetensors.write(NameTranslation.fromPaddle(store, to: convention), to: folder.file("in.safetensors"))
      let weights = try WeightsFile(contentsOf: folder.file("in.safetensors"))
      let exported = try ExportedNetwork(weights, inputSize: Size(32))
      #expect(exported.classCount == 0)
      for format in [.paddleParameters]
        + NameTranslation.Convention.allCases.map({ ModelExport.Format.safetensors($0, metadata: [:]) })
      {
        let result = try ModelExport(weights, as: exported, format: format).write(into: folder.path, stem: "out")
        #expect(result.difference == 0)
        #expect(result.leftOut == [])
        let back = try WeightsFile(contentsOf: result.files[0])
        #expect(!back.hasClassifier)
        for name in store.names { #expect(back.parameters[name]?.tensor().values == store[name]?.tensor().values) }
      }
      for format in [ModelExport.Format.onnx(OnnxExport.Options()), .paddle(.description)] {
        let error = #expect(throws: HGNetError.self) { try ModelExport(weights, as: exported, format: format) }
        #expect(error?.code == .unsupported)
        #expect(error?.message.contains(".safetensors") == true)
      }
    }
  }

  // As many queries as classes; several classes for a query, and some left over; the same without a rest.
  @Test("A decoder goes out and comes back", arguments: [(3, 8), (5, 2), (6, 2)])
  func decoder(classes: Int, queries: Int) throws {
    let decoder = MLDecoder(queryCount: queries, features: 48, heads: 4, hiddenFeatures: 32)
    let graph = try Model.b0.graph(options: ModelOptions(classCount: classes, classExpand: 32, decoder: decoder))
    let path = folder.file("decoder.pdparams")
    try PaddleParameters.write(
      Model.randomParameters(for: graph, seed: 5), to: path, internalNames: graph.internalParameterNames)
    var options = ModelOptions(classCount: classes, classExpand: 32)
    options.decoder = decoder
    let weights = try WeightsFile(contentsOf: path, model: .b0, options: options)
    for (format, name) in [
      (ModelExport.Format.paddle(.description), "a.pdmodel"), (.paddle(.intermediate), "b.json"),
      (.onnx(OnnxExport.Options()), "c.onnx"), (.onnx(OnnxExport.Options(foldsNormalization: false)), "d.onnx"),
    ] {
      let result = try ModelExport(weights, as: network(weights, .sigmoid), format: format)
        .write(into: folder.path, stem: String(name.prefix(1)))
      #expect(result.difference < 1e-6, "\(name)")
      let read = try WeightsFile(contentsOf: folder.file(name))
      #expect(try read.activation == .sigmoid && network(read, .sigmoid).classCount == classes)
      // What was read can be written once more.
      let again = try ModelExport(read, as: try ExportedNetwork(read), format: .onnx(OnnxExport.Options()))
        .write(into: folder.path, stem: "again")
      #expect(again.difference < 1e-6, "\(name) again")
    }
  }

  @Test("A decoder that goes out for one size runs at others", arguments: [Size(64), Size(height: 96, width: 160)])
  func decoderSizes(size: Size) throws {
    let options = ModelOptions(
      classCount: 5, classExpand: 32, decoder: MLDecoder(queryCount: 2, features: 48, heads: 4, hiddenFeatures: 32))
    let graph = try Model.b0.graph(options: options)
    let path = folder.file("decoder.pdparams")
    try PaddleParameters.write(
      Model.randomParameters(for: graph, seed: 6), to: path, internalNames: graph.internalParameterNames)
    let weights = try WeightsFile(contentsOf: path, model: .b0, options: options)
    let input = Tensor(
      shape: [2, size.height, size.width, 3], values: (0..<6 * size.height * size.width).map { Float($0 % 37) / 16 - 1 }
    )
    func logits(_ graph: Graph, _ parameters: ParameterStore) throws -> [Float] {
      var session = try InferenceModel(graph: graph, parameters: parameters, device: .cpu(threads: 1))
        .session(batch: 2, inputSize: size)
      return try session.run(input)[0].values
    }
    let expected = try logits(graph, weights.parameters)
    for format in [ModelExport.Format.paddle(.both), .onnx(OnnxExport.Options(foldsNormalization: false))] {
      _ = try ModelExport(weights, as: network(weights, .sigmoid), format: format).write(into: folder.path, stem: "x")
    }
    // Reading for a size checks every extent that the program states against it.
    for name in ["x.json", "x.pdmodel"] {
      let read = try PaddleInferenceModel(contentsOf: folder.file(name), inputSize: size)
      #expect(try logits(read.graph, read.parameters) == expected, "\(name)")
    }
    let read = try OnnxModel(contentsOf: folder.file("x.onnx"), inputSize: size)
    #expect(try logits(read.graph, read.parameters) == expected)
  }

  @Test("Heads", arguments: [Activation.softmax, .sigmoid, .none])
  func heads(activation: Activation) throws {
    let weights = try weights(.b1)
    for (format, name) in [
      (ModelExport.Format.paddle(.description), "x.pdmodel"), (.paddle(.intermediate), "x.json"),
      (.onnx(OnnxExport.Options()), "x.onnx"),
    ] {
      _ = try ModelExport(weights, as: network(weights, activation), format: format).write(into: folder.path, stem: "x")
      let file = try WeightsFile(contentsOf: folder.file(name))
      #expect(file.activation == activation)
      #expect(file.graph.inputSize == Size(64))
    }
    #expect(
      try OnnxModel(contentsOf: folder.file("x.onnx")).outputName == (activation == .none ? "logits" : "\(activation)"))
  }

  @Test("Hugging Face's backbone has no head, and no first generation")
  func huggingFace() throws {
    let second = try weights(.b0)
    let format = ModelExport.Format.safetensors(.huggingFace, metadata: [:])
    let result = try ModelExport(second, as: network(second), format: format).write(into: folder.path, stem: "hf")
    #expect(result.difference == 0)
    let names = try Safetensors.read(Blob(mapping: folder.file("hf.safetensors"))).parameters.names
    #expect(names.contains("embedder.stem1.convolution.weight"))
    #expect(names.allSatisfy { $0.hasPrefix("embedder.") || $0.hasPrefix("encoder.") })
    let first = try weights(.tiny)
    #expect(
      code { _ = try ModelExport(first, as: network(first), format: format).write(into: folder.path, stem: "no") }
        == .unsupported)
    #expect(!folder.names.contains { $0.hasPrefix("no") || $0.hasPrefix(".") })
  }

  @Test("A network without finite results is not exported, and older files stay")
  func notFinite() throws {
    let weights = try weights(.b0)
    var parameters = weights.parameters
    parameters["fc.bias"] = Parameter(Tensor(shape: [6], repeating: .nan))
    let broken = try ExportedNetwork(
      graph: weights.graph, parameters: parameters, activation: .softmax, inputSize: Size(64))
    try Data("old".utf8).write(to: URL(fileURLWithPath: folder.file("inference.onnx")))
    let export = try ModelExport(weights, as: broken, format: .onnx(OnnxExport.Options()))
    #expect(code { _ = try export.write(into: folder.path, stem: "inference") } == .malformedData)
    #expect(FileManager.default.bytes(folder.file("inference.onnx")) == Array("old".utf8))
    #expect(folder.names == ["PPHGNetV2_B0.pdparams", "inference.onnx"])
  }

  @Test("Batch normalisations that are folded cannot be unfolded")
  func folded() throws {
    let weights = try weights(.b0)
    _ = try ModelExport(weights, as: network(weights), format: .onnx(OnnxExport.Options()))
      .write(into: folder.path, stem: "folded")
    let source = try WeightsFile(contentsOf: folder.file("folded.onnx"))
    let error = #expect(throws: HGNetError.self) {
      _ = try ModelExport(source, as: try ExportedNetwork(source), format: .paddleParameters)
    }
    #expect(error?.code == .unsupported && error?.message.contains("folded") == true)
    // As a program it can go on.
    let result = try ModelExport(source, as: try ExportedNetwork(source), format: .paddle(.intermediate))
      .write(into: folder.path, stem: "program")
    #expect(result.difference == 0)
  }

  @Test("Places that cannot be written to")
  func places() throws {
    let weights = try weights(.b0)
    let export = try ModelExport(weights, as: network(weights), format: .onnx(OnnxExport.Options()))
    #expect(code { _ = try export.write(into: folder.file("PPHGNetV2_B0.pdparams"), stem: "x") } == .unwritableFile)
    #expect(code { _ = try export.write(into: "/proc/nowhere", stem: "x") } == .unwritableFile)
    let deep = folder.file("a/b/c")
    _ = try export.write(into: deep, stem: "x")
    #expect(!FileManager.default.bytes("\(deep)/x.onnx").isEmpty)
  }

  private static let impossible: [([Transform], Int, HGNetError.Code)] = {
    var cases: [([Transform], Int, HGNetError.Code)] = []
    cases.append(([.resize(Size(64), interpolation: .lanczos, backend: .pillow)], 18, .unsupported))
    cases.append(([.resize(Size(64), interpolation: .nearest, backend: .pillow)], 18, .unsupported))
    cases.append(([.resize(Size(64), interpolation: .area, backend: .openCV)], 18, .unsupported))
    cases.append(([.resizeShort(64)], 18, .unsupported))
    // A crop that only some pictures hold.
    cases.append(([.resizeShort(63), .centerCrop(Size(64))], 17, .unsupported))
    cases.append(([.resize(Size(height: 63, width: 80)), .centerCrop(Size(64))], 17, .unsupported))
    cases.append(([], 18, .unsupported))
    cases.append(([.centerCrop(Size(32))], 18, .unsupported))
    cases.append(([.resize(Size(64))], 10, .invalidArgument))
    cases.append(([.resize(Size(64))], 22, .invalidArgument))
    return cases
  }()

  @Test("Preprocessing that ONNX cannot hold", arguments: impossible)
  func preprocessing(transforms: [Transform], operatorSet: Int, expected: HGNetError.Code) throws {
    let weights = try weights(.b0)
    let options = OnnxExport.Options(operatorSet: operatorSet, preprocessing: transforms)
    #expect(code { try OnnxExport.write(network(weights), options: options, to: folder.file("x.onnx")) } == expected)
    #expect(FileManager.default.bytes(folder.file("x.onnx")).isEmpty)
  }

  private func code(_ body: () throws -> Void) -> HGNetError.Code? {
    do {
      try body()
      return nil
    } catch {
      return (error as? HGNetError)?.code
    }
  }
}
