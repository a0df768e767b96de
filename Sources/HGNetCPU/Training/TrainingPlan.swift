import CHGNetKernels
import HGNetCore
import HGNetProgram

/// The steps of a training program on this processor, forward and backward, with what the kernels keep between them.
struct TrainingPlan {
  let program: TrainingProgram
  let threads: Int
  let instructionSet: InstructionSet
  /// What adds the sums of batch normalisation over processes; nil where each normalises with its own.
  let reduction: StatisticsWork.Reducer?

  private(set) var steps: [Step] = []
  /// The buffers of the program, then those of the kernels, with their lifetimes in steps.
  private(set) var buffers: [Buffer]
  /// The number of steps of the forward pass.
  private(set) var forwardCount = 0
  private(set) var zeroCount = 16
  /// The parameters whose gradients are complete after a step, by the number of the step.
  private(set) var gradientEnds: [Int: [String]] = [:]
  /// What an operator of a decoder keeps for the backward pass, by the number of its result.
  var kept: [Int: Int] = [:]
  private var unitMemory: [Int: UnitWork.Memory] = [:]

  /// The number of pictures.
  var batch: Int { program.batch }

  /// Turns each operation of a program into steps.
  ///
  /// - Throws: `HGNetError.Code.unsupported` naming a layer that no implementation takes.
  init(
    _ program: TrainingProgram, threads: Int, instructionSet: InstructionSet,
    reduction: StatisticsWork.Reducer? = nil
  ) throws(HGNetError) {
    self.program = program
    self.threads = threads
    self.instructionSet = instructionSet
    self.reduction = reduction
    buffers = program.buffers.map { Buffer(byteCount: $0.byteCount) }
    for (number, operation) in program.operations.enumerated() {
      try add(operation)
      // A network that keeps everything has no backward pass.
      if number == program.forwardCount - 1 { forwardCount = steps.count }
      if let ends = program.gradientEnds[number] { gradientEnds[steps.count - 1, default: []] += ends }
    }
    for mask in program.masks { buffers[mask.values.buffer].touch(-1) }
    buffers[try program.location(program.program.input).buffer].touch(-1)
    buffers[try program.gradient(program.output).buffer].touch(forwardCount - 1)
  }

  /// The memory of the steps: the buffers, then zeros to read, then scratch memory of each thread.
  struct Memory {
    /// Where the buffers lie.
    let plan: MemoryPlan
    /// The floats that stay zero.
    let zeroCount: Int
    /// The floats of a thread.
    let scratchCount: Int
    /// All floats behind the buffers.
    let floatCount: Int
    /// Bytes of all.
    var byteCount: Int { plan.byteCount + 4 * floatCount }
  }

  /// What a run takes.
  var memory: Memory {
    let scratch = (steps.map(\.scratchCount).max() ?? 0).roundedUp(to: 16) + 16
    let zeros = (zeroCount + 16).roundedUp(to: 16)
    return Memory(
      plan: MemoryPlan(buffers), zeroCount: zeros, scratchCount: scratch, floatCount: zeros + scratch * threads)
  }

  // MARK: - What implementations add

  /// A buffer of floats for as long as steps use it.
  mutating func newBuffer(_ count: Int) -> Int {
    buffers.append(Buffer(byteCount: 4 * count))
    return buffers.count - 1
  }

  /// Appends a step that uses some buffers.
  mutating func add(
    _ name: String, _ work: any Work, multiplyAdds: Int = 0, tasks: Int, scratch: Int = 0, uses: [Int]
  ) {
    add(
      Step(name: name, work: work, taskCount: tasks, scratchCount: scratch, multiplyAdds: multiplyAdds), uses: uses)
  }

  private mutating func add(_ step: Step, uses: [Int]) {
    for buffer in uses { buffers[buffer].touch(steps.count) }
    zeroCount = max(zeroCount, step.work.zeroCount)
    steps.append(step)
  }

  /// The multiply-adds of a convolution over some rows of results; a data gradient and a weight gradient have as many.
  func multiplyAdds(of convolution: Convolution, rows: Int) -> Int {
    rows * convolution.outputChannels * (convolution.inputChannels / convolution.groups)
      * convolution.kernel.height * convolution.kernel.width
  }

  // MARK: - Operations

