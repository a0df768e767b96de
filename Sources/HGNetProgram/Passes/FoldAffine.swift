import HGNetCore

extension Fusion {
  /// Pass 3: an affine block, dropout or flattening becomes part of the layer that makes its input.
  mutating func foldAffine() {
    for index in layers.indices {
      guard let layer = layers[index], layer.kind == .copy, !layer.hasReLU, layer.residual == nil,
        !apart.contains(layer.name)
      else { continue }
      let source = producer(of: layer.inputs[0])
      let doesNothing = layer.affine.allSatisfy { $0 == .dropout(probability: 0) }
      if !doesNothing {
        guard let before = layers[source], readerCounts()[source] == 1, before.canHaveEpilogue, before.residual == nil
        else { continue }
        layers[source]?.affine += layer.affine
      }
      absorb(index, into: source)
    }
  }
}
