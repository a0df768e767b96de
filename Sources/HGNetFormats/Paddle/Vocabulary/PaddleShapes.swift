import HGNetCore

/// What changes extents alone, and the concatenation of channels.
enum PaddleShapes: PaddleVocabulary {
  static let names = [
    PaddleName("concat", newer: ["concat"], constants: [1: "axis"]),
    // The older of two operators of the older encoding.
    PaddleName("flatten", older: ["flatten", "flatten2"], newer: []),
    PaddleName("flatten_contiguous_range", newer: ["flatten", "flatten_"]),
    PaddleName("reshape", older: ["reshape", "reshape2"], newer: ["reshape", "reshape_"], constants: [1: "shape"]),
  ]

  static func read(
    _ operation: PaddleProgram.Operation, into translator: inout PaddleTranslator
  ) throws(HGNetError) -> Bool {
    switch operation.kind {
    case "concat": try translator.concatenate(operation)
    case "flatten", "flatten_contiguous_range": try translator.flatten(operation)
    case "reshape": try translator.reshape(operation)
    default: return false
    }
    return true
  }

  static func write(_ node: Graph.Node, to program: inout PaddleOperations) -> PaddleOperations.Result? {
    let inputs = program.inputs(of: node)
    switch node.operation {
    case .concatenate:
      let result = program.append(.concatenate, "concat", inputs, program.extents(of: node))
      return .init(result, isFlat: program.isFlat(node))
    case .flatten:
      return .init(program.append(.flatten(from: 1), "flatten", inputs, [-1, node.shape.count]), isFlat: true)
    default: return nil
    }
  }
}

// MARK: - Reading

extension PaddleTranslator {
  fileprivate mutating func concatenate(_ operation: PaddleProgram.Operation) throws(HGNetError) {
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

  fileprivate mutating func flatten(_ operation: PaddleProgram.Operation) throws(HGNetError) {
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
  fileprivate mutating func reshape(_ operation: PaddleProgram.Operation) throws(HGNetError) {
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
}

// MARK: - Writing

extension PaddleOperation.Kind {
  static let concatenate = PaddleOperation.Kind { step, program in
    program.append(
      "concat", inputs: [("X", step.inputs)], outputs: [("Out", [step.result])], [("axis", .integer(1))])
  } newer: { step, program in
    let axis = program.constant(1, "int32", "0.t_i32")
    program.append("1.concat", [], inputs: [program.combined(step.inputs), axis], step)
  }

  /// The axes from one to the last of `[N, C, H, W]` become one.
  static func flatten(from axis: Int) -> PaddleOperation.Kind {
    PaddleOperation.Kind { step, program in
      program.reshaping(
        "flatten_contiguous_range", step, [("start_axis", .integer(axis)), ("stop_axis", .integer(3))])
    } newer: { step, program in
      program.append(
        "1.flatten", [("start_axis", program.integer(axis)), ("stop_axis", program.integer(3))],
        inputs: program.ids(step), step)
    }
  }

  /// Other extents for the same values; -1 stands for what is left, 0 for the extent of the operand at that place.
  static func reshape(_ shape: [Int]) -> PaddleOperation.Kind {
    PaddleOperation.Kind { step, program in
      program.reshaping("reshape2", step, [("shape", .integers(shape))])
    } newer: { step, program in
      let input = program.ids(step)[0]
      let target = program.constantIntegers(shape)
      program.append("1.reshape", [], inputs: [input, target], step)
    }
  }
}
