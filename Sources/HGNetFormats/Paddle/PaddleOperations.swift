import HGNetCore

/// One operator of a Paddle program, before it is encoded.
struct PaddleOperation {
  /// What an operator is, as what it writes in either encoding; the vocabularies define them.
  struct Kind: Sendable {
    /// Appends it to a description, `inference.pdmodel`.
    let older: @Sendable (PaddleOperation, inout PaddleDescription) -> Void
    /// Appends it to a program of PaddlePaddle 3, `inference.json`.
    let newer: @Sendable (PaddleOperation, inout PaddleIntermediate) -> Void

    init(
      older: @escaping @Sendable (PaddleOperation, inout PaddleDescription) -> Void,
      newer: @escaping @Sendable (PaddleOperation, inout PaddleIntermediate) -> Void
    ) {
      self.older = older
      self.newer = newer
    }
  }

  var kind: Kind
  /// Names of parameters and earlier results, in the order of the operator.
  var inputs: [String]
  /// The name of the result.
  var result: String
  /// The extents of the result, with -1 for the batch.
  var extents: [Int]
}

/// The operators of a network in order, with the names that PaddlePaddle gives.
///
/// Threads: a value; one task makes it.
package struct PaddleOperations {
  /// A parameter of the program.
  package struct Variable {
    /// The name in the program, such as `conv2d_0.w_0`.
    package var name: String
    /// The name of the graph's parameter.
    package var source: String
    /// The extents.
    package var shape: Shape
    /// Whether it is trained, rather than a running statistic.
    package var isLearned: Bool
  }

  /// What a node has become.
  struct Result {
    /// The name of the last result.
    var name: String
    /// Whether it is `[N, C]` rather than `[N, C, H, W]`.
    var isFlat: Bool

    init(_ name: String, isFlat: Bool) {
      self.name = name
      self.isFlat = isFlat
    }
  }

  /// The name of the input.
  package static let inputName = "x"

  private(set) var operations: [PaddleOperation] = []
  /// In the order of the graph.
  package private(set) var variables: [Variable] = []
  /// The extents of the input, -1 for any number of pictures.
  package private(set) var inputExtents: [Int] = []
  /// The name of the last result.
  package private(set) var outputName = ""
  /// The extents of the last result.
  package private(set) var outputExtents: [Int] = []

  let graph: Graph
  /// The place of the node that is written.
  private(set) var index = 0
  /// Results that are `[N, tokens, C]`, with their first extent: 1 before the pictures come in.
  var tokens: [Int: Int] = [:]
  private var results: [Result] = []
  private let names: [String: String]
  private var counts: [String: Int] = [:]

  /// Whether a decoder's queries are repeated for the batch, rather than matched to it by broadcasting.
  let repeatsQueries: Bool

  /// Lowers a network to operators.
  ///
  /// - Parameters:
  ///   - graph: the network; its one output is the logits.
  ///   - activation: what is put on top of it.
  ///   - names: PaddlePaddle's own names of the parameters by those of the graph; a name that is missing stands for
  ///     itself.
  ///   - repeatsQueries: whether a decoder's queries are repeated for the batch. With oneDNN, PaddlePaddle 3 does not run
  ///     a program in JSON that normalises parameters alone.
  /// - Throws: `HGNetError.Code.internalInconsistency` for a graph without input, or with an operator that no vocabulary
  ///   knows.
  package init(
    _ graph: Graph, activation: HeadActivation, names: [String: String], repeatsQueries: Bool = false
  ) throws(HGNetError) {
    self.graph = graph
    self.names = names
    self.repeatsQueries = repeatsQueries
    for parameter in graph.parameters {
      variables.append(
        Variable(
          name: names[parameter.name] ?? parameter.name, source: parameter.name, shape: parameter.shape,
          isLearned: parameter.role.isLearned))
    }
    for (index, node) in graph.nodes.enumerated() {
      self.index = index
      results.append(try write(node))
    }
    guard !inputExtents.isEmpty else {
      throw HGNetError(.internalInconsistency, "expected a network with an input, found none")
    }
    let logits = graph.outputs.first?.node.index ?? results.count - 1
    let classCount = graph.nodes[logits].shape.channels
    outputName = results[logits].name
    outputExtents = results[logits].isFlat ? [-1, classCount] : [-1, classCount, 1, 1]
    switch activation {
    case .softmax: outputName = append(.softmax, "softmax", [outputName], outputExtents)
    case .sigmoid: outputName = append(.sigmoid, "sigmoid", [outputName], outputExtents)
    case .none: break
    }
  }

  private mutating func write(_ node: Graph.Node) throws(HGNetError) -> Result {
    if case .input(let channels) = node.operation {
      inputExtents = [-1, channels, node.shape.height, node.shape.width]
      return Result(PaddleOperations.inputName, isFlat: false)
    }
    for vocabulary in PaddleProgram.vocabularies {
      if let result = vocabulary.write(node, to: &self) { return result }
    }
    throw HGNetError(
      .internalInconsistency, "Paddle's programs have no word for the operator \(node.operation.title)",
      layer: node.name)
  }

  /// The parameters under the names of the program.
  package func parameters(_ source: ParameterStore) -> ParameterStore {
    var store = ParameterStore()
    for variable in variables { store[variable.name] = source[variable.source] }
    return store
  }

  // MARK: For the vocabularies

  /// The names of what a node reads.
  func inputs(of node: Graph.Node) -> [String] { node.inputs.map { results[$0.index].name } }

  /// Whether what a node reads first is `[N, C]`.
  func isFlat(_ node: Graph.Node) -> Bool { node.inputs.first.map { results[$0.index].isFlat } ?? false }

  /// The extents of a result that is as flat as what the node reads.
  func extents(of node: Graph.Node) -> [Int] {
    isFlat(node) ? [-1, node.shape.channels] : [-1, node.shape.channels, node.shape.height, node.shape.width]
  }

  func own(_ parameter: String) -> String { names[parameter] ?? parameter }

  mutating func append(
    _ kind: PaddleOperation.Kind, _ stem: String, _ inputs: [String], _ extents: [Int]
  ) -> String {
    let number = counts[stem, default: 0]
    counts[stem] = number + 1
    let result = "\(stem)_\(number).tmp_0"
    operations.append(PaddleOperation(kind: kind, inputs: inputs, result: result, extents: extents))
    return result
  }
}

extension Graph {
  /// Whether the classifier is a transformer decoder.
  package var hasDecoder: Bool {
    nodes.contains { if case .decoder = $0.operation { true } else { false } }
  }
}
