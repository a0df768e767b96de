import HGNetCore

/// An ONNX graph while it is built: nodes as encoded messages, weights as references.
///
/// Field numbers are those of ONNX's `onnx.proto`, whose version 3 has had them since its first release.
package struct OnnxGraph {
  /// The names of TensorProto's element types.
  package enum ElementType: Int {
    case float = 1
    case uint8 = 2
    case int8 = 3
    case int64 = 7
    case float16 = 10
    case bfloat16 = 16

    /// Bytes of an element.
    var byteCount: Int {
      switch self {
      case .uint8, .int8: 1
      case .float16, .bfloat16: 2
      case .float: 4
      case .int64: 8
      }
    }
  }

  /// One attribute of a node.
  package enum Attribute {
    case integer(String, Int)
    case integers(String, [Int])
    case float(String, Float)
    case text(String, String)
  }

  /// One extent of an input or output.
  package enum Extent {
    case known(Int)
    /// Any number, with a name that says which extents are the same.
    case any(String)
  }

  /// A constant of the graph.
  package struct Constant {
    package enum Content {
      /// A parameter as it stands, in the graph's element type.
      case parameter(Parameter)
      /// A parameter whose outermost slices are multiplied by one factor each.
      case scaled(Parameter, by: [Double])
      case floats([Float])
      /// float32 whatever the graph's element type is.
      case scales([Float])
      case integers([Int])
      /// Quantised weights, int8, whose outermost slices get a sign each: 1, -1, or 0.
      case signed(Parameter, signs: [Int8])
      /// Zero points.
      case zeros([UInt8], isSigned: Bool)
    }
    var name: String
    var extents: [Int]
    var content: Content
    var elementType: ElementType
  }

  private var body = ProtobufEncoder()
  private var constants: [Constant] = []
  private var names: Set<String> = []
  /// The element type of the weights that are appended, and of what is computed with them: float, float16, or bfloat16 for
  /// weights of several axes in that, which become float before they are used.
  package var elementType = ElementType.float

  /// Starts a graph.
  package init(name: String) { body.text(2, name) }

  /// A name that no other value of the graph has: the wanted one, or that with a number.
  package mutating func unique(_ wanted: String) -> String {
    var name = wanted
    var number = 1
    while !names.insert(name).inserted {
      number += 1
      name = "\(wanted)_\(number)"
    }
    return name
  }

  /// Appends a constant and gives its name.
  @discardableResult
  package mutating func constant(_ name: String, extents: [Int], _ content: Constant.Content) -> String {
    var type = content.elementType ?? elementType
    let isCast = type == .bfloat16 && extents.count > 1
    if type == .bfloat16, !isCast { type = .float }
    let own = unique(isCast ? "\(name).bfloat16" : name)
    constants.append(Constant(name: own, extents: extents, content: content, elementType: type))
    return isCast ? node("Cast", [own], name: name, [.integer("to", ElementType.float.rawValue)]) : own
  }

  /// Appends a list of whole numbers and gives its name.
  package mutating func constant(_ name: String, _ values: [Int]) -> String {
    constant(name, extents: [values.count], .integers(values))
  }

  /// Appends a node and gives the name of its result.
  @discardableResult
  package mutating func node(
    _ type: String, _ inputs: [String], name: String, _ attributes: [Attribute] = []
  ) -> String {
    let result = unique(name)
    self.result(type, inputs, name: result, attributes)
    return result
  }

  /// Appends a node whose result has a name that was taken before.
  package mutating func result(_ type: String, _ inputs: [String], name result: String, _ attributes: [Attribute] = [])
  {
    body.message(1) { node in
      for input in inputs { node.text(1, input) }
      node.text(2, result)
      node.text(3, result)
      node.text(4, type)
      for attribute in attributes { node.message(5) { OnnxGraph.encode(attribute, into: &$0) } }
    }
  }

  /// Declares the input.
  package mutating func input(_ name: String, _ type: ElementType, _ extents: [Extent]) {
    names.insert(name)
    body.message(11) { OnnxGraph.encodeValue(name, type, extents, into: &$0) }
  }

  /// States the type of a value inside the graph.
  package mutating func state(_ name: String, _ type: ElementType, _ extents: [Extent]) {
    body.message(13) { OnnxGraph.encodeValue(name, type, extents, into: &$0) }
  }

  /// Declares the output, which a node has made.
  package mutating func output(_ name: String, _ type: ElementType, _ extents: [Extent]) {
    body.message(12) { OnnxGraph.encodeValue(name, type, extents, into: &$0) }
  }

  /// Writes field 7 of a model, the graph, at the end of a file.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` above the 2 GiB that protobuf allows, `unwritableFile`.
  package func write(to file: inout FileOutput) throws(HGNetError) {
    let headers = constants.map { constant in
      var tensor = ProtobufEncoder()
      for extent in constant.extents { tensor.integer(1, extent) }
      tensor.integer(2, constant.elementType.rawValue)
      tensor.text(8, constant.name)
      tensor.header(9, byteCount: constant.byteCount)
      var field = ProtobufEncoder()
      field.header(5, byteCount: tensor.bytes.count + constant.byteCount)
      return field.bytes + tensor.bytes
    }
    var size = body.bytes.count
    for (header, constant) in zip(headers, constants) { size += header.count + constant.byteCount }
    guard size < Int(Int32.max) - (1 << 20) else {
      throw HGNetError(.limitExceeded, "the network is larger than the 2 GiB that an ONNX file of one part may have")
    }
    var field = ProtobufEncoder()
    field.header(7, byteCount: size)
    try file.write(field.bytes)
    try file.write(body.bytes)
    for (header, constant) in zip(headers, constants) {
      try file.write(header)
      try constant.write(to: &file)
    }
  }

  private static func encode(_ attribute: Attribute, into message: inout ProtobufEncoder) {
    switch attribute {
    case .float(let name, let value):
      message.text(1, name)
      message.float(2, value)
      message.integer(20, 1)
    case .integer(let name, let value):
      message.text(1, name)
      message.integer(3, value)
      message.integer(20, 2)
    case .text(let name, let value):
      message.text(1, name)
      message.text(4, value)
      message.integer(20, 3)
    case .integers(let name, let values):
      message.text(1, name)
      for value in values { message.integer(8, value) }
      message.integer(20, 7)
    }
  }

  private static func encodeValue(
    _ name: String, _ type: ElementType, _ extents: [Extent], into message: inout ProtobufEncoder
  ) {
    message.text(1, name)
    message.message(2) { valueType in
      valueType.message(1) { tensor in
        tensor.integer(1, type.rawValue)
        tensor.message(2) { shape in
          for extent in extents {
            shape.message(1) { dimension in
              switch extent {
              case .known(let length): dimension.integer(1, length)
              case .any(let name): dimension.text(2, name)
              }
            }
          }
        }
      }
    }
  }
}

