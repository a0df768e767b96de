import HGNetCore

/// A transformer decoder as operators of PaddlePaddle; tokens are `[N, tokens, C]`.
///
/// The same operators that elsewhere work on maps work on tokens here, so this vocabulary is asked first.
enum PaddleDecoder: PaddleVocabulary {
  static let names = [
    PaddleName(
      "transpose", older: ["transpose", "transpose2"], newer: ["transpose"], renamedAttributes: ["perm": "axis"]),
    PaddleName("layer_norm", newer: ["layer_norm"], operands: ["X", "Scale", "Bias"], result: "Y"),
    PaddleName(
      "unsqueeze", older: ["unsqueeze", "unsqueeze2"], newer: ["unsqueeze"], constants: [1: "axes"]),
    PaddleName("shape", newer: ["shape", "shape64"]),
    PaddleName("tile", newer: ["tile"], operands: ["X", "Extents"]),
    PaddleName("expand", newer: ["expand"], operands: ["X", "Extents"]),
    PaddleName("slice", newer: ["slice"], operands: ["Input"], constants: [1: "starts", 2: "ends"]),
  ]

  static func read(
    _ operation: PaddleProgram.Operation, into translator: inout PaddleTranslator
  ) throws(HGNetError) -> Bool { try translator.translateTokens(operation) }

  static func write(_ node: Graph.Node, to program: inout PaddleOperations) -> PaddleOperations.Result? {
    program.appendTokens(node)
  }
}

// MARK: - Writing

extension PaddleOperations {
  /// Appends a node that works on tokens; nil for any other.
  fileprivate mutating func appendTokens(_ node: Graph.Node) -> Result? {
    let inputs = inputs(of: node)
    let count = node.shape.height * node.shape.width
    // Sums of queries and pictures are as long as the pictures.
    let leads = node.inputs.compactMap { tokens[$0.index] }
    let lead = leads.contains(-1) ? -1 : leads.first ?? -1
    let extents = [lead, count, node.shape.channels]
    let result: String
    switch node.operation {
    case .decoder(let operation): result = append(operation, node, inputs: inputs, extents: extents)
    case .linear(let weight, let bias, _, _) where graph.hasDecoder:
      tokens[index] = lead
      var operand = inputs[0]
      if tokens[node.inputs[0].index] == nil {
        let source = graph[node.inputs[0]].shape
        // Whatever the number of pixels is when it runs.
        operand = append(.flatten(from: 2), "flatten", [operand], [-1, source.channels, count])
        operand = append(.transpose([0, 2, 1]), "transpose", [operand], [-1, count, source.channels])
      }
      let product = append(.product, "linear", [operand, own(weight)], extents)
      result = bias.map { append(.addFeatureBias, "linear", [product, own($0)], extents) } ?? product
    case .relu where !leads.isEmpty:
      tokens[index] = lead
      result = append(.relu, "relu", inputs, extents)
    case .add where !leads.isEmpty:
      tokens[index] = lead
      // The longer comes first.
      let isReversed = tokens[node.inputs[0].index] == 1 && lead == -1
      result = append(.add, "tmp", isReversed ? inputs.reversed() : inputs, extents)
    default: return nil
    }
    return Result(result, isFlat: tokens[index] == nil)
  }

  private mutating func append(
    _ operation: DecoderOperator, _ node: Graph.Node, inputs: [String], extents: [Int]
  ) -> String {
    switch operation {
    case .queries(let weight, let count, let features):
      tokens[index] = repeatsQueries ? -1 : 1
      let queries = append(.reshape([1, count, features]), "reshape", [own(weight)], [1, count, features])
      guard repeatsQueries else { return queries }
      return append(.repeatForBatch, "tile", [queries, PaddleOperations.inputName], [-1, count, features])
    case .dropout:
      tokens[index] = extents[0]
      return inputs[0]
    case .layerNormalization(let weight, let bias, _, let epsilon):
      tokens[index] = extents[0]
      return append(
        .layerNormalization(epsilon: epsilon, axis: 2), "layer_norm", [inputs[0], own(weight), own(bias)], extents)
    case .attention(let heads, _):
      tokens[index] = -1
      let size = node.shape.channels / heads
      func split(_ position: Int) -> String {
        let source = graph[node.inputs[position]].shape
        let (lead, count) = (tokens[node.inputs[position].index] ?? -1, source.height * source.width)
        let wide = append(
          .reshape([0, 0, heads, size]), "reshape", [inputs[position]], [lead, count, heads, size])
        return append(.transpose([0, 2, 1, 3]), "transpose", [wide], [lead, heads, count, size])
      }
      let (queries, keys, values) = (split(0), split(1), split(2))
      let (own, others) = (extents[1], graph[node.inputs[1]].shape.height * graph[node.inputs[1]].shape.width)
      let lead = tokens[node.inputs[0].index] ?? -1
      let scaled = append(
        .scale(1 / Float(size).squareRoot()), "scale", [queries], [lead, heads, own, size])
      let scores = append(.matrixProduct(isTransposed: true), "matmul", [scaled, keys], [-1, heads, own, others])
      let weights = append(.softmax, "softmax", [scores], [-1, heads, own, others])
      let attended = append(.matrixProduct(isTransposed: false), "matmul", [weights, values], [-1, heads, own, size])
      let joined = append(.transpose([0, 2, 1, 3]), "transpose", [attended], [-1, own, heads, size])
      return append(.reshape([0, 0, node.shape.channels]), "reshape", [joined], [-1, own, node.shape.channels])
    case .groupedLinear(let weight, let bias, let count, let features, let perToken, let classes):
      let (channels, columns) = (count * features, count * perToken)
      let wide = append(.reshape([-1, channels, 1, 1]), "reshape", inputs, [-1, channels, 1, 1])
      let convolution = Convolution(
        weight: weight, bias: bias, inputChannels: channels, outputChannels: columns, kernel: Size(1), stride: Size(1),
        padding: Padding(0), groups: count)
      let product = append(.convolution(convolution), "conv2d", [wide, own(weight)], [-1, columns, 1, 1])
      let sum = append(.addChannelBias, "conv2d", [product, own(bias)], [-1, columns, 1, 1])
      let flat = append(.flatten(from: 1), "flatten", [sum], [-1, columns])
      return classes < columns ? append(.slice(count: classes), "slice", [flat], [-1, classes]) : flat
    }
  }
}

