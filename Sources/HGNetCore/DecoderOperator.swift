/// The operators of a transformer decoder; a token is a pixel, `[N, tokens, 1, C]` or the `[N, H, W, C]` of a feature map.
public enum DecoderOperator: Hashable, Sendable {
  /// The rows of a parameter `[count, features]` as tokens, the same for every picture; no input. They are never trained.
  case queries(weight: String, count: Int, features: Int)
  /// `(x - mean) / sqrt(variance + epsilon) * weight + bias` over the channels of each token.
  case layerNormalization(weight: String, bias: String, features: Int, epsilon: Float)
  /// Scaled dot-product attention of queries to keys with their values, the three inputs, in heads that are runs of
  /// channels. In training weights are dropped with a probability, and the rest divided by 1 - probability.
  case attention(heads: Int, dropoutProbability: Float)
  /// In training drops values with a probability and divides the rest by 1 - probability; in inference nothing.
  case dropout(probability: Float)
  /// One product per token, `[N, tokens, 1, C]` to `[N, 1, 1, classes]`: token `k / classesPerToken` with row k of the
  /// weight `[tokens * classesPerToken, C, 1, 1]`, for the first `classes` rows.
  case groupedLinear(weight: String, bias: String, tokens: Int, features: Int, classesPerToken: Int, classes: Int)

  /// The operator with every name of a parameter replaced.
  func mapParameters(_ name: (String) -> String) -> DecoderOperator {
    switch self {
    case .queries(let weight, let count, let features):
      .queries(weight: name(weight), count: count, features: features)
    case .layerNormalization(let weight, let bias, let features, let epsilon):
      .layerNormalization(weight: name(weight), bias: name(bias), features: features, epsilon: epsilon)
    case .groupedLinear(let weight, let bias, let tokens, let features, let classesPerToken, let classes):
      .groupedLinear(
        weight: name(weight), bias: name(bias), tokens: tokens, features: features, classesPerToken: classesPerToken,
        classes: classes)
    case .attention, .dropout: self
    }
  }

  /// The parameters that the operator reads.
  public var parameterNames: [String] { Operator.decoder(self).parameterNames }

  /// What a person calls it.
  var title: String {
    switch self {
    case .queries: "queries"
    case .layerNormalization: "layer norm"
    case .attention(let heads, _): "attention, \(heads) heads"
    case .dropout(let probability): "dropout \(probability)"
    case .groupedLinear: "linear per query"
    }
  }

  /// How many inputs it takes.
  var arity: ClosedRange<Int> {
    switch self {
    case .queries: 0...0
    case .attention: 3...3
    case .layerNormalization, .dropout, .groupedLinear: 1...1
    }
  }

  /// The extents of the result from those of the inputs, nil if they do not fit.
  func outputShape(of inputs: [ActivationShape]) -> ActivationShape? {
    guard arity.contains(inputs.count) else { return nil }
    switch self {
    case .queries(_, let count, let features): return ActivationShape(channels: features, height: count, width: 1)
    case .layerNormalization(_, _, let features, _): return inputs[0].channels == features ? inputs[0] : nil
    case .dropout: return inputs[0]
    case .attention(let heads, _):
      guard heads > 0, inputs[0].channels % heads == 0, inputs[1] == inputs[2],
        inputs[0].channels == inputs[1].channels
      else { return nil }
      return inputs[0]
    case .groupedLinear(_, _, let tokens, let features, let classesPerToken, let classes):
      guard inputs[0] == ActivationShape(channels: features, height: tokens, width: 1),
        tokens > 0, classesPerToken > 0, classes >= 1,
        // As `classes <= tokens * classesPerToken`, without a product.
        (classes - 1) / tokens < classesPerToken
      else { return nil }
      return ActivationShape(channels: classes, height: 1, width: 1)
    }
  }
}
