/// Collects nodes and parameters into a `Graph`.
///
/// Each method appends one node and returns its identifier; `name` is the dotted path of the layer, and parameters are
/// named by appending to the path of the unit that owns them. Threads: one task.
package struct GraphBuilder {
  private var nodes: [(name: String, operation: Operator, inputs: [Graph.NodeID])] = []
  private var parameters: [ParameterDeclaration] = []
  private var selectable: [Graph.Output] = []

  /// Makes an empty builder.
  package init() {}

  /// Appends a node; the basis of the other methods.
  @discardableResult
  package mutating func append(_ operation: Operator, name: String, inputs: [Graph.NodeID]) -> Graph.NodeID {
    nodes.append((name, operation, inputs))
    return Graph.NodeID(nodes.count - 1)
  }

  /// Declares a parameter; the order of declarations is that of the state dictionary.
  package mutating func declare(_ declaration: ParameterDeclaration) { parameters.append(declaration) }

  /// Gives a node a public name under which its result can be asked for.
  package mutating func nameOutput(_ name: String, _ node: Graph.NodeID) {
    selectable.append(Graph.Output(name: name, node: node))
  }

  /// Finishes the graph, whose result is the output of that name.
  ///
  /// - Parameters:
  ///   - outputs: names given with `nameOutput`.
  ///   - inputSize: height and width of the pictures, in pixels.
  /// - Throws: `HGNetError.Code.shapeMismatch` naming the layer whose inputs do not fit, `invalidArgument` for an
  ///   unknown output.
  package func graph(outputs: [String], inputSize: Size) throws(HGNetError) -> Graph {
    let chosen = selectable.filter { outputs.contains($0.name) }
    guard chosen.count == outputs.count else {
      throw HGNetError(.invalidArgument, "expected outputs among \(selectable.map(\.name)), found \(outputs)")
    }
    return try Graph(
      unshaped: nodes, parameters: parameters, outputs: chosen, selectableOutputs: selectable, inputSize: inputSize)
  }
}
