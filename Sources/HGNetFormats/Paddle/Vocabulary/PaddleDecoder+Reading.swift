import HGNetCore

/// How a program sees the tokens of a decoder, which the graph keeps as the pixels of a map.
enum TokenForm {
  /// `[N, tokens, C]`; queries before the pictures come in are `[1, tokens, C]`.
  case rows
  /// `[N, C, tokens]`, a feature map whose pixels were put in a row.
  case columns
  /// `[N, tokens * C]`, then `[N, tokens * C, 1]` and `[N, tokens * C, 1, 1]`, by the number of axes.
  case joined(rank: Int)
  /// Heads as runs of channels, multiplied by a factor that belongs to the attention.
  case heads(Int, order: Order, scale: Double)
  /// `[N, heads, queries, keys]`, the products of queries with keys and what softmax makes of them.
  case scores(keys: PaddleTranslator.Activation, heads: Int, scale: Double, isNormalized: Bool)

  /// The order of the axes.
  enum Order {
    /// `[N, tokens, heads, size]`.
    case tokensFirst
    /// `[N, heads, tokens, size]`.
    case headsFirst
    /// `[N, heads, size, tokens]`.
    case tokensLast
  }
}

/// A transformer decoder, from the operators that PaddlePaddle and this package write for one.
extension PaddleTranslator {
  /// The operators that may, with what they read and make.
  private static let tokenSlots: [String: (input: String, output: String)] = [
    "reshape": ("X", "Out"), "flatten_contiguous_range": ("X", "Out"), "transpose": ("X", "Out"),
    "slice": ("Input", "Out"), "scale": ("X", "Out"), "dropout": ("X", "Out"), "assign": ("X", "Out"),
    "softmax": ("X", "Out"), "relu": ("X", "Out"), "layer_norm": ("X", "Y"), "elementwise_add": ("X", "Out"),
    "matmul": ("X", "Out"), "conv2d": ("Input", "Output"), "unsqueeze": ("X", "Out"), "shape": ("X", "Out"),
    "stack": ("X", "Out"), "tile": ("X", "Out"), "expand": ("X", "Out"),
  ]

  /// Translates an operator that reads tokens or makes them; false for any other.
  ///
  /// - Throws: `HGNetError.Code.unsupported` for what no decoder of this family does.
  mutating func translateTokens(_ operation: PaddleProgram.Operation) throws(HGNetError) -> Bool {
    guard let slots = PaddleTranslator.tokenSlots[operation.kind], operation.inputs[slots.input]?.count == 1 else {
      return false
    }
    let made: Value
    switch (operation.kind, try value(operation, slots.input)) {
    case ("reshape", .parameter(let name, let extents)) where extents.count == 2:
      made = try queries(name, extents, as: operation.integers("shape", default: []))
    case ("unsqueeze", .parameter(let name, let extents)) where extents.count == 2:
      try expect(try operation.integers("axes", default: []) == [0], operation)
      made = try queries(name, extents, as: [1] + extents)
    case ("reshape", .activation(let map)):
      let extents = try operation.integers("shape", default: [])
      guard extents.count == 3, !map.isFlat else { return false }
      try expect(isBatch(extents[0]) && extents[1] == map.shape.channels && isCount(extents[2], of: map), operation)
      made = .tokens(map, .columns)
    case ("flatten_contiguous_range", .activation(let map)) where !map.isFlat:
      guard try operation.integer("start_axis", default: 1) == 2 else { return false }
      made = .tokens(map, .columns)
    case ("shape", .activation(let map)) where !map.isFlat:
      made = .extents([-1, map.shape.channels, map.shape.height, map.shape.width])
    case ("slice", .activation(let scores)): made = .activation(try sliced(scores, operation))
    case (_, .extents(let extents)): made = .extents(try self.extents(extents, operation))
    case (_, .tokens(let tokens, let form)): made = try step(operation, tokens, form)
    default: return false
    }
    values[try operation.output(slots.output)] = made
    return true
  }

