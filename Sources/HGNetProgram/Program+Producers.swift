import HGNetCore

extension Program {
  /// For each node of a graph the number of the result that holds what it computes: its own, or that of the first node of
  /// the layer that took it over.
  ///
  /// What a layer computes is what the last of its nodes computes.
  ///
  /// - Parameters:
  ///   - graph: the one of a program.
  ///   - apart: as it was made with.
  /// - Throws: `HGNetError.Code.unsupported` for a second input.
  package static func producers(_ graph: Graph, apart: Set<String> = []) throws(HGNetError) -> [Int] {
    var fusion = try Fusion(graph, isTraining: false)
    fusion.apart = apart
    fusion.runPasses()
    return graph.nodes.indices.map(fusion.producer)
  }

  /// The same program with those concatenations marked that have a range, and so a scale of their own.
  package func separatingConcatenations(_ ranges: [String: ClosedRange<Float>]) -> Program {
    var layers = layers
    for index in layers.indices where layers[index].kind == .concatenate {
      layers[index].hasOwnScale = ranges[layers[index].name] != nil
    }
    return Program(
      graph: graph, isTraining: isTraining, layers: layers, outputs: outputs, elements: elements, copied: copied)
  }

  /// The results that are rounded to bytes whoever reads them; empty where an engine finds that out.
  package func roundedResults(beside parameters: some ParameterSource) -> Set<Int> {
    guard parameters.hasExactRanges else { return [] }
    return Set(observed.filter { parameters.ranges[$0.layer] != nil }.map(\.result))
  }
}
