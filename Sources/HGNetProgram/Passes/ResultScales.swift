import HGNetCore

/// What the bytes of a result mean: `real = (byte - zero) * scale`.
package struct ValueScale: Hashable, Sendable {
  /// What a step of the byte is worth.
  package var scale: Float
  /// The byte that stands for 0.
  package var zero: Int32

  /// The finest bytes that hold a range and 0, which windows read around a picture.
  package init(_ range: ClosedRange<Float>) {
    let (low, high) = (Double(min(range.lowerBound, 0)), Double(max(range.upperBound, 0)))
    // A result that is 0 throughout can have any scale.
    scale = Float((high - low) / 255)
    if !scale.isNormal { scale = 1 }
    zero = Int32(min(max((-low / Double(scale)).rounded(), 0), 255))
  }
}

/// What the bytes of each result of a program mean.
///
/// Results that lie side by side in a concatenation share the scale of all of them unless it has one of its own, and a copy
/// in another type has that of what it is a copy of.
package struct ResultScales: Sendable {
  private let scales: [ValueScale?]

  /// The scale of a result; nil where no range is known, which only a result in float32 may have.
  package subscript(result: Int) -> ValueScale? { scales.indices.contains(result) ? scales[result] : nil }

  /// Finds the scales of a program whose results have their types.
  ///
  /// - Throws: `HGNetError.Code.parameterMismatch` naming a layer whose result is in bytes and has no range.
  package init(_ program: Program, ranges: [String: ClosedRange<Float>]) throws(HGNetError) {
    var groups = ResultGroups(count: program.elements.count)
    for layer in program.layers
    where layer.kind == .concatenate && program.elements[layer.result] == .uint8 && !layer.hasOwnScale {
      for input in layer.inputs { groups.join(input, layer.result) }
    }
    let nodes = program.graph.nodes.count
    for (index, source) in program.copied.enumerated() { groups.join(nodes + index, source) }
    var found = [ClosedRange<Float>?](repeating: nil, count: groups.count)
    for observed in program.observed {
      guard let range = ranges[observed.layer] else {
        guard program.elements[observed.result] == .uint8 else { continue }
        throw HGNetError(
          .parameterMismatch,
          "expected a range of this layer's result among the quantised weights, found none; are they of another model?",
          layer: observed.layer)
      }
      found[groups[observed.result]].join(range)
    }
    for layer in program.layers where layer.hasOwnScale {
      if let range = ranges[layer.name] { found[groups[layer.result]].join(range) }
    }
    // A concatenation in float32 that is turned into bytes as a whole.
    for layer in program.layers where layer.kind == .concatenate && program.elements[layer.result] != .uint8 {
      for input in layer.inputs { if let range = found[groups[input]] { found[groups[layer.result]].join(range) } }
    }
    scales = (0..<groups.count).map { found[groups[$0]].map { ValueScale($0) } }
  }
}

extension ClosedRange<Float>? {
  /// Widens a range so that it holds another.
  fileprivate mutating func join(_ other: ClosedRange<Float>) {
    self = map { Swift.min($0.lowerBound, other.lowerBound)...Swift.max($0.upperBound, other.upperBound) } ?? other
  }
}
