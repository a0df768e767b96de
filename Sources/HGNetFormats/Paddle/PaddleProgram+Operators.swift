import HGNetCore

extension PaddleTranslator {
  /// Translates one operator.
  ///
  /// - Throws: `HGNetError.Code.unsupported` naming it when it is none of these networks'.
  mutating func translate(_ operation: PaddleProgram.Operation) throws(HGNetError) {
    if try translateTokens(operation) { return }
    switch operation.kind {
    case "feed": try feed(operation)
    case "fetch": try fetch(operation)
    case "conv2d": try convolution(operation)
    case "batch_norm": try batchNormalization(operation)
    case "relu": try elementwise(.relu, operation)
    case "sigmoid": try sigmoid(operation)
    case "softmax": try softmax(operation)
    case "elementwise_mul": try multiply(operation)
    case "elementwise_add": try add(operation)
    case "pool2d": try pool(operation)
    case "pad": try pad(operation)
    case "concat": try concatenate(operation)
    case "dropout": try dropout(operation)
    case "flatten", "flatten_contiguous_range": try flatten(operation)
    case "reshape": try reshape(operation)
    case "matmul": try product(operation)
    case "scale": try scale(operation)
    case "assign": values[try operation.output("Out")] = try value(operation, "X")
    default:
      throw HGNetError(
        .unsupported, "the operator \(operation.kind) is not part of PP-HGNet; export a plain float32 classifier")
    }
  }

  // MARK: Layers with parameters

