import HGNetCore
import HGNetModels
import Testing

/// The head for several labels a picture.
@Suite("ML-Decoder") struct MLDecoderTests {
  private static func shapes(_ graph: Graph) -> [(name: String, shape: Shape)] {
    graph.parameters.map { ($0.name, $0.shape) }
  }

  @Test("B0 with 80 classes has the parameters of PaddleClas") func counts() throws {
    let graph = try Model.b0.graph(options: ModelOptions(classCount: 80, decoder: MLDecoder()), inputSize: Size(448))
    #expect(graph.parameters.count == 296)
    #expect(graph.parameters.reduce(0) { $0 + $1.shape.count } == 11_171_934)
    let head = graph.parameters.drop { $0.name != "fc.input_proj.weight" }
    #expect(
      head.map(\.name).prefix(4) == [
        "fc.input_proj.weight", "fc.input_proj.bias", "fc.query_pos_embed.weight",
        "fc.decoder.layers.0.cross_attn.q_proj.weight",
      ])
    #expect(head.map(\.name).suffix(2) == ["fc.group_conv.weight", "fc.group_conv.bias"])
    #expect(graph.outputs.map { graph[$0.node].shape } == [ActivationShape(channels: 80, height: 1, width: 1)])
    // PaddleClas makes and drops five linear layers before the first of the cross-attention.
    let names = graph.internalParameterNames
    #expect(names["fc.decoder.layers.0.cross_attn.q_proj.weight"] == "linear_5.w_0")
    #expect(names["fc.decoder.layers.0.norm3.bias"] == "layer_norm_2.b_0")
    #expect(names["fc.query_pos_embed.weight"] == "embedding_0.w_0")
  }

  @Test(
    "Weights alone tell the head",
    arguments: [(80, MLDecoder()), (7, MLDecoder(features: 64, hiddenFeatures: 48)), (100, MLDecoder(queryCount: 30))])
  func recognition(classes: Int, decoder: MLDecoder) throws {
    let graph = try Model.b1.graph(options: ModelOptions(classCount: classes, decoder: decoder))
    let found = try Model.recognize(Self.shapes(graph))
    #expect(found.model == .b1)
    let again = try found.model.graph(options: found.options)
    #expect(again.parameters.map(\.shape) == graph.parameters.map(\.shape))
  }

  @Test(
    "Options out of range are named",
    arguments: [
      ("num_heads", MLDecoder(features: 768, heads: 5)), ("query_num", MLDecoder(queryCount: 0)),
      ("dropout", MLDecoder(dropoutProbability: 1)), ("mlp_hidden_dim", MLDecoder(hiddenFeatures: 0)),
    ])
  func mistakes(key: String, decoder: MLDecoder) {
    let error = #expect(throws: HGNetError.self) { try Model.b0.graph(options: ModelOptions(decoder: decoder)) }
    #expect(error?.context.key == "MLDecoder.\(key)")
  }

  @Test("It stands on every backbone", arguments: Model.all) func backbones(_ model: Model) throws {
    let graph = try model.graph(options: ModelOptions(classCount: 5, decoder: MLDecoder()), inputSize: Size(64))
    #expect(graph.parameters.contains { $0.name == "fc.decoder.layers.0.norm1.weight" })
    #expect(!graph.parameters.contains { $0.name == "fc.weight" })
  }
}
