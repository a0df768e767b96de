import HGNetCore
import HGNetProgram

/// Runs programs on a graphics processor through Vulkan.
///
/// Promise: the bits of the results depend neither on the batch, the place in it nor the tiles of products; another driver
/// may round otherwise. Training is in float32, and a step gives the same bits again on one device and driver. Threads: safe to
/// share; runs take turns at the device.
package struct GPUEngine: Engine {
  /// The device.
  package let device: GPUDevice
  private let tiles: TileChoice

  /// Makes the engine.
  ///
  /// - Parameters:
  ///   - device: what runs networks.
  ///   - tiles: how products are divided.
  package init(_ device: GPUDevice, tiles: TileChoice = .fitting) {
    self.device = device
    self.tiles = tiles
  }

  /// Opens a device that is named, or the best that there is.
  ///
  /// - Parameters:
  ///   - number: its number among those of the library; nil for the best that is no software.
  ///   - library: the name of Vulkan's library.
  /// - Throws: `HGNetError.Code.deviceFailure` where there is none, saying what was looked for and what is there,
  ///   `invalidArgument` for a number that there is not.
  package init(number: Int?, library name: String = VulkanLibrary.name) throws(HGNetError) {
    let library = try VulkanLibrary(name)
    let devices = try library.devices()
    let list = devices.isEmpty ? "none" : devices.map(\.title).joined(separator: ", ")
    guard let number else {
      let usable = devices.filter { !$0.isSoftware && $0.refusal == nil }
      // The driver's order among equals.
      guard let best = usable.max(by: { ($0.rank, $1.number) < ($1.rank, $0.number) }) else {
        let reasons = devices.compactMap { device in device.refusal.map { "gpu:\(device.number): \($0)" } }
        throw HGNetError(
          .deviceFailure,
          "expected a GPU, found \(list)" + (reasons.isEmpty ? "" : "; \(reasons.joined(separator: "; "))")
            + (devices.contains(where: \.isSoftware) ? "; a software device is used only by its number" : ""))
      }
      self.init(try GPUDevice(best, of: library))
      return
    }
    guard devices.indices.contains(number) else {
      throw HGNetError(.invalidArgument, "there is no gpu:\(number); the devices are: \(list)")
    }
    self.init(try GPUDevice(devices[number], of: library))
  }

  /// `gpu, NVIDIA H200`.
  package var deviceDescription: String { "gpu, \(device.description.name)" }

  /// `vulkan`.
  package var arithmetic: String { "vulkan" }

  /// float16 where the device has it.
  package var fastestPrecision: Precision { device.description.info.has_float16 != 0 ? .float16 : .float32 }

  /// What results and weights are stored in.
  static func element(_ precision: Precision) -> ElementType { precision == .float16 ? .float16 : .float32 }

  /// Refuses precisions that the device does not have, and of training what is not built.
  package func refusal(of layer: Layer, in program: Program, at precision: Precision) -> String? {
    if program.isTraining {
      if program.quantization != nil || layer.quantization != nil { return GPUEngine.quantizationRefusal }
      guard precision == .float32, program.mixedPrecision == nil else {
        return "a GPU trains in float32; leave out --precision, or train with --device cpu"
      }
      if case .convolution(let convolution, _) = layer.kind, convolution.groups > 1, !convolution.isDepthwise {
        return "a GPU does not train convolutions of \(convolution.groups) groups; train with --device cpu"
      }
      return TrainingProgram.refusal(of: layer)
    }
    switch precision {
    case .float32: return nil
    case .float16 where device.description.info.has_float16 != 0: return nil
    case .float16: return "\(device.description.name) has no float16 in its memory; choose --precision float32"
    default:
      return "a GPU computes in float32 and float16 and has no precision \(precision.rawValue)"
    }
  }

  static let quantizationRefusal = "quantisation-aware training runs on the processor; train with --device cpu"

  /// Takes over a program with its parameters.
  ///
  /// - Throws: as the protocol says, and `HGNetError.Code.deviceFailure`.
  package func compile(
    _ program: Program, parameters: some ParameterSource, precision: Precision
  ) throws(HGNetError) -> any CompiledProgram {
    try checkLayers(of: program, at: precision)
    return try GPUProgram(program, parameters: parameters, precision: precision, on: device, tiles: tiles)
  }

  /// The program as it is, if it is on the same device.
  ///
  /// - Throws: as the protocol says.
  package func sharing(_ compiled: any CompiledProgram) throws(HGNetError) -> any CompiledProgram {
    guard let own = compiled as? GPUProgram, own.device === device else {
      throw HGNetError(.invalidArgument, "expected a program on this GPU, found one of another engine or device")
    }
    return compiled
  }

  /// The packed weights, and the activations of a session, in the memory of the device.
  ///
  /// - Throws: as the protocol says.
  package func memoryNeed(
    of program: Program, at precision: Precision, extent: RunExtent
  ) throws(HGNetError) -> MemoryNeed {
    try checkLayers(of: program, at: precision)
    let element = GPUEngine.element(precision)
    let program = program.storing(element)
    let layout = try WeightLayout(program, forms: LayerForms(program), on: device.description, element: element)
    var need = MemoryNeed("classifying \(extent.batch) pictures of \(extent.inputSize)")
    need.add("the packed weights", bytes: layout.byteCount)
    try GPUPlaces(program.resized(to: extent.inputSize), batch: extent.batch, on: device.description).add(to: &need)
    need.limit = device.memoryLimit
    return need
  }

  /// Sends parameters that are trained to the device.
  ///
  /// - Throws: as the protocol says, and `HGNetError.Code.deviceFailure`.
  package func trainingState(
    of declarations: [ParameterDeclaration], parameters: some ParameterSource,
    isFrozen: (ParameterDeclaration) -> Bool
  ) throws(HGNetError) -> any TrainingState {
    try GPUTrainingState(declarations, parameters: parameters, isFrozen: declarations.map(isFrozen), on: device)
  }

  /// The activations with their gradients in the memory of the device, and what the host sends and reads.
  ///
  /// - Throws: as the protocol says.
  package func trainingMemoryNeed(
    of program: Program, batch: Int, isFrozen: (ParameterDeclaration) -> Bool
  ) throws(HGNetError) -> MemoryNeed {
    try checkLayers(of: program, at: .float32)
    let frozen = Set(program.trainedParameters.filter(isFrozen).map(\.name))
    let steps = try TrainingSteps(
      TrainingProgram(program, batch: batch, frozen: frozen, channelUnit: 4),
      layout: ParameterLayout(program.trainedParameters, on: device.description), tiles: tiles,
      device: device.description)
    return TrainingMemory.need(steps, MemoryPlan(steps.buffers), on: device)
  }

  /// Prepares training steps.
  ///
  /// - Throws: as the protocol says, `HGNetError.Code.unsupported` for statistics over several processes, `deviceFailure`.
  package func trainingRun(
    _ program: Program, state: any TrainingState, batch: Int, statistics: (any StatisticsReduction)?
  ) throws(HGNetError) -> any TrainingRun {
    guard let state = state as? GPUTrainingState, state.device === device else {
      throw HGNetError(.invalidArgument, "expected parameters on this GPU, found those of another engine or device")
    }
    guard statistics == nil else {
      throw HGNetError(
        .unsupported,
        "a GPU does not add the sums of batch normalisation over processes; leave out Global.use_sync_bn, or train with "
          + "--device cpu")
    }
    try checkLayers(of: program, at: .float32)
    return try GPUTrainingRun(program, state: state, batch: batch, tiles: tiles)
  }
}
