import HGNet
import HGNetCore
import HGNetFormats
import HGNetProgram

/// What of a network with quantised weights is in 8 bits in the QDQ form of ONNX: what is for our own engine, on any
/// processor.
///
/// A value is quantised where a fused layer ends, once, so that there is no rounding in the file that is not in the engine.
/// Results that are concatenated share a grid. Layers that are computed in float32 are so in the file.
enum QuantizedExport {
  /// How values are quantised.
  ///
  /// - Parameters:
  ///   - network: with quantised weights.
  ///   - isSymmetric: whether the ranges are those of `symmetric(_:)`, which int8 with the zero point 0 hold.
  /// - Throws: `HGNetError.Code.parameterMismatch` naming a layer without a range.
  static func quantization(of network: ExportedNetwork, isSymmetric: Bool) throws(HGNetError) -> OnnxQuantization {
    let ranges = network.parameters.ranges
    let apart = Set(ranges.keys)
    let (marked, floatResults) = try Program(network.graph, apart: apart).separatingConcatenations(ranges)
      .keepingFloat(beside: network.parameters)
    let program = try marked.assigningElements(
      floatResults: floatResults, roundedResults: marked.roundedResults(beside: network.parameters)
    ) { (layer) throws(HGNetError) in
      elements(of: layer)
    }
    let scales = try ResultScales(program, ranges: ranges)
    func grid(_ result: Int) throws(HGNetError) -> OnnxQuantization.Grid {
      guard let scale = scales[result] else {
        throw HGNetError(.internalInconsistency, "a value in 8 bits without a range")
      }
      return OnnxQuantization.Grid(
        scale: scale.scale, zeroPoint: Int(scale.zero) - (isSymmetric ? 128 : 0), isSigned: isSymmetric)
    }
    let count = program.graph.nodes.count
    var ends = Array(0..<count)
    for (node, result) in try Program.producers(program.graph, apart: apart).enumerated() { ends[result] = node }
    func source(_ result: Int) -> Int { result < count ? result : program.copied[result - count] }
    var quantization = OnnxQuantization()
    for layer in program.layers where layer.result < count {
      let end = ends[layer.result]
      if program.elements[layer.result] == .uint8 {
        quantization.results[Graph.NodeID(end)] = try grid(layer.result)
      }
      // The first node of a layer reads its inputs, the last one its residual.
      let read = layer.inputs.map { (layer.result, $0) } + [layer.residual].compactMap { $0 }.map { (end, $0) }
      for (reader, result) in read where result >= count && program.elements[result] == .uint8 {
        let id = Graph.NodeID(ends[source(result)])
        quantization.reads[Graph.NodeID(reader), default: [:]][id] = try grid(result)
      }
    }
    return quantization
  }

  /// What a layer reads and writes where every operator has an implementation in bytes.
  private static func elements(of layer: Layer) -> LayerElements {
    guard !layer.staysFloat else { return LayerElements(.float32) }
    switch layer.kind {
    case .convolution, .linear, .globalAveragePool, .add:
      return LayerElements(reads: [.uint8], writes: [.uint8, .float32])
    case .maxPool, .concatenate: return LayerElements(.uint8)
    case .copy: return LayerElements(reads: [.uint8, .float32], writes: [.uint8, .float32])
    // What gates is float32.
    case .gate: return LayerElements(reads: [.float32, .uint8], writes: [.uint8, .float32])
    case .pointwise, .softmax, .decoder: return LayerElements(.float32)
    }
  }

  /// The same parameters with ranges that are as wide on both sides of 0, which cost up to a bit.
  static func symmetric(_ parameters: ParameterStore) -> ParameterStore {
    var result = parameters
    result.ranges = parameters.ranges.mapValues { range in
      let step = max(-range.lowerBound, range.upperBound, .leastNormalMagnitude) / 127
      return -128 * step...127 * step
    }
    return result
  }
}
