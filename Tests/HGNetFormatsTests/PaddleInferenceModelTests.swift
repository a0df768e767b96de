import HGNetCore
import HGNetFormats
import Testing

@Suite("Paddle inference models, made by PaddlePaddle")
struct PaddleInferenceModelTests {
  static let networks = ["v2-softmax", "v2-sigmoid", "v1-softmax", "v1-none"]
  static let encodings = ["json", "pdmodel"]

  @Test("parameters have the values that PaddlePaddle saved", arguments: networks, encodings)
  func parameters(network: String, encoding: String) throws {
    let model = try PaddleInferenceModel(contentsOf: ProgramFixtures.path("\(network)-\(encoding)"))
    let expected = try ProgramFixtures.blob("\(network).expected.json").withUnsafeBytes { try JSON($0) }
    let entries = try #require(expected["parameters"]?.elements)
    #expect(model.parameters.count == entries.count)
    #expect(Set(model.graph.parameters.map(\.name)) == Set(model.parameters.names))
    for entry in entries {
      let name = try #require(entry["name"]?.text)
      let parameter = try #require(model.parameters[name], "\(name)")
      #expect(parameter.shape.dimensions == entry["shape"]?.elements?.compactMap(\.integer), "\(name)")
      let values = parameter.tensor().values
      #expect(Double(values[0]) == entry["first"].flatMap(number), "\(name)")
      // A sum in another order differs by rounding only.
      let sum = values.reduce(0) { $0 + Double($1) }
      #expect(abs(sum - (entry["sum"].flatMap(number) ?? .nan)) < 1e-9, "\(name)")
    }
    #expect(model.graph.multiplyAdds == expected["multiplyAdds"]?.integer)
  }

  private func number(_ value: JSON) -> Double? {
    switch value {
    case .integer(let integer): Double(integer)
    case .number(let number): number
    default: nil
    }
  }

  @Test("both encodings become the same graph", arguments: networks)
  func sameGraph(network: String) throws {
    let newer = try PaddleInferenceModel(contentsOf: ProgramFixtures.path("\(network)-json"))
    let older = try PaddleInferenceModel(contentsOf: ProgramFixtures.path("\(network)-pdmodel"))
    #expect(newer.graph.nodes.map(\.name) == older.graph.nodes.map(\.name))
    #expect(newer.graph.nodes.map(\.operation) == older.graph.nodes.map(\.operation))
    #expect(newer.graph.nodes.map(\.inputs) == older.graph.nodes.map(\.inputs))
    #expect(newer.graph.parameters == older.graph.parameters)
    #expect(newer.graph.outputs == older.graph.outputs)
    #expect(newer.graph.selectableOutputs == older.graph.selectableOutputs)
    #expect(newer.activation == older.activation)
  }

