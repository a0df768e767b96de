import HGNetCore
import HGNetFormats

/// Builds small ONNX models, field by field.
struct OnnxBuilder {
  /// The value of an attribute.
  enum Attribute {
    case integer(Int)
    case integers([Int])
    case float(Float)
    case text(String)
    case weights([Int], [Float])
    case numbers([Int], [Int])
    case flags([Int], [Int])
  }

  private var nodes = ProtobufEncoder()
  private var constants = ProtobufEncoder()
  private var count = 0
  var input: (name: String, type: Int, extents: [Int]) = ("x", 1, [-1, 3, 32, 32])

  /// Appends a node and gives the name of its result.
  mutating func node(
    _ type: String, _ inputs: [String], _ attributes: [String: Attribute] = [:], domain: String = ""
  ) -> String {
    count += 1
    let result = "\(type)_\(count)"
    nodes.message(1) { message in
      for name in inputs { message.text(1, name) }
      message.text(2, result)
      message.text(4, type)
      if !domain.isEmpty { message.text(7, domain) }
      for (key, value) in attributes.sorted(by: { $0.key < $1.key }) {
        message.message(5) { Self.write(key, value, to: &$0) }
      }
    }
    return result
  }

  private static func write(_ key: String, _ value: Attribute, to message: inout ProtobufEncoder) {
    message.text(1, key)
    switch value {
    case .integer(let number): message.integer(3, number)
    case .integers(let numbers): for number in numbers { message.integer(8, number) }
    case .float(let number): message.float(2, number)
    case .text(let text): message.text(4, text)
    case .weights(let extents, let values): message.message(5) { weights("", extents, values, to: &$0) }
    case .numbers(let extents, let values): message.message(5) { numbers("", extents, values, to: &$0) }
    case .flags(let extents, let values): message.message(5) { flags(extents, values, to: &$0) }
    }
  }

  private static func flags(_ extents: [Int], _ values: [Int], to message: inout ProtobufEncoder) {
    for extent in extents { message.integer(1, extent) }
    message.integer(2, 9)
    message.data(9, values.map { UInt8($0) })
  }

  private static func weights(_ name: String, _ extents: [Int], _ values: [Float], to message: inout ProtobufEncoder) {
    for extent in extents { message.integer(1, extent) }
    message.integer(2, 1)
    message.text(8, name)
    message.data(9, values.flatMap { value in withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) } })
  }

  private static func numbers(_ name: String, _ extents: [Int], _ values: [Int], to message: inout ProtobufEncoder) {
    for extent in extents { message.integer(1, extent) }
    message.integer(2, 7)
    for value in values { message.integer(7, value) }
    message.text(8, name)
  }

  /// Weights, as a constant of the graph or as a node of their own.
  mutating func weights(_ extents: [Int], _ values: [Float]? = nil, asNode: Bool = false) -> String {
    let all = values ?? (0..<extents.reduce(1, *)).map { Float($0 % 7) / 4 - 0.5 }
    if asNode { return node("Constant", [], ["value": .weights(extents, all)]) }
    count += 1
    let name = "w\(count)"
    constants.message(5) { Self.weights(name, extents, all, to: &$0) }
    return name
  }

  /// Whole numbers.
  mutating func numbers(_ values: [Int], extents: [Int]? = nil) -> String {
    count += 1
    let name = "i\(count)"
    constants.message(5) { Self.numbers(name, extents ?? [values.count], values, to: &$0) }
    return name
  }

  /// Appends a convolution of 3 to `channels` channels with a window of 1.
  mutating func stem(_ channels: Int = 4) -> String { node("Conv", ["x", weights([channels, 3, 1, 1])]) }

  /// Appends a classifier behind a map of some channels: mean, flattening, product, bias.
  mutating func head(_ map: String, channels: Int = 4) -> String {
    let flat = node("Flatten", [node("GlobalAveragePool", [map])])
    return node("Gemm", [flat, weights([channels, 2]), weights([2])])
  }

  /// The bytes of the model.
  func model(_ outputs: String...) -> BlobSlice {
    var model = ProtobufEncoder()
    model.integer(1, 8)
    model.message(7) { graph in
      graph.raw(nodes)
      graph.raw(constants)
      graph.message(11) { Self.value(input.name, input.type, input.extents, to: &$0) }
      for name in outputs { graph.message(12) { Self.value(name, 1, [-1, 2], to: &$0) } }
    }
    return BlobSlice(Blob(model.bytes))
  }

  private static func value(_ name: String, _ type: Int, _ extents: [Int], to message: inout ProtobufEncoder) {
    message.text(1, name)
    message.message(2) { message in
      message.message(1) { tensor in
        tensor.integer(1, type)
        tensor.message(2) { shape in
          for extent in extents {
            shape.message(1) { if extent >= 0 { $0.integer(1, extent) } else { $0.text(2, "n") } }
          }
        }
      }
    }
  }
}
