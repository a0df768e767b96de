import HGNetCore

extension Model {
  /// A network from elsewhere that turned out to be one of these models.
  package struct Structure: Sendable {
    /// The model and its options.
    package let recognition: Recognition
    /// The names of the state dictionary by the names of the graph's parameters.
    package let names: [String: String]
  }

  /// Finds the model that a graph computes, whatever its parameters are called.
  ///
  /// An inference model has lost the names of the state dictionary; layer by layer its operators still are those of the
  /// model. Dropout, which an export may leave out, is not compared.
  ///
  /// - Throws: `HGNetError.Code.unsupported` when no model has these operators, for example because batch normalisations
  ///   are folded into the convolutions.
  package static func structure(of graph: Graph) throws(HGNetError) -> Structure {
    guard graph.output(.logits) != nil else {
      throw HGNetError(
        .unsupported,
        "expected a classifier, found a network that ends in features; begin with the weights that it was exported from"
      )
    }
    let found = try graph.selecting(outputs: [.logits])
    let size = Size(224)
    let hasAffineBlocks = found.nodes.contains { if case .affine = $0.operation { true } else { false } }
    let shapes = Set(found.parameters.map(\.shape))
    // Names are lost, but what tells a network from others keeps its shape.
    for model in all where model.architecture.landmarks.allSatisfy({ shapes.contains($0.shape) }) {
      for useLastConvolution in [true, false] {
        var options = ModelOptions()
        options.useLastConvolution = useLastConvolution
        guard let classifier = found.nodes.last(where: { if case .linear = $0.operation { true } else { false } }),
          case .linear(_, _, let features, let classes) = classifier.operation,
          ModelOptions.classCounts ~= classes, ModelOptions.classExpansions ~= features
        else { continue }
        options.classCount = classes
        if useLastConvolution { options.classExpand = features }
        options = model.architecture.options(options, hasAffineBlocks: hasAffineBlocks)
        let expected = try model.graph(options: options, inputSize: size)
        if let names = StructureComparison.names(of: found, in: expected) {
          return Structure(recognition: Recognition(model: model, options: options), names: names)
        }
      }
    }
    let isFolded = !found.nodes.contains { if case .batchNormalization = $0.operation { true } else { false } }
    let hasBorder = found.nodes.contains { node in
      if case .convolution(let layer) = node.operation { layer.weight.hasPrefix("pad_") } else { false }
    }
    throw HGNetError(
      .unsupported,
      hasBorder
        ? "expected a network as PaddleClas computes it, found one whose stem pads with zeros before its pool, as timm's and "
          + "transformers' do; begin with its state dictionary"
        : isFolded
          ? "expected a network with batch normalisations, found one in which they are folded into the convolutions; "
            + "begin with the weights that it was exported from"
          : "expected the operators of a \(NetworkFamily.listing) network, found others; begin with its state dictionary"
    )
  }
}

/// Walks two graphs from the output to the input side by side.
private struct StructureComparison {
  let found: Graph
  let expected: Graph
  private var pairs: [Graph.NodeID: Graph.NodeID] = [:]
  private var names: [String: String] = [:]

  /// The names of the expected graph's parameters by those of the other, nil when the graphs differ.
  static func names(of found: Graph, in expected: Graph) -> [String: String]? {
    func size(_ graph: Graph) -> Int { graph.nodes.count { !isPassedOver($0) } }
    // This bounds the depth of the walk as well.
    guard size(found) == size(expected), found.parameters.count == expected.parameters.count,
      let left = found.outputs.first?.node, let right = expected.outputs.first?.node
    else { return nil }
    var comparison = StructureComparison(found: found, expected: expected)
    return comparison.agree(left, right) && comparison.names.count == expected.parameters.count
      ? comparison.names : nil
  }

  private init(found: Graph, expected: Graph) {
    self.found = found
    self.expected = expected
  }

  private static func isPassedOver(_ node: Graph.Node) -> Bool {
    switch node.operation {
    case .dropout, .flatten: true
    default: false
    }
  }

  private func skip(_ id: Graph.NodeID, in graph: Graph) -> Graph.NodeID {
    var id = id
    while StructureComparison.isPassedOver(graph[id]), let input = graph[id].inputs.first { id = input }
    return id
  }

  private mutating func agree(_ left: Graph.NodeID, _ right: Graph.NodeID) -> Bool {
    let (left, right) = (skip(left, in: found), skip(right, in: expected))
    if let known = pairs[left] { return known == right }
    let (own, other) = (found[left], expected[right])
    guard own.inputs.count == other.inputs.count, isSame(own.operation, other.operation) else { return false }
    pairs[left] = right
    for (name, target) in zip(own.operation.parameterNames, other.operation.parameterNames) {
      guard names.updateValue(target, forKey: name) == nil else { return false }
    }
    for (input, target) in zip(own.inputs, other.inputs) where !agree(input, target) { return false }
    return true
  }

  private func isSame(_ left: Operator, _ right: Operator) -> Bool {
    switch (left, right) {
    case (.convolution(var first), .convolution(let second)):
      guard (first.bias == nil) == (second.bias == nil) else { return false }
      (first.weight, first.bias) = (second.weight, second.bias)
      return first == second
    case (.batchNormalization, .batchNormalization), (.affine, .affine): return true
    case (.linear(_, let bias, let inputs, let outputs), .linear(_, let otherBias, let otherInputs, let otherOutputs)):
      return (bias == nil) == (otherBias == nil) && inputs == otherInputs && outputs == otherOutputs
    default: return left == right
    }
  }
}
