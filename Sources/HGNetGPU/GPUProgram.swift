import HGNetCore
import HGNetProgram

/// A program with its folded weights on a device.
final class GPUProgram: CompiledProgram {
  let program: Program
  let precision: Precision
  let device: GPUDevice
  private let tiles: TileChoice
  private let weights: GPUWeights

  /// - Throws: as `GPUEngine.compile`.
  init(
    _ program: Program, parameters: some ParameterSource, precision: Precision, on device: GPUDevice, tiles: TileChoice
  ) throws(HGNetError) {
    let element = GPUEngine.element(precision)
    self.program = program.storing(element)
    self.precision = precision
    self.device = device
    self.tiles = tiles
    let plan = try WeightPlan(self.program, parameters: parameters, on: device.description, element: element)
    // Most runs are of this size, and shaders hardly depend on it: they are compiled while the weights are on their way.
    let places = try? GPUPlaces(self.program, batch: 1, on: device.description)
    let first = places.flatMap { try? GPUPlan($0, weights: plan, tiles: tiles, device: device.description) }
    let threads = device.compiling(Set(first?.steps.map(\.pipeline) ?? []))
    defer { for thread in threads { thread.join() } }
    weights = try GPUWeights(plan, of: self.program, parameters: parameters, on: device, element: element)
  }

  private func places(_ extent: RunExtent) throws(HGNetError) -> GPUPlaces {
    try GPUPlaces(program.resized(to: extent.inputSize), batch: extent.batch, on: device.description)
  }

  func memoryNeed(of extent: RunExtent) throws(HGNetError) -> MemoryNeed {
    var need = MemoryNeed("classifying \(extent.batch) pictures of \(extent.inputSize)")
    try places(extent).add(to: &need)
    need.limit = device.memoryLimit
    return need
  }

  func memory(for extents: [RunExtent]) throws(HGNetError) -> any EngineMemory {
    var all: [GPUPlaces] = []
    for extent in extents { all.append(try places(extent)) }
    return try GPUMemory(for: all, on: device)
  }

  func session(
    _ extent: RunExtent, memory: (any EngineMemory)?, isTimed: Bool
  ) throws(HGNetError) -> any EngineSession {
    let places = try places(extent)
    let own: any EngineMemory
    if let memory { own = memory } else { own = try GPUMemory(for: [places], on: device) }
    guard let own = own as? GPUMemory, own.fits(places) else {
      throw HGNetError(
        .shapeMismatch, "expected memory for batch \(extent.batch) of \(extent.inputSize) on the same device")
    }
    let plan = try GPUPlan(places, weights: weights.plan, tiles: tiles, device: device.description)
    return try GPUSession(plan, weights: weights, memory: own, on: device, isTimed: isTimed)
  }
}
