import CHGNetVulkan
import HGNetCore
import HGNetProgram

/// Training steps of a network on a device: the commands of the forward and of the backward pass are recorded once.
///
/// All sums have a fixed order, so that a step gives the same bits again on one device and driver. Threads: one task.
package final class GPUTrainingRun: TrainingRun {
  /// The network, for the size of the pictures.
  package let program: Program
  /// The number of pictures of a step.
  package let batch: Int

  private let state: GPUTrainingState
  private let memory: TrainingMemory
  private let masks: [DropoutMask]
  private let forwardCommands: Commands
  private let backwardCommands: Commands
  /// The parameters of the network that are learned, by their place in the state.
  private let learned: [Int]
  private let classes: Int

  /// Plans, takes memory and records.
  ///
  /// - Throws: as `GPUEngine.trainingRun`.
  init(
    _ program: Program, state: GPUTrainingState, batch: Int, tiles: TileChoice
  ) throws(HGNetError) {
    let device = state.device
    let training = try TrainingProgram(program, batch: batch, frozen: state.frozenNames, channelUnit: 4)
    let steps = try TrainingSteps(training, layout: state.layout, tiles: tiles, device: device.description)
    let plan = MemoryPlan(steps.buffers)
    memory = try TrainingMemory(steps, plan, on: device)
    (self.program, self.batch, self.state) = (program, batch, state)
    masks = training.masks
    classes = program.shapes[training.output].channels
    learned = program.trainedParameters.compactMap { state.index(of: $0.name) }
    forwardCommands = try Commands(on: device)
    backwardCommands = try Commands(on: device)
    try record(steps, plan, steps.steps[..<steps.forwardCount], into: forwardCommands, isForward: true)
    try record(steps, plan, steps.steps[steps.forwardCount...], into: backwardCommands, isForward: false)
    device.storePipelines()
  }

  deinit {
    forwardCommands.finish()
    backwardCommands.finish()
  }

  private func record(
    _ steps: TrainingSteps, _ plan: MemoryPlan, _ part: ArraySlice<TrainingDispatch>, into commands: Commands,
    isForward: Bool
  ) throws(HGNetError) {
    // What an earlier submission wrote is seen from here on.
    hgv_record_barrier(commands.handle)
    if isForward {
      var start = 0
      for mask in masks {
        hgv_record_copy(
          commands.handle, memory.masks.handle, UInt64(start), memory.arena.handle,
          UInt64(plan.offsets[mask.values.buffer]), UInt64(4 * mask.count))
        start += 4 * mask.count
      }
    }
    for step in part {
      let pipeline = try state.device.pipeline(step.pipeline)
      let bindings = step.places.map { binding($0, plan) }
      var numbers = step.numbers
      hgv_record_dispatch(
        commands.handle, pipeline, bindings, &numbers, [step.groups.0, step.groups.1, step.groups.2])
      hgv_record_barrier(commands.handle)
    }
    hgv_record_end_for_host(commands.handle)
    try hgv_commands_end(commands.handle).check("recording a training step")
  }

  private func binding(_ place: TrainingDispatch.Place, _ plan: MemoryPlan) -> hgv_binding {
    func binding(_ buffer: DeviceBuffer, _ range: Range<Int>) -> hgv_binding {
      hgv_binding(buffer: buffer.handle, offset: UInt64(range.lowerBound), size: UInt64(range.count))
    }
    return switch place {
    case .buffer(let buffer, let byteCount):
      binding(memory.arena, plan.offsets[buffer]..<plan.offsets[buffer] + byteCount)
    case .values(let range): binding(state.values, range)
    case .gradients(let range): binding(state.gradients, range)
    case .upload(let number, let byteCount): binding(number == 0 ? memory.pictures : memory.gradient, 0..<byteCount)
    case .download(let byteCount): binding(memory.logits, 0..<byteCount)
    case .zeros: binding(memory.zeros, 0..<memory.zeros.byteCount)
    }
  }

  /// Computes the logits of a batch.
  ///
  /// - Throws: `HGNetError.Code.shapeMismatch` for another shape, `limitExceeded`, `deviceFailure`.
  package func forward(_ pictures: Tensor, random: inout RandomGenerator) throws(HGNetError) -> Tensor {
    let shape = program.shapes[program.input]
    let expected: Shape = [batch, shape.height, shape.width, shape.channels]
    guard pictures.shape == expected else {
      throw HGNetError(.shapeMismatch, "expected pictures of shape \(expected), found \(pictures.shape)")
    }
    let target = try memory.pictures.floats()
    pictures.withUnsafeBufferPointer { source in
      if let base = source.baseAddress { target.update(from: base, count: source.count) }
    }
    var factors = try memory.masks.floats()
    for mask in masks {
      for index in 0..<mask.count { factors[index] = random.uniform() < mask.probability ? 0 : mask.kept }
      factors += mask.count
    }
    try state.device.run(forwardCommands.handle, for: "running a training step")
    let source = try memory.logits.floats()
    return try Tensor(allocating: [batch, classes], for: "the logits of \(batch) pictures") { target in
      target.baseAddress?.update(from: source, count: target.count)
    }
  }

  /// Adds the gradients of the last `forward` to those of the state.
  ///
  /// - Throws: `HGNetError.Code.shapeMismatch` for another shape, `deviceFailure`.
  package func backward(
    _ gradient: Tensor, ended: (@Sendable (_ parameter: Int) -> Void)?
  ) throws(HGNetError) {
    guard gradient.shape == [batch, classes] else {
      throw HGNetError(.shapeMismatch, "expected a gradient of shape [\(batch), \(classes)], found \(gradient.shape)")
    }
    let target = try memory.gradient.floats()
    gradient.withUnsafeBufferPointer { source in
      if let base = source.baseAddress { target.update(from: base, count: source.count) }
    }
    try state.device.run(backwardCommands.handle, for: "running a training step backward")
    if let ended { for parameter in learned { ended(parameter) } }
  }
}

