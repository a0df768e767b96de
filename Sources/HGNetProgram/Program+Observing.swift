import HGNetCore

extension Program {
  /// A result that can be watched in a run.
  package struct Observed: Sendable {
    /// The layer that computes it; the graph's input has a name of its own.
    package var layer: String
    /// The number of the result.
    package var result: Int
  }

  /// The name under which ranges of the pictures themselves are known.
  package static let inputName = "input"

  /// The input and what each layer computes, in their order; concatenations only put results side by side.
  package var observed: [Observed] {
    [Observed(layer: Program.inputName, result: input)]
      + layers.filter { $0.kind != .concatenate && $0.result < graph.nodes.count }
      .map { Observed(layer: $0.name, result: $0.result) }
  }

  /// The same layers with what each of them computes as an output, in the order of `observed`; all of it stays in memory.
  package var observing: Program {
    Program(
      graph: graph, isTraining: isTraining, layers: layers,
      outputs: observed.enumerated().map { Output(role: .stage($0.offset), result: $0.element.result) },
      elements: elements, copied: copied)
  }
}
