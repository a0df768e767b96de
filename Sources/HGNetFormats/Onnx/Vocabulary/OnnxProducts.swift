import HGNetCore

/// Convolutions and linear layers.
enum OnnxProducts: OnnxVocabulary {
  static let types = ["Conv", "MatMul", "Gemm"]

  static func read(
    _ node: OnnxNode, _ result: String, into reader: inout OnnxReader
  ) throws(HGNetError) -> Bool {
    let input = node.inputs[0]
    switch node.type {
    case "Conv": try reader.convolution(node, result)
    case "MatMul":
      for name in node.inputs { try reader.use(name) }
      reader.append(
        "matmul", node.type, inputs: ["X": [input], "Y": [try reader.operand(node, 1)]], output: result, [:])
    case "Gemm": try reader.product(node, result)
    default: return false
    }
    return true
  }

  static func extents(
    of node: OnnxNode, _ inputs: [[OnnxIntegers.Element]], in reader: OnnxReader
  ) -> [OnnxIntegers.Element]? {
    let (first, rows) = (inputs[0], reader.rows(node))
    switch node.type {
    case "Conv" where !rows.isEmpty: return [first[0], .known(rows[0]), .open, .open]
    case "Gemm" where rows.count == 2: return [first[0], .known(rows[node.integer("transB", 0) == 0 ? 1 : 0])]
    case "MatMul" where rows.count == 2: return [first[0], .known(rows[1])]
    default: return nil
    }
  }

  static func write(_ node: Graph.Node, to translation: inout OnnxTranslation) throws(HGNetError) -> String? {
    let inputs = translation.inputs(of: node)
    switch node.operation {
    case .convolution(let convolution):
      if let normalization = translation.foldedNormalization {
        return try translation.folded(convolution, normalization, of: node, input: inputs[0])
      }
      var operands = [inputs[0], try translation.constant(convolution.weight)]
      if let bias = convolution.bias { operands.append(try translation.bias(bias, convolution.weight, of: node)) }
      return translation.graph.node("Conv", operands, name: node.name, OnnxProducts.attributes(of: convolution))
    case .linear(let weightName, let bias, _, _):
      let weight = try translation.constant(weightName)
      guard let bias else { return translation.graph.node("MatMul", [inputs[0], weight], name: node.name) }
      let summand = try translation.bias(bias, weightName, of: node)
      return translation.graph.node("Gemm", [inputs[0], weight, summand], name: node.name)
    default: return nil
    }
  }

  fileprivate static func attributes(of convolution: Convolution) -> [OnnxGraph.Attribute] {
    [
      .integers("dilations", [1, 1]), .integer("group", convolution.groups),
      .integers("kernel_shape", [convolution.kernel.height, convolution.kernel.width]),
      .integers("pads", convolution.padding.onnx),
      .integers("strides", [convolution.stride.height, convolution.stride.width]),
    ]
  }
}

// MARK: - Reading

extension OnnxReader {
  fileprivate mutating func convolution(_ node: OnnxNode, _ result: String) throws(HGNetError) {
    var attributes = try window(node)
    attributes["groups"] = .integer(node.integer("group", 1))
    attributes["dilations"] = node.integers("dilations").map { .integers($0) }
    let hasBias = node.inputs.count > 2 && !node.inputs[2].isEmpty
    let product = hasBias ? "\(result)#product" : result
    try use(try operand(node, 1))
    append(
      "conv2d", node.type, inputs: ["Input": [node.inputs[0]], "Filter": [node.inputs[1]]], output: product, attributes,
      slot: "Output")
    if hasBias { try addBias(product, node.inputs[2], result, axis: 1) }
  }

  fileprivate mutating func product(_ node: OnnxNode, _ result: String) throws(HGNetError) {
    guard node.float("alpha", 1) == 1, node.float("beta", 1) == 1, node.integer("transA", 0) == 0 else {
      throw HGNetError(.unsupported, "expected a product without factors and with the rows of the first operand")
    }
    var weight = try operand(node, 1)
    if node.integer("transB", 0) != 0 { weight = try useTransposed(weight) } else { try use(weight) }
    let hasBias = node.inputs.count > 2 && !node.inputs[2].isEmpty
    let product = hasBias ? "\(result)#product" : result
    append("matmul", node.type, inputs: ["X": [node.inputs[0]], "Y": [weight]], output: product, [:])
    if hasBias { try addBias(product, node.inputs[2], result, axis: -1) }
  }
}

// MARK: - Writing

extension OnnxTranslation {
  /// A convolution with the batch normalisation behind it.
  fileprivate mutating func folded(
    _ convolution: Convolution, _ normalization: BatchNormalization, of node: Graph.Node, input: String
  ) throws(HGNetError) -> String {
    let weight = try parameter(convolution.weight)
    let folding = try normalization.folding(into: convolution.bias) { (name) throws(HGNetError) in
      try parameter(name).tensor().values
    }
    let name = node.name
    let weights: String
    var biases = folding.biases
    if let scales = weight.scales {
      biases = rounded(biases, scales: zip(scales, folding.factors).map { Double($0) * $1 }, of: node)
      weights = quantizedWeights(convolution.weight, weight, scales: scales, factors: folding.factors)
    } else {
      weights = graph.constant(
        convolution.weight, extents: weight.shape.dimensions, .scaled(weight, by: folding.factors))
    }
    let operands = [
      input, weights, graph.constant("\(name).bias", extents: [biases.count], .floats(biases)),
    ]
    return graph.node("Conv", operands, name: name, OnnxProducts.attributes(of: convolution))
  }

  /// The name of a bias; with weights in 8 bits, whole steps of its sums.
  fileprivate mutating func bias(_ name: String, _ weight: String, of node: Graph.Node) throws(HGNetError) -> String {
    guard let scales = try parameter(weight).scales, inputGrid(of: node) != nil else { return try constant(name) }
    let biases = rounded(try parameter(name).tensor().values, scales: scales.map { Double($0) }, of: node)
    return graph.constant("\(node.name).bias", extents: [biases.count], .floats(biases))
  }

  /// Biases as whole steps of sums in 8 bits; where what is read is float32, as they are.
  private func rounded(_ biases: [Float], scales: [Double], of node: Graph.Node) -> [Float] {
    guard let grid = inputGrid(of: node) else { return biases }
    return zip(biases, scales).map { bias, scale in
      Float(IntegerBias.rounded(Double(bias), step: Double(grid.scale) * scale))
    }
  }
}

extension Padding {
  /// Above, left, below, right, as ONNX counts them.
  var onnx: [Int] { [top, left, bottom, right] }
}
