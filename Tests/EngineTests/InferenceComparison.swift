import HGNetCore
import HGNetProgram

/// Compares an engine's results with the reference's and finds the layer where they part.
struct InferenceComparison {
  let graph: Graph
  let parameters: ParameterStore
  let pictures: Tensor
  private let expected: [Tensor]

  /// Runs the reference.
  init(_ graph: Graph, parameters: ParameterStore, pictures: Tensor) throws {
    self.graph = graph
    self.parameters = parameters
    self.pictures = pictures
    expected = try InferenceComparison.results(
      EngineSubject.reference, graph, parameters: parameters, pictures: pictures)
  }

  /// All results of an engine.
  static func results(
    _ engine: any Engine, _ graph: Graph, parameters: ParameterStore, pictures: Tensor,
    precision: Precision = .float32
  ) throws -> [Tensor] {
    let compiled = try engine.compile(Program(graph), parameters: parameters, precision: precision)
    let size = Size(height: pictures.shape[1], width: pictures.shape[2])
    return try compiled.session(RunExtent(batch: pictures.shape[0], inputSize: size)).run(pictures)
  }

  /// The first output that is off, with the first layer that is.
  func finding(_ subject: EngineSubject) throws -> Finding? {
    let found = try InferenceComparison.results(
      subject.engine, graph, parameters: parameters, pictures: pictures, precision: subject.precision)
    for (output, (one, other)) in zip(graph.outputs, zip(expected, found)) {
      let scale = max(one.largest, 1e-30)
      let distance = one.distance(to: other) / scale
      guard !(distance <= subject.tolerance) else { continue }
      let layer = try firstLayer(subject) ?? "no layer by itself; do two results overlap?"
      return
        "\(subject.testDescription): \(output.name) is off by \(distance) of the largest value; the first layer: \(layer)"
    }
    return nil
  }

  /// The first node of the graph whose result differs where the network ends with it.
  private func firstLayer(_ subject: EngineSubject) throws -> String? {
    for (index, node) in graph.nodes.enumerated() where !node.inputs.isEmpty {
      let part = try graph.ending(with: index)
      let one = try InferenceComparison.results(
        EngineSubject.reference, part, parameters: parameters, pictures: pictures)
      let other = try InferenceComparison.results(
        subject.engine, part, parameters: parameters, pictures: pictures, precision: subject.precision)
      let distance = one[0].distance(to: other[0]) / max(one[0].largest, 1e-30)
      if !(distance <= subject.tolerance) { return "\(node.name) (off by \(distance))" }
    }
    return nil
  }
}

extension Graph {
  /// The network up to one node, which is its output.
  func ending(with node: Int) throws -> Graph {
    var builder = GraphBuilder()
    for node in nodes { builder.append(node.operation, name: node.name, inputs: node.inputs) }
    for parameter in parameters { builder.declare(parameter) }
    builder.markOutput(.probabilities, NodeID(node))
    return try builder.graph(output: .probabilities, inputSize: inputSize).selecting(outputs: [.probabilities])
  }
}
