import HGNetCore

/// Batch normalisations that are not folded.
///
/// Those over the channels of tokens belong to `OnnxDecoder`.
enum OnnxNormalizations: OnnxVocabulary {
  static let types = ["BatchNormalization"]

  static func read(
    _ node: OnnxNode, _ result: String, into reader: inout OnnxReader
  ) throws(HGNetError) -> Bool {
    guard node.type == "BatchNormalization" else { return false }
    try reader.normalization(node, result)
    return true
  }

  static func extents(
    of node: OnnxNode, _ inputs: [[OnnxIntegers.Element]], in reader: OnnxReader
  ) -> [OnnxIntegers.Element]? { inputs[0] }

  static func write(_ node: Graph.Node, to translation: inout OnnxTranslation) throws(HGNetError) -> String? {
    guard case .batchNormalization(let norm) = node.operation else { return nil }
    var operands = translation.inputs(of: node)
    for name in [norm.weight, norm.bias, norm.mean, norm.variance] { operands.append(try translation.constant(name)) }
    return translation.graph.node(
      "BatchNormalization", operands, name: node.name, [.float("epsilon", norm.epsilon)])
  }
}

// MARK: - Reading

extension OnnxReader {
  fileprivate mutating func normalization(_ node: OnnxNode, _ result: String) throws(HGNetError) {
    guard node.integer("training_mode", 0) == 0 else {
      throw HGNetError(.unsupported, "the network was exported as it trains; export it in inference (eval)")
    }
    for index in 1...4 { try use(try operand(node, index)) }
    append(
      "batch_norm", node.type,
      inputs: [
        "X": [node.inputs[0]], "Scale": [node.inputs[1]], "Bias": [node.inputs[2]], "Mean": [node.inputs[3]],
        "Variance": [node.inputs[4]],
      ], output: result, ["epsilon": .number(Double(node.float("epsilon", 1e-5)))], slot: "Y")
  }
}
