import HGNet
import HGNetConfiguration
import HGNetCore
import HGNetFormats
import HGNetModels
import HGNetTraining
import Testing

#if canImport(Glibc)
  import Glibc
#endif

/// A network whose layers and results have names of their own.
private struct Ladder: NetworkArchitecture {
  static let family = NetworkFamily(
    name: "Ladder", models: [Model(name: "Ladder_2", architecture: Ladder())], firstParameter: "entry.w",
    headNames: [("answer.", .classifier)], linearWeights: ["answer.w"])

  let stageCount = 3
  let landmarks: [(name: String, shape: Shape)] = [("entry.w", [8, 3, 3, 3]), ("step.a.w", [8, 8, 3, 3])]

  static func == (left: Ladder, right: Ladder) -> Bool { true }
  func hash(into hasher: inout Hasher) {}

  func options(in found: FoundParameters) -> ModelOptions {
    ModelOptions(classCount: found.shapes["answer.w"]?[1] ?? 1000)
  }

  func appendBackbone(
    to builder: inout GraphBuilder, input: Graph.NodeID, options: ModelOptions
  ) -> (node: Graph.NodeID, channels: Int) {
    var node = input
    for (index, name) in ["entry", "step.a", "step.b", "step.c"].enumerated() {
      let channels = index == 0 ? 3 : 8
      builder.part = index == 0 ? .stem : .stage(index - 1)
      builder.declare(ParameterDeclaration(name: "\(name).w", shape: [8, channels, 3, 3], role: .convolutionWeight))
      let convolution = Convolution(
        weight: "\(name).w", inputChannels: channels, outputChannels: 8, kernel: Size(3), stride: Size(2),
        padding: Padding(1), groups: 1)
      node = builder.append(.convolution(convolution), name: name, inputs: [node])
      node = builder.append(.relu, name: "\(name).r", inputs: [node])
      // A network may say what its results are in any order.
      if index == 3 { builder.markOutput(.stage(2), name: "rung c", node) }
    }
    builder.markOutput(.stage(0), name: "rung a", Graph.NodeID(node.index - 4))
    builder.markOutput(.stage(1), name: "rung b", Graph.NodeID(node.index - 2))
    return (node, 8)
  }

  func appendEmbedding(
    to builder: inout GraphBuilder, input: Graph.NodeID, inputChannels: Int, options: ModelOptions
  ) -> (node: Graph.NodeID, channels: Int) {
    (builder.append(.globalAveragePool, name: "mean", inputs: [input]), inputChannels)
  }

  func appendClassifier(
    to builder: inout GraphBuilder, input: Graph.NodeID, features: Int, options: ModelOptions
  ) -> Graph.NodeID {
    builder.part = .classifier
    builder.declare(
      ParameterDeclaration(name: "answer.w", shape: [features, options.classCount], role: .linearWeight))
    return builder.append(
      .linear(weight: "answer.w", bias: nil, inputFeatures: features, outputFeatures: options.classCount),
      name: "answer", inputs: [input])
  }
}

@Suite("What a part of a network is for, the graph says, whatever its names are") struct RolesTests {
  private let model: Model
  private let store: ParameterStore

  init() throws {
    model = try #require(Ladder.family.models.first)
    store = Model.randomParameters(for: try model.graph(options: ModelOptions(classCount: 5)), seed: 4)
  }

  /// The parameters from a file, which no longer has a name then.
  private func open(classes: Int? = nil, allowsNewHead: Bool = false) throws -> WeightsFile {
    let folder = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    let path = "\(folder)/hgnet-\(getpid())-\(UInt64.random(in: 0...UInt64.max)).safetensors"
    try Safetensors.write(store, to: path)
    defer { unlink(path) }
    return try WeightsFile(
      contentsOf: path, model: model, options: classes.map { ModelOptions(classCount: $0) },
      allowsNewHead: allowsNewHead)
  }

  private var picture: Tensor {
    Tensor(shape: [32, 24, 3]) { values in
      for index in values.indices { values[index] = Float(index % 19) / 9 - 1 }
    }
  }

