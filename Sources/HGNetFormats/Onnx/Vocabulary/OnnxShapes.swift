import HGNetCore

/// What changes extents alone, and the concatenation of channels.
enum OnnxShapes: OnnxVocabulary {
  static let types = ["Concat", "Flatten", "Squeeze", "Reshape"]

  static func read(
    _ node: OnnxNode, _ result: String, into reader: inout OnnxReader
  ) throws(HGNetError) -> Bool {
    let input = node.inputs[0]
    switch node.type {
    case "Concat":
      reader.append(
        "concat", node.type, inputs: ["X": node.inputs], output: result, ["axis": .integer(node.integer("axis", 0))])
    case "Flatten":
      guard [1, -3].contains(node.integer("axis", 1)) else {
        throw HGNetError(.unsupported, "expected a flattening from axis 1")
      }
      reader.flatten(node, input, result)
    case "Squeeze":
      let axes = node.integers("axes") ?? node.inputs.dropFirst().first.flatMap { reader.integers[$0]?.numbers }
      guard let axes, Set(axes.map { $0 < 0 ? $0 &+ 4 : $0 }) == [2, 3] else {
        throw HGNetError(.unsupported, "expected a squeeze of height and width")
      }
      reader.flatten(node, input, result)
    case "Reshape": try reader.reshape(node, result)
    default: return false
    }
    return true
  }

  static func extents(
    of node: OnnxNode, _ inputs: [[OnnxIntegers.Element]], in reader: OnnxReader
  ) -> [OnnxIntegers.Element]? {
    let first = inputs[0]
    let channels = first.count > 1 ? first[1] : .open
    switch node.type {
    case "Concat" where node.integer("axis", 0) == 1 && inputs.allSatisfy { $0.count == first.count }:
      var joined: Int? = 0
      for input in inputs {
        guard let sum = joined, let count = input.count > 1 ? input[1].number : nil else {
          joined = nil
          break
        }
        let (next, overflow) = sum.addingReportingOverflow(count)
        joined = overflow ? nil : next
      }
      return [first[0], joined.map(OnnxIntegers.Element.known) ?? .open] + first.dropFirst(2)
    case "Flatten", "Squeeze":
      return first.dropFirst(2).allSatisfy { $0 == .known(1) } ? [first[0], channels] : [first[0], .open]
    case "Reshape":
      guard let shape = node.inputs.dropFirst().first.flatMap({ reader.integers[$0]?.elements }), shape.count == 2
      else { return nil }
      return [first[0], shape[1] == .known(-1) ? channels : shape[1]]
    default: return nil
    }
  }

  static func write(_ node: Graph.Node, to translation: inout OnnxTranslation) throws(HGNetError) -> String? {
    let inputs = translation.inputs(of: node)
    switch node.operation {
    case .concatenate: return translation.graph.node("Concat", inputs, name: node.name, [.integer("axis", 1)])
    case .flatten: return translation.graph.node("Flatten", inputs, name: node.name, [.integer("axis", 1)])
    default: return nil
    }
  }
}

// MARK: - Reading

extension OnnxReader {
  mutating func flatten(_ node: OnnxNode, _ input: String, _ result: String) {
    append(
      "flatten_contiguous_range", node.type, inputs: ["X": [input]], output: result,
      ["start_axis": .integer(1), "stop_axis": .integer(-1)])
  }

  fileprivate mutating func reshape(_ node: OnnxNode, _ result: String) throws(HGNetError) {
    let name = try operand(node, 1)
    guard let shape = integers[name] else {
      throw HGNetError(.unsupported, "expected a constant shape, found one that the graph computes", key: name)
    }
    try use(node.inputs[0])
    let isFixedBatch = weights[node.inputs[0]] == nil && inputExtents.first ?? 0 > 0
    var extents: [Int] = []
    for (axis, element) in shape.elements.enumerated() {
      switch element {
      // A model for one number of pictures does the same with others.
      case .known(let number): extents.append(axis == 0 && isFixedBatch && number == inputExtents[0] ? 0 : number)
      case .batch where axis == 0: extents.append(0)
      default:
        throw HGNetError(.unsupported, "expected a shape that does not depend on the size of the pictures", key: name)
      }
    }
    unary("reshape", node, result, ["shape": .integers(extents)])
  }
}
