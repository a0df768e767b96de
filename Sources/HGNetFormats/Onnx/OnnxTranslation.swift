import HGNetCore

/// Turns the nodes of a network into those of an ONNX graph, one after the other.
///
/// Threads: a value; one task makes it.
package struct OnnxTranslation {
  /// The name of the normalised input, with or without preprocessing before it.
  package static let inputName = "x"

  /// The network.
  package let source: Graph
  private let parameters: ParameterStore
  private let activation: HeadActivation
  private let foldsNormalization: Bool
  private let elementType: OnnxGraph.ElementType
  private let quantization: OnnxQuantization
  /// What has been written so far.
  package var graph: OnnxGraph
  /// The place of the node that is written.
  private var id = Graph.NodeID(0)
  private var results: [Graph.NodeID: String] = [:]
  /// Results that are `[N, tokens, C]` rather than `[N, C, H, W]` or `[N, C]`.
  private var tokens: Set<Graph.NodeID> = []
  private var constants: [String: String] = [:]
  private var readers: [Graph.NodeID: [Graph.NodeID]] = [:]
  /// Results in 8 bits for those that want them so.
  private var converted: [Graph.NodeID: [OnnxQuantization.Grid: String]] = [:]

  /// Begins a translation.
  ///
  /// - Parameters:
  ///   - source: the network; its one output is the logits.
  ///   - parameters: a parameter for each declaration of the network.
  ///   - activation: what is put on top of the logits.
  ///   - foldsNormalization: whether batch normalisations become part of the convolutions.
  ///   - elementType: of weights and of what is computed.
  ///   - quantization: what is in 8 bits.
  package init(
    _ source: Graph, parameters: ParameterStore, activation: HeadActivation, foldsNormalization: Bool,
    elementType: OnnxGraph.ElementType = .float, quantization: OnnxQuantization = OnnxQuantization()
  ) {
    self.source = source
    self.parameters = parameters
    self.activation = activation
    self.foldsNormalization = foldsNormalization
    self.elementType = elementType
    self.quantization = quantization
    graph = OnnxGraph(name: "PP-HGNet")
    for (index, node) in source.nodes.enumerated() {
      for input in node.inputs { readers[input, default: []].append(Graph.NodeID(index)) }
    }
  }

  /// Declares normalised pictures as the input.
  package mutating func appendInput() {
    graph.input(OnnxTranslation.inputName, .float, inputExtents)
  }

  /// The extents of the normalised input.
  package var inputExtents: [OnnxGraph.Extent] {
    let size = source.inputSize
    return [.any("batch"), .known(3), .known(size.height), .known(size.width)]
  }

  /// The node whose result is the logits.
  private var logits: Graph.NodeID { source.outputs.first?.node ?? Graph.NodeID(source.nodes.count - 1) }

  /// Appends the network, which reads the value `x`, and declares the output.
  ///
  /// - Throws: `HGNetError.Code.parameterMismatch` for a parameter that is missing, `internalInconsistency` for an operator
  ///   that no vocabulary knows.
  package mutating func appendNetwork() throws(HGNetError) {
    // The preprocessing before it stays float32.
    graph.elementType = elementType
    // What the network puts out keeps its name whatever the layers are called.
    let output =
      switch activation {
      case .softmax: graph.unique("softmax")
      case .sigmoid: graph.unique("sigmoid")
      case .none: graph.unique("logits")
      }
    for (index, node) in source.nodes.enumerated() {
      id = Graph.NodeID(index)
      guard results[id] == nil else { continue }
      do throws(HGNetError) {
        let result = try write(node)
        keep(result)
        if foldedNormalization != nil, let reader = readers[id]?.first {
          id = reader
          keep(result)
        }
      } catch {
        var named = error
        named.context.layer = node.name
        throw named
      }
    }
    let result = cast(results[logits] ?? "", to: .float)
    switch activation {
    case .softmax: graph.result("Softmax", [result], name: output, [.integer("axis", 1)])
    case .sigmoid: graph.result("Sigmoid", [result], name: output)
    case .none: graph.result("Identity", [result], name: output)
    }
    graph.output(output, .float, [.any("batch"), .known(source[logits].shape.channels)])
  }

  /// A value of a graph in float16 in another type; in other graphs the value as it is.
  private mutating func cast(_ value: String, to type: OnnxGraph.ElementType) -> String {
    guard elementType == .float16 else { return value }
    return graph.node("Cast", [value], name: "\(value).cast", [.integer("to", type.rawValue)])
  }

  /// Keeps the result of the node that was written, in 8 bits where it is to be.
  private mutating func keep(_ result: String) {
    results[id] = quantization.results[id].map { quantized(result, as: $0) } ?? result
    for reader in readers[id] ?? [] {
      guard let grid = quantization.reads[reader]?[id] else { continue }
      let known = converted[id, default: [:]][grid]
      converted[id, default: [:]][grid] = known ?? quantized(result, as: grid)
    }
  }

  private mutating func write(_ node: Graph.Node) throws(HGNetError) -> String {
    if case .input = node.operation { return cast(OnnxTranslation.inputName, to: elementType) }
    for vocabulary in OnnxReader.vocabularies {
      if let result = try vocabulary.write(node, to: &self) { return result }
    }
    throw HGNetError(.internalInconsistency, "ONNX has no word for the operator \(node.operation.title)")
  }

  // MARK: For the vocabularies

  /// The names of what a node reads.
  func inputs(of node: Graph.Node) -> [String] {
    node.inputs.map { input in
      quantization.reads[id]?[input].flatMap { converted[input]?[$0] } ?? results[input] ?? ""
    }
  }

  /// What the bytes of a node's first input mean; nil where that is float32.
  func inputGrid(of node: Graph.Node) -> OnnxQuantization.Grid? {
    guard let input = node.inputs.first else { return nil }
    return quantization.reads[id]?[input] ?? quantization.results[input]
  }

  /// The batch normalisation that becomes part of the convolution that is written, if there is one.
  var foldedNormalization: BatchNormalization? {
    guard foldsNormalization, id != logits, case .convolution = source[id].operation, let readers = readers[id],
      readers.count == 1, case .batchNormalization(let normalization) = source[readers[0]].operation
    else { return nil }
    return normalization
  }

  /// Whether what a node reads first is `[N, tokens, C]`.
  func readsTokens(_ node: Graph.Node) -> Bool { node.inputs.first.map(tokens.contains) ?? false }

  /// Says that the result of the node that is written is `[N, tokens, C]`.
  mutating func markTokens() { tokens.insert(id) }

  /// The name of a parameter in the file.
  ///
  /// - Throws: `HGNetError.Code.parameterMismatch`.
  mutating func constant(_ name: String) throws(HGNetError) -> String {
    if let known = constants[name] { return known }
    let parameter = try parameter(name)
    let result: String
    if let scales = parameter.scales {
      result = quantizedWeights(name, parameter, scales: scales)
    } else {
      result = graph.constant(name, extents: parameter.shape.dimensions, .parameter(parameter))
    }
    constants[name] = result
    return result
  }

  /// A parameter of the network.
  ///
  /// - Throws: `HGNetError.Code.parameterMismatch`.
  func parameter(_ name: String) throws(HGNetError) -> Parameter {
    guard let parameter = parameters[name] else {
      throw HGNetError(.parameterMismatch, "expected this parameter, found nothing", key: name)
    }
    return parameter
  }
}