extension PaddleOperation.Kind {
  /// The first operand, `[1, tokens, C]`, once for each picture of the second.
  ///
  /// Programs of the older encoding are lowered without it.
  static let repeatForBatch = PaddleOperation.Kind { step, program in
    program.unary("assign", step)
  } newer: { step, program in
    program.appendRepetition(step)
  }

  static func transpose(_ order: [Int]) -> PaddleOperation.Kind {
    PaddleOperation.Kind { step, program in
      program.reshaping("transpose2", step, [("axis", .integers(order))])
    } newer: { step, program in
      program.append("1.transpose", [("perm", program.integers(order))], inputs: program.ids(step), step)
    }
  }

  static func layerNormalization(epsilon: Float, axis: Int) -> PaddleOperation.Kind {
    PaddleOperation.Kind { step, program in
      let saved = ["\(step.result).mean", "\(step.result).variance"]
      for name in saved { program.appendTensor(name, Array(step.extents.prefix(axis))) }
      program.append(
        "layer_norm", inputs: [("Bias", [step.inputs[2]]), ("Scale", [step.inputs[1]]), ("X", [step.inputs[0]])],
        outputs: [("Mean", [saved[0]]), ("Variance", [saved[1]]), ("Y", [step.result])],
        [("begin_norm_axis", .integer(axis)), ("epsilon", .float(epsilon))])
    } newer: { step, program in
      let rows = program.tensor(Array(step.extents.prefix(axis)))
      program.append(
        "1.layer_norm", [("epsilon", program.float(epsilon)), ("begin_norm_axis", program.integer(axis))],
        inputs: program.ids(step), step, others: [rows, rows])
    }
  }

  /// The first columns of `[N, C]`.
  static func slice(count: Int) -> PaddleOperation.Kind {
    PaddleOperation.Kind { step, program in
      program.append(
        "slice", inputs: [("Input", [step.inputs[0]])], outputs: [("Out", [step.result])],
        [
          ("axes", .integers([1])), ("decrease_axis", .integers([])), ("ends", .integers([count])),
          ("infer_flags", .integers([1])), ("starts", .integers([0])),
        ])
    } newer: { step, program in
      let input = program.ids(step)[0]
      let bounds = [program.constantIntegers([0]), program.constantIntegers([count])]
      program.append(
        "1.slice",
        [("axes", program.longs([1])), ("infer_flags", program.longs([1])), ("decrease_axis", program.array([]))],
        inputs: [input] + bounds, step)
    }
  }
}

extension PaddleIntermediate {
  /// The first input once for each picture of the second, as PaddlePaddle's own export writes it.
  fileprivate mutating func appendRepetition(_ step: PaddleOperation) {
    let inputs = ids(step)
    let extents = appendComputed("1.shape64", [], inputs: [inputs[1]], [4])
    let bounds = [constantIntegers([0]), constantIntegers([1])]
    let pictures = appendComputed(
      "1.slice", [("axes", longs([0])), ("infer_flags", longs([1])), ("decrease_axis", longs([0]))],
      inputs: [extents] + bounds, [])
    let ones = (0..<2).map { _ in constant(1, "int64", "0.t_i64", shape: []) }
    let list = combined([pictures] + ones, types: (0..<3).map { _ in tensor([], "0.t_i64") }, isConstant: true)
    let factors = appendComputed("1.stack", [("axis", integer(0))], inputs: [list], [3])
    append("1.tile", [], inputs: [inputs[0], factors], step)
  }
}
