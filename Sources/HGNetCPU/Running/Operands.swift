import CHGNetKernels
import HGNetCore
import HGNetProgram

/// What convolutions and products share: places, parameters and epilogue.
struct Operands: Sendable {
  var input: Location
  var residual: Location?
  var output: Location
  var weights: Weights
  var epilogue: EpilogueValues
  var pictures: Int

  /// Partial sums of products pass through the output, so that adding to it means to start from it.
  var isAdded: Bool { residual == output }

  /// The epilogue of a kernel that adds the residual itself.
  func finish(_ addresses: Addresses) -> hg_epilogue {
    hg_epilogue(
      lower: epilogue.lower, scale: epilogue.scale, shift: epilogue.shift,
      residual: residual.map { UnsafePointer(addresses.pointer($0)) }, residual_stride: residual?.stride ?? 0)
  }

  /// The epilogue of a product, which starts from the output where it adds to it.
  func productFinish(_ addresses: Addresses) -> hg_epilogue {
    var finish = finish(addresses)
    if isAdded { finish.residual = nil }
    return finish
  }

  /// The window of a convolution or pool.
  func geometry(_ window: Window, _ addresses: Addresses) -> hg_geometry {
    hg_geometry(
      input: UnsafePointer(addresses.pointer(input)), input_stride: input.stride, batch: Int32(pictures),
      height: Int32(input.shape.height), width: Int32(input.shape.width), channels: Int32(input.shape.channels),
      output: addresses.pointer(output), output_stride: output.stride, output_height: Int32(output.shape.height),
      output_width: Int32(output.shape.width), kernel_height: Int32(window.kernel.height),
      kernel_width: Int32(window.kernel.width), stride_height: Int32(window.stride.height),
      stride_width: Int32(window.stride.width), padding_top: Int32(window.padding.top),
      padding_left: Int32(window.padding.left))
  }
}

/// The window of a convolution or pool.
struct Window: Hashable, Sendable {
  var kernel: Size
  var stride: Size
  var padding: Padding

  init(kernel: Size, stride: Size, padding: Padding) {
    self.kernel = kernel
    self.stride = stride
    self.padding = padding
  }

  init(_ convolution: Convolution) {
    self.init(kernel: convolution.kernel, stride: convolution.stride, padding: convolution.padding)
  }
}

/// Where the weights of a step come from.
enum Weights: Sendable {
  case none
  /// Packed once, when the network was compiled.
  case packed(PackedWeights)
  /// Packed in every training step, into a buffer of the session; without a bias.
  case buffer(Int, byteCount: Int)

  var byteCount: Int {
    switch self {
    case .none: 0
    case .packed(let packed): packed.weightByteCount + 4 * packed.paddedColumns
    case .buffer(_, let byteCount): byteCount
    }
  }

  /// How they lie, where that is settled.
  var layout: WeightLayout? { if case .packed(let packed) = self { packed.layout } else { nil } }

  /// Whether they were packed when the network was compiled.
  var isPacked: Bool { if case .packed = self { true } else { false } }
}
