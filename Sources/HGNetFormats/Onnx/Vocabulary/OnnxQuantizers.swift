import HGNetCore

/// QuantizeLinear and DequantizeLinear: weights in 8 bits, and values that are rounded to bytes (QDQ form).
///
/// They are written where `OnnxQuantization` says, not for a node of the graph.
enum OnnxQuantizers: OnnxVocabulary {
  static let types = ["QuantizeLinear", "DequantizeLinear"]

  static func read(
    _ node: OnnxNode, _ result: String, into reader: inout OnnxReader
  ) throws(HGNetError) -> Bool {
    switch node.type {
    case "QuantizeLinear":
      var grids = try reader.grids(node)
      reader.grids[result] = grids
      var value = node.inputs[0]
      if grids.count > 1 {
        if let merged = try reader.mergingChannels(node, grids) {
          grids = [merged]
        } else if let scaled = try reader.scalingChannels(node, grids) {
          (value, grids) = (scaled.value, [scaled.grid])
        }
      }
      let ranges = grids.map(\.range)
      // Other channels with a scale each, as NNCF has them before depthwise convolutions, are left in float32.
      let isWhole = grids.count == 1
      let isRectified = ranges.allSatisfy { $0.lowerBound == 0 }
      reader.append(
        PaddleQuantizers.kind, node.type, inputs: ["X": [value]], output: result,
        [
          "low": .number(isRectified ? 0 : Double(ranges.map(\.lowerBound).min() ?? 0)),
          "high": .number(Double(ranges.map(\.upperBound).max() ?? 0)), "is_whole": .flag(isWhole),
        ])
    case "DequantizeLinear":
      guard let own = reader.grids[node.inputs[0]] else {
        throw HGNetError(
          .unsupported, "expected weights or what a QuantizeLinear makes, found another value", key: node.inputs[0])
      }
      guard own == (try reader.grids(node, isSigned: own.first?.isSigned)) else {
        throw HGNetError(
          .unsupported, "expected the scale and zero point of the QuantizeLinear before it, found others",
          key: node.inputs[0])
      }
      reader.append("assign", node.type, inputs: ["X": [node.inputs[0]]], output: result, [:])
    default: return false
    }
    return true
  }

  static func extents(
    of node: OnnxNode, _ inputs: [[OnnxIntegers.Element]], in reader: OnnxReader
  ) -> [OnnxIntegers.Element]? { inputs[0] }

  static func write(_ node: Graph.Node, to translation: inout OnnxTranslation) throws(HGNetError) -> String? { nil }
}

// MARK: - Folding

extension OnnxReader {
  /// Whether a quantiser needs no translation: it is one of constants, or stands inside of what is one layer here.
  mutating func foldQuantization(_ node: OnnxNode, _ first: String, as result: String) throws(HGNetError) -> Bool {
    switch node.type {
    case "QuantizeLinear":
      if let weight = weights[first] {
        codes[result] = try quantized(weight, by: node)
        return true
      }
      guard isInside(node, first) else { return false }
      pass(first, on: result)
      for index in original.readers[result] ?? [] where nodes[index].type == "DequantizeLinear" {
        nodes[index].type = "Identity"
      }
      return true
    case "DequantizeLinear":
      if let type = foreignCodes[first] {
        throw HGNetError(
          .unsupported, "weights in \(type) are not read; quantise them to int8", key: first)
      }
      let stored: Parameter
      if let found = codes[first] {
        stored = found
      } else if let numbers = integers[first]?.numbers {
        let values = numbers.map { Float($0) }
        stored = Parameter(Tensor(shape: try Shape(validating: integers[first]?.extents ?? []), values: values))
      } else {
        return false
      }
      weights[result] = try dequantized(stored, by: node, name: result)
      return true
    default: return false
    }
  }

  /// Whether a value is rounded to bytes between two operators that are one layer here: a factor and a summand, a product
  /// and its bias.
  private func isInside(_ node: OnnxNode, _ value: String) -> Bool {
    guard let result = node.outputs.first, let maker = original.makers[value].map({ nodes[$0] }) else { return false }
    let isWhole: Bool
    switch maker.type {
    case "Mul", "Div": isWhole = maker.inputs.contains { number($0) != nil }
    case "MatMul", "Conv": isWhole = maker.inputs.count < 3
    default: return false
    }
    let passed = (original.readers[result] ?? []).flatMap { nodes[$0].outputs }
    let behind = passed.flatMap { original.readers[$0] ?? [] }.map { nodes[$0] }
    return isWhole && !behind.isEmpty
      && behind.allSatisfy { node in
        ["Add", "Sub"].contains(node.type)
          && node.inputs.contains { !passed.contains($0) && isConstant($0) }
      }
  }