extension OnnxGraph.Constant.Content {
  /// nil for that of the graph.
  fileprivate var elementType: OnnxGraph.ElementType? {
    switch self {
    case .parameter, .scaled, .floats: nil
    case .scales: .float
    case .integers: .int64
    case .signed: .int8
    case .zeros(_, let isSigned): isSigned ? .int8 : .uint8
    }
  }
}

extension OnnxGraph.Constant {
  fileprivate var byteCount: Int { extents.reduce(elementType.byteCount, *) }

  fileprivate func write(to file: inout FileOutput) throws(HGNetError) {
    do throws(HGNetError) {
      switch content {
      case .parameter(let parameter): try file.write(parameter, as: elementType.stored)
      case .scaled(let parameter, let factors):
        try file.write(Parameter(parameter.scaled(by: factors)), as: elementType.stored)
      case .floats(let values), .scales(let values):
        try file.write(Parameter(Tensor(shape: [values.count], values: values)), as: elementType.stored)
      case .integers(let values): try file.write(littleEndian(values.map { Int64($0) }))
      case .signed(let parameter, let signs): try file.write(parameter.signed(signs))
      case .zeros(let values, _): try file.write(values)
      }
    } catch {
      throw error.context.path == nil ? error.at(key: name) : error
    }
  }

  private func littleEndian(_ values: [some FixedWidthInteger]) -> [UInt8] {
    values.flatMap { value in (0..<value.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } }
  }
}

extension OnnxGraph.ElementType {
  /// How the elements of weights are stored.
  fileprivate var stored: ElementType {
    switch self {
    case .float16: .float16
    case .bfloat16: .bfloat16
    case .int8: .int8
    case .uint8: .uint8
    case .float, .int64: .float32
    }
  }
}

extension Parameter {
  /// The elements with each outermost slice multiplied by its factor, in double precision.
  func scaled(by factors: [Double]) -> Tensor {
    var result = tensor()
    let length = result.count / max(factors.count, 1)
    result.withUnsafeMutableBufferPointer { values in
      for (slice, factor) in factors.enumerated() {
        for index in slice * length..<(slice + 1) * length { values[index] = Float(Double(values[index]) * factor) }
      }
    }
    return result
  }

  /// Quantised weights with a sign for each outermost slice: 1, -1, or 0.
  ///
  /// -128 becomes 127 where its sign changes.
  func signed(_ signs: [Int8]) -> [UInt8] {
    withUnsafeBytes { bytes in
      let length = bytes.count / max(signs.count, 1)
      guard length > 0, signs.contains(where: { $0 != 1 }) else { return Array(bytes) }
      return bytes.enumerated().map { index, byte in
        let value = Int(Int8(bitPattern: byte)) * Int(signs[min(index / length, signs.count - 1)])
        return UInt8(bitPattern: Int8(min(value, 127)))
      }
    }
  }
}
