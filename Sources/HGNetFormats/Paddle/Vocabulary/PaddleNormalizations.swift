import HGNetCore

/// Batch normalisations.
///
/// Those over the channels of tokens belong to `PaddleDecoder`.
enum PaddleNormalizations: PaddleVocabulary {
  static let names = [
    PaddleName(
      "batch_norm", older: ["batch_norm", "sync_batch_norm"], newer: ["batch_norm", "batch_norm_"],
      operands: ["X", "Mean", "Variance", "Scale", "Bias"], result: "Y")
  ]

  static func read(
    _ operation: PaddleProgram.Operation, into translator: inout PaddleTranslator
  ) throws(HGNetError) -> Bool {
    guard operation.kind == "batch_norm" else { return false }
    try translator.batchNormalization(operation)
    return true
  }

  static func write(_ node: Graph.Node, to program: inout PaddleOperations) -> PaddleOperations.Result? {
    guard case .batchNormalization(let norm) = node.operation else { return nil }
    let parameters = [norm.weight, norm.bias, norm.mean, norm.variance].map(program.own)
    return .init(
      program.append(
        .batchNormalization(norm), "batch_norm", program.inputs(of: node) + parameters, program.extents(of: node)),
      isFlat: program.isFlat(node))
  }
}

// MARK: - Reading

extension PaddleTranslator {
  fileprivate mutating func batchNormalization(_ operation: PaddleProgram.Operation) throws(HGNetError) {
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
}

// MARK: - Writing

extension PaddleOperation.Kind {
  static func batchNormalization(_ norm: BatchNormalization) -> PaddleOperation.Kind {
    PaddleOperation.Kind { step, program in
      let inputs = step.inputs
      let saved = ["\(step.result).saved_mean", "\(step.result).saved_variance"]
      for name in saved { program.appendTensor(name, [step.extents[1]]) }
      program.append(
        "batch_norm",
        inputs: [
          ("Bias", [inputs[2]]), ("Mean", [inputs[3]]), ("Scale", [inputs[1]]), ("Variance", [inputs[4]]),
          ("X", [inputs[0]]),
        ],
        outputs: [
          ("MeanOut", [inputs[3]]), ("SavedMean", [saved[0]]), ("SavedVariance", [saved[1]]),
          ("VarianceOut", [inputs[4]]), ("Y", [step.result]),
        ],
        [
          ("data_layout", .text("NCHW")), ("epsilon", .float(norm.epsilon)), ("is_test", .flag(true)),
          ("momentum", .float(norm.momentum)), ("trainable_statistics", .flag(false)),
          ("use_global_stats", .flag(true)),
        ])
    } newer: { step, program in
      let inputs = program.ids(step)
      let channels = program.tensor([step.extents[1]])
      program.append(
        "1.batch_norm_",
        [
          ("is_test", program.flag(true)), ("momentum", program.float(norm.momentum)),
          ("epsilon", program.float(norm.epsilon)), ("data_format", program.text("NCHW")),
          ("use_global_stats", program.flag(true)), ("trainable_statistics", program.flag(false)),
        ],
        // Input, mean, variance, scale, bias.
        inputs: [inputs[0], inputs[3], inputs[4], inputs[1], inputs[2]], step,
        others: [channels, channels, channels, channels, program.tensor([-1], "0.t_ui8")])
    }
  }
}
