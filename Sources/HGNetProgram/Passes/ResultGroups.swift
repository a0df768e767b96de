import HGNetCore

/// Results that belong together, such as those that share the scale of their bytes.
///
/// Threads: a value.
package struct ResultGroups: Sendable {
  private var parents: [Int]

  /// Begins with each result alone.
  init(count: Int) { parents = Array(0..<count) }

  /// How many results there are.
  var count: Int { parents.count }

  /// The number of a result's group, that of one of its members.
  package subscript(result: Int) -> Int {
    var number = result
    while parents[number] != number { number = parents[number] }
    return number
  }

  /// Puts two groups together, under the number of the second.
  mutating func join(_ one: Int, _ other: Int) { parents[self[one]] = self[other] }
}

extension Program {
  /// The results of the graph, those that lie side by side in a concatenation together.
  package var concatenationGroups: ResultGroups {
    var groups = ResultGroups(count: graph.nodes.count)
    for layer in layers where layer.kind == .concatenate {
      for input in layer.inputs { groups.join(input, layer.result) }
    }
    return groups
  }
}
