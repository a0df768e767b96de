import HGNetCore

extension Fusion {
  /// Pass 4: the sum of a block and its input is made by the block's last layer.
  mutating func fuseResidual() {
    let readers = readerCounts()
    for index in layers.indices {
      guard let layer = layers[index], layer.kind == .add, !layer.hasReLU, layer.affine.isEmpty,
        !apart.contains(layer.name)
      else { continue }
      for (own, other) in [(0, 1), (1, 0)] {
        let source = producer(of: layer.inputs[own])
        let addend = producer(of: layer.inputs[other])
        guard addend < source, readers[source] == 1, let before = layers[source], before.canHaveEpilogue,
          before.residual == nil
        else { continue }
        layers[source]?.residual = addend
        absorb(index, into: source)
        break
      }
    }
  }
}
