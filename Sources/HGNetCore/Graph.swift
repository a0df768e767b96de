/// The extents of one picture's activation, `[H, W, C]`; the batch is not part of a graph.
public struct ActivationShape: Hashable, Sendable, CustomStringConvertible {
  /// Channels, rows and columns.
  public var channels, height, width: Int

  /// Makes a shape.
  public init(channels: Int, height: Int, width: Int) {
    self.channels = channels
    self.height = height
    self.width = width
  }

  /// The number of values of one picture; in a graph it fits 2^48.
  public var count: Int { channels * height * width }

  /// `C×H×W`, as PaddlePaddle users read it.
  public var description: String { "\(channels)×\(height)×\(width)" }
}

/// What a parameter is, which decides how training treats it.
public enum ParameterRole: Hashable, Sendable {
  case convolutionWeight, convolutionBias, normalizationWeight, normalizationBias, runningMean, runningVariance
  case affineScale, affineBias, linearWeight, linearBias
  /// Of a layer normalisation, which has no running statistics.
  case layerNormalizationWeight, layerNormalizationBias
  /// The queries of a decoder, which stay as they were drawn.
  case queryEmbedding
  /// The range of a result's values in quantisation-aware training, which no graph has but a program that is trained so.
  case quantizationRange(isLearned: Bool)

  /// Whether the optimiser changes it; running statistics are only tracked, and the queries of a decoder are fixed.
  public var isLearned: Bool {
    self != .runningMean && self != .runningVariance && self != .queryEmbedding
      && self != .quantizationRange(isLearned: false)
  }

  /// Whether it belongs to a batch normalisation.
  public var isNormalization: Bool {
    switch self {
    case .normalizationWeight, .normalizationBias, .runningMean, .runningVariance: true
    default: false
    }
  }
}

/// A leaf of a graph: a parameter's name, shape and role, and the part of the network that it belongs to.
public struct ParameterDeclaration: Hashable, Sendable {
  /// The name in PaddlePaddle's state dictionary.
  public var name: String
  /// The extents in PaddlePaddle's layout.
  public var shape: Shape
  /// What it is.
  public var role: ParameterRole
  /// The factor on the learning rate (`lr_mult_list`, and 0.01 for affine blocks).
  public var learningRateMultiplier: Float
  /// The part of the network that it belongs to; nil in a program of operators, which does not say.
  public var part: NetworkPart?

  /// Makes a declaration.
  public init(
    name: String, shape: Shape, role: ParameterRole, learningRateMultiplier: Float = 1, part: NetworkPart? = nil
  ) {
    self.name = name
    self.shape = shape
    self.role = role
    self.learningRateMultiplier = learningRateMultiplier
    self.part = part
  }
}

/// A network as an immutable value: nodes in topological order whose leaves are named parameters.
///
/// The single source of truth: inference, training, export, counts and drawings are all readers of it. It knows
/// nothing of speed, files or devices. Make one with `GraphBuilder`.
///
/// Threads: a value, safe to share.
public struct Graph: Sendable {
  /// The position of a node in `nodes`.
  public struct NodeID: Hashable, Sendable, Comparable {
    /// The index into `nodes`.
    public let index: Int

    /// Makes an identifier from an index.
    public init(_ index: Int) { self.index = index }

    /// Earlier nodes are less.
    public static func < (left: NodeID, right: NodeID) -> Bool { left.index < right.index }
  }

  /// An operator applied to the results of earlier nodes.
  public struct Node: Sendable {
    /// The dotted path of the layer, such as `stages.0.blocks.0.layers.1.conv`.
    public let name: String
    /// What is computed.
    public let operation: Operator
    /// Where the arguments come from, in order.
    public let inputs: [NodeID]
    /// The extents of the result for the graph's input size.
    public let shape: ActivationShape
  }

  /// All nodes; every input of a node comes before it.
  public let nodes: [Node]
  /// All parameters, in the order of PaddlePaddle's state dictionary.
  public let parameters: [ParameterDeclaration]
  /// The results that are asked for.
  public let outputs: [Output]
  /// Results that may be asked for with `selecting(outputs:)`: the logits and the stages; see `Output.Role`.
  public let selectableOutputs: [Output]
  /// Height and width of the input pictures.
  public let inputSize: Size

