import HGNetCore

/// What is computed value by value, alone or with a second operand; of this also the affine block, a multiplication and
/// an addition.
enum PaddleElementwise: PaddleVocabulary {
  static let names = [
    PaddleName("relu", older: ["relu", "relu_"], newer: ["relu", "relu_"]),
    PaddleName("sigmoid", newer: ["sigmoid", "sigmoid_"]),
    PaddleName("softmax", newer: ["softmax", "softmax_"]),
    PaddleName("elementwise_mul", newer: ["multiply", "multiply_"], operands: ["X", "Y"]),
    PaddleName("elementwise_add", newer: ["add", "add_"], operands: ["X", "Y"]),
    PaddleName(
      "dropout", newer: ["dropout"], constants: [2: "dropout_prob"],
      renamedAttributes: ["mode": "dropout_implementation"]),
    PaddleName("scale", newer: ["scale", "scale_"], constants: [1: "scale"]),
    PaddleName("assign", newer: ["assign"]),
  ]

  static func read(
    _ operation: PaddleProgram.Operation, into translator: inout PaddleTranslator
  ) throws(HGNetError) -> Bool {
    switch operation.kind {
    case "relu": try translator.elementwise(.relu, operation)
    case "sigmoid": try translator.sigmoid(operation)
    case "softmax": try translator.softmax(operation)
    case "elementwise_mul": try translator.multiply(operation)
    case "elementwise_add": try translator.add(operation)
    case "dropout": try translator.dropout(operation)
    case "scale": try translator.scale(operation)
    case "assign": translator.values[try operation.output("Out")] = try translator.value(operation, "X")
    default: return false
    }
    return true
  }

  static func write(_ node: Graph.Node, to program: inout PaddleOperations) -> PaddleOperations.Result? {
    let (inputs, extents) = (program.inputs(of: node), program.extents(of: node))
    let result: String
    switch node.operation {
    case .relu: result = program.append(.relu, "relu", inputs, extents)
    case .sigmoid: result = program.append(.sigmoid, "sigmoid", inputs, extents)
    case .softmax: result = program.append(.softmax, "softmax", inputs, extents)
    case .affine(let scale, let bias):
      let scaled = program.append(.multiply, "tmp", [program.own(scale)] + inputs, extents)
      result = program.append(.add, "tmp", [scaled, program.own(bias)], extents)
    case .add: result = program.append(.add, "tmp", inputs, extents)
    case .multiplyPerChannel: result = program.append(.multiply, "tmp", inputs, extents)
    case .dropout(let probability):
      // Dropout of nothing leaves no operator in a program.
      result =
        probability > 0 ? program.append(.dropout(probability: probability), "dropout", inputs, extents) : inputs[0]
    default: return nil
    }
    return .init(result, isFlat: program.isFlat(node))
  }
}

// MARK: - Reading

extension PaddleTranslator {
  fileprivate mutating func elementwise(
    _ kind: Operator, _ operation: PaddleProgram.Operation
  ) throws(HGNetError) {
    let input = try activation(operation, "X")
    values[try operation.output("Out")] = .activation(
      try append(
        kind, name: numbered(operation.kind), inputs: [try node(of: input)], shape: input.shape, stride: input.stride,
        isFlat: input.isFlat))
  }

  fileprivate mutating func sigmoid(_ operation: PaddleProgram.Operation) throws(HGNetError) {
    let logits = try node(of: try activation(operation, "X"))
    try elementwise(.sigmoid, operation)
    noteHead(.sigmoid, try activation(named: operation.output("Out")), logits: logits)
  }

  fileprivate mutating func softmax(_ operation: PaddleProgram.Operation) throws(HGNetError) {
    let input = try activation(operation, "X")
    let axis = try operation.integer("axis", default: -1)
    guard axis == 1 || axis == (input.isFlat ? -1 : -3) else {
      throw HGNetError(.unsupported, "expected a softmax over the classes, found axis \(axis)")
    }
    let logits = try node(of: input)
    try elementwise(.softmax, operation)
    noteHead(.softmax, try activation(named: operation.output("Out")), logits: logits)
  }