  private mutating func add(_ operation: TrainingOperation) throws(HGNetError) {
    let name = operation.name
    switch operation.kind {
    case .layer(let layer, let inputs, let residual, let output):
      try add(layer, inputs: inputs, residual: residual, output: output)
    case .convolution(let unit, let input):
      let unit = program.units[unit]
      try addConvolution(unit, isGradient: false, input: input, output: unit.convolved, residual: nil)
    case .weightQuantization(let unit): addWeightQuantization(program.units[unit], name)
    case .quantization(let range, let target, let outside):
      let work = QuantizationWork(range: range, target: target, outside: outside, batch: batch)
      add(name, work, tasks: work.taskCount, uses: [target.buffer] + [outside?.buffer].compactMap { $0 })
    case .quantizationGradient(let range, let target, let outside):
      addQuantizationGradient(range, name, target: target, outside: outside)
    case .statistics(let unit): addStatistics(unit)
    case .normalization(let unit, let residual, let output):
      add(name, .apply, unit, result: output, residual: residual)
    case .elementwise(let kind, let target, let gradient, let factor):
      let work = ElementwiseGradientWork(
        kind: kind, target: target, gradient: gradient, factor: factor, batch: batch)
      add(
        name, work, tasks: work.rows.divided(by: work.rowsPerTask),
        uses: [target.buffer] + [gradient?.buffer, factor?.buffer].compactMap { $0 })
    case .normalizationGradient(let unit, let gradient):
      add(name + " sums", .gradientSums, unit, result: gradient)
      addReduction(unit, name + " sums")
      add(name + " finish", .gradientFinish, unit, result: gradient)
      add(name + " apply", .gradientApply, unit, result: gradient)
    case .weightGradient(let unit, let input):
      let unit = program.units[unit]
      guard let gradient = WeightGradientList.all.first(where: { $0.refusal(of: unit) == nil }) else {
        throw HGNetError(.unsupported, "no gradient of these weights", layer: unit.layer.name)
      }
      gradient.addGradient(unit, name, input: input, to: &self)
    case .dataGradient(let unit, let target, let isAdded):
      let unit = program.units[unit]
      let source = unit.convolution.stride == Size(1) ? unit.convolvedGradient : addDilation(unit)
      try addConvolution(
        unit, isGradient: true, input: source, output: target, residual: isAdded ? target : nil)
    case .maxPoolGradient(let kernel, let stride, let padding, let input, let gradient, let target):
      let work = MaximumPoolGradientWork(
        window: Window(kernel: kernel, stride: stride, padding: padding), input: input, gradient: gradient,
        target: target, batch: batch)
      add(
        name, work, tasks: batch * input.shape.channels.divided(by: 16),
        uses: [input.buffer, gradient.buffer, target.buffer])
    case .gateGradient(let input, let gradient, let target):
      let work = GateGradientWork(input: input, gradient: gradient, target: target, batch: batch)
      add(name, work, tasks: batch, uses: [input.buffer, gradient.buffer, target.buffer])
    case .decoder(let layer, let operation, let inputs, let mask, let output):
      try training(of: layer).addForward(
        DecoderPass(name: name, layer: layer, operation: operation, inputs: inputs, mask: mask, output: output),
        to: &self)
    case .decoderGradient(let layer, let operation, let inputs, let mask, let gradient, let targets):
      try training(of: layer).addGradient(
        DecoderPass(
          name: name, layer: layer, operation: operation, inputs: inputs, mask: mask, output: gradient,
          targets: targets), to: &self)
    }
  }

  /// What layers are computed for that read or write some arrays.
  private func target(_ purpose: Target.Purpose, _ locations: [Location] = []) -> Target {
    Target(
      instructionSet: instructionSet, purpose: purpose,
      precision: locations.contains { $0.element == .bfloat16 } ? .bfloat16 : .float32)
  }

  private func training(of layer: Layer) throws(HGNetError) -> any DecoderTraining.Type {
    let choice = try ImplementationList.choice(for: layer, on: target(.trainingForward))
    guard let training = choice.implementation as? any DecoderTraining.Type else {
      throw HGNetError(.unsupported, "training a network with this operator here", layer: layer.name)
    }
    return training
  }

  /// Appends a layer without state, as in inference.
  private mutating func add(
    _ layer: Layer, inputs: [Location], residual: Location?, output: Location
  ) throws(HGNetError) {
    let used = inputs + [residual, output].compactMap { $0 }
    let problem = Problem(
      layer: layer, inputs: inputs, residual: residual, output: output, weights: .none, epilogue: .none,
      pictures: batch, threads: threads, target: target(.trainingForward, used), multiplyAdds: 0)
    let choice = try ImplementationList.choice(for: problem, layout: nil)
    add(try choice.implementation.step(problem), uses: used.map(\.buffer))
  }