  private mutating func step(
    _ operation: PaddleProgram.Operation, _ tokens: Activation, _ form: TokenForm
  ) throws(HGNetError) -> Value {
    switch (operation.kind, form) {
    case ("reshape", .rows):
      let extents = try operation.integers("shape", default: [])
      let channels = tokens.shape.channels
      if extents.count == 4, extents[2] == 1, extents[3] == 1 {
        try expect(isBatch(extents[0]) && (extents[1] == -1 || extents[1] == tokens.shape.count), operation)
        return .tokens(tokens, .joined(rank: 4))
      }
      try expect(
        extents.count == 4 && isBatch(extents[0]) && isCount(extents[1], of: tokens) && extents[2] > 0
          && extents[2] <= channels && extents[3] == channels / extents[2] && channels % extents[2] == 0, operation)
      return .tokens(tokens, .heads(extents[2], order: .tokensFirst, scale: 1))
    case ("reshape", .heads(_, .tokensFirst, 1)):
      let extents = try operation.integers("shape", default: [])
      try expect(
        extents.count == 3 && isBatch(extents[0]) && isCount(extents[1], of: tokens)
          && extents[2] == tokens.shape.channels, operation)
      return .tokens(tokens, .rows)
    case ("flatten_contiguous_range", .rows):
      let last = try operation.integer("stop_axis", default: -1)
      try expect(try operation.integer("start_axis", default: 1) == 1 && (last == 2 || last == -1), operation)
      return .tokens(tokens, .joined(rank: 2))
    case ("unsqueeze", .joined(let rank)):
      let axes = try operation.integers("axes", default: [])
      try expect(axes == [-1] || axes == [rank] || rank == 2 && axes == [2, 3], operation)
      return .tokens(tokens, .joined(rank: rank + axes.count))
    case ("tile", .rows), ("expand", .rows):
      // The queries once for each picture.
      guard case .extents(let extents) = try value(operation, "Extents"), extents.count == 3, extents[0] == -1,
        operation.kind == "tile"
          ? extents.dropFirst() == [1, 1]
          : isCount(extents[1], of: tokens) && isSame(extents[2], tokens.shape.channels)
      else { throw unknown(operation) }
      return .tokens(tokens, .rows)
    case ("transpose", _): return .tokens(tokens, try transposed(form, operation))
    case ("scale", .heads(let heads, let order, let scale)):
      try expect(try operation.number("bias", default: 0) == 0, operation)
      return .tokens(tokens, .heads(heads, order: order, scale: scale * (try operation.number("scale", default: 1))))
    case ("dropout", .heads(let heads, let order, let scale))
    where try operation.text("dropout_implementation", default: "downgrade_in_infer") == "downgrade_in_infer":
      // A factor of an ONNX model.
      let factor = 1 - (try operation.number("dropout_prob", default: 0.5))
      return .tokens(tokens, .heads(heads, order: order, scale: scale * factor))
    case ("dropout", _):
      try expect(try operation.text("dropout_implementation", default: "") == "upscale_in_train", operation)
      return .tokens(tokens, form)
    case ("assign", _): return .tokens(tokens, form)
    case ("softmax", .scores(let keys, let heads, let scale, false)):
      let axis = try operation.integer("axis", default: -1)
      try expect(axis == -1 || axis == 3, operation)
      return .tokens(tokens, .scores(keys: keys, heads: heads, scale: scale, isNormalized: true))
    case ("relu", .rows):
      return .tokens(
        try append(
          .relu, name: numbered("relu"), inputs: [try node(of: tokens)], shape: tokens.shape, stride: nil), .rows)
    case ("layer_norm", .rows): return .tokens(try normalized(tokens, operation), .rows)
    case ("elementwise_add", .rows): return .tokens(try sum(tokens, operation), .rows)
    case ("matmul", _): return try product(tokens, form, operation)
    case ("conv2d", .joined(4)): return .activation(try groupedLinear(tokens, operation))
    default: throw unknown(operation)
    }
  }

  /// What the program computes from the extents of a feature map, to repeat the queries for every picture.
  private func extents(_ extents: [Int], _ operation: PaddleProgram.Operation) throws(HGNetError) -> [Int] {
    switch operation.kind {
    case "slice":
      let (starts, ends) = (try operation.integers("starts", default: []), try operation.integers("ends", default: []))
      try expect(
        try operation.integers("axes", default: []) == [0] && starts.count == 1 && ends.count == 1, operation)
      try expect(starts[0] >= 0 && starts[0] < ends[0] && ends[0] <= extents.count, operation)
      return Array(extents[starts[0]..<ends[0]])
    case "stack":
      let parts = try operation.integers("extents", default: [])
      try expect(extents == [-1] && parts.filter { $0 == -1 }.count == 1, operation)
      return parts
    case "assign": return extents
    default: throw unknown(operation)
    }
  }

  // MARK: Layers