  fileprivate mutating func multiply(_ operation: PaddleProgram.Operation) throws(HGNetError) {
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

  fileprivate mutating func add(_ operation: PaddleProgram.Operation) throws(HGNetError) {
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

  fileprivate mutating func dropout(_ operation: PaddleProgram.Operation) throws(HGNetError) {
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

  /// Older exports end with a scale by 1 that only gives the output its name.
  fileprivate mutating func scale(_ operation: PaddleProgram.Operation) throws(HGNetError) {
    let factor = try operation.number("scale", default: 1)
    let summand = try operation.number("bias", default: 0)
    guard factor == 1, summand == 0, operation.inputs["ScaleTensor"]?.isEmpty ?? true else {
      throw HGNetError(.unsupported, "expected a scale of 1 and a bias of 0, found \(factor) and \(summand)")
    }
    values[try operation.output("Out")] = try value(operation, "X")
  }
}

// MARK: - Writing

extension PaddleOperation.Kind {
  static let relu = PaddleOperation.Kind { step, program in
    program.unary("relu", step)
  } newer: { step, program in
    program.append("1.relu", [], inputs: program.ids(step), step)
  }

  static let sigmoid = PaddleOperation.Kind { step, program in
    program.unary("sigmoid", step)
  } newer: { step, program in
    program.append("1.sigmoid", [], inputs: program.ids(step), step)
  }

  static let softmax = PaddleOperation.Kind { step, program in
    program.unary("softmax", step, [("axis", .integer(-1)), ("data_format", .text("AnyLayout"))])
  } newer: { step, program in
    program.append("1.softmax", [("axis", program.integer(-1))], inputs: program.ids(step), step)
  }

  /// One operand times the other: a parameter of one value, or one factor per channel.
  static let multiply = PaddleOperation.Kind { step, program in
    program.binary("elementwise_mul", step, [("axis", .integer(-1))])
  } newer: { step, program in
    program.append("1.multiply", [], inputs: program.ids(step), step)
  }

  /// The sum of two operands of the same shape, or with a parameter of one value.
  static let add = PaddleOperation.Kind { step, program in
    program.binary("elementwise_add", step, [("axis", .integer(-1))])
  } newer: { step, program in
    program.append("1.add", [], inputs: program.ids(step), step)
  }

  static func dropout(probability: Float) -> PaddleOperation.Kind {
    PaddleOperation.Kind { step, program in
      program.unary(
        "dropout", step, unread: "Mask", PaddleDescription.VariableKind.unsigned8, step.extents,
        [
          ("dropout_implementation", .text("downgrade_in_infer")), ("dropout_prob", .float(probability)),
          ("fix_seed", .flag(false)), ("is_test", .flag(true)), ("seed", .integer(0)),
        ])
    } newer: { step, program in
      let input = program.ids(step)[0]
      let factor = program.constant(Double(probability), "float32", "0.t_f32")
      program.append(
        "1.dropout",
        [
          ("is_test", program.flag(true)), ("mode", program.text("downgrade_in_infer")), ("seed", program.integer(0)),
          ("fix_seed", program.flag(false)),
        ], inputs: [input, 0, factor], step, others: [program.tensor(step.extents, "0.t_ui8")])
    }
  }

  static func scale(_ factor: Float) -> PaddleOperation.Kind {
    PaddleOperation.Kind { step, program in
      program.unary(
        "scale", step, [("bias", .float(0)), ("bias_after_scale", .flag(true)), ("scale", .float(factor))])
    } newer: { step, program in
      let input = program.ids(step)[0]
      let constant = program.constant(Double(factor), "float32", "0.t_f32")
      program.append(
        "1.scale", [("bias", program.float(0)), ("bias_after_scale", program.flag(true))], inputs: [input, constant],
        step)
    }
  }
}
