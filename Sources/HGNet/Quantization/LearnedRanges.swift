import HGNetCore
import HGNetProgram

/// The ranges among the parameters of quantisation-aware training, as its checkpoints hold them.
///
/// `NAME.quantization_range` is one `[2]` parameter for all results that share the steps of their bytes, while a file of
/// quantised weights has one for each result.
package struct LearnedRanges: Sendable {
  private var ranges: [String: ClosedRange<Float>] = [:]

  /// Whether there are none.
  package var isEmpty: Bool { ranges.isEmpty }

  /// Takes note of the ranges among some parameters.
  ///
  /// - Throws: `HGNetError.Code.parameterMismatch` naming one that is not two finite numbers.
  package init(_ parameters: ParameterStore) throws(HGNetError) {
    for name in parameters.names where name.hasSuffix(Program.rangeEnding) {
      guard let parameter = parameters[name] else { continue }
      let values = parameter.shape == [2] ? try parameter.allocatedTensor().values : []
      guard values.count == 2, values.allSatisfy({ $0.isFinite }) else {
        throw HGNetError(
          .parameterMismatch,
          "expected a range as two finite numbers, found \(values.isEmpty ? "" : "\(values) of ")shape "
            + "\(parameter.shape)", key: name)
      }
      // As training reads them: 0 belongs to each.
      ranges[name] = min(values[0], 0)...max(values[1], 0)
    }
  }

  /// Some parameters without the ranges among them.
  package func removing(from parameters: ParameterStore) -> ParameterStore {
    guard !isEmpty else { return parameters }
    var plain = ParameterStore()
    for name in parameters.names where ranges[name] == nil { plain[name] = parameters[name] }
    return plain
  }

  /// The parameters of a network in 8 bits with these ranges.
  ///
  /// - Parameters:
  ///   - graph: the network.
  ///   - parameters: in float, with ranges among them or without.
  /// - Throws: `HGNetError.Code.parameterMismatch` naming a range or a parameter that is missing or no finite number;
  ///   `unsupported` for a network that cannot be trained so.
  package func quantizing(_ graph: Graph, _ parameters: ParameterStore) throws(HGNetError) -> ParameterStore {
    let names = try Program(graph, isTraining: true).quantizing().quantization?.names ?? [:]
    var results: [String: ClosedRange<Float>] = [:]
    for (layer, name) in names {
      guard let range = ranges[name] else {
        throw HGNetError(
          .parameterMismatch, "expected the range of this layer's result among the parameters, found none", key: name,
          layer: layer)
      }
      results[layer] = range
    }
    var plain = ParameterStore()
    for declaration in graph.parameters { plain[declaration.name] = parameters[declaration.name] }
    return try QuantizedWeights.quantizing(graph, plain, ranges: results)
  }
}

extension WeightsFile {
  /// Refuses weights in float where a configuration asks for quantised ones.
  ///
  /// - Throws: `HGNetError.Code.parameterMismatch` naming the key.
  package func requireQuantized(by key: String) throws(HGNetError) {
    guard !parameters.isQuantized else { return }
    throw HGNetError(
      .parameterMismatch,
      "expected weights of quantisation-aware training or quantised ones, found weights in float; leave the key out to "
        + "evaluate these", path: path, key: key)
  }
}