  private mutating func convolution(_ operation: PaddleProgram.Operation) throws(HGNetError) {
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

  private mutating func batchNormalization(_ operation: PaddleProgram.Operation) throws(HGNetError) {
    let input = try activation(operation, "X")
    try operation.expectChannelsFirst("data_layout")
    try operation.expectChannelsFirst("data_format")
    var names: [String] = []
    let slots: [(String, ParameterRole)] = [
      ("Scale", .normalizationWeight), ("Bias", .normalizationBias), ("Mean", .runningMean),
      ("Variance", .runningVariance),
    ]
    for (slot, role) in slots {
      let (name, extents) = try parameter(operation, slot)
      guard extents == [input.shape.channels] else {
        throw HGNetError(.shapeMismatch, "expected the shape [\(input.shape.channels)], found \(extents)", key: name)
      }
      declare(name, role)
      names.append(name)
    }
    let epsilon = try operation.number("epsilon", default: 1e-5)
    let momentum = try operation.number("momentum", default: 0.9)
    guard epsilon >= 0, epsilon <= 1, momentum >= 0, momentum <= 1 else {
      throw HGNetError(.malformedData, "expected epsilon and momentum from 0 to 1, found \(epsilon) and \(momentum)")
    }
    let layer = BatchNormalization(
      weight: names[0], bias: names[1], mean: names[2], variance: names[3], epsilon: Float(epsilon),
      momentum: Float(momentum))
    values[try operation.output("Y")] = .activation(
      try append(
        .batchNormalization(layer), name: PaddleTranslator.layerName(of: names[0]), inputs: [try node(of: input)],
        shape: input.shape, stride: input.stride, isFlat: input.isFlat))
  }

  private mutating func product(_ operation: PaddleProgram.Operation) throws(HGNetError) {
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

  // MARK: Two operands

  private mutating func multiply(_ operation: PaddleProgram.Operation) throws(HGNetError) {
    let left = try value(operation, "X")
    let right = try value(operation, "Y")
    let result = try operation.output("Out")
    switch (left, right) {
    case (.parameter(let name, let extents), .activation(let activation)),
      (.activation(let activation), .parameter(let name, let extents)):
      guard extents.allSatisfy({ $0 == 1 }) else {
        throw HGNetError(.unsupported, "expected a factor of one value, found the shape \(extents)", key: name)
      }
      values[result] = .scaled(activation, by: name)
    case (.activation(let first), .activation(let second)):
      let isFactor = { (activation: Activation) in activation.shape.height == 1 && activation.shape.width == 1 }
      let (full, factor) = isFactor(second) ? (first, second) : (second, first)
      guard isFactor(factor), factor.shape.channels == full.shape.channels, full.isFlat == factor.isFlat else {
        throw HGNetError(
          .unsupported, "expected one factor per channel, found \(first.shape) times \(second.shape)")
      }
      try operation.expectEqualRanks()
      values[result] = .activation(
        try append(
          .multiplyPerChannel, name: numbered("elementwise_mul"), inputs: [try node(of: full), try node(of: factor)],
          shape: full.shape, stride: full.stride, isFlat: full.isFlat))
    default: throw HGNetError(.unsupported, "such a multiplication is not part of PP-HGNet")
    }
  }

  private mutating func add(_ operation: PaddleProgram.Operation) throws(HGNetError) {
    let left = try value(operation, "X")
    let right = try value(operation, "Y")
    let result = try operation.output("Out")
    switch (left, right) {
    case (.parameter(let name, let extents), .scaled(let activation, let scale)),
      (.scaled(let activation, let scale), .parameter(let name, let extents)):
      guard extents.allSatisfy({ $0 == 1 }) else {
        throw HGNetError(.unsupported, "expected a summand of one value, found the shape \(extents)", key: name)
      }
      declare(scale, .affineScale)
      declare(name, .affineBias)
      values[result] = .activation(
        try append(
          .affine(scale: scale, bias: name), name: PaddleTranslator.layerName(of: scale),
          inputs: [try node(of: activation)], shape: activation.shape, stride: activation.stride,
          isFlat: activation.isFlat))
    case (.activation(let activation), .parameter(let name, let extents)):
      values[result] = .activation(try bias(operation, activation, name, extents))
    case (.activation(let first), .activation(let second)):
      guard first.shape == second.shape, first.isFlat == second.isFlat else {
        throw HGNetError(.shapeMismatch, "cannot add \(first.shape) and \(second.shape)")
      }
      try operation.expectEqualRanks()
      values[result] = .activation(
        try append(
          .add, name: numbered("elementwise_add"), inputs: [try node(of: first), try node(of: second)],
          shape: first.shape, stride: first.stride == second.stride ? first.stride : nil, isFlat: first.isFlat))
    default: throw HGNetError(.unsupported, "such an addition is not part of PP-HGNet")
    }
  }

  /// The convolution or linear layer that was waiting, now with its bias.
  private mutating func bias(
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

  // MARK: Without parameters

  private mutating func elementwise(
    _ kind: Operator, _ operation: PaddleProgram.Operation
  ) throws(HGNetError) {
    let input = try activation(operation, "X")
    values[try operation.output("Out")] = .activation(
      try append(
        kind, name: numbered(operation.kind), inputs: [try node(of: input)], shape: input.shape, stride: input.stride,
        isFlat: input.isFlat))
  }

  private mutating func sigmoid(_ operation: PaddleProgram.Operation) throws(HGNetError) {
    let logits = try node(of: try activation(operation, "X"))
    try elementwise(.sigmoid, operation)
    noteHead(.sigmoid, try activation(named: operation.output("Out")), logits: logits)
  }

  private mutating func softmax(_ operation: PaddleProgram.Operation) throws(HGNetError) {
    let input = try activation(operation, "X")
    let axis = try operation.integer("axis", default: -1)
    guard axis == 1 || axis == (input.isFlat ? -1 : -3) else {
      throw HGNetError(.unsupported, "expected a softmax over the classes, found axis \(axis)")
    }
    let logits = try node(of: input)
    try elementwise(.softmax, operation)
    noteHead(.softmax, try activation(named: operation.output("Out")), logits: logits)
  }

  /// A border of zeros, which goes into the windows that read it.
  private mutating func pad(_ operation: PaddleProgram.Operation) throws(HGNetError) {
    let (input, border) = try bordered(operation, "X")
    let sides = try operation.integers("paddings", default: [])
    guard sides.count == 4, sides.allSatisfy({ 0...PaddleTranslator.widestBorder ~= $0 }), !input.isFlat,
      border == Padding(0)
    else { throw HGNetError(.unsupported, "expected one border of at most \(PaddleTranslator.widestBorder) pixels") }
    values[try operation.output("Out")] = .padded(
      input, Padding(top: sides[0], left: sides[2], bottom: sides[1], right: sides[3]))
  }

  private static let widestBorder = 8

  /// The result of an earlier operator that a slot reads, with the border around it.
  private func bordered(
    _ operation: PaddleProgram.Operation, _ slot: String
  ) throws(HGNetError) -> (Activation, Padding) {
    if case .padded(let activation, let border) = try value(operation, slot) { return (activation, border) }
    return (try activation(operation, slot), Padding(0))
  }

  /// A map with its border of zeros as a map of its own: what a convolution by one makes.
  ///
  /// A maximum pool leaves its own border out, where zeros win over negative values.
  private mutating func materialized(_ input: Activation, _ border: Padding) throws(HGNetError) -> Activation {
    let channels = input.shape.channels
    let name = numbered("pad")
    let ones = Tensor(shape: [channels, 1, 1, 1], values: [Float](repeating: 1, count: channels))
    added["\(name).one"] = Parameter(ones)
    declare("\(name).one", .convolutionWeight)
    let layer = Convolution(
      weight: "\(name).one", inputChannels: channels, outputChannels: channels, kernel: Size(1), stride: Size(1),
      padding: border, groups: channels)
    var shape = input.shape
    shape.height += border.top + border.bottom
    shape.width += border.left + border.right
    return try append(
      .convolution(layer), name: name, inputs: [try node(of: input)], shape: shape, stride: input.stride)
  }

  private mutating func pool(_ operation: PaddleProgram.Operation) throws(HGNetError) {
    var (input, border) = try bordered(operation, "X")
    try operation.expectChannelsFirst("data_format")
    let kind = try operation.text("pooling_type", default: "max")
    let extents = try operation.integers("ksize", default: [])
    let isAdaptive = try operation.flag("adaptive", default: false)
    let isGlobal = try operation.flag("global_pooling", default: false) || isAdaptive && extents == [1, 1]
    let result = try operation.output("Out")
    if kind == "avg", isGlobal {
      // A border of zeros would count in the mean.
      guard border == Padding(0) else { throw HGNetError(.unsupported, "expected a mean without a border") }
      values[result] = .activation(
        try append(
          .globalAveragePool, name: numbered("pool2d"), inputs: [try node(of: input)],
          shape: ActivationShape(channels: input.shape.channels, height: 1, width: 1), stride: nil))
      return
    }
    guard kind == "max", !isGlobal, !isAdaptive, extents.count == 2 else {
      throw HGNetError(.unsupported, "expected a maximum pool or a global mean, found a pool \(kind) of \(extents)")
    }
    if border != Padding(0), !hasNoNegative(input) {
      input = try materialized(input, border)
      border = Padding(0)
    }
    var window = try Window(operation, kernel: Size(height: extents[0], width: extents[1]), input: input.shape)
    try window.widen(by: border)
    if try operation.flag("ceil_mode", default: false) { window.coverRest(of: input.shape) }
    let padding = window.padding
    guard max(padding.top, padding.bottom) < window.kernel.height,
      max(padding.left, padding.right) < window.kernel.width
    else { throw HGNetError(.unsupported, "a border as wide as the window of a maximum pool has no maximum") }
    values[result] = .activation(
      try append(
        .maxPool(kernel: window.kernel, stride: window.stride, padding: padding), name: numbered("pool2d"),
        inputs: [try node(of: input)], shape: try window.result(of: input.shape, channels: input.shape.channels),
        stride: window.stride(after: input.stride)))
  }

  private mutating func concatenate(_ operation: PaddleProgram.Operation) throws(HGNetError) {
    var inputs: [Activation] = []
    for name in operation.inputs["X"] ?? [] { inputs.append(try activation(named: name)) }
    guard let first = inputs.first else { throw HGNetError(.malformedData, "expected something to concatenate") }
    let axis = try operation.integer("axis", default: 0)
    guard axis == 1 || axis == (first.isFlat ? -1 : -3), operation.inputs["AxisTensor"]?.isEmpty ?? true else {
      throw HGNetError(.unsupported, "expected a concatenation of channels (axis 1), found axis \(axis)")
    }
    var shape = first.shape
    shape.channels = 0
    var nodes: [Graph.NodeID] = []
    for input in inputs {
      guard input.shape.height == first.shape.height, input.shape.width == first.shape.width,
        input.isFlat == first.isFlat
      else { throw HGNetError(.shapeMismatch, "cannot concatenate \(first.shape) and \(input.shape)") }
      nodes.append(try node(of: input))
      // Every summand is below 2^17, and their number below what a file can list.
      shape.channels += input.shape.channels
    }
    let stride = inputs.allSatisfy { $0.stride == first.stride } ? first.stride : nil
    values[try operation.output("Out")] = .activation(
      try append(
        .concatenate, name: numbered("concat"), inputs: nodes, shape: shape, stride: stride, isFlat: first.isFlat))
  }

  private mutating func dropout(_ operation: PaddleProgram.Operation) throws(HGNetError) {
    let input = try activation(operation, "X")
    let probability = try operation.number("dropout_prob", default: 0.5)
    guard probability >= 0, probability <= 1 else {
      throw HGNetError(.malformedData, "expected a dropout probability from 0 to 1, found \(probability)")
    }
    let mode = try operation.text("dropout_implementation", default: "downgrade_in_infer")
    let result = try operation.output("Out")
    switch mode {
    case "upscale_in_train": values[result] = .activation(input)
    case "downgrade_in_infer":
      guard probability > 0 else {
        values[result] = .activation(input)
        return
      }
      values[result] = .activation(
        try append(
          .dropout(probability: Float(probability)), name: numbered("dropout"), inputs: [try node(of: input)],
          shape: input.shape, stride: input.stride, isFlat: input.isFlat))
    default: throw HGNetError(.unsupported, "the dropout mode \(mode) is not known")
    }
  }

  private mutating func flatten(_ operation: PaddleProgram.Operation) throws(HGNetError) {
    let input = try activation(operation, "X")
    let first = try operation.integer(operation.kind == "flatten" ? "axis" : "start_axis", default: 1)
    let last = try operation.integer("stop_axis", default: -1)
    guard first == 1, last == -1 || last == (input.isFlat ? 1 : 3) else {
      throw HGNetError(.unsupported, "expected to flatten the axes 1 to 3, found \(first) to \(last)")
    }
    values[try operation.output("Out")] = .activation(try flattened(input))
  }

  private mutating func flattened(_ input: Activation) throws(HGNetError) -> Activation {
    if input.isFlat { return input }
    if case .pending(let index) = input.source, case .decoder = pending[index].operation {
      var flat = input
      flat.isFlat = true
      return flat
    }
    guard input.shape.height == 1, input.shape.width == 1 else {
      throw HGNetError(.shapeMismatch, "cannot flatten \(input.shape): expected one pixel; is a global pool missing?")
    }
    return try append(
      .flatten, name: numbered("flatten"), inputs: [try node(of: input)], shape: input.shape, stride: nil,
      isFlat: true)
  }

  /// A bias seen as `[1, C, 1, 1]`, or what amounts to flattening.
  private mutating func reshape(_ operation: PaddleProgram.Operation) throws(HGNetError) {
    guard operation.inputs["Shape"]?.isEmpty ?? true, operation.inputs["ShapeTensor"]?.isEmpty ?? true else {
      throw HGNetError(.unsupported, "expected a constant shape, found a computed one")
    }
    let extents = try operation.integers("shape", default: [])
    let result = try operation.output("Out")
    switch try value(operation, "X") {
    case .parameter(let name, let old):
      let wanted = [1, old.first ?? 0, 1, 1]
      guard old.count == 1, extents == wanted || extents == [1, -1, 1, 1] else {
        throw HGNetError(.unsupported, "expected a bias \(old) to become \(wanted), found \(extents)", key: name)
      }
      values[result] = .parameter(name: name, shape: wanted)
    case .activation(let input):
      guard extents.count == 2, extents[0] == 0 || extents[0] == -1, extents[0] != extents[1],
        extents[1] == -1 || extents[1] == input.shape.channels
      else { throw HGNetError(.unsupported, "expected a reshape to [N, \(input.shape.count)], found \(extents)") }
      values[result] = .activation(try flattened(input))
    case .scaled, .padded, .tokens, .extents: throw HGNetError(.unsupported, "such a reshape is not part of PP-HGNet")
    }
  }

  /// Older exports end with a scale by 1 that only gives the output its name.
  private mutating func scale(_ operation: PaddleProgram.Operation) throws(HGNetError) {
    let factor = try operation.number("scale", default: 1)
    let summand = try operation.number("bias", default: 0)
    guard factor == 1, summand == 0, operation.inputs["ScaleTensor"]?.isEmpty ?? true else {
      throw HGNetError(.unsupported, "expected a scale of 1 and a bias of 0, found \(factor) and \(summand)")
    }
    values[try operation.output("Out")] = try value(operation, "X")
  }
}
