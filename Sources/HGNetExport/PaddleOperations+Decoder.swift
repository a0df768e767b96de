import HGNetCore

/// A transformer decoder as operators of PaddlePaddle; tokens are `[N, tokens, C]`.
extension PaddleOperations {
  /// Appends a node that works on tokens; nil for any other.
  mutating func appendDecoder(
    _ index: Int, _ node: Graph.Node, graph: Graph, results: [String]
  ) throws(HGNetError) -> String? {
    let inputs = node.inputs.map { results[$0.index] }
    let count = node.shape.height * node.shape.width
    // Sums of queries and pictures are as long as the pictures.
    let leads = node.inputs.compactMap { tokens[$0.index] }
    let lead = leads.contains(-1) ? -1 : leads.first ?? -1
    let extents = [lead, count, node.shape.channels]
    switch node.operation {
    case .decoder(let operation):
      return append(operation, index, node, graph: graph, inputs: inputs, extents: extents)
    case .linear(let weight, let bias, _, _) where graph.hasDecoder:
      tokens[index] = lead
      var operand = inputs[0]
      if tokens[node.inputs[0].index] == nil {
        let source = graph[node.inputs[0]].shape
        // Whatever the number of pixels is when it runs.
        operand = append(.flatten(from: 2), "flatten", [operand], [-1, source.channels, count])
        operand = append(.transpose([0, 2, 1]), "transpose", [operand], [-1, count, source.channels])
      }
      let product = append(.product, "linear", [operand, own(weight)], extents)
      return bias.map { append(.addFeatureBias, "linear", [product, own($0)], extents) } ?? product
    case .relu where !leads.isEmpty:
      tokens[index] = lead
      return append(.relu, "relu", inputs, extents)
    case .add where !leads.isEmpty:
      tokens[index] = lead
      // The longer comes first.
      let isReversed = tokens[node.inputs[0].index] == 1 && lead == -1
      return append(.add, "tmp", isReversed ? inputs.reversed() : inputs, extents)
    default: return nil
    }
  }

  private mutating func append(
    _ operation: DecoderOperator, _ index: Int, _ node: Graph.Node, graph: Graph, inputs: [String], extents: [Int]
  ) -> String {
    switch operation {
    case .queries(let weight, let count, let features):
      tokens[index] = repeatsQueries ? -1 : 1
      let queries = append(.reshape([1, count, features]), "reshape", [own(weight)], [1, count, features])
      guard repeatsQueries else { return queries }
      return append(.repeatForBatch, "tile", [queries, PaddleOperations.inputName], [-1, count, features])
    case .dropout:
      tokens[index] = extents[0]
      return inputs[0]
    case .layerNormalization(let weight, let bias, _, let epsilon):
      tokens[index] = extents[0]
      return append(
        .layerNormalization(epsilon: epsilon, axis: 2), "layer_norm", [inputs[0], own(weight), own(bias)], extents)
    case .attention(let heads, _):
      tokens[index] = -1
      let size = node.shape.channels / heads
      func split(_ position: Int) -> String {
        let source = graph[node.inputs[position]].shape
        let (lead, count) = (tokens[node.inputs[position].index] ?? -1, source.height * source.width)
        let wide = append(
          .reshape([0, 0, heads, size]), "reshape", [inputs[position]], [lead, count, heads, size])
        return append(.transpose([0, 2, 1, 3]), "transpose", [wide], [lead, heads, count, size])
      }
      let (queries, keys, values) = (split(0), split(1), split(2))
      let (own, others) = (extents[1], graph[node.inputs[1]].shape.height * graph[node.inputs[1]].shape.width)
      let lead = tokens[node.inputs[0].index] ?? -1
      let scaled = append(
        .scale(1 / Float(size).squareRoot()), "scale", [queries], [lead, heads, own, size])
      let scores = append(.matrixProduct(isTransposed: true), "matmul", [scaled, keys], [-1, heads, own, others])
      let weights = append(.softmax, "softmax", [scores], [-1, heads, own, others])
      let attended = append(.matrixProduct(isTransposed: false), "matmul", [weights, values], [-1, heads, own, size])
      let joined = append(.transpose([0, 2, 1, 3]), "transpose", [attended], [-1, own, heads, size])
      return append(.reshape([0, 0, node.shape.channels]), "reshape", [joined], [-1, own, node.shape.channels])
    case .groupedLinear(let weight, let bias, let count, let features, let perToken, let classes):
      let (channels, columns) = (count * features, count * perToken)
      let wide = append(.reshape([-1, channels, 1, 1]), "reshape", inputs, [-1, channels, 1, 1])
      let convolution = Convolution(
        weight: weight, bias: bias, inputChannels: channels, outputChannels: columns, kernel: Size(1), stride: Size(1),
        padding: Padding(0), groups: count)
      let product = append(.convolution(convolution), "conv2d", [wide, own(weight)], [-1, columns, 1, 1])
      let sum = append(.addChannelBias, "conv2d", [product, own(bias)], [-1, columns, 1, 1])
      let flat = append(.flatten(from: 1), "flatten", [sum], [-1, columns])
      return classes < columns ? append(.slice(count: classes), "slice", [flat], [-1, classes]) : flat
    }
  }
}
