import HGNetCore

/// The operators of ONNX as those of a Paddle program.
extension OnnxReader {
  /// What is read; more than that is no part of these networks.
  private static let known =
    "Conv, BatchNormalization, Relu, Clip, Sigmoid, Softmax, Add, Sub, Mul, Div, Concat, Pad, MaxPool, GlobalAveragePool, "
    + "ReduceMean, Flatten, Squeeze, Reshape, Transpose, Slice, LayerNormalization, MatMul, Gemm"

  /// Why some operators are none of a classifier's.
  private static func reason(_ type: String) -> String {
    switch type {
    case "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger", "QLinearConv",
      "QLinearMatMul", "QLinearAdd", "QGemm":
      "it belongs to a quantised network; export the network in float32"
    case "If", "Loop", "Scan": "the graph decides while it runs; export the classifier alone, in inference"
    case "Resize", "Upsample": "it resizes pictures or maps; export without preprocessing, and no detector"
    case "AveragePool": "the mean must be over the whole map; export it as GlobalAveragePool or ReduceMean"
    case "NonMaxSuppression", "TopK", "GridSample": "it belongs to a detector; export its backbone as weights instead"
    case "ArgMax": "the output must be logits or probabilities; export without the choice of a class"
    default: "read are \(known)"
    }
  }

  mutating func translate(_ node: OnnxNode) throws(HGNetError) {
    guard let result = node.outputs.first, let input = node.inputs.first else {
      throw HGNetError(.malformedData, "expected inputs and a result")
    }
    switch node.type {
    case "Conv": try convolution(node, result)
    case "BatchNormalization": try normalization(node, result)
    case "Relu": unary("relu", node, result)
    case "Clip":
      try expectRectifier(node)
      unary("relu", node, result)
    case "Sigmoid": unary("sigmoid", node, result)
    case "Softmax": unary("softmax", node, result, ["axis": .integer(node.integer("axis", -1))])
    case "Reshape": try reshape(node, result)
    case "Transpose":
      try use(input)
      unary("transpose", node, result, ["axis": .integers(node.integers("perm") ?? [])])
    case "LayerNormalization":
      for name in node.inputs { try use(name) }
      append(
        "layer_norm", node.type,
        inputs: ["X": [input], "Scale": [try operand(node, 1)], "Bias": [try operand(node, 2)]],
        output: result,
        [
          "begin_norm_axis": .integer(node.integer("axis", -1)),
          "epsilon": .number(Double(node.float("epsilon", 1e-5))),
        ], slot: "Y")
    case "Slice":
      guard node.inputs.count <= 4 else { throw HGNetError(.unsupported, "expected a slice without steps") }
      append(
        "slice", node.type, inputs: ["Input": [input]], output: result,
        [
          "starts": .integers(try numbers(node, 1)), "ends": .integers(try numbers(node, 2)),
          "axes": .integers(try numbers(node, 3)),
        ])
    case "Dropout":
      throw HGNetError(.unsupported, "the network was exported as it trains; export it in inference (eval)")
    case "Flatten":
      guard [1, -3].contains(node.integer("axis", 1)) else {
        throw HGNetError(.unsupported, "expected a flattening from axis 1")
      }
      flatten(node, input, result)
    case "Squeeze":
      let axes = node.integers("axes") ?? node.inputs.dropFirst().first.flatMap { integers[$0]?.numbers }
      guard let axes, Set(axes.map { $0 < 0 ? $0 &+ 4 : $0 }) == [2, 3] else {
        throw HGNetError(.unsupported, "expected a squeeze of height and width")
      }
      flatten(node, input, result)
    case "GlobalAveragePool": mean(node, input, result)
    case "ReduceMean": try reducedMean(node, input, result)
    case "MaxPool": try maximumPool(node, result)
    case "Pad": try pad(node, result)
    case "Concat":
      append(
        "concat", node.type, inputs: ["X": node.inputs], output: result, ["axis": .integer(node.integer("axis", 0))])
    case "Mul", "Div": try multiply(node, result)
    case "Add", "Sub": try add(node, result)
    case "MatMul":
      for name in node.inputs { try use(name) }
      append("matmul", node.type, inputs: ["X": [input], "Y": [try operand(node, 1)]], output: result, [:])
    case "Gemm": try product(node, result)
    default:
      throw HGNetError(
        .unsupported,
        "the operator \(node.type.prefix(60)) is not part of PP-HGNet: \(OnnxReader.reason(node.type))")
    }
  }