  /// Checks the nodes and infers every shape.
  ///
  /// Sizes come from outside: what passes here can be multiplied by a batch of 65536 without an overflow.
  ///
  /// - Throws: `HGNetError.Code.shapeMismatch` naming the layer whose inputs do not fit, `limitExceeded` for sizes beyond
  ///   any memory.
  init(
    unshaped: [(name: String, operation: Operator, inputs: [NodeID])], parameters: [ParameterDeclaration],
    outputs: [Output], selectableOutputs: [Output], inputSize: Size
  ) throws(HGNetError) {
    guard inputSize.height <= Size.largestSide, inputSize.width <= Size.largestSide else {
      throw HGNetError(
        .limitExceeded,
        "expected pictures of at most \(Size(Size.largestSide)) pixels, found an input size of \(inputSize)")
    }
    for parameter in parameters where parameter.shape.checkedCount > Graph.largestCount {
      throw HGNetError(
        .limitExceeded, "a parameter of shape \(parameter.shape) is larger than any memory", key: parameter.name)
    }
    var arithmetic = 0
    var nodes: [Node] = []
    nodes.reserveCapacity(unshaped.count)
    for (index, node) in unshaped.enumerated() {
      for input in node.inputs where input.index < 0 || input.index >= index {
        throw HGNetError(.internalInconsistency, "an input does not come before the node", layer: node.name)
      }
      let shapes = node.inputs.map { nodes[$0.index].shape }
      let shape = try node.operation.outputShape(of: shapes, inputSize: inputSize, layer: node.name)
      let made = Node(name: node.name, operation: node.operation, inputs: node.inputs, shape: shape)
      let cost = node.operation.multiplyAdds(of: shape, inputs: shapes)
      let (sum, overflow) = arithmetic.addingReportingOverflow(cost ?? .max)
      guard let count = shape.checkedCount, count <= Graph.largestCount, cost != nil, !overflow else {
        throw HGNetError(
          .limitExceeded, "a result of \(shape) for pictures of \(inputSize) is beyond any machine", layer: node.name)
      }
      arithmetic = sum
      nodes.append(made)
    }
    for output in outputs + selectableOutputs where output.node.index >= nodes.count {
      throw HGNetError(.internalInconsistency, "an output names no node", layer: output.name)
    }
    self.nodes = nodes
    self.parameters = parameters
    self.outputs = outputs
    self.selectableOutputs = selectableOutputs
    self.inputSize = inputSize
  }

  /// The largest number of values of a parameter or of one picture's result: 2^44, 70 TB.
  private static let largestCount = 1 << 44

  /// The node of an identifier.
  public subscript(id: NodeID) -> Node { nodes[id.index] }

  /// The same network for another input size.
  ///
  /// - Throws: `HGNetError.Code.shapeMismatch` naming the layer that the size does not fit, `limitExceeded` for sides above
  ///   65536 pixels.
  public func resized(to inputSize: Size) throws(HGNetError) -> Graph {
    try Graph(
      unshaped: nodes.map { ($0.name, $0.operation, $0.inputs) }, parameters: parameters, outputs: outputs,
      selectableOutputs: selectableOutputs, inputSize: inputSize)
  }

  /// The number of multiply-accumulates of one node for one picture; products only (`Operator.multiplyAdds`).
  public func multiplyAdds(of node: Node) -> Int {
    node.operation.multiplyAdds(of: node.shape, inputs: node.inputs.map { self[$0].shape }) ?? .max
  }

  /// The number of multiply-accumulates of the whole network for one picture.
  public var multiplyAdds: Int { nodes.reduce(0) { $0 + multiplyAdds(of: $1) } }

  /// The number of values of all parameters; `Int.max` where it does not fit.
  package var parameterCount: Int {
    parameters.reduce(0) { sum, parameter in
      let (result, overflow) = sum.addingReportingOverflow(parameter.shape.checkedCount)
      return overflow ? .max : result
    }
  }

  /// The number of values that an optimiser changes.
  public var learnedParameterCount: Int {
    parameters.reduce(0) { $0 + ($1.role.isLearned ? $1.shape.count : 0) }
  }
}

extension ActivationShape {
  /// The number of values of one picture, nil where it does not fit.
  var checkedCount: Int? { ActivationShape.product([channels, height, width]) }

  /// A product, nil where it does not fit.
  static func product(_ factors: [Int]) -> Int? {
    var product = 1
    for factor in factors {
      let (result, overflow) = product.multipliedReportingOverflow(by: factor)
      guard !overflow else { return nil }
      product = result
    }
    return product
  }
}
