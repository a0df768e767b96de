import HGNetCore
import HGNetFormats
import HGNetProgram

/// Weights in 8-bit integers as a file holds them.
///
/// A safetensors file whose texts say `quantization: int8`. The weights of convolutions and linear layers are I8 under
/// their own names and in their own shapes, symmetric, with `NAME.quantization_scale` beside each: one F32 number for each
/// output channel. Everything else stays as it is, normalisations, too, which are folded when the network is compiled. A
/// layer whose weights are not in 8 bits is computed in float32.
/// `LAYER.quantization_range` is the range of a layer's result, two F32 numbers; `input.quantization_range` that of pictures.
package enum QuantizedWeights {
  /// The text that says what a file is.
  package static let metadataKey = "quantization"
  private static let kind = "int8"
  private static let scaleEnding = ".quantization_scale"
  private static let rangeEnding = ".quantization_range"

  // MARK: - Making

  /// The parameters of a network with the weights of its convolutions and linear layers in 8 bits.
  ///
  /// - Parameters:
  ///   - graph: the network.
  ///   - parameters: in float.
  ///   - ranges: of the results, by the names of layers.
  ///   - floatLayers: the names of layers whose weights stay as they are, which are computed in float32.
  /// - Throws: `HGNetError.Code.parameterMismatch` for a missing parameter, weights that are no finite numbers or are
  ///   quantised already; `limitExceeded`.
  package static func quantizing(
    _ graph: Graph, _ parameters: ParameterStore, ranges: [String: ClosedRange<Float>], floatLayers: Set<String> = []
  ) throws(HGNetError) -> ParameterStore {
    let layers = try Program(graph).layers.filter { !floatLayers.contains($0.name) }
    let isWeight = Set(layers.compactMap(\.quantizedWeight))
    var store = ParameterStore()
    for name in parameters.names {
      guard let parameter = parameters[name] else { continue }
      guard parameter.scales == nil else {
        throw HGNetError(.parameterMismatch, "these weights are quantised already; give those in float", key: name)
      }
      do throws(HGNetError) {
        store[name] = isWeight.contains(name) ? try quantized(parameter) : parameter
      } catch {
        var named = error
        named.context.key = name
        throw named
      }
    }
    store.ranges = ranges
    return store
  }

  /// Refuses parameters that are no finite numbers, before anything is run.
  ///
  /// - Throws: `HGNetError.Code.parameterMismatch` naming the parameter.
  static func checkFinite(_ parameters: ParameterStore) throws(HGNetError) {
    for name in parameters.names {
      guard let parameter = parameters[name], let wrong = parameter.withFloats({ $0.first { !$0.isFinite } }) else {
        continue
      }
      throw HGNetError(
        .parameterMismatch, "expected finite numbers, found \(wrong); did the training run diverge?", key: name)
    }
  }

  /// Weights in 8 bits: the largest of each output channel becomes ±127.
  private static func quantized(_ parameter: Parameter) throws(HGNetError) -> Parameter {
    let tensor = try parameter.allocatedTensor()
    let isLinear = tensor.shape.rank == 2
    let channels = isLinear ? tensor.shape[1] : tensor.shape[0]
    let run = isLinear ? 1 : tensor.count / max(channels, 1)
    var scales = [Float](repeating: 0, count: channels)
    let bytes = try Blob(allocating: tensor.count, for: "weights in 8 bits") { (target) throws(HGNetError) in
      try tensor.withUnsafeBufferPointer { (values) throws(HGNetError) in
        for (index, value) in values.enumerated() {
          guard value.isFinite else { throw HGNetError(.parameterMismatch, "a weight is \(value)") }
          let channel = index / run % channels
          scales[channel] = max(scales[channel], abs(value))
        }
        for channel in scales.indices {
          scales[channel] /= 127
          // A channel of zeros can have any scale.
          if !scales[channel].isNormal { scales[channel] = 1 }
        }
        let integers = target.bindMemory(to: Int8.self)
        for (index, value) in values.enumerated() {
          let steps = (value / scales[index / run % channels]).rounded(.toNearestOrEven)
          integers[index] = Int8(min(max(steps, -127), 127))
        }
      }
    }
    let integers = try Parameter(shape: tensor.shape, elementType: .int8, bytes: BlobSlice(bytes))
    return try Parameter(integers, scales: scales)
  }

  /// Writes quantised weights.
  ///
  /// - Parameters:
  ///   - store: what `quantizing` made.
  ///   - metadata: texts beside them, such as the recipe.
  ///   - path: the file.
  /// - Throws: `HGNetError.Code.unwritableFile`.
  package static func write(
    _ store: ParameterStore, metadata: [String: String], to path: String
  ) throws(HGNetError) {
    var written = ParameterStore()
    for name in store.names {
      guard let parameter = store[name] else { continue }
      written[name] = parameter
      if let scales = parameter.scales {
        written[name + scaleEnding] = Parameter(Tensor(shape: [scales.count], values: scales))
      }
    }
    for (layer, range) in store.ranges.sorted(by: { $0.key < $1.key }) {
      written[layer + rangeEnding] = Parameter(
        Tensor(shape: [2], values: [range.lowerBound, range.upperBound]))
    }
    try Safetensors.write(
      written, metadata: metadata.merging([metadataKey: kind]) { $1 }, keepingIntegers: true, to: path)
  }

  // MARK: - Reading

  /// What a file holds with scales and ranges in their places; anything but quantised weights as it is.
  ///
  /// - Throws: `HGNetError.Code.malformedData` naming scales or ranges that are missing or cannot be, `unsupported` for
  ///   another kind of quantisation.
  static func reading(
    _ stored: ParameterStore, metadata: [String: String]
  ) throws(HGNetError) -> ParameterStore {
    guard let found = metadata[metadataKey] else { return stored }
    guard found == kind else {
      throw HGNetError(
        .unsupported, "expected the quantisation \(kind), found \(HGNetError.quoted(found))", key: metadataKey)
    }
    var store = ParameterStore()
    for name in stored.names {
      guard let parameter = stored[name] else { continue }
      do throws(HGNetError) {
        if name.hasSuffix(rangeEnding) {
          store.ranges[String(name.dropLast(rangeEnding.count))] = try range(parameter)
        } else if name.hasSuffix(scaleEnding) {
          let weight = String(name.dropLast(scaleEnding.count))
          guard stored[weight]?.elementType == .int8 else {
            throw HGNetError(.malformedData, "these are scales of weights in 8 bits that the file does not have")
          }
        } else if parameter.elementType == .int8 {
          guard let scales = stored[name + scaleEnding] else {
            throw HGNetError(
              .malformedData, "expected the scales \(name)\(scaleEnding) of weights in 8 bits, found none")
          }
          store[name] = try Parameter(parameter, scales: scales.allocatedTensor().values)
        } else {
          store[name] = parameter
        }
      } catch {
        var named = error
        named.context.key = name
        throw named
      }
    }
    guard !store.ranges.isEmpty else {
      throw HGNetError(.malformedData, "expected the ranges of results beside weights in 8 bits, found none")
    }
    return store
  }

  private static func range(_ parameter: Parameter) throws(HGNetError) -> ClosedRange<Float> {
    guard parameter.shape == [2] else {
      throw HGNetError(.malformedData, "expected a range as two numbers, found \(parameter.shape)")
    }
    let values = parameter.tensor().values
    guard values[0].isFinite, values[1].isFinite, values[0] <= values[1], (values[1] - values[0]).isFinite else {
      throw HGNetError(
        .malformedData, "expected the smaller and the larger end of a range, found \(values[0]) and \(values[1])")
    }
    return values[0]...values[1]
  }

  /// Checks that ranges are those of the layers of a network.
  ///
  /// - Throws: `HGNetError.Code.parameterMismatch` naming a layer that only one side has.
  static func check(_ ranges: [String: ClosedRange<Float>], of graph: Graph) throws(HGNetError) {
    guard !ranges.isEmpty else { return }
    let layers = Set(try Program(graph).observed.map(\.layer))
    if let missing = layers.subtracting(ranges.keys).min() {
      throw HGNetError(
        .parameterMismatch,
        "expected a range of each layer's result, found none of this one; are they of another model?",
        key: missing + rangeEnding)
    }
    if let other = Set(ranges.keys).subtracting(layers).min() {
      throw HGNetError(
        .parameterMismatch, "the network has no layer of this name; are the ranges of another model?",
        key: other + rangeEnding)
    }
  }
}

extension ParameterStore {
  /// Whether weights are in 8 bits.
  package var isQuantized: Bool { !ranges.isEmpty }
}

extension WeightsFile {
  /// Refuses quantised weights where they are to be trained or written in float.
  ///
  /// - Throws: `HGNetError.Code.unsupported` saying what to give instead.
  package func requireFloat(for purpose: String) throws(HGNetError) {
    guard parameters.isQuantized else { return }
    throw HGNetError(
      .unsupported,
      "expected weights in float for \(purpose), found quantised ones; give the weights that they were made of",
      path: path)
  }
}