  // MARK: With weights

  private mutating func convolution(_ node: OnnxNode, _ result: String) throws(HGNetError) {
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

  private mutating func normalization(_ node: OnnxNode, _ result: String) throws(HGNetError) {
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

  private mutating func product(_ node: OnnxNode, _ result: String) throws(HGNetError) {
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

  private mutating func addBias(_ product: String, _ bias: String, _ result: String, axis: Int) throws(HGNetError) {
    try use(bias, shape: weights[bias].map { [$0.shape.count] })
    append("elementwise_add", "bias", inputs: ["X": [product], "Y": [bias]], output: result, ["axis": .integer(axis)])
  }

  // MARK: Two operands

  /// A constant operand that is one number.
  private func number(_ name: String) -> Float? {
    guard let weight = weights[name], weight.shape.count == 1 else { return nil }
    return weight.tensor()[0]
  }

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

  private mutating func multiply(_ node: OnnxNode, _ result: String) throws(HGNetError) {
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

  private mutating func add(_ node: OnnxNode, _ result: String) throws(HGNetError) {
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
  private mutating func perChannel(
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

  // MARK: Without weights

  private func expectRectifier(_ node: OnnxNode) throws(HGNetError) {
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

  private mutating func reshape(_ node: OnnxNode, _ result: String) throws(HGNetError) {
    let name = try operand(node, 1)
    guard let shape = integers[name] else {
      throw HGNetError(.unsupported, "expected a constant shape, found one that the graph computes", key: name)
    }
    try use(node.inputs[0])
    let isFixedBatch = weights[node.inputs[0]] == nil && inputExtents.first ?? 0 > 0
    var extents: [Int] = []
    for (axis, element) in shape.elements.enumerated() {
      switch element {
      // A model for one number of pictures does the same with others.
      case .known(let number): extents.append(axis == 0 && isFixedBatch && number == inputExtents[0] ? 0 : number)
      case .batch where axis == 0: extents.append(0)
      default:
        throw HGNetError(.unsupported, "expected a shape that does not depend on the size of the pictures", key: name)
      }
    }
    unary("reshape", node, result, ["shape": .integers(extents)])
  }

  private mutating func flatten(_ node: OnnxNode, _ input: String, _ result: String) {
    append(
      "flatten_contiguous_range", node.type, inputs: ["X": [input]], output: result,
      ["start_axis": .integer(1), "stop_axis": .integer(-1)])
  }

  private mutating func mean(_ node: OnnxNode, _ input: String, _ result: String) {
    append(
      "pool2d", node.type, inputs: ["X": [input]], output: result,
      ["pooling_type": .text("avg"), "global_pooling": .flag(true)])
  }

  private mutating func reducedMean(_ node: OnnxNode, _ input: String, _ result: String) throws(HGNetError) {
    let axes = node.integers("axes") ?? node.inputs.dropFirst().first.flatMap { integers[$0]?.numbers } ?? []
    guard Set(axes.map { $0 < 0 ? $0 &+ 4 : $0 }) == [2, 3] else {
      throw HGNetError(
        .unsupported, "expected a mean over height and width (axes 2 and 3), found the axes \(axes.prefix(8))")
    }
    guard node.integer("keepdims", 1) == 0 else { return mean(node, input, result) }
    mean(node, input, "\(result)#mean")
    flatten(node, "\(result)#mean", result)
  }

  private mutating func maximumPool(_ node: OnnxNode, _ result: String) throws(HGNetError) {
    guard node.integers("dilations")?.allSatisfy({ $0 == 1 }) ?? true else {
      throw HGNetError(.unsupported, "dilated pools are not part of PP-HGNet")
    }
    var attributes = try window(node)
    attributes["pooling_type"] = .text("max")
    attributes["ksize"] = .integers(node.integers("kernel_shape") ?? [])
    attributes["ceil_mode"] = .flag(node.integer("ceil_mode", 0) == 1)
    unary("pool2d", node, result, attributes)
  }

  /// A border of zeros before a convolution or a pool.
  private mutating func pad(_ node: OnnxNode, _ result: String) throws(HGNetError) {
    let mode = node.attributes["mode"]?.text ?? "constant"
    let pads: [Int]
    if let given = node.integers("pads") { pads = given } else { pads = try numbers(node, 1) }
    let fill: Float?
    if node.inputs.count > 2, !node.inputs[2].isEmpty {
      fill = number(node.inputs[2])
    } else {
      fill = node.float("value", 0)
    }
    guard mode == "constant", fill == 0, node.inputs.count < 4, pads.count == 8, pads[0] == 0, pads[1] == 0,
      pads[4] == 0, pads[5] == 0, pads.allSatisfy({ $0 >= 0 })
    else {
      throw HGNetError(
        .unsupported,
        "expected a border of zeros around height and width, found the mode \(mode.prefix(20)), pads \(pads.prefix(8))")
    }
    unary("pad", node, result, ["paddings": .integers([pads[2], pads[6], pads[3], pads[7]])])
  }

  private func window(_ node: OnnxNode) throws(HGNetError) -> [String: PaddleProgram.Attribute] {
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

  private mutating func unary(
    _ kind: String, _ node: OnnxNode, _ result: String, _ attributes: [String: PaddleProgram.Attribute] = [:]
  ) {
    append(kind, node.type, inputs: ["X": [node.inputs[0]]], output: result, attributes)
  }

  private func operand(_ node: OnnxNode, _ index: Int) throws(HGNetError) -> String {
    guard node.inputs.indices.contains(index), !node.inputs[index].isEmpty else {
      throw HGNetError(.malformedData, "expected at least \(index + 1) inputs, found \(node.inputs.count)")
    }
    return node.inputs[index]
  }

  private func numbers(_ node: OnnxNode, _ index: Int) throws(HGNetError) -> [Int] {
    let name = try operand(node, index)
    guard let values = integers[name]?.numbers else {
      throw HGNetError(.unsupported, "expected constant whole numbers, found a computed value", key: name)
    }
    return values
  }
}

// MARK: - Extents

extension OnnxReader {
  /// Notes the extents of a node's result, as far as arithmetic on shapes may ask for them.
  mutating func follow(_ node: OnnxNode) throws(HGNetError) {
    guard let result = node.outputs.first else { return }
    let inputs = node.inputs.compactMap { computed[$0]?.extents }
    guard let first = inputs.first else { return }
    computed[result] = Computed(extents: extents(of: node, first, inputs))
  }

  private func extents(
    of node: OnnxNode, _ first: [OnnxIntegers.Element], _ inputs: [[OnnxIntegers.Element]]
  ) -> [OnnxIntegers.Element]? {
    let channels = first.count > 1 ? first[1] : .open
    let rows = node.inputs.dropFirst().first.flatMap { weights[$0]?.shape.dimensions } ?? []
    switch node.type {
    case "Relu", "Clip", "Sigmoid", "Softmax", "BatchNormalization", "Dropout", "Add", "Sub", "Mul", "Div":
      // A map times a factor per channel is as large as the map.
      return inputs.first { $0.count == 4 && $0[2] != .known(1) } ?? first
    case "Conv" where !rows.isEmpty: return [first[0], .known(rows[0]), .open, .open]
    case "MaxPool", "Pad": return [first[0], channels, .open, .open]
    case "GlobalAveragePool": return [first[0], channels, .known(1), .known(1)]
    case "ReduceMean":
      return node.integer("keepdims", 1) == 0 ? [first[0], channels] : [first[0], channels, .known(1), .known(1)]
    case "Concat" where node.integer("axis", 0) == 1 && inputs.allSatisfy { $0.count == first.count }:
      var joined: Int? = 0
      for input in inputs {
        guard let sum = joined, let count = input.count > 1 ? input[1].number : nil else {
          joined = nil
          break
        }
        let (next, overflow) = sum.addingReportingOverflow(count)
        joined = overflow ? nil : next
      }
      return [first[0], joined.map(OnnxIntegers.Element.known) ?? .open] + first.dropFirst(2)
    case "Flatten", "Squeeze":
      return first.dropFirst(2).allSatisfy { $0 == .known(1) } ? [first[0], channels] : [first[0], .open]
    case "Gemm" where rows.count == 2: return [first[0], .known(rows[node.integer("transB", 0) == 0 ? 1 : 0])]
    case "MatMul" where rows.count == 2: return [first[0], .known(rows[1])]
    case "Reshape":
      guard let shape = node.inputs.dropFirst().first.flatMap({ integers[$0]?.elements }), shape.count == 2 else {
        return nil
      }
      return [first[0], shape[1] == .known(-1) ? channels : shape[1]]
    default: return nil
    }
  }
}
