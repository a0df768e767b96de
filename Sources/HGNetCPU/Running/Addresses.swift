import CHGNetKernels
import HGNetCore
import HGNetProgram

/// What a step's descriptors point to.
struct Addresses {
  let memory: UnsafeMutableRawPointer
  /// Bytes from the memory's start, one per buffer.
  let offsets: [Int]
  let zeros: UnsafeMutablePointer<Float>
  let instructionSet: InstructionSet
  /// Values and gradients of a network in training.
  let parameters: CPUTrainingState?

  /// The kernels in float32.
  var kernels: hg_kernels { instructionSet.kernels.pointee }

  /// The kernels of training.
  var training: hg_training_kernels { instructionSet.trainingKernels.pointee }

  /// The first byte of a location.
  func bytes(_ location: Location) -> UnsafeMutableRawPointer {
    memory + offsets[location.buffer] + location.byteOffset
  }

  /// The first value of a location of float32.
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

  /// The gradient of a parameter in training, to be written.
  func gradientToWrite(_ name: String) throws(HGNetError) -> UnsafeMutablePointer<Float> {
    try trained.gradientAddress(name, layer: name)
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
