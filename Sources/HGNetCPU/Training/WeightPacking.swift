import CHGNetKernels
import HGNetCore
import HGNetProgram

/// The weights of a convolution in training, for the forward pass or for the data gradient.
struct TrainedWeights: Hashable, Sendable {
  /// The layer as the graph has it.
  var convolution: Convolution
  var isLinear: Bool
  var isGradient: Bool
  /// Where the weights lie rounded to 8 bits; nil where they are the parameter.
  var rounded: Location?

  /// The convolution that is computed: for a data gradient that of the result's gradient, spread to stride 1, with the
  /// window turned round and the channels exchanged.
  var used: Convolution {
    var used = convolution
    used.bias = nil
    guard isGradient else { return used }
    let (kernel, padding) = (convolution.kernel, convolution.padding)
    swap(&used.inputChannels, &used.outputChannels)
    used.stride = Size(1)
    used.padding = Padding(
      top: kernel.height - 1 - padding.top, left: kernel.width - 1 - padding.left,
      bottom: kernel.height - 1 - padding.bottom, right: kernel.width - 1 - padding.right)
    return used
  }

  /// The weights as they are now, as they are declared.
  func values(_ addresses: Addresses) throws(HGNetError) -> UnsafePointer<Float> {
    if let rounded { return UnsafePointer(addresses.pointer(rounded)) }
    return try addresses.read(convolution.weight)
  }

  var taps: Int { convolution.kernel.height * convolution.kernel.width }
}

/// Packs the weights of a layer as they are now, in each training step.
struct WeightPacking: Sendable {
  var work: any Work
  var taskCount: Int
}

/// Packs dense weights into panels of 16 output channels, or into Winograd's points of these.
struct PanelPacking: Work {
  var weights: TrainedWeights
  /// The side of Winograd's tiles; 0 for plain panels.
  var winogradTile: Int
  var packed: Int

  init(_ weights: TrainedWeights, winogradTile: Int, packed: Int) {
    self.weights = weights
    self.winogradTile = winogradTile
    self.packed = packed
  }

  /// One task for each panel.
  var packing: WeightPacking {
    WeightPacking(work: self, taskCount: weights.used.outputChannels.divided(by: 16))
  }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    let (convolution, used) = (weights.convolution, weights.used)
    // Dense weights are [out][in][taps], linear ones [in][out]; the gradient exchanges the two.
    let (outer, inner) =
      weights.isLinear ? (1, convolution.outputChannels) : (convolution.inputChannels * weights.taps, weights.taps)
    try descriptor.set(
      hg_pack(
        weight: weights.values(addresses), column_stride: Int64(weights.isGradient ? inner : outer),
        channel_stride: Int64(weights.isGradient ? outer : inner), columns: Int32(used.outputChannels),
        channels: Int32(used.inputChannels), taps: Int32(weights.taps), is_flipped: weights.isGradient ? 1 : 0,
        winograd_tile: Int32(winogradTile), packed: addresses.floats(packed)))
    return addresses.training.pack
  }
}
