import HGNetCore

/// A graph on its way to a plan: each node may have swallowed the cheap operators that follow it.
///
/// Node indices are those of the `Graph`; a swallowed node is nil and `alias` says who computes its result. Every
/// result is `y = max(x, 0)?`, then the affine steps, then the residual, in this order.
struct FusedGraph {
  /// What a node does before its epilogue.
  enum Kind: Hashable {
    case input
    case convolution(Convolution, BatchNormalization?)
    case linear(weight: String, bias: String?, inputFeatures: Int, outputFeatures: Int)
    case maxPool(kernel: Size, stride: Size, padding: Padding)
    case globalAveragePool
    case concatenate
    case copy, add, gate, sigmoid, softmax
    case decoder(DecoderOperator)
  }

  /// A step of the affine part of an epilogue.
  enum AffineStep: Hashable {
    case affine(scale: String, bias: String)
    case dropout(probability: Float)
  }

  struct Node {
    var name: String
    var kind: Kind
    var inputs: [Int]
    var isRectified = false
    var affine: [AffineStep] = []
    var residual: Int?

    /// The names of the parameters in it that can be learned.
    var learnedParameters: [String] {
      var names: [String] = []
      switch kind {
      case .convolution(let convolution, let normalization):
        names = [convolution.weight] + [convolution.bias].compactMap { $0 }
        if let normalization { names += [normalization.weight, normalization.bias] }
      case .linear(let weight, let bias, _, _): names = [weight] + [bias].compactMap { $0 }
      case .decoder(.queries): break
      case .decoder(let operation): names = operation.parameterNames
      default: break
      }
      for case .affine(let scale, let bias) in affine { names += [scale, bias] }
      return names
    }

    /// Whether an epilogue can follow.
    var hasEpilogue: Bool {
      switch kind {
      case .convolution, .linear, .copy, .add, .gate: true
      default: false
      }
    }
  }

  var nodes: [Node?]
  /// The graph output names with the node that computes each.
  var outputs: [Graph.Output]
  private var alias: [Int]

  /// One fused node per graph node, nothing fused yet.
  init(_ graph: Graph, isTraining: Bool = false) throws(HGNetError) {
    nodes = []
    for (index, node) in graph.nodes.enumerated() {
      let inputs = node.inputs.map(\.index)
      var fused = Node(name: node.name, kind: .copy, inputs: inputs)
      switch node.operation {
      case .input: fused.kind = .input
      case .convolution(let convolution): fused.kind = .convolution(convolution, nil)
      case .batchNormalization(let normalization): fused.kind = .convolution(.identity(node, graph), normalization)
      case .relu: fused.isRectified = true
      case .affine(let scale, let bias): fused.affine = [.affine(scale: scale, bias: bias)]
      case .dropout(let probability): fused.affine = [.dropout(probability: probability)]
      case .flatten: break
      case .sigmoid: fused.kind = .sigmoid
      case .softmax: fused.kind = .softmax
      case .maxPool(let kernel, let stride, let padding):
        fused.kind = .maxPool(kernel: kernel, stride: stride, padding: padding)
      case .globalAveragePool: fused.kind = .globalAveragePool
      case .concatenate: fused.kind = .concatenate
      case .add: fused.kind = .add
      case .multiplyPerChannel: fused.kind = .gate
      case .decoder(.dropout(let probability)) where !isTraining || probability == 0: break
      case .decoder(let operation): fused.kind = .decoder(operation)
      case .linear(let weight, let bias, let inputFeatures, let outputFeatures):
        fused.kind = .linear(weight: weight, bias: bias, inputFeatures: inputFeatures, outputFeatures: outputFeatures)
      }
      if case .input = fused.kind, index != 0 {
        throw HGNetError(.unsupported, "expected one input, found a second one", layer: node.name)
      }
      nodes.append(fused)
    }
    outputs = graph.outputs
    alias = Array(nodes.indices)
  }

  /// The node that computes the result of a graph node.
  func producer(of index: Int) -> Int {
    var index = index
    while alias[index] != index { index = alias[index] }
    return index
  }

  /// The readers of each node's result; an output of the graph counts as a reader.
  private func readerCounts() -> [Int] {
    var counts = [Int](repeating: 0, count: nodes.count)
    for node in nodes.compactMap({ $0 }) {
      for input in node.inputs { counts[producer(of: input)] += 1 }
      if let residual = node.residual { counts[producer(of: residual)] += 1 }
    }
    for output in outputs { counts[producer(of: output.node.index)] += 1 }
    return counts
  }

