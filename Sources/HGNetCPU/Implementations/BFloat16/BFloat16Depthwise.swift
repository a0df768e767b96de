import CHGNetKernels
import HGNetCore
import HGNetProgram

/// Depthwise convolutions and lone batch normalisations of values in bfloat16, with weights and sums in float32.
enum BFloat16Depthwise: BFloat16Implementation {
  static let name = "bfloat16-depthwise"
  static var layout: WeightLayout { Depthwise.layout }

  static func computes(_ kind: Layer.Kind) -> Bool { Depthwise.computes(kind) }

  static func refusal(of layer: Layer, on target: Target) -> String? { Depthwise.refusal(of: layer, on: target) }

  static func elements(of layer: Layer) -> LayerElements {
    LayerElements(reads: [.bfloat16, .float32], writes: [.bfloat16, .float32])
  }

  static func extent(of layer: Layer) -> PackedExtent? { Depthwise.extent(of: layer) }

  static func pack(_ layer: Layer, _ reader: ParameterReader, into packed: PackedWeights) throws(HGNetError) {
    try Depthwise.pack(layer, reader, into: packed)
  }

  static func packing(_ weights: TrainedWeights, into buffer: Int) -> WeightPacking? {
    Depthwise.packing(weights, into: buffer)
  }

  static func step(_ problem: Problem) throws(HGNetError) -> Step {
    let cut = try Depthwise.cut(problem)
    let work = BFloat16DepthwiseWork(operands: problem.operands, cut: cut)
    return problem.step(work, tasks: cut.tasks(problem))
  }
}

private struct BFloat16DepthwiseWork: Work {
  var operands: Operands
  var cut: Depthwise.Cut

  var algorithm: String { BFloat16Depthwise.name }

  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task {
    let values = addresses.values(of: operands.weights)
    try descriptor.set(
      hg_bfloat16_depthwise(
        window: operands.bfloat16Geometry(cut.window, addresses), weights: values.weights, bias: values.bias,
        epilogue: operands.bfloat16Finish(addresses), rows_per_task: Int32(cut.rowsPerTask),
        channels_per_task: Int32(cut.channelsPerTask)))
    return addresses.bfloat16.depthwise
  }
}