  /// Whether a value is a constant, also one that is dequantised by a node that has not been folded yet.
  private func isConstant(_ name: String) -> Bool {
    var name = name
    // Constant, QuantizeLinear, DequantizeLinear and a few that pass it on.
    for _ in 0..<8 {
      if weights[name] != nil || codes[name] != nil || integers[name] != nil { return true }
      guard let maker = original.makers[name].map({ nodes[$0] }) else { return false }
      if maker.type == "Constant" { return true }
      guard ["QuantizeLinear", "DequantizeLinear", "Identity", "Reshape"].contains(maker.type),
        let first = maker.inputs.first
      else { return false }
      name = first
    }
    return false
  }

  // MARK: Grids

  /// Scales and zero points of a quantiser.
  private struct Steps {
    var scales: [Float]
    var zeros: [Int]
    /// int8, uint8 or int32; nil where the quantiser does not say.
    var type: ElementType?
    var axis: Int

    func zero(_ index: Int) -> Int { zeros.count == 1 ? zeros[0] : zeros[index] }
    func scale(_ index: Int) -> Float { scales.count == 1 ? scales[0] : scales[index] }
  }

  private func steps(_ node: OnnxNode) throws(HGNetError) -> Steps {
    let name = try operand(node, 1)
    guard let scale = weights[name] else {
      throw HGNetError(.unsupported, "expected constant scales, found computed ones", key: name)
    }
    guard node.integer("block_size", 0) == 0, scale.shape.rank <= 1 else {
      throw HGNetError(
        .unsupported, "scales of blocks are not read; quantise with one for each output channel or one for all",
        key: name)
    }
    let scales = try scale.allocatedTensor().values
    guard !scales.isEmpty, scales.allSatisfy({ $0.isFinite && $0 >= 0 }) else {
      throw HGNetError(.malformedData, "expected finite scales that are not negative", key: name)
    }
    var type: ElementType?
    let declared = node.integer("output_dtype", 0)
    if declared != 0 {
      guard let known = OnnxConstant.codes[declared] else {
        throw HGNetError(
          .unsupported,
          "values in \(OnnxConstant.foreignCodes[declared] ?? "element type \(declared)") are not computed")
      }
      type = known
    }
    var zeros = [0]
    if node.inputs.count > 2, !node.inputs[2].isEmpty {
      let zeroName = node.inputs[2]
      if let found = codes[zeroName] {
        type = found.elementType
        zeros = found.tensor().values.map { Int($0) }
      } else if let found = integers[zeroName]?.numbers {
        type = .int32
        zeros = found
      } else {
        throw HGNetError(
          .unsupported,
          "expected a constant zero point in 8 bits, found \(foreignCodes[zeroName] ?? "another value")", key: zeroName)
      }
    }
    guard zeros.count == 1 || zeros.count == scales.count else {
      throw HGNetError(
        .malformedData, "expected \(scales.count) zero points, found \(zeros.count)", key: node.inputs[2])
    }
    return Steps(scales: scales, zeros: zeros, type: type, axis: node.integer("axis", 1))
  }

  /// The grid of a value that is not constant, or those of its channels.
  func grids(_ node: OnnxNode, isSigned: Bool? = nil) throws(HGNetError) -> [OnnxQuantization.Grid] {
    let steps = try steps(node)
    guard steps.type != .int32, steps.scales.count == 1 || steps.axis == 1 || steps.axis == -3 else {
      throw HGNetError(
        .unsupported, "expected one scale for a value that is computed or one for each channel, and bytes",
        key: node.inputs.dropFirst().first)
    }
    return steps.scales.indices.map { index in
      OnnxQuantization.Grid(
        // Of a value that was 0 in all pictures: it stays next to nothing.
        scale: max(steps.scales[index], 1e-30), zeroPoint: steps.zero(index),
        isSigned: steps.type.map { $0 == .int8 } ?? isSigned ?? false)
    }
  }

  // MARK: Constants

  /// Which scale each number of an array has: its place along the axis.
  private static func channel(_ shape: Shape, _ steps: Steps) throws(HGNetError) -> (Int) -> Int {
    guard steps.scales.count > 1 else { return { _ in 0 } }
    let axis = steps.axis < 0 ? steps.axis &+ shape.rank : steps.axis
    guard (0..<shape.rank).contains(axis), shape[axis] == steps.scales.count else {
      throw HGNetError(
        .malformedData,
        "expected scales along an axis of \(shape), found \(steps.scales.count) along axis \(steps.axis)")
    }
    let run = shape.dimensions[(axis + 1)...].reduce(1, *)
    let count = steps.scales.count
    return { $0 / run % count }
  }

