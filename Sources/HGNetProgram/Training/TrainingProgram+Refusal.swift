import HGNetCore

extension TrainingProgram {
  /// Why a training program cannot have a layer, nil if it can.
  package static func refusal(of layer: Layer) -> String? {
    switch layer.kind {
    case .concatenate: return nil
    case .convolution(let convolution, let normalization):
      if convolution.isIdentity { return "training a batch normalisation without a convolution" }
      if normalization != nil, convolution.bias != nil {
        return "training a convolution with a bias and a batch normalisation"
      }
      return hasTwoAffineBlocks(layer) ? "training two affine blocks in a row" : nil
    case .linear: return hasTwoAffineBlocks(layer) ? "training two affine blocks in a row" : nil
    case .maxPool, .globalAveragePool, .gate, .pointwise, .add:
      return layer.hasReLU || !layer.affine.isEmpty ? "training an activation after this operator" : nil
    case .decoder:
      let hasEpilogue = layer.hasReLU || !layer.affine.isEmpty || layer.residual != nil
      return hasEpilogue ? "training an activation after this operator" : nil
    case .copy, .softmax: return "training a network with this operator here"
    }
  }

  /// Whether an affine block stands behind another one or behind a dropout.
  private static func hasTwoAffineBlocks(_ layer: Layer) -> Bool {
    var isTaken = false
    for step in layer.affine {
      switch step {
      case .affine:
        if isTaken { return true }
        isTaken = true
      case .dropout(let probability): isTaken = isTaken || probability > 0
      }
    }
    return false
  }
}
