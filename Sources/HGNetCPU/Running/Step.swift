import CHGNetKernels
import HGNetCore
import HGNetProgram

/// One kernel call with everything but addresses.
struct Step: Sendable {
  /// The layer's name, or what is done for it.
  var name: String
  /// What the kernel does.
  var work: any Work
  var taskCount: Int
  /// Floats of scratch of each thread.
  var scratchCount = 0
  /// Of the direct sum, for rates.
  var multiplyAdds = 0
  /// The pictures that it takes.
  var pictures = 0
  var inputShape: ActivationShape?
  var outputShape: ActivationShape?
  /// Bytes of packed weights that it reads.
  var weightByteCount = 0
  /// The place of its layer among those of the plan; several steps of one layer take pictures in turn.
  var layer = 0
  /// The implementations before the chosen one, and why they refused.
  var refusals: [(name: String, reason: String)] = []

  /// Operations of the algorithm, a multiply-add counted as two.
  var operations: Int { work.operations(of: self) }
}

/// What a kernel is told, as data: places, extents and how it is cut.
protocol Work: Sendable {
  /// The algorithm in one word; empty for work beside a layer.
  var algorithm: String { get }
  /// Floats of zeros that the kernel reads where its window leaves the picture.
  var zeroCount: Int { get }
  /// Operations of the algorithm without those that only rearrange or add up.
  func operations(of step: Step) -> Int
  /// Writes the kernel's descriptor with real addresses and returns the kernel.
  func write(_ addresses: Addresses, into descriptor: Descriptor) throws(HGNetError) -> hg_task
}

extension Work {
  var algorithm: String { "" }
  var zeroCount: Int { 0 }
  func operations(of step: Step) -> Int { 2 * step.multiplyAdds }
}

/// Room for what a kernel is told.
struct Descriptor {
  /// Bytes of one; larger than any descriptor of the kernels.
  static let byteCount = 512

  let memory: UnsafeMutableRawPointer

  /// Writes a C structure.
  ///
  /// - Throws: `HGNetError.Code.internalInconsistency` for one that has no room.
  func set<Value>(_ value: Value) throws(HGNetError) {
    guard MemoryLayout<Value>.size <= Descriptor.byteCount else {
      throw HGNetError(.internalInconsistency, "a descriptor of \(MemoryLayout<Value>.size) bytes")
    }
    memory.initializeMemory(as: Value.self, to: value)
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

/// What a step's descriptors point to.
struct Addresses {
  let memory: UnsafeMutableRawPointer
  /// Bytes from the memory's start, one per buffer.
  let offsets: [Int]
  let zeros: UnsafeMutablePointer<Float>
  let kernels: hg_kernels
  let training: hg_training_kernels
  /// Values and gradients of a network in training.
  let parameters: CPUTrainingState?

  /// The first value of a location.
  func pointer(_ location: Location) -> UnsafeMutablePointer<Float> {
    (memory + offsets[location.buffer] + location.byteOffset).assumingMemoryBound(to: Float.self)
  }

  /// The start of a buffer of floats.
  func floats(_ buffer: Int) -> UnsafeMutablePointer<Float> {
    (memory + offsets[buffer]).assumingMemoryBound(to: Float.self)
  }

  /// The start of a buffer of doubles.
  func doubles(_ buffer: Int) -> UnsafeMutablePointer<Double> {
    (memory + offsets[buffer]).assumingMemoryBound(to: Double.self)
  }

  /// Weights and bias of a step.
  func values(of weights: Weights) -> (weights: UnsafePointer<Float>, bias: UnsafePointer<Float>) {
    switch weights {
    case .none: (UnsafePointer(zeros), UnsafePointer(zeros))
    case .packed(let packed):
      (UnsafePointer(packed.weights.assumingMemoryBound(to: Float.self)), UnsafePointer(packed.bias))
    case .buffer(let buffer, _): (UnsafePointer(floats(buffer)), UnsafePointer(zeros))
    }
  }

  /// The values of a parameter in training; nil for no name.
  func value(_ name: String?) throws(HGNetError) -> UnsafeMutablePointer<Float>? {
    guard let name else { return nil }
    return try trained.valueAddress(name, layer: name)
  }

  /// The values of a parameter in training, to be read.
  func read(_ name: String) throws(HGNetError) -> UnsafePointer<Float> {
    UnsafePointer(try trained.valueAddress(name, layer: name))
  }

  /// The gradient of a parameter in training; nil for no name.
  func gradient(_ name: String?) throws(HGNetError) -> UnsafeMutablePointer<Float>? {
    guard let name else { return nil }
    return try trained.gradientAddress(name, layer: name)
  }

  /// The gradient of a parameter, nil if it is kept as it is.
  func wantedGradient(_ name: String) throws(HGNetError) -> UnsafeMutablePointer<Float>? {
    try trained.frozenNames.contains(name) ? nil : gradient(name)
  }

  private var trained: CPUTrainingState {
    get throws(HGNetError) {
      guard let parameters else { throw HGNetError(.internalInconsistency, "a training step without parameters") }
      return parameters
    }
  }
}

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