  /// Packs the weights as they are now and convolves; with `isGradient` the weights of the data gradient.
  private mutating func addConvolution(
    _ unit: TrainingUnit, isGradient: Bool, input: Location, output: Location, residual: Location?
  ) throws(HGNetError) {
    let weights = TrainedWeights(
      convolution: unit.convolution, isLinear: unit.isLinear, isGradient: isGradient,
      rounded: unit.roundedWeights)
    let name = unit.layer.name
    let layer = Layer(
      name: name + (isGradient ? " data gradient" : ""), kind: .convolution(weights.used, nil), inputs: [], result: 0)
    let target = target(isGradient ? .dataGradient : .trainingForward, [input])
    // A strided layer's gradient has been spread with zeros; its work is that of the result.
    let rows = batch * (isGradient ? input : output).pixels
    var problem = Problem(
      layer: layer, inputs: [input], residual: residual, output: output, weights: .none, epilogue: .none,
      pictures: batch, threads: threads, target: target, multiplyAdds: multiplyAdds(of: unit.convolution, rows: rows))
    let choice = try ImplementationList.choice(for: problem, layout: nil)
    let implementation = choice.implementation
    guard let extent = implementation.extent(of: layer) else {
      throw HGNetError(.internalInconsistency, "a convolution without weights", layer: name)
    }
    let packed = newBuffer(extent.weightByteCount / 4)
    guard let packing = implementation.packing(weights, into: packed) else {
      throw HGNetError(.unsupported, "training with \(implementation.name)", layer: name)
    }
    add(
      name + " pack", packing.work, tasks: packing.taskCount,
      uses: [packed] + [unit.roundedWeights?.buffer].compactMap { $0 })
    problem.weights = .buffer(packed, byteCount: extent.weightByteCount)
    // The bias is zero.
    zeroCount = max(zeroCount, extent.paddedColumns)
    var step = try implementation.step(problem)
    step.refusals = choice.refusals
    add(step, uses: [input.buffer, output.buffer, packed] + [residual?.buffer].compactMap { $0 })
  }

  private mutating func addDilation(_ unit: TrainingUnit) -> Location {
    let (gradient, shape) = (
      unit.convolvedGradient, DilationWork.shape(of: unit.convolved.shape, stride: unit.convolution.stride)
    )
    let output = Location(
      buffer: newBuffer((batch * shape.count * gradient.element.byteCount).divided(by: 4)), stride: shape.channels,
      shape: shape, element: gradient.element)
    add(
      "dilated gradient",
      DilationWork(input: gradient, stride: unit.convolution.stride, output: output, batch: batch),
      tasks: batch * shape.height, uses: [unit.convolved.buffer, output.buffer])
    return output
  }

  // MARK: - Units

  private mutating func addStatistics(_ number: Int) {
    let unit = program.units[number]
    let padded = unit.convolution.outputChannels.roundedUp(to: 16)
    let rowsPerChunk = max(256, unit.rows.divided(by: 64))
    unitMemory[number] = UnitWork.Memory(
      sums: newBuffer(unit.rows.divided(by: rowsPerChunk) * 4 * padded * 2), coefficients: newBuffer(6 * padded),
      total: reduction != nil && unit.usesBatchStatistics ? newBuffer((2 * padded + 1) * 2) : nil,
      rowsPerChunk: rowsPerChunk)
    let name = unit.layer.name
    if unit.usesBatchStatistics {
      add(name + " sums", .sums, number, result: unit.convolved)
      addReduction(number, name + " statistics")
    }
    add(name + " statistics", .statistics, number, result: unit.convolved)
  }

  private mutating func add(
    _ name: String, _ pass: UnitWork.Pass, _ number: Int, result: Location, residual: Location? = nil
  ) {
    guard let memory = unitMemory[number] else { return }
    let unit = program.units[number]
    let work = UnitWork(pass: pass, unit: unit, memory: memory, result: result, residual: residual)
    add(
      name, work, tasks: work.taskCount,
      uses: [unit.convolved.buffer, result.buffer] + memory.all + [residual?.buffer].compactMap { $0 })
  }

  /// Appends the addition of a unit's sums over processes; nothing where each keeps its own.
  private mutating func addReduction(_ number: Int, _ name: String) {
    guard let reduction, let memory = unitMemory[number], let total = memory.total else { return }
    let unit = program.units[number]
    let work = StatisticsWork(
      reducer: reduction, sums: memory.sums, chunkCount: unit.rows.divided(by: memory.rowsPerChunk),
      paddedChannels: unit.convolution.outputChannels.roundedUp(to: 16), rows: unit.rows, total: total)
    add(name + " of all processes", work, tasks: 1, uses: [memory.sums, total])
  }
}
