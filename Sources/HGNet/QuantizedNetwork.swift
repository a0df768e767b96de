import HGNetCore
import HGNetProgram

/// Networks that say at each value whether it is rounded to bytes, as ONNX models in the QDQ form do.
enum QuantizedNetwork {
  /// The ranges of the results of layers from those of nodes.
  ///
  /// An affine block or a sum is a layer of its own where what it reads is rounded. Layers whose results have no range are
  /// those whose values lie in that of their inputs, or they are computed in float32.
  ///
  /// - Parameters:
  ///   - nodes: by the names of nodes.
  ///   - graph: the network.
  /// - Returns: by the names of layers, of the input, and of concatenations with a range of their own.
  /// - Throws: `HGNetError.Code.unsupported` for a second input.
  static func ranges(
    _ nodes: [String: ClosedRange<Float>], of graph: Graph
  ) throws(HGNetError) -> [String: ClosedRange<Float>] {
    guard !nodes.isEmpty else { return [:] }
    let graph = try graph.selecting(outputs: graph.outputs.map(\.role))
    let apart = Set(graph.nodes.filter { isApart($0, in: graph, nodes) }.map(\.name))
    let program = try Program(graph, apart: apart)
    // The last node of a layer is what it computes.
    var found = [ClosedRange<Float>?](repeating: nil, count: program.graph.nodes.count)
    var last = found.indices.map { $0 }
    for (node, result) in try Program.producers(program.graph, apart: apart).enumerated() { last[result] = node }
    for layer in program.layers { found[layer.result] = nodes[program.graph.nodes[last[layer.result]].name] }
    found[program.input] = nodes[program.graph.nodes[program.input].name]
    inherit(program, &found)
    var ranges: [String: ClosedRange<Float>] = [:]
    for observed in program.observed { ranges[observed.layer] = found[observed.result] }
    for layer in program.layers where layer.kind == .concatenate {
      guard let own = nodes[program.graph.nodes[last[layer.result]].name],
        layer.inputs.contains(where: { found[$0] != own })
      else { continue }
      ranges[layer.name] = own
    }
    return ranges
  }

  /// Whether a node reads something that is rounded, which no layer in front of it can take over then.
  private static func isApart(_ node: Graph.Node, in graph: Graph, _ ranges: [String: ClosedRange<Float>]) -> Bool {
    guard ranges[node.name] != nil else { return false }
    switch node.operation {
    case .affine, .add: return node.inputs.allSatisfy { ranges[graph[$0].name] != nil }
    default: return false
    }
  }

  /// Gives a range to results that can have no other than what they are made of, or than what they are part of.
  private static func inherit(_ program: Program, _ found: inout [ClosedRange<Float>?]) {
    // What is concatenated is rounded with the whole.
    for layer in program.layers.reversed() where layer.kind == .concatenate {
      for input in layer.inputs { found[input] = found[input] ?? found[layer.result] }
    }
    for layer in program.layers where found[layer.result] == nil {
      // What gates is never rounded, but a gate is computed in bytes where all that it reads is known.
      if case .pointwise(let function) = layer.kind { found[layer.result] = function.resultRange }
      let inputs = layer.inputs.compactMap { found[$0] }
      guard inputs.count == layer.inputs.count, let first = inputs.first else { continue }
      switch layer.kind {
      case .maxPool, .globalAveragePool, .concatenate:
        found[layer.result] = inputs.reduce(first) {
          min($0.lowerBound, $1.lowerBound)...max($0.upperBound, $1.upperBound)
        }
      case .copy where layer.affine.isEmpty && !layer.hasReLU: found[layer.result] = first
      default: break
      }
    }
  }
}