  private mutating func queries(_ name: String, _ extents: [Int], as wanted: [Int]) throws(HGNetError) -> Value {
    guard wanted.count == 3, wanted[0] == 1, isSame(wanted[1], extents[0]), isSame(wanted[2], extents[1]) else {
      throw HGNetError(
        .unsupported, "expected queries \(extents) to become [1, \(extents[0]), \(extents[1])], found \(wanted)",
        key: name)
    }
    declare(name, .queryEmbedding)
    let node = try append(
      .decoder(.queries(weight: name, count: extents[0], features: extents[1])),
      name: PaddleTranslator.layerName(of: name), inputs: [],
      shape: ActivationShape(channels: extents[1], height: extents[0], width: 1), stride: nil)
    return .tokens(node, .rows)
  }

  private mutating func normalized(
    _ tokens: Activation, _ operation: PaddleProgram.Operation
  ) throws(HGNetError) -> Activation {
    let axis = try operation.integer("begin_norm_axis", default: 1)
    let epsilon = try operation.number("epsilon", default: 1e-5)
    try expect((axis == 2 || axis == -1) && epsilon >= 0 && epsilon <= 1, operation)
    let (weight, bias) = (try parameter(operation, "Scale"), try parameter(operation, "Bias"))
    let channels = tokens.shape.channels
    for (name, extents) in [weight, bias] where extents != [channels] {
      throw HGNetError(.shapeMismatch, "expected the shape [\(channels)], found \(extents)", key: name)
    }
    declare(weight.name, .layerNormalizationWeight)
    declare(bias.name, .layerNormalizationBias)
    return try append(
      .decoder(
        .layerNormalization(weight: weight.name, bias: bias.name, features: channels, epsilon: Float(epsilon))),
      name: PaddleTranslator.layerName(of: weight.name), inputs: [try node(of: tokens)], shape: tokens.shape,
      stride: nil)
  }

  private mutating func sum(
    _ tokens: Activation, _ operation: PaddleProgram.Operation
  ) throws(HGNetError) -> Activation {
    switch try value(operation, "Y") {
    case .parameter(let name, let extents):
      let channels = tokens.shape.channels
      guard case .pending(let index) = tokens.source, extents == [channels],
        case .linear(let weight, nil, let inputs, let outputs) = pending[index].operation
      else { throw HGNetError(.unsupported, "expected the bias of a linear layer, found \(extents)", key: name) }
      declare(name, .linearBias)
      return try append(
        .linear(weight: weight, bias: name, inputFeatures: inputs, outputFeatures: outputs), name: pending[index].name,
        inputs: [pending[index].input], shape: tokens.shape, stride: nil)
    case .tokens(let other, .rows):
      try expect(other.shape == tokens.shape, operation)
      return try append(
        .add, name: numbered("elementwise_add"), inputs: [try node(of: tokens), try node(of: other)],
        shape: tokens.shape, stride: nil)
    default: throw unknown(operation)
    }
  }

  private mutating func product(
    _ tokens: Activation, _ form: TokenForm, _ operation: PaddleProgram.Operation
  ) throws(HGNetError) -> Value {
    let isTransposed = try operation.flag("trans_y", default: false)
    try expect(try !operation.flag("trans_x", default: false), operation)
    switch (form, try value(operation, "Y")) {
    case (.rows, .parameter(let name, let extents)):
      try expect(extents.count == 2 && extents[0] == tokens.shape.channels && !isTransposed, operation)
      declare(name, .linearWeight)
      var shape = tokens.shape
      shape.channels = extents[1]
      let layer = Operator.linear(weight: name, bias: nil, inputFeatures: extents[0], outputFeatures: extents[1])
      return .tokens(
        try wait(layer, name: PaddleTranslator.layerName(of: name), input: tokens, shape: shape, stride: nil), .rows)
    case (.heads(let heads, .headsFirst, let scale), .tokens(let keys, .heads(let others, let order, let factor))):
      try expect(
        heads == others && keys.shape.channels == tokens.shape.channels
          && order == (isTransposed ? .headsFirst : .tokensLast), operation)
      return .tokens(tokens, .scores(keys: keys, heads: heads, scale: scale * factor, isNormalized: false))
    case (
      .scores(let keys, let heads, let scale, true), .tokens(let attended, .heads(let others, .headsFirst, let factor))
    ):
      let size = Double(tokens.shape.channels / heads)
      try expect(heads == others && factor == 1 && attended.shape == keys.shape && !isTransposed, operation)
      guard abs(scale * size.squareRoot() - 1) < 1e-4 else {
        throw HGNetError(
          .unsupported, "expected attention scaled by 1 / sqrt(\(Int(size))), found a factor of \(scale)")
      }
      // Its cost is the number of scores, which no other check bounds.
      guard tokens.shape.height * tokens.shape.width <= 1 << 12, keys.shape.height * keys.shape.width <= 1 << 16 else {
        throw HGNetError(.limitExceeded, "no network of this family compares so many queries and pixels")
      }
      let node = try append(
        .decoder(.attention(heads: heads, dropoutProbability: 0)), name: numbered("attention"),
        inputs: [try node(of: tokens), try node(of: keys), try node(of: attended)], shape: tokens.shape, stride: nil)
      return .tokens(node, .heads(heads, order: .headsFirst, scale: 1))
    default: throw unknown(operation)
    }
  }

