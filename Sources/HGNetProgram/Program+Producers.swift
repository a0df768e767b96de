import HGNetCore

extension Program {
  /// For each node of the graph the number of the result that holds what it computes: its own, or that of the first node
  /// of the layer that took it over.
  ///
  /// What a layer computes is what the last of its nodes computes.
  package var producers: [Int] {
    get throws(HGNetError) {
      var fusion = try Fusion(graph, isTraining: isTraining)
      fusion.runPasses()
      return graph.nodes.indices.map(fusion.producer)
    }
  }
}
