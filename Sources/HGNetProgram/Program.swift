import HGNetCore

/// How a graph is computed on any device: fused layers in their order, each with the results that it reads and writes.
///
/// A value without addresses, threads or instruction sets, made once per network and shared by all its sessions. Results
/// are numbered as the nodes of the graph, so that `shapes` holds for every picture size. Threads: safe to share.
package struct Program: Sendable {
  /// The network, with no more than its outputs need.
  package let graph: Graph
  /// Whether it is to be trained: dropout and batch statistics stay.
  package let isTraining: Bool
  /// The layers, each after those that it reads.
  package let layers: [Layer]
  /// The number of the input.
  package let input: Int
  /// The outputs with the numbers of their results.
  package let outputs: [Output]
  /// The type of each result's values, by number.
  package let elements: [ElementType]
  /// Of the results after those of the graph, copies in another type, the results that they are copies of.
  package let copied: [Int]
  /// What quantisation-aware training adds; nil otherwise.
  package let quantization: ProgramQuantization?
  /// How training divides its arithmetic between float32 and bfloat16; nil for float32 alone.
  package let mixedPrecision: MixedPrecision?

  /// A named result of the network.
  package struct Output: Hashable, Sendable {
    /// What it is.
    package var role: Graph.Output.Role
    /// The number of the result.
    package var result: Int
  }

  /// Runs all passes over a graph.
  ///
  /// - Parameters:
  ///   - graph: the network with the outputs that are wanted; what none of them needs is left out.
  ///   - isTraining: whether dropout has work to do.
  ///   - apart: the names of affine blocks and sums that stay layers of their own, because what they read is rounded.
  /// - Throws: `HGNetError.Code.unsupported` for a second input.
  package init(_ graph: Graph, isTraining: Bool = false, apart: Set<String> = []) throws(HGNetError) {
    let graph = try graph.selecting(outputs: graph.outputs.map(\.role))
    var fusion = try Fusion(graph, isTraining: isTraining)
    fusion.apart = apart
    fusion.runPasses()
    fusion.resolveAliases()
    self.init(
      graph: graph, isTraining: isTraining, layers: fusion.layers.compactMap { $0 },
      outputs: fusion.outputs.map { Output(role: $0.role, result: $0.node.index) },
      elements: [ElementType](repeating: .float32, count: graph.nodes.count), copied: [])
  }

  init(
    graph: Graph, isTraining: Bool, layers: [Layer], outputs: [Output], elements: [ElementType], copied: [Int],
    quantization: ProgramQuantization? = nil, mixedPrecision: MixedPrecision? = nil
  ) {
    self.graph = graph
    self.isTraining = isTraining
    self.layers = layers
    self.outputs = outputs
    self.elements = elements
    self.copied = copied
    self.quantization = quantization
    self.mixedPrecision = mixedPrecision
    input = graph.nodes.firstIndex { if case .input = $0.operation { true } else { false } } ?? 0
  }

  /// Height and width of the pictures.
  package var inputSize: Size { graph.inputSize }

  /// The extents of each result for one picture, by number.
  ///
  /// None of the nodes that a layer takes over changes extents.
  package var shapes: [ActivationShape] {
    let shapes = graph.nodes.map(\.shape)
    return shapes + copied.map { shapes[$0] }
  }

  /// The same layers for pictures of another size.
  ///
  /// - Throws: `HGNetError.Code.shapeMismatch` when they are too small for the network, `limitExceeded` when too large.
  package func resized(to size: Size) throws(HGNetError) -> Program {
    guard size != inputSize else { return self }
    return Program(
      graph: try graph.resized(to: size), isTraining: isTraining, layers: layers, outputs: outputs, elements: elements,
      copied: copied, quantization: quantization, mixedPrecision: mixedPrecision)
  }

  /// The same program for training at a level of mixed precision, nil for float32.
  ///
  /// An engine without it computes in float32.
  package func mixing(_ level: MixedPrecision?) -> Program {
    Program(
      graph: graph, isTraining: isTraining, layers: layers, outputs: outputs, elements: elements, copied: copied,
      quantization: quantization, mixedPrecision: level)
  }

  /// Whether a layer only copies a result into another type.
  package func isConversion(_ layer: Layer) -> Bool { layer.kind == .copy && layer.result >= graph.nodes.count }

  /// The same layers with every result in one type.
  package func storing(_ element: ElementType) -> Program {
    Program(
      graph: graph, isTraining: isTraining, layers: layers, outputs: outputs,
      elements: [ElementType](repeating: element, count: elements.count), copied: copied, quantization: quantization,
      mixedPrecision: mixedPrecision)
  }

  /// The layer that computes a result; nil for the input.
  package func layer(computing result: Int) -> Layer? { layers.first { $0.result == result } }
}