  /// Constant weights in bytes, as a QuantizeLinear makes them.
  private mutating func quantized(_ weight: Parameter, by node: OnnxNode) throws(HGNetError) -> Parameter {
    let steps = try steps(node)
    guard steps.type != .int32 else {
      throw HGNetError(.unsupported, "expected weights that are quantised to 8 bits", key: node.inputs[0])
    }
    let type = steps.type ?? .uint8
    let limits: ClosedRange<Float> = type == .int8 ? -128...127 : 0...255
    let channel = try OnnxReader.channel(weight.shape, steps)
    try budget.spend(weight.shape.count)
    let values = try weight.allocatedTensor()
    let bytes = try Blob(allocating: values.count, for: "weights in 8 bits") { target in
      values.withUnsafeBufferPointer { values in
        for (index, value) in values.enumerated() {
          let place = channel(index)
          let steps = (value / steps.scale(place)).rounded(.toNearestOrEven) + Float(steps.zero(place))
          let byte = Int(min(max(steps.isNaN ? 0 : steps, limits.lowerBound), limits.upperBound))
          target[index] = UInt8(truncatingIfNeeded: byte)
        }
      }
    }
    return try Parameter(shape: weight.shape, elementType: type, bytes: BlobSlice(bytes))
  }

  /// Constants as what they stand for: int8 with a scale for each output channel where that is exact, else float32.
  private mutating func dequantized(
    _ stored: Parameter, by node: OnnxNode, name: String
  ) throws(HGNetError) -> Parameter {
    let steps = try steps(node)
    let channel = try OnnxReader.channel(stored.shape, steps)
    if let integers = try integerWeights(stored, steps, name, channel) { return integers }
    try budget.spend(4 * stored.shape.count)
    let values = try stored.allocatedTensor()
    return try Parameter(allocating: stored.shape, for: "dequantised weights") { target in
      for index in target.indices {
        let place = channel(index)
        target[index] = (values[index] - Float(steps.zero(place))) * steps.scale(place)
      }
    }
  }

  /// Weights of four axes or two, less their zero points, as int8; nil where these do not fit or the scales are of another
  /// axis than the output channels.
  private mutating func integerWeights(
    _ stored: Parameter, _ steps: Steps, _ name: String, _ channel: (Int) -> Int
  ) throws(HGNetError) -> Parameter? {
    let shape = stored.shape
    let axis = steps.axis < 0 ? steps.axis &+ shape.rank : steps.axis
    guard shape.rank == 2 || shape.rank == 4, stored.elementType == .int8 || stored.elementType == .uint8,
      steps.scales.allSatisfy(\.isNormal), steps.scales.count == 1 || shape.rank == 2 || axis == 0
    else { return nil }
    var integers = stored
    if stored.elementType == .uint8 || steps.zeros.contains(where: { $0 != 0 }) {
      try budget.spend(stored.shape.count)
      let isSigned = stored.elementType == .int8
      var fits = true
      let bytes = try Blob(allocating: shape.count, for: "weights in 8 bits") { target in
        stored.withUnsafeBytes { source in
          for (index, byte) in source.enumerated() {
            let value = (isSigned ? Int(Int8(bitPattern: byte)) : Int(byte)) - steps.zero(channel(index))
            fits = fits && -128...127 ~= value
            target[index] = UInt8(truncatingIfNeeded: value)
          }
        }
      }
      guard fits else { return nil }
      integers = try Parameter(shape: shape, elementType: .int8, bytes: BlobSlice(bytes))
    }
    // Rows have scales of their own where a product transposes.
    if shape.rank == 2, steps.scales.count > 1, axis == 0 {
      rowScales[name] = steps.scales
      return integers
    }
    let count = shape.rank == 2 ? shape[1] : shape[0]
    return try Parameter(
      integers, scales: steps.scales.count == 1 ? Array(repeating: steps.scales[0], count: count) : steps.scales)
  }

  /// A matrix with its axes exchanged, quantised or not.
  mutating func transposed(_ name: String, _ weight: Parameter) throws(HGNetError) -> Parameter {
    guard weight.elementType == .int8 else { return try weight.transposed(budget: &budget) }
    // One scale for all is one for each row as well.
    var scales = rowScales[name] ?? []
    if scales.isEmpty, let own = weight.scales {
      guard Set(own).count <= 1 else {
        throw HGNetError(
          .unsupported, "expected a scale for each output of a product, found one for each input", key: name)
      }
      scales = Array(repeating: own.first ?? 1, count: weight.shape[0])
    }
    return try Parameter(try weight.transposed(budget: &budget), scales: scales)
  }
}
