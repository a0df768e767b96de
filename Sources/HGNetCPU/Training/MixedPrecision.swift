import CHGNetKernels
import HGNetCore
import HGNetProgram

extension Program {
  /// The same program with the types that its results have in training: in mixed precision bfloat16 wherever a kernel takes it.
  ///
  /// - Throws: as `assigningElements(_:)`.
  func assigningTrainingElements() throws(HGNetError) -> Program {
    guard mixedPrecision != nil, quantization == nil else { return self }
    return try assigningElements { (layer) throws(HGNetError) in layer.trainingElements }
  }
}

extension Layer {
  /// The types that a layer reads and writes in mixed precision; those of its gradients are the same.
  ///
  /// Linear layers, whose results are logits, functions of one number and decoders stay float32: they are a small part of a
  /// step. So do convolutions without pairs of channels, such as that of the pictures.
  fileprivate var trainingElements: LayerElements {
    switch kind {
    case .convolution(let convolution, _):
      LayerElements(
        reads: [convolution.isTrainedInHalves ? .bfloat16 : .float32], writes: [.bfloat16, .float32])
    case .maxPool: LayerElements(.bfloat16)
    case .globalAveragePool: LayerElements(reads: [.bfloat16], writes: [.bfloat16, .float32])
    case .add, .gate, .copy: LayerElements(reads: [.bfloat16, .float32], writes: [.bfloat16, .float32])
    case .linear, .pointwise, .softmax, .decoder, .concatenate: LayerElements(.float32)
    }
  }
}

extension Convolution {
  /// Whether its products and those of its gradients have kernels in bfloat16.
  fileprivate var isTrainedInHalves: Bool {
    isDepthwise
      || groups == 1 && inputChannels % 2 == 0 && outputChannels % 2 == 0 && kernel.height * kernel.width <= 64
  }
}

extension TrainingUnit {
  /// Whether anything that its kernels read or write is in bfloat16.
  func isMixed(_ others: [Location?]) -> Bool {
    convolved.element == .bfloat16 || gradientElement == .bfloat16 || others.contains { $0?.element == .bfloat16 }
  }
}

extension Location {
  /// Whether its values are bfloat16, as the kernels of training are told.
  var isHalf: Int32 { element == .bfloat16 ? 1 : 0 }
}

extension Addresses {
  /// The kernels of training in bfloat16.
  var bfloat16Training: hg_bfloat16_training_kernels { bfloat16.training.pointee }
}

/// Packs dense weights into panels of 16 output channels with pairs of input channels.
struct PairPacking: Work {
  var panels: PanelPacking
  /// Whether they become the points of Winograd's tiles of 2×2.
  var isWinograd: Bool

  init(_ weights: TrainedWeights, isWinograd: Bool = false, packed: Int) {
    panels = PanelPacking(weights, winogradTile: 0, packed: packed)
    self.isWinograd = isWinograd
  }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    _ = try panels.write(addresses, into: descriptor)
    return isWinograd ? addresses.bfloat16Training.winograd_pack : addresses.bfloat16Training.pack
  }
}
