import HGNetCore

/// Some operators of networks in the words of ONNX: what they are called, how they are read, how they are written.
///
/// An operator stands in one vocabulary, whatever it is used for; `OnnxReader.vocabularies` lists them.
protocol OnnxVocabulary: Sendable {
  /// The names of the operators that are read.
  static var types: [String] { get }

  /// Reads an operator, which has an input and a result, as one of Paddle's programs; false for one of another
  /// vocabulary.
  ///
  /// - Throws: `HGNetError.Code.unsupported` for a use that is no part of these networks, `malformedData`.
  static func read(
    _ node: OnnxNode, _ result: String, into reader: inout OnnxReader
  ) throws(HGNetError) -> Bool

  /// The extents of an operator's result, as far as arithmetic on shapes may ask for them; nil for none that matter.
  ///
  /// - Parameter inputs: the extents of the operands that are no constants; at least one.
  static func extents(
    of node: OnnxNode, _ inputs: [[OnnxIntegers.Element]], in reader: OnnxReader
  ) -> [OnnxIntegers.Element]?

  /// Appends what a node is in an ONNX graph and gives the name of its result; nil for one of another vocabulary.
  ///
  /// - Throws: `HGNetError.Code.parameterMismatch` for a parameter that is missing.
  static func write(_ node: Graph.Node, to translation: inout OnnxTranslation) throws(HGNetError) -> String?
}

extension OnnxReader {
  /// All that is read and written; the first that knows an operator has it.
  static let vocabularies: [any OnnxVocabulary.Type] = [
    OnnxDecoder.self,
    OnnxProducts.self,
    OnnxNormalizations.self,
    OnnxElementwise.self,
    OnnxPools.self,
    OnnxShapes.self,
    OnnxQuantizers.self,
  ]

  /// Why some operators are none of a classifier's.
  private static func reason(_ type: String) -> String {
    switch type {
    case "QLinearConv", "QLinearMatMul": foreignReason(type)
    case "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger":
      "it chooses ranges while it runs; quantise statically in the form QDQ (quantize_static)"
    case "If", "Loop", "Scan": "the graph decides while it runs; export the classifier alone, in inference"
    case "Resize", "Upsample": "it resizes pictures or maps; export without preprocessing, and no detector"
    case "AveragePool": "the mean must be over the whole map; export it as GlobalAveragePool or ReduceMean"
    case "NonMaxSuppression", "TopK", "GridSample": "it belongs to a detector; export its backbone as weights instead"
    case "ArgMax": "the output must be logits or probabilities; export without the choice of a class"
    default: "read are \(vocabularies.flatMap { $0.types }.sorted().joined(separator: ", "))"
    }
  }

  /// Why operators are none of a classifier's that only one runtime has.
  static func foreignReason(_ type: String) -> String {
    type.hasPrefix("QLinear") || type == "QGemm"
      ? "it is of the form QOperator; quantise in the form QDQ (quant_format=QuantFormat.QDQ)" : "export a plain model"
  }

  /// Translates one operator.
  ///
  /// - Throws: `HGNetError.Code.unsupported` naming it when it is none of these networks'.
  mutating func translate(_ node: OnnxNode) throws(HGNetError) {
    guard let result = node.outputs.first, !node.inputs.isEmpty else {
      throw HGNetError(.malformedData, "expected inputs and a result")
    }
    for vocabulary in OnnxReader.vocabularies {
      if try vocabulary.read(node, result, into: &self) { return }
    }
    throw HGNetError(
      .unsupported,
      "the operator \(node.type.prefix(60)) is not part of PP-HGNet: \(OnnxReader.reason(node.type))")
  }

  /// Notes the extents of a node's result, as far as arithmetic on shapes may ask for them.
  mutating func follow(_ node: OnnxNode) throws(HGNetError) {
    guard let result = node.outputs.first else { return }
    let inputs = node.inputs.compactMap { computed[$0]?.extents }
    guard !inputs.isEmpty else { return }
    let vocabulary = OnnxReader.vocabularies.first { $0.types.contains(node.type) }
    computed[result] = Computed(extents: vocabulary?.extents(of: node, inputs, in: self))
  }

  // MARK: For the vocabularies

  /// An operator of one operand.
  mutating func unary(
    _ kind: String, _ node: OnnxNode, _ result: String, _ attributes: [String: PaddleProgram.Attribute] = [:]
  ) {
    append(kind, node.type, inputs: ["X": [node.inputs[0]]], output: result, attributes)
  }

  /// The name of an operand that must be there.
  func operand(_ node: OnnxNode, _ index: Int) throws(HGNetError) -> String {
    guard node.inputs.indices.contains(index), !node.inputs[index].isEmpty else {
      throw HGNetError(.malformedData, "expected at least \(index + 1) inputs, found \(node.inputs.count)")
    }
    return node.inputs[index]
  }

  /// An operand that must be constant whole numbers.
  func numbers(_ node: OnnxNode, _ index: Int) throws(HGNetError) -> [Int] {
    let name = try operand(node, index)
    guard let values = integers[name]?.numbers else {
      throw HGNetError(.unsupported, "expected constant whole numbers, found a computed value", key: name)
    }
    return values
  }

  /// A constant operand that is one number.
  func number(_ name: String) -> Float? {
    guard let weight = weights[name], weight.shape.count == 1 else { return nil }
    return weight.tensor()[0]
  }

  func window(_ node: OnnxNode) throws(HGNetError) -> [String: PaddleProgram.Attribute] {
    var result: [String: PaddleProgram.Attribute] = ["strides": .integers(node.integers("strides") ?? [1, 1])]
    switch node.attributes["auto_pad"]?.text ?? "NOTSET" {
    case "NOTSET", "":
      let pads = node.integers("pads") ?? [0, 0, 0, 0]
      guard pads.count == 4 else { throw HGNetError(.malformedData, "expected four pads, found \(pads.prefix(8))") }
      result["paddings"] = .integers([pads[0], pads[2], pads[1], pads[3]])
    case "SAME_UPPER": result["padding_algorithm"] = .text("SAME")
    case "VALID": result["padding_algorithm"] = .text("VALID")
    case let other: throw HGNetError(.unsupported, "expected explicit pads or SAME_UPPER, found \(other.prefix(20))")
    }
    return result
  }

  /// Adds the bias of a convolution or linear layer.
  mutating func addBias(_ product: String, _ bias: String, _ result: String, axis: Int) throws(HGNetError) {
    try use(bias, shape: weights[bias].map { [$0.shape.count] })
    append("elementwise_add", "bias", inputs: ["X": [product], "Y": [bias]], output: result, ["axis": .integer(axis)])
  }

  /// What the second operand of a node is as a constant, by its extents; empty for none.
  func rows(_ node: OnnxNode) -> [Int] { node.inputs.dropFirst().first.flatMap { weights[$0]?.shape.dimensions } ?? [] }
}