  @Test("ends, activation and size", arguments: encodings)
  func ends(encoding: String) throws {
    func model(_ network: String) throws -> PaddleInferenceModel {
      try PaddleInferenceModel(contentsOf: ProgramFixtures.path("\(network)-\(encoding)"))
    }
    #expect(try model("v2-softmax").activation == .softmax)
    #expect(try model("v2-sigmoid").activation == .sigmoid)
    #expect(try model("v1-softmax").activation == .softmax)
    #expect(try model("v1-none").activation == .none)
    let softmax = try model("v2-softmax")
    #expect(softmax.inputName == "x")
    #expect(encoding == "json" ? softmax.outputName == "fetch_name_0" : softmax.outputName.hasPrefix("softmax"))
    #expect(softmax.inputSize == Size(height: 64, width: 32))
    #expect(softmax.graph.outputs.map(\.name) == ["logits"])
    #expect(
      softmax.graph.selectableOutputs.map(\.name)
        == ["logits", "probabilities", "stages.0", "stages.1", "stages.2", "stages.3"])
    #expect(try model("v1-none").graph.selectableOutputs.map(\.name) == ["logits"])
    #expect(try model("v1-softmax").graph.selectableOutputs.map(\.name) == ["logits", "probabilities"])
    // The activation of the head is not part of the logits; the sigmoid of the attention stays.
    let logits = try model("v2-sigmoid").graph.selecting(outputs: ["logits"])
    #expect(!logits.nodes.contains { $0.operation == .sigmoid })
    let attention = try model("v1-none").graph.selecting(outputs: ["logits"])
    #expect(attention.nodes.count { $0.operation == .sigmoid } == 1)
  }

  @Test("stages have the strides 4 to 32")
  func stages() throws {
    let graph = try PaddleInferenceModel(contentsOf: ProgramFixtures.path("v2-softmax-json")).graph
    let shapes = (0..<4).compactMap { stage in
      graph.selectableOutputs.first { $0.name == "stages.\(stage)" }.map { graph[$0.node].shape }
    }
    #expect(
      shapes == [
        ActivationShape(channels: 8, height: 16, width: 8), ActivationShape(channels: 8, height: 8, width: 4),
        ActivationShape(channels: 12, height: 4, width: 2), ActivationShape(channels: 16, height: 2, width: 1),
      ])
    // The third stage ends in the addition of its second block, the others in an affine block.
    let last = graph.selectableOutputs.filter { $0.name.hasPrefix("stages.") }.map { graph[$0.node].operation }
    #expect(last[2] == .add)
    if case .affine = last[0] {} else { Issue.record("expected an affine block, found \(last[0])") }
  }

  @Test("the structure of a PP-HGNetV2 program")
  func structure() throws {
    let graph = try PaddleInferenceModel(contentsOf: ProgramFixtures.path("v2-softmax-json")).graph
    let operations = graph.nodes.map(\.operation)
    let convolutions = operations.compactMap { operation -> Convolution? in
      if case .convolution(let layer) = operation { layer } else { nil }
    }
    #expect(convolutions.count == 5 + 3 + 4 + 1 + 8 + 1 + 4 + 1)
    let same = convolutions.filter { $0.kernel == Size(2) }
    #expect(same.map(\.padding) == [.sameForTwoByTwo, .sameForTwoByTwo])
    #expect(convolutions.filter(\.isDepthwise).map(\.kernel) == [Size(3), Size(3), Size(5), Size(5), Size(3), Size(5)])
    #expect(convolutions[0].padding == Padding(1))
    #expect(convolutions[0].stride == Size(2))
    #expect(
      operations.contains(.maxPool(kernel: Size(2), stride: Size(1), padding: .sameForTwoByTwo)))
    let affine = operations.count { if case .affine = $0 { true } else { false } }
    #expect(affine == operations.count { $0 == .relu })
    #expect(operations.count { $0 == .add } == 1)
    #expect(operations.count { $0 == .globalAveragePool } == 1)
    #expect(operations.suffix(2).first.map { if case .linear(_, .some, 16, 5) = $0 { true } else { false } } == true)
    let roles = graph.parameters.prefix(7).map(\.role)
    #expect(
      roles == [
        .convolutionWeight, .normalizationWeight, .normalizationBias, .runningMean, .runningVariance, .affineScale,
        .affineBias,
      ])
    // Batch normalisation keeps its epsilon as float32 stores it.
    let epsilon = operations.compactMap { if case .batchNormalization(let norm) = $0 { norm.epsilon } else { nil } }
    #expect(Set(epsilon) == [1e-5])
  }

  @Test("the structure of a PP-HGNet program with attention")
  func attention() throws {
    let graph = try PaddleInferenceModel(contentsOf: ProgramFixtures.path("v1-softmax-pdmodel")).graph
    let operations = graph.nodes.map(\.operation)
    let biased = operations.filter { if case .convolution(let layer) = $0 { layer.bias != nil } else { false } }
    #expect(biased.count == 3)
    #expect(operations.count { $0 == .multiplyPerChannel } == 3)
    #expect(operations.contains(.maxPool(kernel: Size(3), stride: Size(2), padding: Padding(1))))
    #expect(operations.contains(.dropout(probability: 0.2)))
    #expect(graph.parameters.count { $0.role == .convolutionBias } == 3)
  }

  @Test("another input size")
  func resized() throws {
    let path = ProgramFixtures.path("v2-softmax-json")
    let model = try PaddleInferenceModel(contentsOf: path, inputSize: Size(height: 97, width: 65))
    #expect(model.inputSize == Size(height: 97, width: 65))
    let same = try PaddleInferenceModel(contentsOf: path).graph.resized(to: Size(height: 97, width: 65))
    #expect(model.graph.nodes.map(\.shape) == same.nodes.map(\.shape))
    #expect(model.graph.nodes.map(\.operation) == same.nodes.map(\.operation))
  }
}

