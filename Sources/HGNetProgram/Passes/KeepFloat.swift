import HGNetCore

extension Program {
  /// The same program with the layers marked that quantised parameters leave in float32, and the results that are best
  /// float32 with them.
  ///
  /// A layer stays in float32 whose weights are not quantised, or for whose inputs no range is known; one without weights
  /// also where none is known for its result. A result is best float32 without a range, and where a layer with weights of
  /// its own reads it that stays in float32: what that layer is kept for would be lost in bytes.
  ///
  /// - Parameter parameters: quantised weights with the ranges of results.
  package func keepingFloat(beside parameters: some ParameterSource) -> (program: Program, floatResults: Set<Int>) {
    let ranges = parameters.ranges
    var hasRange = [Bool](repeating: false, count: graph.nodes.count)
    for observed in observed where ranges[observed.layer] != nil { hasRange[observed.result] = true }
    var (layers, floatResults) = (layers, Set<Int>())
    for (index, layer) in layers.enumerated() {
      let knowsInputs = (layer.inputs + [layer.residual].compactMap { $0 }).allSatisfy { hasRange[$0] }
      if layer.kind == .concatenate {
        hasRange[layer.result] = knowsInputs
      } else if let weight = layer.quantizedWeight {
        layers[index].staysFloat = !knowsInputs || parameters[weight]?.scales == nil
        if layers[index].staysFloat, !parameters.hasExactRanges {
          floatResults.formUnion(layer.inputs + [layer.residual].compactMap { $0 })
        }
      } else {
        layers[index].staysFloat = !knowsInputs || !hasRange[layer.result]
      }
      if !hasRange[layer.result] { floatResults.insert(layer.result) }
    }
    for layer in layers.reversed() where layer.kind == .concatenate && floatResults.contains(layer.result) {
      floatResults.formUnion(layer.inputs)
    }
    let program = Program(
      graph: graph, isTraining: isTraining, layers: layers, outputs: outputs, elements: elements, copied: copied)
    return (program, floatResults)
  }
}

extension Layer {
  /// The weights that are in 8 bits where the layer is computed in them; nil for a layer without such weights.
  package var quantizedWeight: String? {
    switch kind {
    case .convolution(let convolution, _): convolution.isIdentity ? nil : convolution.weight
    case .linear(let weight, _, _, _): weight
    default: nil
    }
  }
}
