import CHGNetKernels
import HGNetCore
import HGNetProgram

/// Runs a plan in an arena of activations, which is allocated once.
///
/// After it has been made a session allocates nothing in `execute`. Threads: one task at a time; make one per task.
final class CPUSession: EngineSession {
  private let plan: Plan
  private let pool: ThreadPool
  /// Whether each run prints its steps; asked for once, since a run should not look into the environment.
  private let isReported: Bool
  private let owner: SessionMemory
  private let resolved: ResolvedSteps
  private let run: UnsafeMutablePointer<SessionRun>

  /// The first value of a result for the whole batch.
  private func start(of location: Location) -> UnsafeMutableRawPointer {
    owner.activations + plan.offsets[location.buffer] + location.byteOffset
  }

  /// Writes the addresses of the memory into the steps.
  ///
  /// The memory must have been made for the plan, whose threads the pool must have.
  ///
  /// - Throws: `HGNetError.Code.internalInconsistency` for a step that does not fit the plan.
  init(plan: Plan, pool: ThreadPool, memory owner: SessionMemory, isTimed: Bool = false) throws(HGNetError) {
    let resolved = try ResolvedSteps(
      plan.steps,
      at: Addresses(
        memory: owner.activations, offsets: plan.offsets, zeros: owner.zeros,
        instructionSet: plan.instructionSet,
        parameters: nil))
    self.plan = plan
    self.pool = pool
    self.owner = owner
    isReported = StepReport.isWanted
    StepReport.printChoices(plan.steps)
    self.resolved = resolved
    run = .allocate(capacity: 1)
    run.initialize(
      to: SessionRun(
        steps: resolved.steps, count: plan.steps.count, scratch: owner.scratch, scratchDistance: owner.scratchDistance,
        threads: plan.threads,
        times: isReported || isTimed ? .allocate(capacity: plan.steps.count + 1) : nil))
  }

  deinit {
    run.pointee.times?.deallocate()
    run.deinitialize(count: 1)
    run.deallocate()
  }

  /// Calls `body` with the input, `[N, H, W, C]` in C order, to be filled before `execute`.
  func withInput<Result, Failure: Error>(
    _ body: (UnsafeMutableBufferPointer<Float>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    let count = plan.batch * plan.input.shape.count
    return try body(
      UnsafeMutableBufferPointer(start: start(of: plan.input).assumingMemoryBound(to: Float.self), count: count))
  }

  /// Runs all steps on the input that is in place.
  ///
  /// Allocates nothing. The bits of the results do not depend on the number of threads or the place in the batch.
  func execute() {
    run.pointee.times?[0] = StepReport.nanoseconds()
    run.pointee.queue.restart()
    if plan.threads == 1 {
      run.pointee.work(as: 0)
    } else {
      pool.run(context: UnsafeMutableRawPointer(run)) { context, worker in
        let run = context.assumingMemoryBound(to: SessionRun.self)
        if worker < run.pointee.threads { run.pointee.work(as: worker) }
      }
    }
    if isReported { StepReport.print(plan: plan, times: run.pointee.times) }
  }

  var program: Program { plan.program }
  var batch: Int { plan.batch }
  var layerDescriptions: [LayerDescription] { plan.layerDescriptions }

  var layerSeconds: [Double] {
    guard let times = run.pointee.times else { return [] }
    return plan.layerNanoseconds(times).map { Double($0) / 1e9 }
  }

  func read(_ output: Int, into target: UnsafeMutableBufferPointer<Float>) throws(HGNetError) {
    try checkTarget(target.count, of: output)
    let location = plan.outputs[output]
    let channels = location.shape.channels
    guard let base = target.baseAddress else { return }
    for pixel in 0..<plan.batch * location.pixels {
      let source = start(of: location) + pixel * location.stride * location.element.byteCount
      let target = base + pixel * channels
      if location.element == .bfloat16 {
        let halves = source.assumingMemoryBound(to: UInt16.self)
        for channel in 0..<channels { target[channel] = hg_float_of_bfloat16(halves[channel]) }
      } else if location.element == .uint8 {
        guard let scale = plan.outputScales[output] else {
          throw HGNetError(.internalInconsistency, "an output in bytes without a range")
        }
        let bytes = source.assumingMemoryBound(to: UInt8.self)
        for channel in 0..<channels { target[channel] = Float(Int32(bytes[channel]) - scale.zero) * scale.scale }
      } else {
        target.update(from: source.assumingMemoryBound(to: Float.self), count: channels)
      }
    }
  }
}
