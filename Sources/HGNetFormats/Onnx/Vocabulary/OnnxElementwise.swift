import HGNetCore

/// What is computed value by value, alone or with a second operand; of this also the affine block, a multiplication and
/// an addition.
enum OnnxElementwise: OnnxVocabulary {
  static let types = ["Relu", "Clip", "Sigmoid", "Softmax", "Add", "Sub", "Mul", "Div", "Dropout"]

  static func read(
    _ node: OnnxNode, _ result: String, into reader: inout OnnxReader
  ) throws(HGNetError) -> Bool {
    switch node.type {
    case "Relu": reader.unary("relu", node, result)
    case "Clip":
      try reader.expectRectifier(node)
      reader.unary("relu", node, result)
    case "Sigmoid": reader.unary("sigmoid", node, result)
    case "Softmax": reader.unary("softmax", node, result, ["axis": .integer(node.integer("axis", -1))])
    case "Mul", "Div": try reader.multiply(node, result)
    case "Add", "Sub": try reader.add(node, result)
    case "Dropout":
      throw HGNetError(.unsupported, "the network was exported as it trains; export it in inference (eval)")
    default: return false
    }
    return true
  }

  static func extents(
    of node: OnnxNode, _ inputs: [[OnnxIntegers.Element]], in reader: OnnxReader
  ) -> [OnnxIntegers.Element]? {
    // A map times a factor per channel is as large as the map.
    inputs.first { $0.count == 4 && $0[2] != .known(1) } ?? inputs[0]
  }

  static func write(_ node: Graph.Node, to translation: inout OnnxTranslation) throws(HGNetError) -> String? {
    let inputs = translation.inputs(of: node)
    switch node.operation {
    case .relu: return translation.graph.node("Relu", inputs, name: node.name)
    case .sigmoid: return translation.graph.node("Sigmoid", inputs, name: node.name)
    case .softmax: return translation.graph.node("Softmax", inputs, name: node.name, [.integer("axis", 1)])
    case .affine(let scale, let bias):
      let scaled = translation.graph.node(
        "Mul", [inputs[0], try translation.constant(scale)], name: "\(node.name).mul")
      return translation.graph.node("Add", [scaled, try translation.constant(bias)], name: node.name)
    case .add: return translation.graph.node("Add", inputs, name: node.name)
    case .multiplyPerChannel: return translation.graph.node("Mul", inputs, name: node.name)
    case .dropout(let probability):
      // In inference PaddlePaddle's dropout is a constant factor.
      guard probability > 0 else { return inputs[0] }
      let factor = translation.graph.constant("\(node.name).factor", extents: [1], .floats([1 - probability]))
      return translation.graph.node("Mul", [inputs[0], factor], name: node.name)
    default: return nil
    }
  }
}

// MARK: - Reading

extension OnnxReader {
  /// The number of channels of a constant operand with a value for each channel of a map, `[1, C, 1, 1]` or `[C, 1, 1]`.
  private func channelCount(_ name: String) -> Int? {
    guard var extents = weights[name]?.shape.dimensions else { return nil }
    if extents.count == 4, extents[0] == 1 { extents.removeFirst() }
    return extents.count == 3 && extents[1] == 1 && extents[2] == 1 ? extents[0] : nil
  }

  /// The computed operand first, the constant one second; both as they are where both are computed.
  private mutating func operands(_ node: OnnxNode) throws(HGNetError) -> (String, String) {
    let (left, right) = (node.inputs[0], try operand(node, 1))
    guard weights[left] != nil || weights[right] != nil else {
      guard node.type == "Add" || node.type == "Mul" else {
        throw HGNetError(.unsupported, "expected a constant to subtract or divide by, found a computed value")
      }
      return (left, right)
    }
    guard weights[left] == nil || weights[right] == nil else {
      throw HGNetError(
        .unsupported, "expected weights as constants, found some that the graph computes; fold them first")
    }
    if node.type == "Add" || node.type == "Mul" { return weights[left] == nil ? (left, right) : (right, left) }
    guard weights[left] == nil else { throw HGNetError(.unsupported, "expected a constant as the second operand") }
    let isDivision = node.type == "Div"
    return (left, try useChanged(right, "\(right)#\(node.type)") { isDivision ? 1 / $0 : -$0 })
  }

