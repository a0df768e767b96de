import HGNetCore

/// Reads the graph of an ONNX model as the operators of a Paddle program, so that one translator serves both.
struct OnnxReader {
  private(set) var operations: [PaddleProgram.Operation] = []
  private(set) var parameters = ParameterStore()
  private(set) var inputName = ""
  private(set) var inputExtents: [Int] = []

  /// The value behind the preprocessing that this package may have put into a model.
  private static let normalizedName = "x"

  private struct Node {
    var type = ""
    var inputs: [String] = []
    var outputs: [String] = []
    var attributes: [String: Attribute] = [:]
  }

  private struct Attribute {
    var integer = 0
    var float: Float = 0
    var text = ""
    var integers: [Int] = []
  }

  private struct Value {
    var name: String
    var elementType: Int
    var extents: [Int]
  }

  private var constants: [String: Parameter] = [:]
  /// Shapes, bounds and axes.
  private var integers: [String: [Int]] = [:]
  private var readers: [String: [Int]] = [:]
  private var nodes: [Node] = []

  /// Reads a graph.
  ///
  /// - Throws: `HGNetError.Code.malformedData`, `unsupported` naming an operator, `limitExceeded`.
  init(_ graph: BlobSlice) throws(HGNetError) {
    var inputs: [Value] = []
    var outputs: [Value] = []
    var inner: [Value] = []
    for field in try ProtobufField.all(in: graph, maximumCount: PaddleProgram.maximumOperationCount) {
      guard let content = field.bytes else { continue }
      switch field.number {
      case 1: nodes.append(try OnnxReader.node(content))
      case 5: try readConstant(content)
      case 11: inputs.append(try OnnxReader.value(content))
      case 12: outputs.append(try OnnxReader.value(content))
      case 13: inner.append(try OnnxReader.value(content))
      default: break
      }
    }
    // Before version 4 of the format, weights were inputs as well.
    inputs.removeAll { constants[$0.name] != nil }
    guard inputs.count == 1, outputs.count == 1, var input = inputs.first else {
      throw HGNetError(.unsupported, "expected one input and one output, found \(inputs.count) and \(outputs.count)")
    }
    var first = 0
    if input.elementType != OnnxReader.float {
      guard let boundary = nodes.firstIndex(where: { $0.outputs == [OnnxReader.normalizedName] }),
        let normalized = inner.first(where: { $0.name == OnnxReader.normalizedName })
      else {
        throw HGNetError(
          .unsupported,
          "expected a float32 input, found element type \(input.elementType); export without preprocessing")
      }
      input = normalized
      first = boundary + 1
    }
    for index in first..<nodes.count { for name in nodes[index].inputs { readers[name, default: []].append(index) } }
    inputName = input.name
    inputExtents = input.extents
    append("feed", "input", inputs: [:], output: input.name, [:])
    for index in first..<nodes.count {
      do throws(HGNetError) {
        try translate(nodes[index])
      } catch {
        var named = error
        if named.context.layer == nil {
          named.context.layer = "\(nodes[index].type) (node \(index), \(nodes[index].outputs.first ?? "no result"))"
        }
        throw named
      }
    }
    append("fetch", "output", inputs: ["X": [outputs[0].name]], output: "", [:])
  }

  // MARK: Operators

