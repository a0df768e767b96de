extension Graph {
  /// A node whose result leaves the network, with what it is and its public name.
  public struct Output: Sendable, Hashable {
    /// What a result is to the network, whatever it is called.
    public enum Role: Sendable, Hashable {
      /// One score for each class, before any activation.
      case logits
      /// What the activation of the head makes of the logits.
      case probabilities
      /// One vector for a picture, which the classifier reads.
      case embedding
      /// The feature map of a stage, from 0.
      case stage(Int)

      /// The name where nobody gives another: `logits`, `probabilities`, `embedding`, `stages.0`.
      public var name: String {
        switch self {
        case .logits: "logits"
        case .probabilities: "probabilities"
        case .embedding: "embedding"
        case .stage(let index): "stages.\(index)"
        }
      }

      /// Whether it is a map of features, which keeps its rows and columns even where there is one of each.
      public var isMap: Bool {
        if case .stage = self { true } else { false }
      }
    }

    /// What it is.
    public let role: Role
    /// The name under which it can be asked for, such as `logits` or `stages.2`.
    public let name: String
    /// The node.
    public let node: NodeID

    /// Makes an output.
    ///
    /// - Parameters:
    ///   - role: what it is.
    ///   - name: nil for the name of the role.
    ///   - node: the node that makes it.
    public init(_ role: Role, name: String? = nil, node: NodeID) {
      self.role = role
      self.name = name ?? role.name
      self.node = node
    }

    /// The same result from another node.
    package func moved(to node: NodeID) -> Output { Output(role, name: name, node: node) }
  }

  /// The stages whose maps can be asked for, in the order of the network; none where it does not say which they are.
  public var stages: [Output] {
    func index(_ output: Output) -> Int? { if case .stage(let index) = output.role { index } else { nil } }
    return selectableOutputs.filter { $0.role.isMap }.sorted { (index($0) ?? 0) < (index($1) ?? 0) }
  }

  /// The result with a role that can be asked for, nil where the network has none.
  ///
  /// The embedding of a network with logits is what their linear layer reads.
  public func output(_ role: Output.Role) -> Output? {
    if let output = selectableOutputs.first(where: { $0.role == role }) { return output }
    guard role == .embedding, let logits = selectableOutputs.first(where: { $0.role == .logits }),
      case .linear = self[logits.node].operation
    else { return nil }
    return self[logits.node].inputs.first.map { Output(.embedding, node: $0) }
  }

  /// The number of classes: the channels of the logits, nil for a backbone.
  public var classCount: Int? { output(.logits).map { self[$0.node].shape.channels } }

  /// The part of the network that makes results of these roles, with only the parameters used there.
  ///
  /// - Throws: `HGNetError.Code.invalidArgument` listing the results that exist.
  public func selecting(outputs roles: [Output.Role]) throws(HGNetError) -> Graph {
    var chosen: [Output] = []
    for role in roles {
      guard let output = output(role) else { throw unknownOutput(role.name) }
      chosen.append(output)
    }
    return try selecting(chosen)
  }

  /// The part of the network that the named outputs need, with only the parameters used there.
  ///
  /// - Parameter names: names of `selectableOutputs`, or `embedding` for what the linear layer of the logits reads.
  /// - Throws: `HGNetError.Code.invalidArgument` listing the names that exist.
  public func selecting(outputs names: [String]) throws(HGNetError) -> Graph {
    var chosen: [Output] = []
    for name in names {
      guard let output = namedOutputs.first(where: { $0.name == name }) else { throw unknownOutput(name) }
      chosen.append(output)
    }
    return try selecting(chosen)
  }

  private var namedOutputs: [Output] {
    selectableOutputs + [output(.embedding)].compactMap { $0 }.filter { !selectableOutputs.contains($0) }
  }

  private func unknownOutput(_ name: String) -> HGNetError {
    let known = namedOutputs.map(\.name).joined(separator: ", ")
    return HGNetError(.invalidArgument, "no output is named \(name); there are: \(known)")
  }

  private func selecting(_ chosen: [Output]) throws(HGNetError) -> Graph {
    var isNeeded = [Bool](repeating: false, count: nodes.count)
    for output in chosen { isNeeded[output.node.index] = true }
    for index in nodes.indices.reversed() where isNeeded[index] {
      for input in nodes[index].inputs { isNeeded[input.index] = true }
    }
    var newIndex: [Int: Int] = [:]
    var kept: [(name: String, operation: Operator, inputs: [NodeID])] = []
    var used: Set<String> = []
    for (index, node) in nodes.enumerated() where isNeeded[index] {
      newIndex[index] = kept.count
      kept.append((node.name, node.operation, node.inputs.map { NodeID(newIndex[$0.index] ?? 0) }))
      used.formUnion(node.operation.parameterNames)
    }
    // The embedding is found by the layer behind it, which may be gone now.
    let asked = selectableOutputs + chosen.filter { !selectableOutputs.contains($0) }
    let moved = asked.compactMap { output in newIndex[output.node.index].map { output.moved(to: NodeID($0)) } }
    return try Graph(
      unshaped: kept, parameters: parameters.filter { used.contains($0.name) },
      outputs: chosen.map { $0.moved(to: NodeID(newIndex[$0.node.index] ?? 0)) },
      selectableOutputs: moved, inputSize: inputSize)
  }
}