  fileprivate mutating func multiply(_ node: OnnxNode, _ result: String) throws(HGNetError) {
    let (value, constant) = try operands(node)
    if let factor = number(constant) {
      guard !isShifted(result) else {
        try use(constant, shape: [1])
        append("elementwise_mul", node.type, inputs: ["X": [value], "Y": [constant]], output: result, [:])
        return
      }
      // PaddlePaddle's dropout in inference is a factor that nothing is added to.
      guard !(0...1).contains(factor) else {
        append(
          "dropout", node.type, inputs: ["X": [value]], output: result,
          ["dropout_prob": .number(Double(1 - factor)), "dropout_implementation": .text("downgrade_in_infer")])
        return
      }
      try use(constant, shape: [1])
      useNumber(0, as: "\(result)#zero")
      append("elementwise_mul", node.type, inputs: ["X": [value], "Y": [constant]], output: "\(result)#scaled", [:])
      append(
        "elementwise_add", node.type, inputs: ["X": ["\(result)#scaled"], "Y": ["\(result)#zero"]], output: result, [:])
    } else if let channels = channelCount(constant) {
      try use(constant, shape: [channels, 1, 1, 1])
      perChannel(node, value, constant, channels, result)
    } else {
      try use(constant)
      append("elementwise_mul", node.type, inputs: ["X": [value], "Y": [constant]], output: result, [:])
    }
  }

  fileprivate mutating func add(_ node: OnnxNode, _ result: String) throws(HGNetError) {
    var (value, constant) = try operands(node)
    if number(constant) != nil {
      if !isScaled(value), !isProduct(value) {
        useNumber(1, as: "\(result)#one")
        append(
          "elementwise_mul", node.type, inputs: ["X": [value], "Y": ["\(result)#one"]], output: "\(result)#scaled", [:])
        value = "\(result)#scaled"
      }
      try use(constant, shape: [1])
      append(
        "elementwise_add", node.type, inputs: ["X": [value], "Y": [constant]], output: result, ["axis": .integer(1)])
    } else if let channels = channelCount(constant) {
      if !isProduct(value) {
        let ones = "\(result)#ones"
        try useOnes(channels, as: ones)
        perChannel(node, value, ones, channels, "\(result)#map")
        value = "\(result)#map"
      }
      try use(constant, shape: [channels])
      append(
        "elementwise_add", node.type, inputs: ["X": [value], "Y": [constant]], output: result, ["axis": .integer(1)])
    } else {
      // The bias of a linear layer may have a row of its own.
      let extents = weights[constant]?.shape.dimensions ?? []
      try use(constant, shape: extents.count == 2 && extents[0] == 1 && isProduct(value) ? [extents[1]] : nil)
      append("elementwise_add", node.type, inputs: ["X": [value], "Y": [constant]], output: result, [:])
    }
  }

  /// A factor for each channel is a 1×1 convolution of every channel on its own.
  mutating func perChannel(
    _ node: OnnxNode, _ value: String, _ weight: String, _ channels: Int, _ result: String
  ) {
    append(
      "conv2d", node.type, inputs: ["Input": [value], "Filter": [weight]], output: result,
      ["strides": .integers([1, 1]), "paddings": .integers([0, 0]), "groups": .integer(channels)], slot: "Output")
  }

  /// Whether every reader of a value adds one number to it.
  private func isShifted(_ name: String) -> Bool {
    let indices = readers[name] ?? []
    return !indices.isEmpty
      && indices.allSatisfy { index in
        let node = nodes[index]
        return (node.type == "Add" && node.inputs.contains { number($0) != nil })
          || (node.type == "Sub" && node.inputs.last.flatMap(number) != nil)
      }
  }

  /// Whether a value is a multiplication by one number that still waits for its addition.
  private func isScaled(_ name: String) -> Bool { kinds[name] == "elementwise_mul" }

  /// Whether a value is a convolution or a product, which may get a bias.
  private func isProduct(_ name: String) -> Bool { kinds[name] == "conv2d" || kinds[name] == "matmul" }

  fileprivate func expectRectifier(_ node: OnnxNode) throws(HGNetError) {
    func bound(_ index: Int, _ key: String) -> Float? {
      if let attribute = node.attributes[key] { return attribute.float }
      return node.inputs.indices.contains(index) && !node.inputs[index].isEmpty
        ? number(node.inputs[index]) ?? .nan : nil
    }
    let (low, high) = (bound(1, "min"), bound(2, "max"))
    guard low == 0, high.map({ $0 >= .greatestFiniteMagnitude }) ?? true else {
      throw HGNetError(
        .unsupported,
        "expected bounds of 0 and none, which make a ReLU, found \(low ?? -.infinity) and \(high ?? .infinity)")
    }
  }
}