  private mutating func translate(_ node: Node) throws(HGNetError) {
    guard let result = node.outputs.first, !node.inputs.isEmpty else {
      throw HGNetError(.malformedData, "expected inputs and a result")
    }
    let inputs = node.inputs
    for name in inputs { use(name) }
    func operand(_ index: Int) throws(HGNetError) -> String {
      guard inputs.indices.contains(index), !inputs[index].isEmpty else {
        throw HGNetError(.malformedData, "expected at least \(index + 1) inputs, found \(inputs.count)")
      }
      return inputs[index]
    }
    switch node.type {
    case "Conv":
      var attributes = try window(node)
      attributes["groups"] = .integer(node.attributes["group"]?.integer ?? 1)
      attributes["dilations"] = node.attributes["dilations"].map { .integers($0.integers) }
      let hasBias = inputs.count > 2 && !inputs[2].isEmpty
      let product = hasBias ? "\(result)#product" : result
      append(
        "conv2d", node.type, inputs: ["Input": [inputs[0]], "Filter": [try operand(1)]], output: product, attributes,
        slot: "Output")
      if hasBias { addBias(product, inputs[2], result, axis: 1) }
    case "BatchNormalization":
      append(
        "batch_norm", node.type,
        inputs: [
          "X": [inputs[0]], "Scale": [try operand(1)], "Bias": [try operand(2)], "Mean": [try operand(3)],
          "Variance": [try operand(4)],
        ], output: result, ["epsilon": .number(Double(node.attributes["epsilon"]?.float ?? 1e-5))], slot: "Y")
    case "Relu": unary("relu", node, result)
    case "Sigmoid": unary("sigmoid", node, result)
    case "Reshape":
      unary("reshape", node, result, ["shape": .integers(try constantIntegers(operand(1)))])
    case "Transpose":
      unary("transpose", node, result, ["axis": .integers(node.attributes["perm"]?.integers ?? [])])
    case "LayerNormalization":
      append(
        "layer_norm", node.type, inputs: ["X": [inputs[0]], "Scale": [try operand(1)], "Bias": [try operand(2)]],
        output: result,
        [
          "begin_norm_axis": .integer(node.attributes["axis"]?.integer ?? -1),
          "epsilon": .number(Double(node.attributes["epsilon"]?.float ?? 1e-5)),
        ], slot: "Y")
    case "Slice":
      guard inputs.count <= 4 else { throw HGNetError(.unsupported, "expected a slice without steps") }
      append(
        "slice", node.type, inputs: ["Input": [inputs[0]]], output: result,
        [
          "starts": .integers(try constantIntegers(operand(1))), "ends": .integers(try constantIntegers(operand(2))),
          "axes": .integers(try constantIntegers(operand(3))),
        ])
    case "Softmax": unary("softmax", node, result, ["axis": .integer(node.attributes["axis"]?.integer ?? -1)])
    case "Identity", "Dropout": unary("assign", node, result)
    case "Flatten":
      guard node.attributes["axis"]?.integer ?? 1 == 1 else {
        throw HGNetError(.unsupported, "expected a flattening from axis 1")
      }
      unary("flatten_contiguous_range", node, result, ["start_axis": .integer(1), "stop_axis": .integer(-1)])
    case "GlobalAveragePool":
      unary("pool2d", node, result, ["pooling_type": .text("avg"), "global_pooling": .flag(true)])
    case "MaxPool":
      var attributes = try window(node)
      attributes["pooling_type"] = .text("max")
      attributes["ksize"] = .integers(node.attributes["kernel_shape"]?.integers ?? [])
      attributes["ceil_mode"] = .flag(node.attributes["ceil_mode"]?.integer == 1)
      unary("pool2d", node, result, attributes)
    case "Concat":
      append(
        "concat", node.type, inputs: ["X": inputs], output: result,
        ["axis": .integer(node.attributes["axis"]?.integer ?? 0)])
    case "Mul":
      let (left, right) = (try operand(0), try operand(1))
      if let factor = scalar(left) ?? scalar(right), !isShifted(result) {
        try scale(node, scalar(left) == nil ? left : right, by: factor, result)
      } else {
        append("elementwise_mul", node.type, inputs: ["X": [left], "Y": [right]], output: result, [:])
      }
    case "Add":
      let (left, right) = (try operand(0), try operand(1))
      let isSwapped = constants[left] != nil
      append(
        "elementwise_add", node.type, inputs: ["X": [isSwapped ? right : left], "Y": [isSwapped ? left : right]],
        output: result, [:])
    case "MatMul":
      append("matmul", node.type, inputs: ["X": [inputs[0]], "Y": [try operand(1)]], output: result, [:])
    case "Gemm":
      guard node.attributes["alpha"]?.float ?? 1 == 1, node.attributes["beta"]?.float ?? 1 == 1,
        node.attributes["transA"]?.integer ?? 0 == 0, node.attributes["transB"]?.integer ?? 0 == 0
      else { throw HGNetError(.unsupported, "expected a product without factors and transposition") }
      let hasBias = inputs.count > 2 && !inputs[2].isEmpty
      let product = hasBias ? "\(result)#product" : result
      append("matmul", node.type, inputs: ["X": [inputs[0]], "Y": [try operand(1)]], output: product, [:])
      if hasBias { addBias(product, inputs[2], result, axis: -1) }
    default:
      throw HGNetError(
        .unsupported, "the operator \(node.type) is not part of PP-HGNet; export a plain float32 classifier")
    }
  }

