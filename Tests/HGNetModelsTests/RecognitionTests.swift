import HGNetCore
import HGNetModels
import Testing

@Suite("Recognition of a model from its parameters")
struct RecognitionTests {
  func shapes(_ graph: Graph) -> [(name: String, shape: Shape)] { graph.parameters.map { ($0.name, $0.shape) } }

  @Test("Every model, in any order", arguments: Model.all)
  func models(_ model: Model) throws {
    let recognition = try Model.recognize(shapes(try model.graph()).reversed())
    #expect(recognition.model == model)
    #expect(recognition.options == ModelOptions())
  }

  @Test(
    "Every option that leaves a trace", arguments: Model.all,
    [
      ModelOptions(classCount: 5), ModelOptions(classCount: 21, classExpand: 1280),
      ModelOptions(classCount: 2, useLastConvolution: false), ModelOptions(classExpand: 1),
    ])
  func options(_ model: Model, _ options: ModelOptions) throws {
    let recognition = try Model.recognize(shapes(try model.graph(options: options)))
    #expect(recognition.model == model)
    #expect(recognition.options == options)
  }

  @Test("Affine blocks put in or left out", arguments: Model.all.prefix(7))
  func affineBlocks(_ model: Model) throws {
    let options = ModelOptions(useLearnableAffineBlock: !model.hasAffineBlocks)
    let recognition = try Model.recognize(shapes(try model.graph(options: options)))
    #expect(recognition.model == model)
    #expect(recognition.options == options)
  }

  @Test("A backbone alone, whole or ending early, and names that no model knows", arguments: Model.all)
  func backbone(_ model: Model) throws {
    for stageCount in 1...4 {
      let graph = try model.backboneGraph(options: ModelOptions(useLastConvolution: false), stageCount: stageCount)
      let recognition = try Model.recognize(shapes(graph) + [("optimizer.step", [1])])
      #expect(recognition.model == model)
      #expect(recognition.options == ModelOptions(useLastConvolution: false))
      #expect(recognition.extent == .backbone(stageCount: stageCount))
      #expect(shapes(try recognition.graph()).map(\.name) == shapes(graph).map(\.name))
      // The same parameters in the same order as in the whole network.
      let whole = try model.graph().selecting(outputs: ["stages.\(stageCount - 1)"])
      #expect(shapes(graph).map(\.name) == shapes(whole).map(\.name))
    }
    #expect(throws: HGNetError.self) { try model.backboneGraph(stageCount: 5) }
    #expect(throws: HGNetError.self) { try model.backboneGraph(stageCount: 0) }
  }

  @Test("A backbone with its last convolution, and one that lacks a stage in between")
  func unusualBackbones() throws {
    let whole = shapes(try Model.b0.graph()).filter { !$0.name.hasPrefix("fc.") }
    let recognition = try Model.recognize(whole)
    #expect(recognition == Model.Recognition(model: .b0, extent: .backbone(stageCount: 4)))
    let graph = try recognition.graph()
    #expect(shapes(graph).map(\.name) == whole.map(\.name))
    #expect(graph.outputs.map { graph[$0.node].shape.channels } == [2048])
    let error = #expect(throws: HGNetError.self) {
      try Model.recognize(whole.filter { !$0.name.hasPrefix("stages.1.") })
    }
    #expect(error?.message.contains("stages.1.downsample") == true, "\(error?.message ?? "")")
  }

  @Test("A store")
  func store() throws {
    let graph = try Model.b0.graph(options: ModelOptions(classCount: 3))
    let store = try Model.initialParameters(for: graph, seed: 1)
    #expect(try Model.recognize(store).options.classCount == 3)
  }

  @Test("A missing or misshapen backbone parameter is named with the nearest model")
  func nearest() throws {
    var missing = shapes(try Model.b4.graph())
    missing.removeAll { $0.name == "stages.1.blocks.0.layers.3.conv.weight" }
    var misshapen = shapes(try Model.b4.graph())
    for index in misshapen.indices where misshapen[index].name == "stem.stem4.conv.weight" {
      misshapen[index].shape = [48, 32, 3, 3]
    }
    for (set, fact) in [
      (missing, "stages.1.blocks.0.layers.3.conv.weight: expected [96, 96, 3, 3], found nothing"),
      (misshapen, "stem.stem4.conv.weight: expected [48, 32, 1, 1], found [48, 32, 3, 3]"),
    ] {
      let error = #expect(throws: HGNetError.self) { try Model.recognize(set) }
      #expect(error?.code == .parameterMismatch)
      #expect(error?.message.contains("PPHGNetV2_B4") == true)
      #expect(error?.message.contains(fact) == true)
    }
  }

  @Test("Foreign and empty sets, and heads with impossible shapes, do no harm")
  func foreign() throws {
    for set: [(name: String, shape: Shape)] in [[], [("conv1.weight", [64, 3, 7, 7])], [("fc.weight", [])]] {
      let error = #expect(throws: HGNetError.self) { try Model.recognize(set) }
      #expect(error?.code == .parameterMismatch)
    }
    var strange = shapes(try Model.b0.graph())
    for index in strange.indices where strange[index].name.hasPrefix("fc.") { strange[index].shape = [0, 0] }
    for index in strange.indices where strange[index].name == "last_conv.weight" { strange[index].shape = [7] }
    #expect(try Model.recognize(strange) == Model.Recognition(model: .b0, options: ModelOptions()))
  }
}

