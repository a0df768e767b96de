import HGNetCore

/// Convolutions and linear layers, with the additions that are their biases.
enum PaddleProducts: PaddleVocabulary {
  static let names = [
    PaddleName(
      "conv2d", older: ["conv2d", "depthwise_conv2d"], newer: ["conv2d", "depthwise_conv2d"],
      operands: ["Input", "Filter"], result: "Output"),
    PaddleName(
      "matmul", older: ["matmul_v2"], newer: ["matmul"], operands: ["X", "Y"],
      renamedAttributes: ["transpose_x": "trans_x", "transpose_y": "trans_y"]),
    // Products of old versions of PaddlePaddle, which are not read.
    PaddleName("matmul_v1", older: ["matmul"], newer: []),
    PaddleName("matmul_v0", older: ["mul"], newer: []),
  ]

  static func read(
    _ operation: PaddleProgram.Operation, into translator: inout PaddleTranslator
  ) throws(HGNetError) -> Bool {
    switch operation.kind {
    case "conv2d": try translator.convolution(operation)
    case "matmul": try translator.product(operation)
    default: return false
    }
    return true
  }

  static func write(_ node: Graph.Node, to program: inout PaddleOperations) -> PaddleOperations.Result? {
    switch node.operation {
    case .convolution(let convolution):
      let extents = program.extents(of: node)
      var result = program.append(
        .convolution(convolution), "conv2d", program.inputs(of: node) + [program.own(convolution.weight)], extents)
      if let bias = convolution.bias {
        result = program.append(.addChannelBias, "conv2d", [result, program.own(bias)], extents)
      }
      return .init(result, isFlat: program.isFlat(node))
    case .linear(let weight, let bias, _, _):
      let features = [-1, node.shape.channels]
      var operand = program.inputs(of: node)[0]
      if !program.isFlat(node) {
        let shape = program.graph[node.inputs[0]].shape
        operand = program.append(.flatten(from: 1), "flatten", [operand], [-1, shape.count])
      }
      var result = program.append(.product, "linear", [operand, program.own(weight)], features)
      if let bias { result = program.append(.addFeatureBias, "linear", [result, program.own(bias)], features) }
      return .init(result, isFlat: true)
    default: return nil
    }
  }
}

// MARK: - Reading

extension PaddleTranslator {
  fileprivate mutating func convolution(_ operation: PaddleProgram.Operation) throws(HGNetError) {
    let (input, border) = try bordered(operation, "Input")
    let (weight, extents) = try parameter(operation, "Filter")
    try operation.expectChannelsFirst("data_format")
    guard extents.count == 4, !input.isFlat else {
      throw HGNetError(.shapeMismatch, "expected a filter of 4 axes, found \(extents)", key: weight)
    }
    let groups = try operation.integer("groups", default: 1)
    guard groups >= 1, input.shape.channels % groups == 0, extents[0] % groups == 0,
      extents[1] == input.shape.channels / groups
    else {
      throw HGNetError(
        .shapeMismatch,
        "a filter \(extents) in \(groups) groups does not fit an input of \(input.shape.channels) channels", key: weight
      )
    }
    guard try operation.integers("dilations", default: [1, 1]).allSatisfy({ $0 == 1 }) else {
      throw HGNetError(.unsupported, "dilated convolutions are not part of PP-HGNet", key: weight)
    }
    var window = try Window(operation, kernel: Size(height: extents[2], width: extents[3]), input: input.shape)
    try window.widen(by: border)
    declare(weight, .convolutionWeight)
    let layer = Convolution(
      weight: weight, inputChannels: input.shape.channels, outputChannels: extents[0], kernel: window.kernel,
      stride: window.stride, padding: window.padding, groups: groups)
    values[try operation.output("Output")] = .activation(
      try wait(
        .convolution(layer), name: PaddleTranslator.layerName(of: weight), input: input,
        shape: try window.result(of: input.shape, channels: extents[0]), stride: window.stride(after: input.stride)))
  }

  fileprivate mutating func product(_ operation: PaddleProgram.Operation) throws(HGNetError) {
    let input = try activation(operation, "X")
    let (weight, extents) = try parameter(operation, "Y")
    guard try !operation.flag("trans_x", default: false), try !operation.flag("trans_y", default: false),
      extents.count == 2, input.isFlat, extents[0] == input.shape.channels
    else {
      throw HGNetError(
        .unsupported,
        "expected [N, \(input.shape.channels)] · [\(input.shape.channels), classes] without transposition, found a weight \(extents)",
        key: weight)
    }
    declare(weight, .linearWeight)
    let layer = Operator.linear(
      weight: weight, bias: nil, inputFeatures: extents[0], outputFeatures: extents[1])
    values[try operation.output("Out")] = .activation(
      try wait(
        layer, name: PaddleTranslator.layerName(of: weight), input: input,
        shape: ActivationShape(channels: extents[1], height: 1, width: 1), stride: nil, isFlat: true))
  }

