import CHGNetKernels
import HGNetCore
import HGNetProgram

/// One way to compute a kind of layer on the CPU.
///
/// An algorithm is one file: which layers it takes, how its weights lie, how its work is cut into tasks, and what its
/// kernel is told. `ImplementationList` holds them, best first.
protocol Implementation: Sendable {
  /// The algorithm in one word, as `HGNET_VERBOSE` prints it.
  static var name: String { get }
  /// The precision that it computes at.
  static var precision: Precision { get }
  /// The types of values that it reads and writes for a layer.
  static func elements(of layer: Layer) -> LayerElements
  /// Whether it computes this kind of layer at all.
  static func computes(_ kind: Layer.Kind) -> Bool
  /// Why it does not take a layer of its kind, whatever the size of the pictures; nil if it takes it.
  static func refusal(of layer: Layer, on target: Target) -> String?
  /// Why it does not take a layer that it could compute, for this size; nil if it takes it.
  static func refusal(of problem: Problem) -> String?
  /// How its weights lie; implementations with the same layout can take turns from size to size.
  static var layout: WeightLayout { get }
  /// The room that the packed weights take; nil without weights.
  static func extent(of layer: Layer) -> PackedExtent?
  /// Reads the parameters of a layer into their place.
  static func pack(_ layer: Layer, _ reader: ParameterReader, into packed: PackedWeights) throws(HGNetError)
  /// What packs its weights, as they are now, in a training step; nil where training does not use it.
  static func packing(_ weights: TrainedWeights, into buffer: Int) -> WeightPacking?
  /// The step for a problem, cut into tasks that fill the threads and fit the caches. A cut never changes bits.
  static func step(_ problem: Problem) throws(HGNetError) -> Step
}

extension Implementation {
  static var precision: Precision { .float32 }
  static func elements(of layer: Layer) -> LayerElements { LayerElements(.float32) }
  static func refusal(of layer: Layer, on target: Target) -> String? { nil }
  static func refusal(of problem: Problem) -> String? { nil }
  static var layout: WeightLayout { .asDeclared }
  static func extent(of layer: Layer) -> PackedExtent? { nil }
  static func pack(_ layer: Layer, _ reader: ParameterReader, into packed: PackedWeights) throws(HGNetError) {}
  static func packing(_ weights: TrainedWeights, into buffer: Int) -> WeightPacking? { nil }
}

/// What a layer is compiled for.
struct Target: Sendable {
  /// Which pass it belongs to.
  enum Purpose: Hashable, Sendable { case inference, trainingForward, dataGradient }

  var instructionSet: InstructionSet
  var purpose: Purpose
  var precision = Precision.float32

  /// The kernels of the instruction set.
  var kernels: hg_kernels { instructionSet.kernels.pointee }
}

/// What the bytes of a layer's results mean; nil where no range is known.
struct ProblemScales: Sendable {
  var inputs: [ValueScale?] = []
  var residual: ValueScale?
  var output: ValueScale?
}

/// A layer in a session: extents and places, but no addresses.
struct Problem {
  var layer: Layer
  var inputs: [Location]
  var residual: Location?
  var output: Location
  var weights: Weights
  var epilogue: EpilogueValues
  /// The pictures that it takes at a time.
  var pictures: Int
  var threads: Int
  var target: Target
  var multiplyAdds: Int
  /// What bytes mean, at a precision that has them.
  var scales = ProblemScales()

  var input: Location { inputs.first ?? output }
  /// Pixels of the result of all pictures.
  var rows: Int { pictures * output.pixels }
  var blockRows: Int { Int(target.kernels.block_rows) }

  /// The share of the second cache that a block of activations may take, in floats.
  static let cachedFloats = 96 * 1024

  /// Cuts `count` into equal parts of at most `most`, in multiples of `unit`, whose number suits the threads.
  func part(of count: Int, most: Int, unit: Int) -> Int {
    var parts = max(count.divided(by: max(most, unit)), 1)
    if threads > 1 { parts = parts.divided(by: threads) * threads }
    return max(count.divided(by: parts).roundedUp(to: unit), unit)
  }

  /// A step of this layer.
  func step(_ work: any Work, tasks: Int, scratchCount: Int = 0) -> Step {
    Step(
      name: layer.name, work: work, taskCount: tasks, scratchCount: scratchCount, multiplyAdds: multiplyAdds,
      pictures: pictures, inputShape: input.shape, outputShape: output.shape, weightByteCount: weights.byteCount)
  }

  /// What the kernels of convolutions and products are told of places and parameters.
  var operands: Operands {
    Operands(
      input: input, residual: residual, output: output, weights: weights, epilogue: epilogue, pictures: pictures)
  }
}

extension Implementation {
  /// The window of a dense convolution; nil for another layer.
  static func denseConvolution(_ layer: Layer) -> Convolution? {
    guard case .convolution(let convolution, _) = layer.kind, convolution.groups == 1, !convolution.isIdentity else {
      return nil
    }
    return convolution
  }
}

extension WeightLayout {
  /// Panels of 16 output channels: `[panels][taps][channels][16]`.
  static let panels = WeightLayout("panels")
}

/// An implementation whose weights lie in panels of 16 output channels.
protocol PanelImplementation: Implementation {}

extension PanelImplementation {
  static var layout: WeightLayout { .panels }

  static func extent(of layer: Layer) -> PackedExtent? { PackedExtent(panelsOf: layer) }

  static func pack(_ layer: Layer, _ reader: ParameterReader, into packed: PackedWeights) throws(HGNetError) {
    try reader.packPanels(layer, into: packed)
  }

  static func packing(_ weights: TrainedWeights, into buffer: Int) -> WeightPacking? {
    PanelPacking(weights, winogradTile: 0, packed: buffer).packing
  }
}
