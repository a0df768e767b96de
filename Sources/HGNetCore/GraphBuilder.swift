/// Collects nodes and parameters into a `Graph`.
///
/// Each method appends one node and returns its identifier; `name` is the dotted path of the layer, and parameters are
/// named by appending to the path of the unit that owns them. Threads: one task.
package struct GraphBuilder {
  private var nodes: [(name: String, operation: Operator, inputs: [Graph.NodeID])] = []
  private var parameters: [ParameterDeclaration] = []
  private var selectable: [Graph.Output] = []
  /// The part of the network to which belongs what is declared from now on; nil where there are no parts.
  package var part: NetworkPart?

  /// Makes an empty builder.
  package init() {}

  /// Appends a node; the basis of the other methods.
  @discardableResult
  package mutating func append(_ operation: Operator, name: String, inputs: [Graph.NodeID]) -> Graph.NodeID {
    nodes.append((name, operation, inputs))
    return Graph.NodeID(nodes.count - 1)
  }

  /// Declares a parameter; the order of declarations is that of the state dictionary.
  package mutating func declare(_ declaration: ParameterDeclaration) {
    var declaration = declaration
    declaration.part = declaration.part ?? part
    parameters.append(declaration)
  }

  /// Says what a node's result is to the network, so that it can be asked for.
  ///
  /// - Parameters:
  ///   - role: what it is.
  ///   - name: its public name; nil for that of the role.
  ///   - node: the node.
  package mutating func markOutput(_ role: Graph.Output.Role, name: String? = nil, _ node: Graph.NodeID) {
    selectable.append(Graph.Output(role, name: name, node: node))
  }

  /// Finishes the graph, whose result is the output of that role.
  ///
  /// - Parameters:
  ///   - output: a role given with `markOutput`.
  ///   - inputSize: height and width of the pictures, in pixels.
  /// - Throws: `HGNetError.Code.shapeMismatch` naming the layer whose inputs do not fit, `internalInconsistency` for a
  ///   role that no node has.
  package func graph(output role: Graph.Output.Role, inputSize: Size) throws(HGNetError) -> Graph {
    guard let output = selectable.first(where: { $0.role == role }) else {
      throw HGNetError(.internalInconsistency, "no node is marked as \(role.name)")
    }
    return try Graph(
      unshaped: nodes, parameters: parameters, outputs: [output], selectableOutputs: selectable, inputSize: inputSize)
  }
}
