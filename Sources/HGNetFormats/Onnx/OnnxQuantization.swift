import HGNetCore

/// Which values of a network an ONNX graph holds in 8 bits: QuantizeLinear and DequantizeLinear stand there (QDQ form).
package struct OnnxQuantization: Sendable {
  /// The numbers that a value in 8 bits may be: `(byte - zeroPoint) * scale`.
  package struct Grid: Hashable, Sendable {
    /// What a step is worth; positive.
    package var scale: Float
    /// The byte that stands for 0: 0 … 255, of signed ones -128 … 127.
    package var zeroPoint: Int
    /// Whether bytes are int8 rather than uint8.
    package var isSigned: Bool

    /// Names a grid.
    package init(scale: Float, zeroPoint: Int, isSigned: Bool) {
      self.scale = scale
      self.zeroPoint = zeroPoint
      self.isSigned = isSigned
    }

    /// The smallest and the largest number.
    package var range: ClosedRange<Float> {
      let least = Double((isSigned ? -128 : 0) - zeroPoint)
      return Float(least * Double(scale))...Float((least + 255) * Double(scale))
    }
  }

  /// Of the nodes whose results are in 8 bits for all that read them.
  package var results: [Graph.NodeID: Grid] = [:]
  /// Of the nodes that read a result of another type in 8 bits, by what they read.
  package var reads: [Graph.NodeID: [Graph.NodeID: Grid]] = [:]

  /// Makes one without any.
  package init() {}
}

// MARK: - Writing

extension OnnxTranslation {
  /// Appends a value in 8 bits and gives the name of what they stand for.
  mutating func quantized(_ value: String, as grid: OnnxQuantization.Grid) -> String {
    let scale = graph.constant("\(value).scale", extents: [], .scales([grid.scale]))
    let zero = graph.constant(
      "\(value).zero_point", extents: [],
      .zeros([UInt8(truncatingIfNeeded: grid.zeroPoint)], isSigned: grid.isSigned))
    let bytes = graph.node("QuantizeLinear", [value, scale, zero], name: "\(value).quantized")
    return graph.node("DequantizeLinear", [bytes, scale, zero], name: "\(value).dequantized")
  }

  /// Appends quantised weights and gives the name of what they stand for.
  ///
  /// - Parameters:
  ///   - name: of the parameter.
  ///   - parameter: int8 with a scale for each output channel.
  ///   - factors: of a folded normalisation, for the output channels of a convolution; nil for none.
  mutating func quantizedWeights(
    _ name: String, _ parameter: Parameter, scales: [Float], factors: [Double]? = nil
  ) -> String {
    var scales = scales
    var signs = [Int8](repeating: 1, count: scales.count)
    for (channel, factor) in (factors ?? []).enumerated() where channel < scales.count {
      scales[channel] = Float(Double(scales[channel]) * abs(factor))
      signs[channel] = factor < 0 ? -1 : 1
      // A scale must be positive; the channel is 0.
      if !scales[channel].isNormal { (scales[channel], signs[channel]) = (1, 0) }
    }
    let isMatrix = parameter.shape.rank == 2
    let weights = graph.constant(
      name, extents: parameter.shape.dimensions, .signed(parameter, signs: isMatrix ? [1] : signs))
    let scale = graph.constant("\(name).scale", extents: [scales.count], .scales(scales))
    let zero = graph.constant(
      "\(name).zero_point", extents: [scales.count],
      .zeros([UInt8](repeating: 0, count: scales.count), isSigned: true))
    return graph.node(
      "DequantizeLinear", [weights, scale, zero], name: "\(name).dequantized", [.integer("axis", isMatrix ? 1 : 0)])
  }
}