  /// The convolution or linear layer that was waiting, now with its bias.
  mutating func bias(
    _ operation: PaddleProgram.Operation, _ activation: Activation, _ name: String, _ extents: [Int]
  ) throws(HGNetError) -> Activation {
    let channels = activation.shape.channels
    let axis = try operation.integer("axis", default: -1)
    let alongChannels =
      activation.isFlat
      ? extents == [channels] && (axis == -1 || axis == 1) || extents == [1, channels]
      : extents == [1, channels, 1, 1] || extents == [channels] && (axis == 1 || channels == 1)
    guard case .pending(let index) = activation.source, alongChannels, parameters[name]?.shape == [channels] else {
      throw HGNetError(
        .unsupported,
        "expected the bias of a convolution or linear layer of \(channels) channels, found a summand \(extents)",
        key: name)
    }
    let biased: Operator
    switch pending[index].operation {
    case .decoder(.groupedLinear(let weight, "", let tokens, let features, let perToken, let classes)):
      // Goes on waiting: the number of classes may come later.
      declare(name, .convolutionBias)
      let layer = DecoderOperator.groupedLinear(
        weight: weight, bias: name, tokens: tokens, features: features, classesPerToken: perToken, classes: classes)
      return replacing(activation, at: index, with: .decoder(layer), channels: channels)
    case .convolution(var layer):
      layer.bias = name
      declare(name, .convolutionBias)
      biased = .convolution(layer)
    case .linear(let weight, _, let inputFeatures, let outputFeatures):
      declare(name, .linearBias)
      biased = .linear(weight: weight, bias: name, inputFeatures: inputFeatures, outputFeatures: outputFeatures)
    default: throw HGNetError(.unsupported, "expected one bias for a layer, found another", key: name)
    }
    return try append(
      biased, name: pending[index].name, inputs: [pending[index].input], shape: activation.shape,
      stride: activation.stride, isFlat: activation.isFlat)
  }
}

// MARK: - Writing

extension PaddleOperation.Kind {
  static func convolution(_ convolution: Convolution) -> PaddleOperation.Kind {
    let padding = PaddlePadding(convolution.padding, kernel: convolution.kernel, stride: convolution.stride)
    let strides = [convolution.stride.height, convolution.stride.width]
    let isDepthwise = convolution.isDepthwise
    let name = isDepthwise ? "depthwise_conv2d" : "conv2d"
    return PaddleOperation.Kind { step, program in
      program.append(
        name, inputs: [("Filter", [step.inputs[1]]), ("Input", [step.inputs[0]])], outputs: [("Output", [step.result])],
        [
          ("data_format", .text("NCHW")), ("dilations", .integers([1, 1])), ("groups", .integer(convolution.groups)),
          ("padding_algorithm", .text(padding.rule)), ("paddings", .integers(padding.extents)),
          ("strides", .integers(strides)),
        ])
    } newer: { step, program in
      let groups = ("groups", program.integer(convolution.groups))
      let dilations = ("dilations", program.integers([1, 1]))
      program.append(
        "1.\(name)",
        [
          ("strides", program.integers(strides)), ("paddings", program.integers(padding.extents)),
          ("padding_algorithm", program.text(padding.rule)), isDepthwise ? groups : dilations,
          isDepthwise ? dilations : groups, ("data_format", program.text("NCHW")),
        ], inputs: program.ids(step), step)
    }
  }

  /// The sum with a parameter of one value per channel of `[N, C, H, W]`.
  static let addChannelBias = PaddleOperation.Kind { step, program in
    program.binary("elementwise_add", step, [("axis", .integer(1))])
  } newer: { step, program in
    let shape = [1, step.extents[1], 1, 1]
    let inputs = program.ids(step)
    let bias = program.reshaped(inputs[1], to: shape)
    program.append("1.add", [], inputs: [inputs[0], bias], step)
  }

  /// The sum with a parameter of one value per feature of `[N, C]`.
  static let addFeatureBias = add

  /// The product of `[N, C]` with a weight.
  static let product = matrixProduct(isTransposed: false)

  /// The product of two results, the second with its last axes exchanged if that is said.
  static func matrixProduct(isTransposed: Bool) -> PaddleOperation.Kind {
    PaddleOperation.Kind { step, program in
      program.binary("matmul_v2", step, [("trans_x", .flag(false)), ("trans_y", .flag(isTransposed))])
    } newer: { step, program in
      program.append(
        "1.matmul", [("transpose_x", program.flag(false)), ("transpose_y", program.flag(isTransposed))],
        inputs: program.ids(step), step)
    }
  }
}
