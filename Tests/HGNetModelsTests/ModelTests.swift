import HGNetCore
import HGNetModels
import Testing

@Suite("Models as graphs")
struct ModelTests {
  @Test("Height and width of stem and stages at 224", arguments: Model.all)
  func strides(_ model: Model) throws {
    let graph = try model.graph()
    let stages = try graph.selecting(outputs: ["stages.0", "stages.1", "stages.2", "stages.3"])
    let sides = stages.outputs.map { stages[$0.node].shape.height }
    #expect(sides == [56, 28, 14, 7])
    #expect(graph.outputs.map(\.name) == ["logits"])
    #expect(graph[graph.outputs[0].node].shape == ActivationShape(channels: 1000, height: 1, width: 1))
    // Whatever reads only the stages needs no head.
    #expect(!stages.parameters.contains { $0.name.hasPrefix("fc.") || $0.name.hasPrefix("last_conv") })
  }

  @Test(
    "Every halving rounds up, for any size of at least 32",
    arguments: Model.all, [Size(32), Size(height: 33, width: 47), Size(height: 193, width: 257), Size(223)])
  func oddSizes(_ model: Model, _ size: Size) throws {
    let graph = try model.graph(inputSize: size)
    func halved(_ side: Int, times: Int) -> Int { (0..<times).reduce(side) { side, _ in (side + 1) / 2 } }
    for (index, name) in ["stages.0", "stages.1", "stages.2", "stages.3"].enumerated() {
      let output = try #require(graph.selectableOutputs.first { $0.name == name })
      #expect(graph[output.node].shape.height == halved(size.height, times: index + 2))
      #expect(graph[output.node].shape.width == halved(size.width, times: index + 2))
    }
    let resized = try model.graph().resized(to: size)
    #expect(resized.nodes.map(\.shape) == graph.nodes.map(\.shape))
  }

  @Test(
    "A picture that is too small or far too large is refused",
    arguments: [Size(31), Size(height: 224, width: 1), Size(0), Size(-5), Size(height: 32, width: Int.max)])
  func refusedSizes(_ size: Size) {
    let error = #expect(throws: HGNetError.self) { try Model.b0.graph(inputSize: size) }
    #expect(error?.code == .invalidArgument)
  }

  @Test("Input channels of the squeeze convolutions")
  func squeezeChannels() throws {
    func channels(_ model: Model, _ block: String) throws -> Int {
      let name = "\(block).aggregation_squeeze_conv.conv.weight"
      return try #require(try model.graph().parameters.first { $0.name == name }).shape[1]
    }
    #expect(try channels(.b0, "stages.2.blocks.0") == 448)
    #expect(try channels(.b0, "stages.2.blocks.1") == 704)
    #expect(try channels(.b4, "stages.2.blocks.0") == 1664)
    #expect(try channels(.b4, "stages.2.blocks.1") == 2176)
  }

  @Test("The two-by-two windows of the stem are padded below and right only, and the pool comes first")
  func stem() throws {
    let graph = try Model.b4.graph()
    func node(_ name: String) throws -> Graph.Node { try #require(graph.nodes.first { $0.name == name }) }
    for name in ["stem.stem2a.conv", "stem.stem2b.conv"] {
      guard case .convolution(let convolution) = try node(name).operation else {
        Issue.record("\(name) is no convolution")
        continue
      }
      #expect(convolution.padding == Padding(top: 0, left: 0, bottom: 1, right: 1))
      #expect(convolution.stride == Size(1))
    }
    let pool = try node("stem.pool")
    #expect(
      pool.operation
        == .maxPool(kernel: Size(2), stride: Size(1), padding: Padding(top: 0, left: 0, bottom: 1, right: 1)))
    #expect(pool.inputs.map { graph[$0].name } == ["stem.stem1.relu"])
    #expect(try node("stem.concat").inputs.map { graph[$0].name } == ["stem.pool", "stem.stem2b.relu"])
  }

  @Test("Affine blocks stand after a ReLU and nowhere else", arguments: Model.all)
  func affineBlocks(_ model: Model) throws {
    let graph = try model.graph()
    let isRead = model.hasAffineBlocks
    for node in graph.nodes {
      if case .affine = node.operation { #expect(graph[node.inputs[0]].operation == .relu) }
      let reluReaders = node.inputs.filter { graph[$0].operation == .relu }
      if isRead, !reluReaders.isEmpty {
        guard case .affine = node.operation else {
          Issue.record("\(node.name) reads a ReLU without its affine block")
          continue
        }
      }
    }
  }

  @Test("Only later blocks of a stage add their input", arguments: Model.all)
  func residuals(_ model: Model) throws {
    let additions = try model.graph().nodes.filter { $0.operation == .add }.map(\.name)
    #expect(!additions.contains { $0.contains("blocks.0.") })
    #expect(additions.allSatisfy { $0.hasSuffix(".add") })
    #expect(model != .b0 || additions == ["stages.2.blocks.1.add"])
    #expect(model != .b6 || additions.count == 1 + 2 + 5 + 2)
  }
}

@Suite("Options of a model")
struct ModelOptionsTests {
  func shapes(_ graph: Graph) -> [String: Shape] {
    Dictionary(uniqueKeysWithValues: graph.parameters.map { ($0.name, $0.shape) })
  }

  @Test("Class count and width of the last convolution")
  func head() throws {
    let shapes = shapes(try Model.b4.graph(options: ModelOptions(classCount: 7, classExpand: 1280)))
    #expect(shapes["last_conv.weight"] == [1280, 2048, 1, 1])
    #expect(shapes["fc.weight"] == [1280, 7])
    #expect(shapes["fc.bias"] == [7])
  }

