import HGNet
import HGNetCore

/// Turns the nodes of a network into those of an ONNX graph, one after the other.
struct OnnxTranslation {
  /// The name of the normalised input, with or without preprocessing before it.
  static let inputName = "x"

  let network: ExportedNetwork
  let foldsNormalization: Bool
  var graph: OnnxGraph
  var results: [Graph.NodeID: String] = [:]
  /// Results that are `[N, tokens, C]` rather than `[N, C, H, W]` or `[N, C]`.
  var tokens: Set<Graph.NodeID> = []
  private var constants: [String: String] = [:]
  private var readers: [Graph.NodeID: [Graph.NodeID]] = [:]

  init(network: ExportedNetwork, foldsNormalization: Bool) {
    self.network = network
    self.foldsNormalization = foldsNormalization
    graph = OnnxGraph(name: "PP-HGNet")
    for (index, node) in network.graph.nodes.enumerated() {
      for input in node.inputs { readers[input, default: []].append(Graph.NodeID(index)) }
    }
  }

  /// Declares normalised pictures as the input.
  mutating func appendInput() {
    graph.input(OnnxTranslation.inputName, .float, inputExtents)
  }

  /// The extents of the normalised input.
  var inputExtents: [OnnxGraph.Extent] {
    let size = network.graph.inputSize
    return [.any("batch"), .known(3), .known(size.height), .known(size.width)]
  }

  /// Appends the network, which reads the value `x`, and declares the output.
  mutating func appendNetwork() throws(HGNetError) {
    // What the network puts out keeps its name whatever the layers are called.
    let output =
      switch network.activation {
      case .softmax: graph.unique("softmax")
      case .sigmoid: graph.unique("sigmoid")
      case .none: graph.unique("logits")
      }
    for (index, node) in network.graph.nodes.enumerated() {
      let id = Graph.NodeID(index)
      guard results[id] == nil else { continue }
      if let first = node.inputs.first, tokens.contains(first), node.operation.keepsTokens { tokens.insert(id) }
      do throws(HGNetError) {
        results[id] = try append(node, id: id)
      } catch {
        var named = error
        named.context.layer = node.name
        throw named
      }
    }
    let logits = results[network.logits] ?? ""
    switch network.activation {
    case .softmax: graph.result("Softmax", [logits], name: output, [.integer("axis", 1)])
    case .sigmoid: graph.result("Sigmoid", [logits], name: output)
    case .none: graph.result("Identity", [logits], name: output)
    }
    graph.output(output, .float, [.any("batch"), .known(network.classCount)])
  }

  private mutating func append(_ node: Graph.Node, id: Graph.NodeID) throws(HGNetError) -> String {
    let inputs = node.inputs.map { results[$0] ?? "" }
    switch node.operation {
    case .input: return OnnxTranslation.inputName
    case .convolution(let convolution):
      if foldsNormalization, id != network.logits, let readers = readers[id], readers.count == 1,
        case .batchNormalization(let normalization) = network.graph[readers[0]].operation
      {
        let result = try folded(convolution, normalization, name: node.name, input: inputs[0])
        results[readers[0]] = result
        return result
      }
      var operands = [inputs[0], try constant(convolution.weight)]
      if let bias = convolution.bias { operands.append(try constant(bias)) }
      return graph.node("Conv", operands, name: node.name, OnnxTranslation.attributes(of: convolution))
    case .batchNormalization(let norm):
      var operands = inputs
      for name in [norm.weight, norm.bias, norm.mean, norm.variance] { operands.append(try constant(name)) }
      return graph.node("BatchNormalization", operands, name: node.name, [.float("epsilon", norm.epsilon)])
    case .relu: return graph.node("Relu", inputs, name: node.name)
    case .sigmoid: return graph.node("Sigmoid", inputs, name: node.name)
    case .softmax: return graph.node("Softmax", inputs, name: node.name, [.integer("axis", 1)])
    case .affine(let scale, let bias):
      let scaled = graph.node("Mul", [inputs[0], try constant(scale)], name: "\(node.name).mul")
      return graph.node("Add", [scaled, try constant(bias)], name: node.name)
    case .maxPool(let kernel, let stride, let padding):
      return graph.node(
        "MaxPool", inputs, name: node.name,
        [
          .integers("kernel_shape", [kernel.height, kernel.width]), .integers("pads", padding.onnx),
          .integers("strides", [stride.height, stride.width]),
        ])
    case .globalAveragePool: return graph.node("GlobalAveragePool", inputs, name: node.name)
    case .concatenate: return graph.node("Concat", inputs, name: node.name, [.integer("axis", 1)])
    case .add: return graph.node("Add", inputs, name: node.name)
    case .multiplyPerChannel: return graph.node("Mul", inputs, name: node.name)
    case .dropout(let probability):
      // In inference PaddlePaddle's dropout is a constant factor.
      guard probability > 0 else { return inputs[0] }
      let factor = graph.constant("\(node.name).factor", extents: [1], .floats([1 - probability]))
      return graph.node("Mul", [inputs[0], factor], name: node.name)
    case .flatten: return graph.node("Flatten", inputs, name: node.name, [.integer("axis", 1)])
    case .decoder(let operation): return try append(operation, node, id: id)
    case .linear(let weight, let bias, _, let features) where network.graph.hasDecoder:
      return try appendLinear(node, id: id, weight: weight, bias: bias, features: features)
    case .linear(let weight, let bias, _, _):
      guard let bias else { return graph.node("MatMul", [inputs[0], try constant(weight)], name: node.name) }
      return graph.node("Gemm", [inputs[0], try constant(weight), try constant(bias)], name: node.name)
    }
  }

  private mutating func folded(
    _ convolution: Convolution, _ normalization: BatchNormalization, name: String, input: String
  ) throws(HGNetError) -> String {
    let weight = try parameter(convolution.weight)
    let folding = try normalization.folding(into: convolution.bias) { (name) throws(HGNetError) in
      try parameter(name).tensor().values
    }
    let operands = [
      input,
      graph.constant(convolution.weight, extents: weight.shape.dimensions, .scaled(weight, by: folding.factors)),
      graph.constant("\(name).bias", extents: [folding.biases.count], .floats(folding.biases)),
    ]
    return graph.node("Conv", operands, name: name, OnnxTranslation.attributes(of: convolution))
  }

  private static func attributes(of convolution: Convolution) -> [OnnxGraph.Attribute] {
    [
      .integers("dilations", [1, 1]), .integer("group", convolution.groups),
      .integers("kernel_shape", [convolution.kernel.height, convolution.kernel.width]),
      .integers("pads", convolution.padding.onnx),
      .integers("strides", [convolution.stride.height, convolution.stride.width]),
    ]
  }

  mutating func constant(_ name: String) throws(HGNetError) -> String {
    if let known = constants[name] { return known }
    let parameter = try parameter(name)
    let result = graph.constant(name, extents: parameter.shape.dimensions, .parameter(parameter))
    constants[name] = result
    return result
  }

  private func parameter(_ name: String) throws(HGNetError) -> Parameter {
    guard let parameter = network.parameters[name] else {
      throw HGNetError(.parameterMismatch, "expected this parameter, found nothing", key: name)
    }
    return parameter
  }
}

extension Padding {
  /// Above, left, below, right, as ONNX counts them.
  fileprivate var onnx: [Int] { [top, left, bottom, right] }
}
