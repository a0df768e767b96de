import HGNetCore

/// The head for several labels a picture: one query per label looks at the feature map through a transformer decoder.
///
/// One decoder layer, normalised after each sum, whose self-attention is left out: the queries are doubled instead. The
/// defaults are PaddleClas'. Source: Ridnik et al., "ML-Decoder", 2021; PaddleClas, `ppcls/arch/ml_decoder.py`.
public struct MLDecoder: Sendable, Hashable {
  /// The most queries (`query_num`); with fewer classes there is one for each.
  public var queryCount: Int
  /// The channels of a query (`embed_dim`).
  public var features: Int
  /// The heads of the attention (`num_heads`).
  public var heads: Int
  /// The channels between the two linear layers (`mlp_hidden_dim`).
  public var hiddenFeatures: Int
  /// The probability of dropping a value, at five places, in training (`dropout`).
  public var dropoutProbability: Float

  /// Makes a head; whatever is not given keeps its default.
  public init(
    queryCount: Int = 80, features: Int = 768, heads: Int = 8, hiddenFeatures: Int = 2048,
    dropoutProbability: Float = 0.1
  ) {
    self.queryCount = queryCount
    self.features = features
    self.heads = heads
    self.hiddenFeatures = hiddenFeatures
    self.dropoutProbability = dropoutProbability
  }

  /// - Throws: `HGNetError.Code.invalidArgument` naming PaddleClas' key.
  func validate() throws(HGNetError) {
    func refuse(_ key: String, _ expected: String, _ found: Any) -> HGNetError {
      HGNetError(.invalidArgument, "expected \(expected), found \(found)", key: "MLDecoder.\(key)")
    }
    let widths = 1...(1 << 20)
    guard widths ~= queryCount else { throw refuse("query_num", "1 to 1048576 queries", queryCount) }
    guard widths ~= features else { throw refuse("embed_dim", "1 to 1048576 channels", features) }
    guard widths ~= hiddenFeatures else { throw refuse("mlp_hidden_dim", "1 to 1048576 channels", hiddenFeatures) }
    guard heads >= 1, features % heads == 0 else {
      throw refuse("num_heads", "a number of heads that divides the \(features) channels", heads)
    }
    guard 0..<1 ~= dropoutProbability else { throw refuse("dropout", "a probability below 1", dropoutProbability) }
  }
}

extension GraphBuilder {
  /// Appends the head behind a feature map.
  mutating func decoder(
    _ head: MLDecoder, input: Graph.NodeID, inputChannels: Int, classCount: Int
  ) -> Graph.NodeID {
    let queryCount = min(head.queryCount, classCount)
    let layer = "fc.decoder.layers.0"
    let projection = Convolution(
      weight: "fc.input_proj.weight", bias: "fc.input_proj.bias", inputChannels: inputChannels,
      outputChannels: head.features, kernel: Size(1), stride: Size(1), padding: Padding(0), groups: 1)
    var memory = convolution(projection, name: "fc.input_proj", input: input, learningRateMultiplier: 1)
    memory = append(.relu, name: "fc.act", inputs: [memory])
    declare(
      ParameterDeclaration(
        name: "fc.query_pos_embed.weight", shape: [queryCount, head.features], role: .queryEmbedding))
    let queries = append(
      .decoder(.queries(weight: "fc.query_pos_embed.weight", count: queryCount, features: head.features)),
      name: "fc.query_pos_embed", inputs: [])

    // PaddlePaddle declares the normalisations after the linear layers.
    for part in ["q_proj", "k_proj", "v_proj", "out_proj"] {
      declareLinear("\(layer).cross_attn.\(part)", from: head.features, to: head.features)
    }
    declareLinear("\(layer).linear1", from: head.features, to: head.hiddenFeatures)
    declareLinear("\(layer).linear2", from: head.hiddenFeatures, to: head.features)
    for number in 1...3 {
      let name = "\(layer).norm\(number)"
      declare(
        ParameterDeclaration(name: "\(name).weight", shape: [head.features], role: .layerNormalizationWeight))
      declare(ParameterDeclaration(name: "\(name).bias", shape: [head.features], role: .layerNormalizationBias))
    }
    func linear(_ name: String, _ input: Graph.NodeID, from inputs: Int, to outputs: Int) -> Graph.NodeID {
      append(
        .linear(weight: "\(name).weight", bias: "\(name).bias", inputFeatures: inputs, outputFeatures: outputs),
        name: name, inputs: [input])
    }
    func dropout(_ name: String, _ input: Graph.NodeID) -> Graph.NodeID {
      append(
        .decoder(.dropout(probability: head.dropoutProbability)), name: "\(layer).\(name)", inputs: [input])
    }
    func normalizedSum(_ number: Int, _ first: Graph.NodeID, _ second: Graph.NodeID) -> Graph.NodeID {
      let sum = append(.add, name: "\(layer).add\(number)", inputs: [first, dropout("dropout\(number)", second)])
      let name = "\(layer).norm\(number)"
      let normalization = DecoderOperator.layerNormalization(
        weight: "\(name).weight", bias: "\(name).bias", features: head.features, epsilon: 1e-5)
      return append(.decoder(normalization), name: name, inputs: [sum])
    }
    let target = normalizedSum(1, queries, queries)
    func projected(_ part: String, _ input: Graph.NodeID) -> Graph.NodeID {
      linear("\(layer).cross_attn.\(part)", input, from: head.features, to: head.features)
    }
    let (query, key, value) = (projected("q_proj", target), projected("k_proj", memory), projected("v_proj", memory))
    let attended = append(
      .decoder(.attention(heads: head.heads, dropoutProbability: head.dropoutProbability)),
      name: "\(layer).cross_attn", inputs: [query, key, value])
    let crossed = normalizedSum(2, target, projected("out_proj", attended))
    var hidden = linear("\(layer).linear1", crossed, from: head.features, to: head.hiddenFeatures)
    hidden = dropout("dropout", append(.relu, name: "\(layer).activation", inputs: [hidden]))
    let answer = normalizedSum(
      3, crossed, linear("\(layer).linear2", hidden, from: head.hiddenFeatures, to: head.features))

    let perQuery = (classCount + queryCount - 1) / queryCount
    declare(
      ParameterDeclaration(
        name: "fc.group_conv.weight", shape: [queryCount * perQuery, head.features, 1, 1], role: .convolutionWeight))
    declare(
      ParameterDeclaration(name: "fc.group_conv.bias", shape: [queryCount * perQuery], role: .convolutionBias))
    return append(
      .decoder(
        .groupedLinear(
          weight: "fc.group_conv.weight", bias: "fc.group_conv.bias", tokens: queryCount, features: head.features,
          classesPerToken: perQuery, classes: classCount)), name: "fc.group_conv", inputs: [answer])
  }

  private mutating func declareLinear(_ name: String, from inputs: Int, to outputs: Int) {
    declare(ParameterDeclaration(name: "\(name).weight", shape: [inputs, outputs], role: .linearWeight))
    declare(ParameterDeclaration(name: "\(name).bias", shape: [outputs], role: .linearBias))
  }
}