@Suite("Where a Paddle inference model is found")
struct PaddleInferenceModelPlacesTests {
  @Test(
    "folder, program, parameters and archive give the same model",
    arguments: [
      "v1-none-pdmodel", "v1-none-pdmodel/", "v1-none-pdmodel/inference.pdmodel", "v1-none-pdmodel/inference.pdiparams",
      "v1-none-json", "v1-none-json/inference.json", "published.tar",
    ])
  func places(place: String) throws {
    let path = ProgramFixtures.path(place)
    if place.contains(".") { #expect(PaddleInferenceModel.recognises(try Blob(mapping: path))) }
    let model = try PaddleInferenceModel(contentsOf: path)
    let expected = try PaddleInferenceModel(contentsOf: ProgramFixtures.path("v1-none-json"))
    #expect(model.graph.nodes.map(\.operation) == expected.graph.nodes.map(\.operation))
    for name in expected.parameters.names {
      #expect(model.parameters[name]?.tensor().values == expected.parameters[name]?.tensor().values)
    }
  }

  @Test("a missing part is named, with what to do")
  func missingParts() throws {
    try ProgramFixtures.withFolder { folder in
      #expect(
        hgnetError { _ = try PaddleInferenceModel(contentsOf: folder) }?.message.contains("found neither") == true)
      try ProgramFixtures.copy("v1-none-json/inference.json", to: "\(folder)/inference.json")
      for path in [folder, "\(folder)/inference.json"] {
        let error = hgnetError { _ = try PaddleInferenceModel(contentsOf: path) }
        #expect(error?.code == .fileNotFound)
        #expect(error?.message.contains("pdiparams") == true)
        #expect(error?.context.path == path)
      }
    }
    try ProgramFixtures.withFolder { folder in
      try ProgramFixtures.copy("v1-none-json/inference.pdiparams", to: "\(folder)/inference.pdiparams")
      for path in [folder, "\(folder)/inference.pdiparams"] {
        let error = hgnetError { _ = try PaddleInferenceModel(contentsOf: path) }
        #expect(error?.code == .fileNotFound)
        #expect(error?.message.contains(".pdmodel") == true)
      }
    }
    let error = hgnetError { _ = try PaddleInferenceModel(contentsOf: ProgramFixtures.path("no such model")) }
    #expect(error?.code == .fileNotFound)
    #expect(
      hgnetError { _ = try PaddleInferenceModel(contentsOf: ProgramFixtures.path("generate.py")) }?.code
        == .malformedData)
  }

  @Test("with both encodings the newer one is read; other names are found when they are the only ones")
  func choice() throws {
    try ProgramFixtures.withFolder { folder in
      try ProgramFixtures.copy("v1-none-json/inference.pdiparams", to: "\(folder)/inference.pdiparams")
      try ProgramFixtures.copy("v1-none-json/inference.json", to: "\(folder)/inference.json")
      try ProgramFixtures.copy("v1-none-pdmodel/inference.pdmodel", to: "\(folder)/inference.pdmodel")
      #expect(try PaddleInferenceModel(contentsOf: folder).outputName == "fetch_name_0")
      #expect(try PaddleInferenceModel(contentsOf: "\(folder)/inference.pdmodel").outputName != "fetch_name_0")
      try ProgramFixtures.write([], to: "\(folder)/inference.json")
      #expect(hgnetError { _ = try PaddleInferenceModel(contentsOf: folder) }?.code == .malformedData)
    }
    try ProgramFixtures.withFolder { folder in
      try ProgramFixtures.copy("v1-none-json/inference.pdiparams", to: "\(folder)/model.pdiparams")
      try ProgramFixtures.copy("v1-none-pdmodel/inference.pdmodel", to: "\(folder)/model.pdmodel")
      #expect(try PaddleInferenceModel(contentsOf: folder).graph.outputs.count == 1)
      try ProgramFixtures.copy("v1-none-json/inference.pdiparams", to: "\(folder)/other.pdiparams")
      try ProgramFixtures.copy("v1-none-pdmodel/inference.pdmodel", to: "\(folder)/other.pdmodel")
      #expect(hgnetError { _ = try PaddleInferenceModel(contentsOf: folder) }?.code == .invalidArgument)
    }
  }

  @Test("parameters of another model are refused")
  func foreignParameters() throws {
    for (program, parameters) in [("v1-none", "v1-softmax"), ("v1-softmax", "v1-none"), ("v2-sigmoid", "v1-none")] {
      let error = hgnetError {
        _ = try PaddleInferenceModel(
          program: BlobSlice(ProgramFixtures.blob("\(program)-json/inference.json")),
          parameters: BlobSlice(ProgramFixtures.blob("\(parameters)-json/inference.pdiparams")))
      }
      #expect(error?.code == .parameterMismatch)
      #expect(error?.context.path?.hasSuffix("inference.pdiparams") == true)
    }
  }
}
