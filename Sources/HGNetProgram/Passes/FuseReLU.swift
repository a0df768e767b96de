import HGNetCore

extension Fusion {
  /// Pass 2: a ReLU becomes part of the layer that makes its input.
  mutating func fuseReLU() {
    let readers = readerCounts()
    for index in layers.indices {
      guard let layer = layers[index], layer.kind == .copy, layer.hasReLU, layer.affine.isEmpty else { continue }
      let source = producer(of: layer.inputs[0])
      guard readers[source] == 1, let before = layers[source], before.canHaveEpilogue, !before.hasReLU,
        before.affine.isEmpty, before.residual == nil
      else { continue }
      layers[source]?.hasReLU = true
      absorb(index, into: source)
    }
  }
}
