import CHGNetVulkan
import HGNetCore
import HGNetProgram

/// The memory of sessions that never run at the same time.
final class GPUMemory: EngineMemory {
  let arena: DeviceBuffer
  let upload: DeviceBuffer
  let download: DeviceBuffer
  var byteCount: Int { arena.byteCount + upload.byteCount + download.byteCount }

  /// Takes as much as the hungriest of some runs needs.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` for more than the device's memory allows.
  init(for places: [GPUPlaces], on device: GPUDevice) throws(HGNetError) {
    let most = places.max { $0.arenaByteCount < $1.arenaByteCount }
    let (batch, size) = (most?.inference.batch ?? 0, most?.inference.program.inputSize ?? Size(0))
    let subject = "a run of the network on \(batch) pictures of \(size)"
    let (pictures, results) = (
      places.map(\.uploadByteCount).max() ?? 0, places.map(\.downloadByteCount).max() ?? 0
    )
    var need = MemoryNeed(subject)
    need.add("the activations", bytes: most?.arenaByteCount ?? 0)
    need.add("pictures", bytes: pictures)
    need.add("results", bytes: results)
    need.limit = device.memoryLimit
    try need.check(advice: MemoryNeed.fittingPictures(batch, of: size))
    arena = try DeviceBuffer(most?.arenaByteCount ?? 0, .ofDevice, on: device, for: subject)
    upload = try DeviceBuffer(pictures, .toDevice, on: device, for: subject)
    download = try DeviceBuffer(results, .fromDevice, on: device, for: subject)
  }

  /// Whether a run has room here.
  func fits(_ places: GPUPlaces) -> Bool {
    places.arenaByteCount <= arena.byteCount && places.uploadByteCount <= upload.byteCount
      && places.downloadByteCount <= download.byteCount
  }
}

/// Runs a plan whose commands are recorded once.
///
/// Threads: one task at a time.
final class GPUSession: EngineSession {
  private let plan: GPUPlan
  private let weights: GPUWeights
  private let memory: GPUMemory
  private let commands: Commands
  private let isTimed: Bool
  private let pictures: UnsafeMutableBufferPointer<Float>
  private let results: UnsafeMutableRawPointer
  private(set) var layerSeconds: [Double] = []

  /// Compiles what shaders are missing and records the commands.
  ///
  /// - Throws: `HGNetError.Code.deviceFailure`, `limitExceeded` without memory.
  init(
    _ plan: GPUPlan, weights: GPUWeights, memory: GPUMemory, on device: GPUDevice, isTimed: Bool
  ) throws(HGNetError) {
    (self.plan, self.weights, self.memory, self.isTimed) = (plan, weights, memory, isTimed)
    let count = plan.places.uploadByteCount / 4
    pictures = UnsafeMutableBufferPointer(start: try memory.upload.floats(), count: count)
    results = UnsafeMutableRawPointer(try memory.download.floats())
    commands = try Commands(on: device, times: isTimed ? plan.layers.count + 1 : 0)
    try record(on: device)
    device.storePipelines()
  }

  deinit { commands.finish() }

  private func record(on device: GPUDevice) throws(HGNetError) {
    for thread in device.compiling(Set(plan.steps.map(\.pipeline))) { thread.join() }
    let barriers = plan.barriers
    var time: UInt32 = 0
    for (index, step) in plan.steps.enumerated() {
      let pipeline = try device.pipeline(step.pipeline)
      let isMeasured = isTimed && step.description != nil
      if barriers[index] || isTimed, index > 0 { hgv_record_barrier(commands.handle) }
      if isMeasured, time == 0 {
        hgv_record_time(commands.handle, 0)
        time = 1
      }
      let bindings = step.places.map(binding)
      var numbers = step.numbers
      let groups = [step.groups.0, step.groups.1, step.groups.2]
      hgv_record_dispatch(commands.handle, pipeline, bindings, &numbers, groups)
      if isMeasured {
        hgv_record_time(commands.handle, time)
        time += 1
      }
    }
    hgv_record_end_for_host(commands.handle)
    try hgv_commands_end(commands.handle).check("recording a run of the network")
  }

  private func binding(_ place: GPUStep.Place) -> hgv_binding {
    switch place {
    case .arena(let offset, let byteCount):
      hgv_binding(buffer: memory.arena.handle, offset: UInt64(offset), size: UInt64(byteCount))
    case .weights(let slice):
      hgv_binding(
        buffer: weights.pieces[slice.piece].handle, offset: UInt64(slice.offset), size: UInt64(slice.byteCount))
    case .upload:
      hgv_binding(buffer: memory.upload.handle, offset: 0, size: UInt64(plan.places.uploadByteCount))
    case .download(let offset, let byteCount):
      hgv_binding(buffer: memory.download.handle, offset: UInt64(offset), size: UInt64(byteCount))
    }
  }

  var program: Program { plan.places.inference.program }
  var batch: Int { plan.places.inference.batch }
  var layerDescriptions: [LayerDescription] { plan.layers }

  func withInput<Result, Failure: Error>(
    _ body: (UnsafeMutableBufferPointer<Float>) throws(Failure) -> Result
  ) throws(Failure) -> Result { try body(pictures) }

  func execute() throws(HGNetError) {
    let device = commands.device
    try device.run(commands.handle, for: "running the network")
    guard isTimed else { return }
    var ticks = [UInt64](repeating: 0, count: plan.layers.count + 1)
    try hgv_commands_times(commands.handle, &ticks).check("measuring the network")
    let tick = Double(device.description.info.tick) / 1e9
    layerSeconds = zip(ticks.dropFirst(), ticks).map { $0 > $1 ? Double($0 - $1) * tick : 0 }
  }

  func read(_ output: Int, into target: UnsafeMutableBufferPointer<Float>) throws(HGNetError) {
    try checkTarget(target.count, of: output)
    let source = results + plan.places.downloads[output]
    UnsafeMutableRawBufferPointer(target).copyMemory(
      from: UnsafeRawBufferPointer(start: source, count: 4 * target.count))
  }
}

extension GPUPlan {
  /// What is done for each layer.
  var layers: [LayerDescription] { steps.compactMap(\.description) }
}
