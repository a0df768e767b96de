import Foundation

/// Computes the arithmetic of an exported ONNX graph the plain way: what its preprocessing needs, in single precision.
struct OnnxArithmetic {
  struct Value {
    var shape: [Int]
    var data: [Double]
    var isWhole = false
  }

  enum Failure: Error { case unknown(String) }

  private struct Node {
    var inputs: [String] = []
    var result = ""
    var type = ""
    var numbers: [String: [Int]] = [:]
  }

  private var nodes: [Node] = []
  private(set) var values: [String: Value] = [:]

  /// The operators, in order.
  var types: [String] { nodes.map(\.type) }

  /// Reads the nodes up to the one that makes a value.
  init(_ bytes: [UInt8], until last: String) {
    for graph in OnnxArithmetic.fields(bytes[...]) where graph.number == 7 {
      for field in OnnxArithmetic.fields(graph.bytes) {
        if field.number == 5 { readConstant(field.bytes) }
        guard field.number == 1, nodes.last?.result != last else { continue }
        nodes.append(OnnxArithmetic.node(field.bytes))
      }
    }
  }

  /// The value that a name has for an input.
  mutating func run(_ name: String, input: String, _ value: Value) throws -> Value {
    values[input] = value
    for node in nodes {
      let inputs = node.inputs.compactMap { values[$0] }
      values[node.result] = try compute(node, inputs)
    }
    return values[name] ?? Value(shape: [], data: [])
  }

  // MARK: Operators

  private func compute(_ node: Node, _ x: [Value]) throws -> Value {
    func each(_ isWhole: Bool? = nil, _ body: (Double, Double) -> Double) -> Value {
      OnnxArithmetic.each(x[0], x[1], isWhole ?? x[0].isWhole, body)
    }
    func map(_ body: (Double) -> Double) -> Value {
      Value(shape: x[0].shape, data: x[0].data.map { Double(Float(body($0))) }, isWhole: x[0].isWhole)
    }
    switch node.type {
    case "Add": return each { $0 + $1 }
    case "Sub": return each { $0 - $1 }
    case "Mul": return each { $0 * $1 }
    case "Div": return x[0].isWhole ? each { ($0 / $1).rounded(.towardZero) } : each { $0 / $1 }
    case "Less": return each(true) { $0 < $1 ? 1 : 0 }
    case "Equal": return each(true) { $0 == $1 ? 1 : 0 }
    case "And": return each(true) { $0 * $1 }
    case "Abs": return map { abs($0) }
    case "Relu": return map { max($0, 0) }
    case "Floor": return map { $0.rounded(.down) }
    case "Round": return map { $0.rounded(.toNearestOrEven) }
    case "Clip": return map { min(max($0, x[1].data[0]), x[2].data[0]) }
    case "Cast":
      return Value(shape: x[0].shape, data: x[0].data.map { Double(Float($0)) }, isWhole: node.numbers["to"] == [7])
    case "Where":
      let chosen = OnnxArithmetic.each(x[0], x[1], false) { $0 == 0 ? .nan : $1 }
      return OnnxArithmetic.each(chosen, x[2], x[1].isWhole) { $0.isNaN ? $1 : $0 }
    case "Shape": return Value(shape: [x[0].shape.count], data: x[0].shape.map(Double.init), isWhole: true)
    case "Range":
      return Value(shape: [Int(x[1].data[0])], data: (0..<Int(x[1].data[0])).map(Double.init), isWhole: true)
    case "Reshape":
      var shape = x[1].data.map { Int($0) }
      for index in shape.indices where shape[index] == 0 { shape[index] = x[0].shape[index] }
      if let open = shape.firstIndex(of: -1) { shape[open] = x[0].data.count / -shape.reduce(1, *) }
      return Value(shape: shape, data: x[0].data, isWhole: x[0].isWhole)
    case "Concat": return Value(shape: [x.count], data: x.flatMap(\.data), isWhole: x[0].isWhole)
    case "ReduceMin": return Value(shape: [1], data: [x[0].data.min() ?? 0], isWhole: x[0].isWhole)
    case "ReduceMax": return Value(shape: [1], data: [x[0].data.max() ?? 0], isWhole: x[0].isWhole)
    case "ReduceSum": return sum(x[0], axis: x.count > 1 ? Int(x[1].data[0]) : node.numbers["axes"]?.first ?? 0)
    case "Gather": return gathered(x[0], x[1], axis: node.numbers["axis"]?.first ?? 0)
    case "Slice":
      let axes = x.count > 3 ? x[3].data.map { Int($0) } : Array(x[1].data.indices)
      return zip(axes, zip(x[1].data, x[2].data)).reduce(x[0]) { value, part in
        let places = (Int(part.1.0)..<Int(part.1.1)).map(Double.init)
        return gathered(value, Value(shape: [places.count], data: places, isWhole: true), axis: part.0)
      }
    case "Transpose":
      let shape = [0, 3, 1, 2].map { x[0].shape[$0] }
      let area = shape[2] * shape[3]
      return Value(
        shape: shape,
        data: (0..<x[0].data.count).map { x[0].data[($0 % area) * 3 + $0 / area % 3 + $0 / area / 3 * area * 3] })
    case "MatMul": return product(x[0], x[1])
    default: throw Failure.unknown(node.type)
    }
  }

