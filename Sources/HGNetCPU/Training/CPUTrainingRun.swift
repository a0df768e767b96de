import CHGNetKernels
import HGNetCore
import HGNetProgram

/// Runs training steps of a network: forward with batch statistics, backward to the gradients of all parameters.
///
/// `forward` normalises with the statistics of the batch and moves the running statistics; where these are frozen it
/// normalises with them, and they stay. `backward` adds to the gradients in the state, which an optimiser then
/// applies. The same bits come out for any number of threads. After it has been made a run allocates nothing but the
/// tensors that it returns.
///
/// Threads: one task. Source: batch normalisation and its gradient as in Ioffe and Szegedy, 2015; running variance of
/// the biased batch variance as PaddlePaddle has it.
package final class CPUTrainingRun: TrainingRun {
  /// The network, for the size of the pictures.
  package let program: Program
  /// The number of pictures of a step.
  package let batch: Int
  /// Bytes of activations and gradients that the run holds.
  package let arenaByteCount: Int

  private let pool: ThreadPool
  private let memory: UnsafeMutableRawPointer
  private let offsets: [Int]
  private let resolved: ResolvedSteps
  private let forwardRun: UnsafeMutablePointer<SessionRun>
  private let backwardRun: UnsafeMutablePointer<SessionRun>
  private let input: Location
  private let output: Location
  private let outputGradient: Location
  private let lines: [StepReport.Line]
  private let masks: [DropoutMask]
  /// The parameters whose gradients are complete after each step of the backward pass, and those that have none.
  private let gradientEnds: [[Int]]
  private let gradientsWithoutStep: [Int]
  /// Lives as long as the steps that point to it.
  private let reducer: StatisticsWork.Reducer?

  /// Keeps the memory of the parameters, which the steps point to.
  private let state: CPUTrainingState

  /// Plans and allocates training steps.
  ///
  /// - Throws: as `CPUEngine.trainingRun`.
  init(
    _ program: Program, state: CPUTrainingState, batch: Int, pool: ThreadPool,
    reduction: (any StatisticsReduction)?, instructionSet: InstructionSet
  ) throws(HGNetError) {
    let reducer = reduction.map { StatisticsWork.Reducer($0) }
    let training = try TrainingProgram(program, batch: batch, frozen: state.frozenNames)
    let plan = try TrainingPlan(
      training, threads: pool.count, instructionSet: instructionSet, reduction: reducer)
    let (inputPlace, outputPlace) = (try training.location(program.input), try training.location(training.output))
    let gradientPlace = try training.gradient(training.output)
    StepReport.printChoices(plan.steps)
    let blocks = plan.memory
    let (memoryPlan, zeroCount, scratch) = (blocks.plan, blocks.zeroCount, blocks.scratchCount)
    let memory = try UnsafeMutableRawPointer.pages(
      byteCount: blocks.byteCount, isLarge: true,
      for: "a training step on \(batch) pictures of \(program.inputSize)",
      advice: MemoryNeed.fittingPictures(batch, of: program.inputSize))
    let zeros = (memory + memoryPlan.byteCount).bindMemory(to: Float.self, capacity: blocks.floatCount)
    zeros.update(repeating: 0, count: zeroCount)
    let resolved: ResolvedSteps
    do throws(HGNetError) {
      resolved = try ResolvedSteps(
        plan.steps,
        at: Addresses(
          memory: memory, offsets: memoryPlan.offsets, zeros: zeros, instructionSet: instructionSet,
          parameters: state))
    } catch {
      memory.deallocatePages()
      throw error
    }
    func run(_ range: Range<Int>) -> UnsafeMutablePointer<SessionRun> {
      let run = UnsafeMutablePointer<SessionRun>.allocate(capacity: 1)
      run.initialize(
        to: SessionRun(
          steps: resolved.steps + range.lowerBound, count: range.count, scratch: zeros + zeroCount,
          scratchDistance: scratch,
          threads: pool.count,
          times: StepReport.isWanted ? .allocate(capacity: range.count + 1) : nil))
      return run
    }
    forwardRun = run(0..<plan.forwardCount)
    backwardRun = run(plan.forwardCount..<plan.steps.count)
    lines = plan.steps.map {
      StepReport.Line(name: $0.name, algorithm: $0.work.algorithm, shapes: "", multiplyAdds: $0.multiplyAdds)
    }
    self.memory = memory
    offsets = memoryPlan.offsets
    self.resolved = resolved
    input = inputPlace
    output = outputPlace
    outputGradient = gradientPlace
    masks = training.masks
    self.reducer = reducer
    gradientEnds = (plan.forwardCount..<plan.steps.count).map {
      (plan.gradientEnds[$0] ?? []).compactMap { state.index(of: $0) }
    }
    let ended = Set(gradientEnds.joined())
    gradientsWithoutStep = program.trainedParameters.compactMap { state.index(of: $0.name) }.filter {
      !ended.contains($0)
    }
    self.state = state
    self.program = program
    self.batch = batch
    self.pool = pool
    arenaByteCount = memoryPlan.byteCount
  }

  private func start(of location: Location) -> UnsafeMutablePointer<Float> {
    (memory + offsets[location.buffer] + location.byteOffset).assumingMemoryBound(to: Float.self)
  }

  deinit {
    forwardRun.pointee.times?.deallocate()
    backwardRun.pointee.times?.deallocate()
    forwardRun.deinitialize(count: 1)
    forwardRun.deallocate()
    backwardRun.deinitialize(count: 1)
    backwardRun.deallocate()
    memory.deallocatePages()
  }

  /// Computes the result of a batch with batch statistics.
  ///
  /// - Parameters:
  ///   - pictures: `[N, H, W, C]`.
  ///   - random: draws the dropout masks; not used by a network without dropout.
  /// - Returns: the logits `[N, K]`.
  /// - Throws: `HGNetError.Code.shapeMismatch` for another shape.
  package func forward(
    _ pictures: Tensor, random: inout RandomGenerator
  ) throws(HGNetError) -> Tensor {
    let expected: Shape = [batch, program.inputSize.height, program.inputSize.width, input.shape.channels]
    guard pictures.shape == expected else {
      throw HGNetError(.shapeMismatch, "expected pictures of shape \(expected), found \(pictures.shape)")
    }
    pictures.withUnsafeBufferPointer { source in
      if let base = source.baseAddress { start(of: input).update(from: base, count: source.count) }
    }
    for mask in masks {
      let base = start(of: mask.values)
      for index in 0..<mask.count { base[index] = random.uniform() < mask.probability ? 0 : mask.kept }
    }
    execute(forwardRun, lines.prefix(forwardRun.pointee.count))
    let shape: Shape = [batch, output.shape.channels]
    let source = start(of: output)
    return try Tensor(allocating: shape, for: "the logits of \(batch) pictures") { target in
      guard let base = target.baseAddress else { return }
      for row in 0..<batch {
        (base + row * output.shape.channels)
          .update(from: source + row * output.stride, count: output.shape.channels)
      }
    }
  }

  /// Adds the gradients of the last `forward` to those in the state.
  ///
  /// Call it once after each `forward`.
  ///
  /// - Parameters:
  ///   - gradient: of the loss with respect to the logits, `[N, K]`.
  ///   - ended: called with the index of each parameter of the network as soon as its gradient is complete, while the
  ///     others are still computed, on one of the threads of the pool.
  /// - Throws: `HGNetError.Code.shapeMismatch` for another shape.
  package func backward(
    _ gradient: Tensor, ended: (@Sendable (_ parameter: Int) -> Void)?
  ) throws(HGNetError) {
    let channels = output.shape.channels
    guard gradient.shape == [batch, channels] else {
      throw HGNetError(.shapeMismatch, "expected a gradient of shape [\(batch), \(channels)], found \(gradient.shape)")
    }
    gradient.withUnsafeBufferPointer { source in
      guard let base = source.baseAddress else { return }
      for row in 0..<batch {
        (start(of: outputGradient) + row * outputGradient.stride).update(
          from: base + row * channels, count: channels)
      }
    }
    if let ended {
      for parameter in gradientsWithoutStep { ended(parameter) }
      let ends = gradientEnds
      backwardRun.pointee.stepEnded = { step in for parameter in ends[step] { ended(parameter) } }
    }
    execute(backwardRun, lines.suffix(backwardRun.pointee.count))
    backwardRun.pointee.stepEnded = nil
  }

  private func execute(_ run: UnsafeMutablePointer<SessionRun>, _ lines: ArraySlice<StepReport.Line>) {
    run.pointee.times?[0] = StepReport.nanoseconds()
    run.pointee.queue.restart()
    pool.run(context: UnsafeMutableRawPointer(run)) { context, worker in
      context.assumingMemoryBound(to: SessionRun.self).pointee.work(as: worker)
    }
    if let times = run.pointee.times {
      StepReport.print(Array(lines), nanoseconds: (0..<lines.count).map { times[$0 + 1] - times[$0] })
    }
  }
}
