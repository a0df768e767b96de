import HGNetCore
import HGNetProgram

/// Runs programs on a graphics processor through Vulkan.
///
/// Promise: the bits of the results depend neither on the batch, the place in it nor the tiles of products; another driver
/// may round otherwise. It does not train. Threads: safe to share; runs take turns at the device.
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

  /// Refuses training, and precisions that the device does not have.
  package func refusal(of layer: Layer, in program: Program, at precision: Precision) -> String? {
    if program.isTraining { return GPUEngine.trainingRefusal }
    switch precision {
    case .float32: return nil
    case .float16 where device.description.info.has_float16 != 0: return nil
    case .float16: return "\(device.description.name) has no float16 in its memory; choose --precision float32"
    default:
      return "a GPU computes in float32 and float16 and has no precision \(precision.rawValue)"
    }
  }

  private static let trainingRefusal = "a GPU runs networks and does not train them; train with --device cpu"

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

  private var noTraining: HGNetError { HGNetError(.unsupported, GPUEngine.trainingRefusal) }

  /// - Throws: `HGNetError.Code.unsupported`.
  package func trainingState(
    of declarations: [ParameterDeclaration], parameters: some ParameterSource,
    isFrozen: (ParameterDeclaration) -> Bool
  ) throws(HGNetError) -> any TrainingState { throw noTraining }

  /// - Throws: `HGNetError.Code.unsupported`.
  package func trainingMemoryNeed(
    of program: Program, batch: Int, isFrozen: (ParameterDeclaration) -> Bool
  ) throws(HGNetError) -> MemoryNeed { throw noTraining }

  /// - Throws: `HGNetError.Code.unsupported`.
  package func trainingRun(
    _ program: Program, state: any TrainingState, batch: Int, statistics: (any StatisticsReduction)?
  ) throws(HGNetError) -> any TrainingRun { throw noTraining }
}