  /// PaddlePaddle's dropout in inference, a factor that nothing is added to.
  private mutating func scale(_ node: Node, _ input: String, by factor: Float, _ result: String) throws(HGNetError) {
    guard (0...1).contains(factor) else {
      throw HGNetError(.unsupported, "expected a factor from 0 to 1 where nothing is added, found \(factor)")
    }
    for name in node.inputs where name != input { parameters[name] = nil }
    append(
      "dropout", node.type, inputs: ["X": [input]], output: result,
      ["dropout_prob": .number(Double(1 - factor)), "dropout_implementation": .text("downgrade_in_infer")])
  }

  /// Whether every reader of a value adds a constant to it.
  private func isShifted(_ name: String) -> Bool {
    let indices = readers[name] ?? []
    return !indices.isEmpty
      && indices.allSatisfy { nodes[$0].type == "Add" && nodes[$0].inputs.contains { scalar($0) != nil } }
  }

  private func constantIntegers(_ name: String) throws(HGNetError) -> [Int] {
    guard let values = integers[name] else {
      throw HGNetError(.unsupported, "expected constant whole numbers, found a computed value", key: name)
    }
    return values
  }

  private func scalar(_ name: String) -> Float? {
    guard let constant = constants[name], constant.shape.count == 1, constant.elementType == .float32 else {
      return nil
    }
    return constant.tensor()[0]
  }

  private mutating func addBias(_ product: String, _ bias: String, _ result: String, axis: Int) {
    append(
      "elementwise_add", "bias", inputs: ["X": [product], "Y": [bias]], output: result, ["axis": .integer(axis)])
  }

  private func window(_ node: Node) throws(HGNetError) -> [String: PaddleProgram.Attribute] {
    var result: [String: PaddleProgram.Attribute] = [
      "strides": .integers(node.attributes["strides"]?.integers ?? [1, 1])
    ]
    switch node.attributes["auto_pad"]?.text ?? "NOTSET" {
    case "NOTSET", "":
      let pads = node.attributes["pads"]?.integers ?? [0, 0, 0, 0]
      guard pads.count == 4 else { throw HGNetError(.malformedData, "expected four pads, found \(pads)") }
      result["paddings"] = .integers([pads[0], pads[2], pads[1], pads[3]])
    case "SAME_UPPER": result["padding_algorithm"] = .text("SAME")
    case "VALID": result["padding_algorithm"] = .text("VALID")
    case let other: throw HGNetError(.unsupported, "expected explicit pads or SAME_UPPER, found \(other)")
    }
    return result
  }

  private mutating func unary(
    _ kind: String, _ node: Node, _ result: String, _ attributes: [String: PaddleProgram.Attribute] = [:]
  ) {
    append(kind, node.type, inputs: ["X": [node.inputs[0]]], output: result, attributes)
  }

  private mutating func append(
    _ kind: String, _ type: String, inputs: [String: [String]], output: String,
    _ attributes: [String: PaddleProgram.Attribute], slot: String = "Out"
  ) {
    operations.append(
      PaddleProgram.Operation(
        kind: kind, inputs: inputs, outputs: [slot: [output]], attributes: attributes, label: "\(type) (\(output))"))
  }