  /// One product per token, which waits for its bias and for the number of classes.
  private mutating func groupedLinear(
    _ tokens: Activation, _ operation: PaddleProgram.Operation
  ) throws(HGNetError) -> Activation {
    let (weight, extents) = try parameter(operation, "Filter")
    let (count, features) = (tokens.shape.height * tokens.shape.width, tokens.shape.channels)
    try expect(
      try operation.integer("groups", default: 1) == count && extents.count == 4 && extents[0] >= count
        && extents[0] % count == 0 && Array(extents.dropFirst()) == [features, 1, 1] && tokens.shape.width == 1,
      operation)
    // A border would make more than one pixel.
    let pixel = ActivationShape(channels: extents[0], height: 1, width: 1)
    try operation.expectChannelsFirst("data_format")
    try expect(
      try Window(operation, kernel: Size(1), input: pixel).result(of: pixel, channels: extents[0]) == pixel, operation)
    declare(weight, .convolutionWeight)
    return try wait(
      .decoder(
        .groupedLinear(
          weight: weight, bias: "", tokens: count, features: features, classesPerToken: extents[0] / count,
          classes: extents[0])),
      name: PaddleTranslator.layerName(of: weight), input: tokens, shape: pixel, stride: nil)
  }

  /// The first scores, where there are more than classes.
  private mutating func sliced(
    _ scores: Activation, _ operation: PaddleProgram.Operation
  ) throws(HGNetError) -> Activation {
    let (starts, ends) = (try operation.integers("starts", default: []), try operation.integers("ends", default: []))
    guard case .pending(let index) = scores.source, scores.isFlat, starts == [0],
      try operation.integers("axes", default: []) == [1], ends.count == 1, (1...scores.shape.channels) ~= ends[0],
      case .decoder(.groupedLinear(let weight, let bias, let tokens, let features, let perToken, _)) = pending[index]
        .operation
    else { throw unknown(operation) }
    let layer = DecoderOperator.groupedLinear(
      weight: weight, bias: bias, tokens: tokens, features: features, classesPerToken: perToken, classes: ends[0])
    return replacing(scores, at: index, with: .decoder(layer), channels: ends[0])
  }

  // MARK: Forms

  private func transposed(
    _ form: TokenForm, _ operation: PaddleProgram.Operation
  ) throws(HGNetError) -> TokenForm {
    switch (form, try operation.integers("axis", default: [])) {
    case (.columns, [0, 2, 1]): return .rows
    case (.heads(let heads, .tokensFirst, let scale), [0, 2, 1, 3]):
      return .heads(heads, order: .headsFirst, scale: scale)
    case (.heads(let heads, .headsFirst, let scale), [0, 2, 1, 3]):
      return .heads(heads, order: .tokensFirst, scale: scale)
    case (.heads(let heads, .tokensFirst, let scale), [0, 2, 3, 1]),
      (.heads(let heads, .headsFirst, let scale), [0, 1, 3, 2]):
      return .heads(heads, order: .tokensLast, scale: scale)
    default: throw unknown(operation)
    }
  }

  private func isBatch(_ extent: Int) -> Bool { extent == -1 || extent == 0 }
  private func isSame(_ extent: Int, _ wanted: Int) -> Bool { extent == wanted || extent == -1 }
  private func isCount(_ extent: Int, of tokens: Activation) -> Bool {
    isBatch(extent) || extent == tokens.shape.height * tokens.shape.width
  }

  private func expect(_ holds: Bool, _ operation: PaddleProgram.Operation) throws(HGNetError) {
    guard holds else { throw unknown(operation) }
  }

  private func unknown(_ operation: PaddleProgram.Operation) -> HGNetError {
    HGNetError(.unsupported, "such a \(operation.kind) is not part of an ML-Decoder")
  }
}