  @Test("Without the last convolution the classifier reads the last stage", arguments: Model.all)
  func withoutLastConvolution(_ model: Model) throws {
    let graph = try model.graph(options: ModelOptions(useLastConvolution: false))
    let features = try #require(graph.selectableOutputs.first { $0.name == "stages.3" })
    let shapes = shapes(graph)
    #expect(shapes["last_conv.weight"] == nil)
    #expect(shapes["lab.scale"] == nil)
    #expect(shapes["fc.weight"] == [graph[features.node].shape.channels, 1000])
  }

  @Test("Affine blocks can be left out and put in")
  func affineBlocks() throws {
    let without = try Model.b0.graph(options: ModelOptions(useLearnableAffineBlock: false))
    #expect(!without.parameters.contains { $0.name.contains("lab.") })
    #expect(without.parameters.count == 275 - 2 * 31)
    let with = try Model.b4.graph(options: ModelOptions(useLearnableAffineBlock: true))
    #expect(with.parameters.contains { $0.name == "stem.stem1.lab.scale" })
    #expect(with.parameters.contains { $0.name == "lab.bias" })
    let error = #expect(throws: HGNetError.self) {
      try Model.tiny.graph(options: ModelOptions(useLearnableAffineBlock: true))
    }
    #expect(error?.context.key == "use_lab")
  }

  @Test("Dropout has the model's probability unless told otherwise")
  func dropout() throws {
    func probability(_ graph: Graph) -> Float? {
      for node in graph.nodes { if case .dropout(let probability) = node.operation { return probability } }
      return nil
    }
    #expect(probability(try Model.b0.graph()) == 0)
    #expect(probability(try Model.base.graph()) == 0.2)
    #expect(probability(try Model.base.graph(options: ModelOptions(dropoutProbability: 0.5))) == 0.5)
  }

  @Test("Learning rates: stem and stages by the list, affine blocks a hundredth, the head untouched")
  func multipliers() throws {
    let options = ModelOptions(learningRateMultipliers: [0.5, 1, 2, 3, 4])
    let graph = try Model.b0.graph(options: options)
    func multiplier(_ name: String) throws -> Float {
      try #require(graph.parameters.first { $0.name == name }).learningRateMultiplier
    }
    #expect(try multiplier("stem.stem4.conv.weight") == 0.5)
    #expect(try multiplier("stages.0.blocks.0.layers.0.bn.weight") == 1)
    #expect(try multiplier("stages.1.downsample.conv.weight") == 2)
    #expect(try multiplier("stages.2.blocks.1.layers.0.conv2.bn.bias") == 3)
    #expect(abs(try multiplier("stages.3.blocks.0.layers.0.conv2.lab.scale") - 0.04) < 1e-7)
    #expect(abs(try multiplier("stem.stem1.lab.bias") - 0.005) < 1e-7)
    #expect(try multiplier("last_conv.weight") == 1)
    #expect(try multiplier("fc.weight") == 1)
    #expect(try multiplier("lab.scale") == 0.01)
  }

  @Test(
    "Values out of range are refused with the key's name",
    arguments: [
      (ModelOptions(classCount: 0), "class_num"), (ModelOptions(classCount: -3), "class_num"),
      (ModelOptions(classCount: Int.max), "class_num"), (ModelOptions(classExpand: 0), "class_expand"),
      (ModelOptions(classExpand: Int.max), "class_expand"), (ModelOptions(dropoutProbability: 1.5), "dropout_prob"),
      (ModelOptions(dropoutProbability: .nan), "dropout_prob"),
      (ModelOptions(learningRateMultipliers: [1, 1]), "lr_mult_list"),
      (ModelOptions(learningRateMultipliers: [1, 1, 1, 1, -.infinity]), "lr_mult_list"),
    ])
  func ranges(_ options: ModelOptions, _ key: String) {
    for model in Model.all {
      let error = #expect(throws: HGNetError.self) { try model.graph(options: options) }
      #expect(error?.code == .invalidArgument)
      #expect(error?.context.key == key)
    }
  }
}

@Suite("Names of models")
struct ModelNameTests {
  @Test(
    "Spellings",
    arguments: [
      ("PPHGNetV2_B4", "PPHGNetV2_B4"), ("pphgnetv2_b4", "PPHGNetV2_B4"), ("b4", "PPHGNetV2_B4"),
      ("B0", "PPHGNetV2_B0"), ("hgnetv2_b6", "PPHGNetV2_B6"), ("PP-HGNetV2-B6", "PPHGNetV2_B6"),
      ("tiny", "PPHGNet_tiny"), ("PPHGNet_small", "PPHGNet_small"), ("hgnet_base", "PPHGNet_base"),
    ])
  func spellings(_ spelling: String, _ name: String) throws { #expect(try Model.named(spelling).name == name) }

  @Test(
    "An unknown name gets the nearest and the list",
    arguments: [
      ("PPHGNetV2_B7", "PPHGNetV2_B"), ("PPHGNet_tinny", "PPHGNet_tiny"), ("", "There are"), ("é\u{0}💥", "There are"),
      (String(repeating: "b", count: 100_000), "There are"),
    ])
  func unknown(_ name: String, _ expected: String) {
    let error = #expect(throws: HGNetError.self) { try Model.named(name) }
    #expect(error?.code == .invalidArgument)
    #expect(error?.message.contains(expected) == true)
    #expect(error?.message.contains("PPHGNet_base") == true)
    #expect((error?.message.count ?? 0) < 500)
  }
}
