import HGNetCore

/// What quantisation-aware training does to a layer: its weights are rounded to 8 bits before they are used, and its
/// result to the 256 steps of a range.
package struct LayerQuantization: Hashable, Sendable {
  /// The parameter that holds the range of the result, its smaller and its larger end; nil for a result that stays as
  /// it is.
  package var range: String?
  /// Whether the layer is the first of those that share the range, so that its gradient is complete with this layer's.
  package var ownsRange: Bool
}

/// What quantisation-aware training adds to a program.
package struct ProgramQuantization: Sendable {
  /// The ranges, one `[2]` parameter for all results that share the steps of their bytes.
  package var declarations: [ParameterDeclaration]
  /// The range of each result, by the names of layers (`Program.observed`).
  package var names: [String: String]
  /// The range of the pictures.
  package var input: String
}

extension Program {
  /// What stands behind the name of a layer in the name of its range.
  package static let rangeEnding = ".quantization_range"

  /// What training adds to the parameters, then those of the graph: gradients are complete from the last to the first.
  package var trainedParameters: [ParameterDeclaration] { (quantization?.declarations ?? []) + graph.parameters }

  /// The same program for quantisation-aware training: what is computed in bytes at the precision int8 is rounded to the
  /// same steps.
  ///
  /// Weights of convolutions and linear layers have one scale for each output channel and no zero point. They are rounded
  /// as they are, without the normalisation behind them: a factor for each output channel changes the scales and not
  /// the steps. Results have one scale and zero point each, those side by side in a concatenation share them. Logits,
  /// and what gates, stay as they are.
  ///
  /// - Throws: `HGNetError.Code.unsupported` for a decoder, which is not computed in bytes.
  package func quantizing() throws(HGNetError) -> Program {
    let groups = concatenationGroups
    var ends = Set(outputs.map(\.result))
    for layer in layers { ends.subtract(layer.inputs + [layer.residual].compactMap { $0 }) }
    let known = Dictionary(graph.parameters.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    let input = Program.inputName + Program.rangeEnding
    var declarations = [
      ParameterDeclaration(name: input, shape: [2], role: .quantizationRange(isLearned: false))
    ]
    var names = [Program.inputName: input]
    var owners: [Int: String] = [:]
    var before: ParameterDeclaration?
    let quantized = try layers.map { (layer) throws(HGNetError) -> Layer in
      if case .decoder = layer.kind {
        throw HGNetError(.unsupported, "quantisation-aware training of a decoder", layer: layer.name)
      }
      guard layer.kind != .concatenate else { return layer }
      // Layers without parameters belong to where the last ones did, and learn as these.
      before = layer.learnedParameters.first.flatMap { known[$0] } ?? before
      let stays = ends.contains(layer.result) || layer.isNeverInBytes
      let owner = stays ? nil : owners[groups[layer.result]]
      let range = owner ?? layer.name + Program.rangeEnding
      if owner == nil {
        declarations.append(
          ParameterDeclaration(
            name: range, shape: [2], role: .quantizationRange(isLearned: !stays),
            learningRateMultiplier: before?.learningRateMultiplier ?? 1, part: before?.part))
      }
      if !stays { owners[groups[layer.result]] = range }
      names[layer.name] = range
      var changed = layer
      changed.quantization = LayerQuantization(range: stays ? nil : range, ownsRange: owner == nil && !stays)
      return changed
    }
    return Program(
      graph: graph, isTraining: isTraining, layers: quantized, outputs: outputs, elements: elements, copied: copied,
      quantization: ProgramQuantization(declarations: declarations, names: names, input: input))
  }
}

extension Layer {
  /// Whether its result stays float32 where others are bytes: functions of one number and softmax.
  fileprivate var isNeverInBytes: Bool {
    switch kind {
    case .pointwise, .softmax: true
    default: false
    }
  }
}