  @Test("Features: the stages in their order, whose maps stay maps at any size, and what the classifier reads")
  func features() throws {
    let weights = try open()
    #expect(weights.hasClassifier)
    #expect(weights.stageNames == ["rung a", "rung b", "rung c"])
    let found = try FeatureExtractor(weights, keepsStages: true).features(of: picture)
    let extents: [[Int]] = found.stages.map { $0.shape.dimensions }
    #expect(extents == [[8, 6, 8], [4, 3, 8], [2, 2, 8]])
    let last = try #require(found.stages.last).values
    for channel in 0..<8 {
      var mean: Float = 0
      for pixel in 0..<4 { mean += last[pixel * 8 + channel] / 4 }
      let difference = abs(found.embedding[channel] - mean)
      #expect(difference <= 1e-6 * max(1, abs(mean)))
    }
    let graph = try weights.graph.selecting(outputs: [.stage(2), .logits]).resized(to: Size(16))
    let engine = try InferenceModel(graph: graph, parameters: weights.parameters)
    var session = try engine.session(batch: 1, inputSize: Size(16))
    let results = try session.run(Tensor(shape: [1, 16, 16, 3], repeating: 0.5))
    let ranks: [[Int]] = results.map { $0.shape.dimensions }
    #expect(ranks == [[1, 1, 1, 8], [1, 5]])
  }

  @Test("Where the evidence for a class is: the map of the last stage")
  func activation() throws {
    let map = try ClassActivation(open()).map(of: picture, classIndex: 2)
    #expect(map.size == Size(2))
    let sum = map.values.reduce(0, +)
    let difference = abs(sum - map.logit)
    #expect(difference < 1e-5 * max(1, abs(map.logit)))
  }

  @Test("Freezing: the stem and the stages that are named, and nothing else")
  func freezing() throws {
    var configuration = try TrainingConfiguration(
      Configuration(
        ConfigurationValue(
          yaml: """
            Global: {epochs: 1}
            Arch: {name: PPHGNetV2_B0, class_num: 5}
            Loss: {Train: [CELoss: {weight: 1.0}]}
            Optimizer: {name: Momentum, lr: {name: Constant, learning_rate: 0.1}}
            """), path: "roles.yaml"))
    let declarations = try model.graph().parameters
    let names = ["entry.w", "step.a.w", "step.b.w", "step.c.w"]
    let cases: [(stages: Int?, count: Int)] = [(nil, 0), (0, 1), (2, 3), (3, 4)]
    for (stages, count) in cases {
      configuration.frozenStages = stages
      let frozen: [String] = declarations.filter { configuration.isFrozen($0) }.map { $0.name }
      #expect(frozen == Array(names.prefix(count)))
    }
  }

  @Test("A new head: the classifier gets fresh values, and everything else keeps its own")
  func freshHead() throws {
    let error = #expect(throws: HGNetError.self) { try open(classes: 3) }
    #expect(error?.message.contains("--new-head") == true, "\(error?.message ?? "")")
    let weights = try open(classes: 3, allowsNewHead: true)
    #expect(weights.report.fresh == ["answer.w"])
    #expect(weights.parameters["answer.w"]?.shape == [8, 3])
    for name in store.names where name != "answer.w" {
      #expect(weights.parameters[name]?.tensor().values == store[name]?.tensor().values)
    }
  }

  @Test("A layer further inside that is called as the first parameter is no network of its own")
  func nestedFirstParameter() throws {
    let names = store.names + ["step.b.entry.w"]
    let found = try NameTranslation.recognition(of: names, families: [Ladder.family])
    #expect(found.prefix == "" && found.family == Ladder.family)
  }

  @Test("A backbone that ends early has its stages and their mean")
  func backbone() throws {
    let graph = try model.backboneGraph(stageCount: 2)
    #expect(graph.stages.map(\.name) == ["rung a", "rung b"])
    #expect(graph.classCount == nil)
    #expect(graph.parameters.map(\.name) == ["entry.w", "step.a.w", "step.b.w"])
    let shapes = graph.parameters.map { ($0.name, $0.shape) }
    #expect(try Model.recognize(shapes, among: [model]).extent == .backbone(stageCount: 2))
  }
}