  /// Makes a constant a parameter of the network once something reads it.
  private mutating func use(_ name: String) {
    if let constant = constants[name], parameters[name] == nil { parameters[name] = constant }
  }

  // MARK: Messages

  private static let float = 1
  private static let wholeNumber = 7

  private static func node(_ bytes: BlobSlice) throws(HGNetError) -> Node {
    var node = Node()
    for field in try ProtobufField.all(in: bytes, maximumCount: 1 << 12) {
      switch field.number {
      case 1: node.inputs.append(field.text)
      case 2: node.outputs.append(field.text)
      case 4: node.type = field.text
      case 5:
        guard let content = field.bytes else { continue }
        var attribute = Attribute()
        var name = ""
        for part in try ProtobufField.all(in: content, maximumCount: 1 << 12) {
          switch part.number {
          case 1: name = part.text
          case 2: attribute.float = part.float
          case 3: attribute.integer = part.integer
          case 4: attribute.text = part.text
          case 8: attribute.integers += try part.integers()
          default: break
          }
        }
        node.attributes[name] = attribute
      default: break
      }
    }
    return node
  }

  private static func value(_ bytes: BlobSlice) throws(HGNetError) -> Value {
    var value = Value(name: "", elementType: 0, extents: [])
    for field in try ProtobufField.all(in: bytes, maximumCount: 64) {
      if field.number == 1 { value.name = field.text }
      guard field.number == 2, let type = field.bytes else { continue }
      for kind in try ProtobufField.all(in: type, maximumCount: 64) {
        guard kind.number == 1, let tensor = kind.bytes else { continue }
        for part in try ProtobufField.all(in: tensor, maximumCount: 64) {
          if part.number == 1 { value.elementType = part.integer }
          guard part.number == 2, let shape = part.bytes else { continue }
          for extent in try ProtobufField.all(in: shape, maximumCount: 64) {
            guard extent.number == 1, let content = extent.bytes else { continue }
            let length = try ProtobufField.all(in: content, maximumCount: 64).first { $0.number == 1 }
            value.extents.append(length?.integer ?? -1)
          }
        }
      }
    }
    return value
  }

  private mutating func readConstant(_ bytes: BlobSlice) throws(HGNetError) {
    var extents: [Int] = []
    var type = 0
    var name = ""
    var raw: BlobSlice?
    var floats: [Float] = []
    for field in try ProtobufField.all(in: bytes, maximumCount: 1 << 16) {
      switch field.number {
      case 1: extents += try field.integers()
      case 2: type = field.integer
      case 4: floats += try field.floats()
      case 8: name = field.text
      case 9: raw = field.bytes
      case 14 where field.integer == 1:
        throw HGNetError(.unsupported, "the weights lie in another file; save the model as one file", key: name)
      default: break
      }
    }
    // Constants of other types, such as sizes, belong to preprocessing; a network that reads one is refused there.
    if type == OnnxReader.wholeNumber, let raw, raw.count <= 64, raw.count % 8 == 0 {
      integers[name] = raw.withUnsafeBytes { bytes in
        stride(from: 0, to: bytes.count, by: 8).map {
          Int(Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: $0, as: Int64.self)))
        }
      }
    }
    let types: [Int: ElementType] = [1: .float32, 10: .float16, 11: .float64, 16: .bfloat16]
    guard let elementType = types[type], extents.count <= Shape.maximumRank else { return }
    do throws(HGNetError) {
      let shape = try Shape(validating: extents)
      if let raw {
        constants[name] = try Parameter(shape: shape, elementType: elementType, bytes: raw)
      } else {
        guard elementType == .float32, floats.count == shape.count else {
          throw HGNetError(.malformedData, "expected \(shape.count) floats, found \(floats.count)")
        }
        constants[name] = Parameter(Tensor(shape: shape, values: floats))
      }
    } catch {
      throw error.at(key: name)
    }
  }
}