/// The memory of a training step.
///
/// Threads: whoever holds it says who writes it.
struct TrainingMemory {
  let arena: DeviceBuffer
  let pictures: DeviceBuffer
  let masks: DeviceBuffer
  let gradient: DeviceBuffer
  let logits: DeviceBuffer
  let zeros: DeviceBuffer

  /// What a step takes.
  static func need(_ steps: TrainingSteps, _ plan: MemoryPlan, on device: GPUDevice) -> MemoryNeed {
    var need = MemoryNeed("a training step on \(steps.batch) pictures of \(steps.program.program.inputSize)")
    need.add("the activations", bytes: plan.byteCount)
    need.add("pictures", bytes: steps.pictureByteCount)
    need.add("what is dropped", bytes: steps.maskByteCount)
    need.add("logits", bytes: 2 * steps.logitByteCount)
    need.limit = device.memoryLimit
    return need
  }

  /// Takes it.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` for more than the device has, saying which batch would fit.
  init(_ steps: TrainingSteps, _ plan: MemoryPlan, on device: GPUDevice) throws(HGNetError) {
    let need = TrainingMemory.need(steps, plan, on: device)
    let subject = need.subject
    try need.check(advice: MemoryNeed.fittingPictures(steps.batch, of: steps.program.program.inputSize))
    func buffer(_ byteCount: Int, _ kind: DeviceBuffer.Kind) throws(HGNetError) -> DeviceBuffer {
      try DeviceBuffer(byteCount, kind, on: device, for: subject)
    }
    arena = try buffer(plan.byteCount, .ofDevice)
    pictures = try buffer(steps.pictureByteCount, .toDevice)
    masks = try buffer(steps.maskByteCount, .toDevice)
    gradient = try buffer(steps.logitByteCount, .toDevice)
    logits = try buffer(steps.logitByteCount, .fromDevice)
    zeros = try buffer(4 * steps.zeroCount, .ofDevice)
    let none = [Float](repeating: 0, count: zeros.byteCount / 4)
    let uploader = try Uploader(on: device)
    try none.withUnsafeBufferPointer { (source) throws(HGNetError) in
      try uploader.send(UnsafeRawBufferPointer(source), to: zeros, at: 0)
    }
    try uploader.finish()
  }
}

extension TrainingSteps {
  /// Bytes of all dropout masks.
  var maskByteCount: Int { program.masks.reduce(0) { $0 + 4 * $1.count } }
}
