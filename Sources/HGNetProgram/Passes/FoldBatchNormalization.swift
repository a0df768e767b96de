import HGNetCore

extension Fusion {
  /// Pass 1: a batch normalisation becomes a factor and a bias of the convolution before it.
  mutating func foldBatchNormalization() {
    let readers = readerCounts()
    for index in layers.indices {
      guard let layer = layers[index], case .convolution(let own, let normalization?) = layer.kind, own.isIdentity
      else {
        continue
      }
      let source = producer(of: layer.inputs[0])
      guard readers[source] == 1, case .convolution(let convolution, nil)? = layers[source]?.kind,
        layers[source]?.hasReLU == false, layers[source]?.affine.isEmpty == true, layers[source]?.residual == nil
      else { continue }
      layers[source]?.kind = .convolution(convolution, normalization)
      absorb(index, into: source)
    }
  }
}