@Suite("Published weights")
struct PublishedWeightsTests {
  @Test("Both stages and the inference model of every PP-HGNetV2, and what there is of PP-HGNet")
  func files() {
    let names = PublishedWeights.all.map(\.fileName)
    #expect(Set(names).count == names.count)
    #expect(names.count == 7 * 3 + 2 * 4 + 2)
    for model in Model.all.prefix(7) {
      #expect(names.contains("\(model)_ssld_stage1_pretrained.pdparams"))
      #expect(names.contains("\(model)_ssld_pretrained.pdparams"))
      #expect(names.contains("\(model)_ssld_infer.tar"))
    }
    #expect(names.contains("PPHGNet_tiny_pretrained.pdparams"))
    #expect(names.contains("PPHGNet_base_ssld_pretrained.pdparams"))
    #expect(!names.contains("PPHGNet_base_pretrained.pdparams"))
  }

  @Test("Addresses, here and on a mirror")
  func addresses() throws {
    let weights = try PublishedWeights.named("PPHGNetV2_B0_ssld_stage1_pretrained")
    #expect(
      weights.url()
        == "https://paddle-imagenet-models-name.bj.bcebos.com/dygraph/legendary_models/PPHGNetV2_B0_ssld_stage1_pretrained.pdparams"
    )
    let inference = try PublishedWeights.named("PPHGNetV2_B6_ssld_infer.tar")
    #expect(inference.form == .inferenceModel)
    #expect(
      inference.url(base: "http://localhost:8000/mirror//")
        == "http://localhost:8000/mirror/inference/PPHGNetV2_B6_ssld_infer.tar")
  }

  @Test("Which weights stand for a model")
  func choice() {
    #expect(PublishedWeights.mostAccurate(for: .b4)?.fileName == "PPHGNetV2_B4_ssld_pretrained.pdparams")
    #expect(PublishedWeights.mostAccurate(for: .base)?.fileName == "PPHGNet_base_ssld_pretrained.pdparams")
    #expect(PublishedWeights.pretrained(for: .b4)?.fileName == "PPHGNetV2_B4_ssld_stage1_pretrained.pdparams")
    #expect(PublishedWeights.pretrained(for: .small)?.fileName == "PPHGNet_small_pretrained.pdparams")
    #expect(
      PublishedWeights.pretrained(for: .small, distilled: true)?.fileName == "PPHGNet_small_ssld_pretrained.pdparams")
    #expect(PublishedWeights.pretrained(for: .base) == nil)
    #expect(PublishedWeights.mostAccurate(for: .b6)?.accuracy?.top1 == 86.30)
    #expect(PublishedWeights.pretrained(for: .b6)?.accuracy == nil)
    let own = Model(name: "mine", configuration: PPHGNetV2.Configuration.b0)
    #expect(PublishedWeights.mostAccurate(for: own) == nil)
  }

  @Test("An unknown name gets the nearest")
  func unknown() {
    let error = #expect(throws: HGNetError.self) { try PublishedWeights.named("PPHGNetV2_B4_pretrained") }
    #expect(error?.code == .invalidArgument)
    #expect(error?.message.contains("PPHGNetV2_B4") == true)
  }
}