  private static func each(_ a: Value, _ b: Value, _ isWhole: Bool, _ body: (Double, Double) -> Double) -> Value {
    let rank = max(a.shape.count, b.shape.count)
    let left = Array(repeating: 1, count: rank - a.shape.count) + a.shape
    let right = Array(repeating: 1, count: rank - b.shape.count) + b.shape
    let shape = zip(left, right).map { $0 == 1 ? $1 : $0 }
    var (strides, others) = ([Int](repeating: 0, count: rank), [Int](repeating: 0, count: rank))
    var (step, other) = (1, 1)
    for axis in (0..<rank).reversed() {
      if left[axis] > 1 { strides[axis] = step }
      if right[axis] > 1 { others[axis] = other }
      step *= left[axis]
      other *= right[axis]
    }
    let data = (0..<shape.reduce(1, *)).map { index in
      var (rest, first, second) = (index, 0, 0)
      for axis in (0..<rank).reversed() {
        first += rest % shape[axis] * strides[axis]
        second += rest % shape[axis] * others[axis]
        rest /= shape[axis]
      }
      let value = body(a.data[first], b.data[second])
      return isWhole ? value : Double(Float(value))
    }
    return Value(shape: shape, data: data, isWhole: isWhole)
  }

  private func gathered(_ value: Value, _ places: Value, axis: Int) -> Value {
    let inner = value.shape[(axis + 1)...].reduce(1, *)
    let length = value.shape[axis]
    let data = (0..<value.shape[..<axis].reduce(1, *)).flatMap { outer in
      places.data.flatMap { place in
        let start = (outer * length + Int(place)) * inner
        return value.data[start..<start + inner]
      }
    }
    return Value(
      shape: value.shape[..<axis] + places.shape + value.shape[(axis + 1)...], data: data, isWhole: value.isWhole)
  }

  private func sum(_ value: Value, axis: Int) -> Value {
    let columns = value.shape[1]
    let data = (0..<value.shape[1 - axis]).map { line in
      (0..<value.shape[axis]).reduce(0.0) { $0 + value.data[axis == 0 ? $1 * columns + line : line * columns + $1] }
    }
    return Value(shape: axis == 0 ? [1, columns] : [value.shape[0], 1], data: data)
  }

  /// One of the two has two axes, and is the same for all of the other.
  private func product(_ a: Value, _ b: Value) -> Value {
    let (rows, inner, columns) = (a.shape[a.shape.count - 2], b.shape[b.shape.count - 2], b.shape[b.shape.count - 1])
    let batches = (a.shape.count > b.shape.count ? a : b).shape.dropLast(2)
    var data: [Double] = []
    for batch in 0..<batches.reduce(1, *) {
      let left = a.shape.count > 2 ? batch * rows * inner : 0
      let right = b.shape.count > 2 ? batch * inner * columns : 0
      for row in 0..<rows {
        for column in 0..<columns {
          var sum = 0.0
          for index in 0..<inner {
            sum += a.data[left + row * inner + index] * b.data[right + index * columns + column]
          }
          data.append(Double(Float(sum)))
        }
      }
    }
    return Value(shape: batches + [rows, columns], data: data)
  }

  // MARK: Messages

  private struct Field {
    var number: Int
    var value = 0
    var bytes: ArraySlice<UInt8> = []
  }

  private static func fields(_ bytes: ArraySlice<UInt8>) -> [Field] {
    var (place, result) = (bytes.startIndex, [Field]())
    func number() -> Int {
      var (value, shift) = (UInt64(0), UInt64(0))
      while place < bytes.endIndex {
        let byte = bytes[place]
        place += 1
        value |= UInt64(byte & 127) << shift
        shift += 7
        if byte < 128 { break }
      }
      return Int(truncatingIfNeeded: value)
    }
    while place < bytes.endIndex {
      let key = number()
      var field = Field(number: key >> 3)
      switch key & 7 {
      case 0: field.value = number()
      case 5: place += 4
      case 1: place += 8
      default:
        let length = number()
        field.bytes = bytes[place..<place + length]
        place += length
      }
      result.append(field)
    }
    return result
  }

  private static func node(_ bytes: ArraySlice<UInt8>) -> Node {
    var node = Node()
    for field in fields(bytes) {
      let text = String(decoding: field.bytes, as: UTF8.self)
      switch field.number {
      case 1: node.inputs.append(text)
      case 2: node.result = text
      case 4: node.type = text
      case 5:
        let parts = fields(field.bytes)
        let name = parts.first { $0.number == 1 }.map { String(decoding: $0.bytes, as: UTF8.self) } ?? ""
        node.numbers[name] = parts.filter { $0.number == 3 || $0.number == 8 }.map(\.value)
      default: break
      }
    }
    return node
  }

  private mutating func readConstant(_ bytes: ArraySlice<UInt8>) {
    let parts = OnnxArithmetic.fields(bytes)
    let isWhole = parts.contains { $0.number == 2 && $0.value == 7 }
    let name = parts.first { $0.number == 8 }.map { String(decoding: $0.bytes, as: UTF8.self) } ?? ""
    let raw = Data(parts.first { $0.number == 9 }?.bytes ?? [])
    let data: [Double] = raw.withUnsafeBytes { bytes in
      isWhole
        ? stride(from: 0, to: bytes.count, by: 8).map {
          Double(bytes.loadUnaligned(fromByteOffset: $0, as: Int64.self))
        }
        : stride(from: 0, to: bytes.count, by: 4).map {
          Double(bytes.loadUnaligned(fromByteOffset: $0, as: Float.self))
        }
    }
    values[name] = Value(shape: parts.filter { $0.number == 1 }.map(\.value), data: data, isWhole: isWhole)
  }
}
