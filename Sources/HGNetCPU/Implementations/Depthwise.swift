import CHGNetKernels
import HGNetCore
import HGNetProgram

extension WeightLayout {
  /// `[taps][channels padded to 16]`.
  static let depthwise = WeightLayout("depthwise")
}

/// Convolutions of each channel by itself, and normalisations without a convolution.
enum Depthwise: Implementation {
  static let name = "depthwise"
  static var layout: WeightLayout { .depthwise }

  static func computes(_ kind: Layer.Kind) -> Bool { if case .convolution = kind { true } else { false } }

  static func refusal(of layer: Layer, on target: Target) -> String? {
    convolution(layer) == nil ? "it computes depthwise convolutions" : nil
  }

  private static func convolution(_ layer: Layer) -> Convolution? {
    guard case .convolution(let convolution, _) = layer.kind, convolution.isDepthwise || convolution.isIdentity else {
      return nil
    }
    return convolution
  }

  static func extent(of layer: Layer) -> PackedExtent? {
    guard let convolution = convolution(layer) else { return nil }
    let taps = convolution.kernel.height * convolution.kernel.width
    return PackedExtent(
      layout: layout, weightCount: convolution.outputChannels.roundedUp(to: 16) * taps,
      columns: convolution.outputChannels)
  }

  static func pack(_ layer: Layer, _ reader: ParameterReader, into packed: PackedWeights) throws(HGNetError) {
    try reader.packConvolution(layer, into: packed) { convolution, weight, factors in
      let taps = convolution.kernel.height * convolution.kernel.width
      hg_pack_depthwise(weight, factors, Int32(convolution.outputChannels), Int32(taps), packed.floats)
    }
  }

  static func packing(_ weights: TrainedWeights, into buffer: Int) -> WeightPacking? {
    WeightPacking(work: ChannelPacking(weights: weights, packed: buffer), taskCount: 1)
  }

  /// How a depthwise convolution is cut into tasks: rows times channels of each picture.
  struct Cut: Sendable {
    var window: Window
    var rowsPerTask: Int
    var channelsPerTask: Int

    /// The number of tasks.
    func tasks(_ problem: Problem) -> Int {
      problem.pictures * problem.output.shape.height.divided(by: rowsPerTask)
        * problem.output.shape.channels.divided(by: channelsPerTask)
    }
  }

  /// Cuts a problem.
  static func cut(_ problem: Problem) throws(HGNetError) -> Cut {
    guard let convolution = convolution(problem.layer) else {
      throw HGNetError(.internalInconsistency, "expected a depthwise convolution", layer: problem.layer.name)
    }
    let height = problem.output.shape.height
    return Cut(
      window: Window(convolution),
      rowsPerTask: problem.part(of: height, most: problem.threads == 1 ? height : max(8, height / 2), unit: 1),
      channelsPerTask: min(convolution.outputChannels, 64))
  }

  static func step(_ problem: Problem) throws(HGNetError) -> Step {
    let cut = try cut(problem)
    return problem.step(DepthwiseWork(operands: problem.operands, cut: cut), tasks: cut.tasks(problem))
  }
}

private struct DepthwiseWork: Work {
  var operands: Operands
  var cut: Depthwise.Cut

  var algorithm: String { Depthwise.name }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    let values = addresses.values(of: operands.weights)
    try descriptor.set(
      hg_depthwise(
        window: operands.geometry(cut.window, addresses), weights: values.weights, bias: values.bias,
        epilogue: operands.finish(addresses), rows_per_task: Int32(cut.rowsPerTask),
        channels_per_task: Int32(cut.channelsPerTask)))
    return addresses.kernels.depthwise
  }
}

// MARK: - Training

extension Depthwise: WeightGradient {
  static func refusal(of unit: TrainingUnit) -> String? {
    unit.convolution.isDepthwise ? nil : "it computes depthwise convolutions"
  }

  static func addGradient(_ unit: TrainingUnit, _ name: String, input: Location, to plan: inout TrainingPlan) {
    plan.add(
      name,
      DepthwiseGradientWork(
        input: input, gradient: unit.convolvedGradient, batch: plan.batch, window: Window(unit.convolution),
        weight: unit.convolution.weight),
      tasks: unit.convolution.outputChannels.divided(by: 16), uses: [input.buffer, unit.convolved.buffer])
  }
}

private struct DepthwiseGradientWork: Work {
  var input: Location
  var gradient: Location
  var batch: Int
  var window: Window
  var weight: String

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    // Values in bfloat16 lie at the same addresses.
    try descriptor.set(
      hg_bfloat16_depthwise_gradient(
        depthwise: hg_depthwise_gradient(
          input: addresses.pointer(input), input_stride: input.stride, batch: Int32(batch),
          height: Int32(input.shape.height), width: Int32(input.shape.width), channels: Int32(input.shape.channels),
          gradient: addresses.pointer(gradient), output_height: Int32(gradient.shape.height),
          output_width: Int32(gradient.shape.width), kernel_height: Int32(window.kernel.height),
          kernel_width: Int32(window.kernel.width), stride_height: Int32(window.stride.height),
          stride_width: Int32(window.stride.width), padding_top: Int32(window.padding.top),
          padding_left: Int32(window.padding.left),
          weight_gradient: addresses.gradientToWrite(weight)), gradient_stride: gradient.stride))
    return input.element == .bfloat16
      ? addresses.bfloat16Training.depthwise_gradient : addresses.training.depthwise_gradient
  }
}

/// Packs depthwise weights as they are now.
private struct ChannelPacking: Work {
  var weights: TrainedWeights
  var packed: Int

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    try descriptor.set(
      hg_pack_channels(
        weight: weights.values(addresses), channels: Int32(weights.used.outputChannels),
        taps: Int32(weights.taps),
        is_flipped: weights.isGradient ? 1 : 0, packed: addresses.floats(packed)))
    return addresses.training.pack_channels
  }
}
