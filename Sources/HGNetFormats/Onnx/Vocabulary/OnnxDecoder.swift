import HGNetCore

/// A transformer decoder as ONNX operators; tokens are `[N, tokens, C]`.
///
/// Linear layers are written in another way where there are tokens, so this vocabulary is asked first.
enum OnnxDecoder: OnnxVocabulary {
  static let types = ["Transpose", "Slice", "LayerNormalization"]

  static func read(
    _ node: OnnxNode, _ result: String, into reader: inout OnnxReader
  ) throws(HGNetError) -> Bool {
    let input = node.inputs[0]
    switch node.type {
    case "Transpose":
      try reader.use(input)
      reader.unary("transpose", node, result, ["axis": .integers(node.integers("perm") ?? [])])
    case "LayerNormalization":
      for name in node.inputs { try reader.use(name) }
      reader.append(
        "layer_norm", node.type,
        inputs: ["X": [input], "Scale": [try reader.operand(node, 1)], "Bias": [try reader.operand(node, 2)]],
        output: result,
        [
          "begin_norm_axis": .integer(node.integer("axis", -1)),
          "epsilon": .number(Double(node.float("epsilon", 1e-5))),
        ], slot: "Y")
    case "Slice":
      guard node.inputs.count <= 4 else { throw HGNetError(.unsupported, "expected a slice without steps") }
      reader.append(
        "slice", node.type, inputs: ["Input": [input]], output: result,
        [
          "starts": .integers(try reader.numbers(node, 1)), "ends": .integers(try reader.numbers(node, 2)),
          "axes": .integers(try reader.numbers(node, 3)),
        ])
    default: return false
    }
    return true
  }

  static func extents(
    of node: OnnxNode, _ inputs: [[OnnxIntegers.Element]], in reader: OnnxReader
  ) -> [OnnxIntegers.Element]? { nil }

  static func write(_ node: Graph.Node, to translation: inout OnnxTranslation) throws(HGNetError) -> String? {
    if translation.readsTokens(node), node.operation.keepsTokens { translation.markTokens() }
    switch node.operation {
    case .decoder(let operation): return try translation.append(operation, node)
    case .linear(let weight, let bias, _, let features) where translation.source.hasDecoder:
      return try translation.appendLinear(node, weight: weight, bias: bias, features: features)
    default: return nil
    }
  }
}

extension Operator {
  /// Whether tokens go in and tokens come out, each on its own.
  fileprivate var keepsTokens: Bool {
    switch self {
    case .relu, .pointwise, .add, .affine, .dropout, .linear, .decoder(.dropout), .decoder(.layerNormalization): true
    default: false
    }
  }
}

// MARK: - Writing

extension OnnxTranslation {
  fileprivate mutating func append(_ operation: DecoderOperator, _ node: Graph.Node) throws(HGNetError) -> String {
    let inputs = inputs(of: node)
    switch operation {
    case .queries(let weight, let count, let features):
      markTokens()
      return reshaped(try constant(weight), to: [1, count, features], name: node.name)
    case .dropout: return inputs[0]
    case .layerNormalization(let weight, let bias, _, let epsilon):
      return graph.node(
        "LayerNormalization", [inputs[0], try constant(weight), try constant(bias)], name: node.name,
        [.integer("axis", -1), .float("epsilon", epsilon)])
    case .attention(let heads, _):
      markTokens()
      let size = node.shape.channels / heads
      // An extent of 0 is that of the operand: [N, tokens, heads * size] to [N, heads, tokens, size]; keys to [N, heads, size, tokens].
      func split(_ index: Int, _ part: String, _ order: [Int]) -> String {
        let wide = reshaped(inputs[index], to: [0, 0, heads, size], name: "\(node.name).\(part).split")
        return graph.node("Transpose", [wide], name: "\(node.name).\(part)", [.integers("perm", order)])
      }
      let scale = graph.constant("\(node.name).scale", extents: [1], .floats([1 / Float(size).squareRoot()]))
      let queries = graph.node("Mul", [split(0, "q", [0, 2, 1, 3]), scale], name: "\(node.name).q.scaled")
      let scores = graph.node("MatMul", [queries, split(1, "k", [0, 2, 3, 1])], name: "\(node.name).scores")
      let weights = graph.node("Softmax", [scores], name: "\(node.name).weights", [.integer("axis", -1)])
      let attended = graph.node("MatMul", [weights, split(2, "v", [0, 2, 1, 3])], name: "\(node.name).heads")
      let joined = graph.node("Transpose", [attended], name: "\(node.name).joined", [.integers("perm", [0, 2, 1, 3])])
      return reshaped(joined, to: [0, 0, node.shape.channels], name: node.name)
    case .groupedLinear(let weight, let bias, let count, let features, let perToken, let classes):
      let wide = reshaped(inputs[0], to: [-1, count * features, 1, 1], name: "\(node.name).input")
      let all = graph.node(
        "Conv", [wide, try constant(weight), try constant(bias)], name: "\(node.name).conv",
        [.integer("group", count), .integers("kernel_shape", [1, 1])])
      guard classes < count * perToken else {
        return reshaped(all, to: [-1, classes], name: node.name)
      }
      let flat = reshaped(all, to: [-1, count * perToken], name: "\(node.name).all")
      let bounds = [("starts", [0]), ("ends", [classes]), ("axes", [1])].map {
        graph.constant("\(node.name).\($0.0)", $0.1)
      }
      return graph.node("Slice", [flat] + bounds, name: node.name)
    }
  }

  /// A linear layer over tokens; a feature map becomes tokens first.
  fileprivate mutating func appendLinear(
    _ node: Graph.Node, weight: String, bias: String?, features: Int
  ) throws(HGNetError) -> String {
    var operand = inputs(of: node)[0]
    if !readsTokens(node) {
      let channels = source[node.inputs[0]].shape.channels
      // Whatever the number of pixels is when it runs.
      let flat = reshaped(operand, to: [0, channels, -1], name: "\(node.name).map")
      operand = graph.node("Transpose", [flat], name: "\(node.name).tokens", [.integers("perm", [0, 2, 1])])
    }
    markTokens()
    guard let bias else { return graph.node("MatMul", [operand, try constant(weight)], name: node.name) }
    let product = graph.node("MatMul", [operand, try constant(weight)], name: "\(node.name).product")
    return graph.node("Add", [product, try constant(bias)], name: node.name)
  }

  private mutating func reshaped(_ value: String, to extents: [Int], name: String) -> String {
    let shape = graph.constant("\(name).shape", extents)
    return graph.node("Reshape", [value, shape], name: name)
  }
}
