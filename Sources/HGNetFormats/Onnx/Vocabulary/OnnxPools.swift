import HGNetCore

/// Pools, means over maps, and borders of zeros.
enum OnnxPools: OnnxVocabulary {
  static let types = ["Pad", "MaxPool", "GlobalAveragePool", "ReduceMean"]

  static func read(
    _ node: OnnxNode, _ result: String, into reader: inout OnnxReader
  ) throws(HGNetError) -> Bool {
    let input = node.inputs[0]
    switch node.type {
    case "GlobalAveragePool": reader.mean(node, input, result)
    case "ReduceMean": try reader.reducedMean(node, input, result)
    case "MaxPool": try reader.maximumPool(node, result)
    case "Pad": try reader.pad(node, result)
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
    case "MaxPool", "Pad": return [first[0], channels, .open, .open]
    case "ReduceMean" where node.integer("keepdims", 1) == 0: return [first[0], channels]
    default: return [first[0], channels, .known(1), .known(1)]
    }
  }

  static func write(_ node: Graph.Node, to translation: inout OnnxTranslation) throws(HGNetError) -> String? {
    let inputs = translation.inputs(of: node)
    switch node.operation {
    case .maxPool(let kernel, let stride, let padding):
      return translation.graph.node(
        "MaxPool", inputs, name: node.name,
        [
          .integers("kernel_shape", [kernel.height, kernel.width]), .integers("pads", padding.onnx),
          .integers("strides", [stride.height, stride.width]),
        ])
    case .globalAveragePool: return translation.graph.node("GlobalAveragePool", inputs, name: node.name)
    default: return nil
    }
  }
}

// MARK: - Reading

extension OnnxReader {
  fileprivate mutating func mean(_ node: OnnxNode, _ input: String, _ result: String) {
    append(
      "pool2d", node.type, inputs: ["X": [input]], output: result,
      ["pooling_type": .text("avg"), "global_pooling": .flag(true)])
  }

  fileprivate mutating func reducedMean(_ node: OnnxNode, _ input: String, _ result: String) throws(HGNetError) {
    let axes = node.integers("axes") ?? node.inputs.dropFirst().first.flatMap { integers[$0]?.numbers } ?? []
    guard Set(axes.map { $0 < 0 ? $0 &+ 4 : $0 }) == [2, 3] else {
      throw HGNetError(
        .unsupported, "expected a mean over height and width (axes 2 and 3), found the axes \(axes.prefix(8))")
    }
    guard node.integer("keepdims", 1) == 0 else { return mean(node, input, result) }
    mean(node, input, "\(result)#mean")
    flatten(node, "\(result)#mean", result)
  }

  fileprivate mutating func maximumPool(_ node: OnnxNode, _ result: String) throws(HGNetError) {
    guard node.integers("dilations")?.allSatisfy({ $0 == 1 }) ?? true else {
      throw HGNetError(.unsupported, "dilated pools are not part of PP-HGNet")
    }
    var attributes = try window(node)
    attributes["pooling_type"] = .text("max")
    attributes["ksize"] = .integers(node.integers("kernel_shape") ?? [])
    attributes["ceil_mode"] = .flag(node.integer("ceil_mode", 0) == 1)
    unary("pool2d", node, result, attributes)
  }

  /// A border of zeros before a convolution or a pool.
  fileprivate mutating func pad(_ node: OnnxNode, _ result: String) throws(HGNetError) {
    let mode = node.attributes["mode"]?.text ?? "constant"
    let pads: [Int]
    if let given = node.integers("pads") { pads = given } else { pads = try numbers(node, 1) }
    let fill: Float?
    if node.inputs.count > 2, !node.inputs[2].isEmpty {
      fill = number(node.inputs[2])
    } else {
      fill = node.float("value", 0)
    }
    guard mode == "constant", fill == 0, node.inputs.count < 4, pads.count == 8, pads[0] == 0, pads[1] == 0,
      pads[4] == 0, pads[5] == 0, pads.allSatisfy({ $0 >= 0 })
    else {
      throw HGNetError(
        .unsupported,
        "expected a border of zeros around height and width, found the mode \(mode.prefix(20)), pads \(pads.prefix(8))")
    }
    unary("pad", node, result, ["paddings": .integers([pads[2], pads[6], pads[3], pads[7]])])
  }
}