  private mutating func absorb(_ index: Int, into producer: Int) {
    nodes[index] = nil
    alias[index] = producer
  }

  /// Pass 1: a batch normalisation becomes a factor and a bias of the convolution before it.
  mutating func foldBatchNormalization() {
    let readers = readerCounts()
    for index in nodes.indices {
      guard let node = nodes[index], case .convolution(let own, let normalization?) = node.kind, own.isIdentity else {
        continue
      }
      let source = producer(of: node.inputs[0])
      guard readers[source] == 1, case .convolution(let convolution, nil)? = nodes[source]?.kind,
        nodes[source]?.isRectified == false, nodes[source]?.affine.isEmpty == true, nodes[source]?.residual == nil
      else { continue }
      nodes[source]?.kind = .convolution(convolution, normalization)
      absorb(index, into: source)
    }
  }

  /// Pass 2: a rectifier becomes part of the step that makes its input.
  mutating func fuseActivation() {
    let readers = readerCounts()
    for index in nodes.indices {
      guard let node = nodes[index], node.kind == .copy, node.isRectified, node.affine.isEmpty else { continue }
      let source = producer(of: node.inputs[0])
      guard readers[source] == 1, let before = nodes[source], before.hasEpilogue, !before.isRectified,
        before.affine.isEmpty, before.residual == nil
      else { continue }
      nodes[source]?.isRectified = true
      absorb(index, into: source)
    }
  }

  /// Pass 3: an affine block, dropout or flattening becomes part of the step that makes its input.
  mutating func foldAffine() {
    for index in nodes.indices {
      guard let node = nodes[index], node.kind == .copy, !node.isRectified, node.residual == nil else { continue }
      let source = producer(of: node.inputs[0])
      guard let before = nodes[source] else { continue }
      let doesNothing = node.affine.allSatisfy { $0 == .dropout(probability: 0) }
      guard doesNothing || (readerCounts()[source] == 1 && before.hasEpilogue && before.residual == nil) else {
        continue
      }
      if !doesNothing { nodes[source]?.affine += node.affine }
      absorb(index, into: source)
    }
  }

  /// Pass 4: the sum of a block and its input is made by the block's last step.
  mutating func fuseResidual() {
    let readers = readerCounts()
    for index in nodes.indices {
      guard let node = nodes[index], node.kind == .add, !node.isRectified, node.affine.isEmpty else { continue }
      for (own, other) in [(0, 1), (1, 0)] {
        let source = producer(of: node.inputs[own])
        let addend = producer(of: node.inputs[other])
        guard addend < source, readers[source] == 1, let before = nodes[source], before.hasEpilogue,
          before.residual == nil
        else { continue }
        nodes[source]?.residual = addend
        absorb(index, into: source)
        break
      }
    }
  }

  /// Points every reader at the node that computes what it reads.
  mutating func resolveAliases() {
    for index in nodes.indices {
      guard var node = nodes[index] else { continue }
      node.inputs = node.inputs.map { producer(of: $0) }
      node.residual = node.residual.map { producer(of: $0) }
      nodes[index] = node
    }
    outputs = outputs.map { $0.moved(to: Graph.NodeID(producer(of: $0.node.index))) }
  }

  /// Runs all passes in their order.
  static func compiled(_ graph: Graph, isTraining: Bool = false) throws(HGNetError) -> FusedGraph {
    var fused = try FusedGraph(graph, isTraining: isTraining)
    fused.foldBatchNormalization()
    fused.fuseActivation()
    fused.foldAffine()
    fused.fuseResidual()
    fused.resolveAliases()
    return fused
  }
}

extension Convolution {
  /// Stands for "each channel as it is", so that a lone batch normalisation is a depthwise convolution.
  static func identity(_ node: Graph.Node, _ graph: Graph) -> Convolution {
    let channels = node.shape.channels
    return Convolution(
      weight: "", inputChannels: channels, outputChannels: channels, kernel: Size(1), stride: Size(1),
      padding: Padding(0), groups: channels)
  }

  /// Whether this is the stand-in.
  var isIdentity: Bool { weight.isEmpty }
}
