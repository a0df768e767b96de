import CHGNetKernels
import HGNetCore
import HGNetProgram

/// Runs a plan in an arena of activations, which is allocated once.
///
/// After it has been made a session allocates nothing in `execute`. Threads: one task at a time; make one per task.
public struct Session: ~Copyable {
  /// What is run.
  public let plan: Plan
  private let pool: ThreadPool
  /// Whether each run prints its steps; asked for once, since a run should not look into the environment.
  private let isReported: Bool
  private let owner: SessionMemory
  private let resolved: ResolvedSteps
  private let run: UnsafeMutablePointer<SessionRun>

  /// The first value of a result for the whole batch.
  private func start(of location: Location) -> UnsafeMutablePointer<Float> {
    (owner.activations + plan.offsets[location.buffer] + location.byteOffset).assumingMemoryBound(to: Float.self)
  }

  /// Writes the addresses of the memory into the steps.
  ///
  /// The memory must have been made for the plan and for as many threads as the pool has.
  ///
  /// - Throws: `HGNetError.Code.internalInconsistency` for a step that does not fit the plan.
  init(plan: Plan, pool: ThreadPool, memory owner: SessionMemory, isTimed: Bool = false) throws(HGNetError) {
    let resolved = try ResolvedSteps(
      plan.steps,
      at: Addresses(
        memory: owner.activations, offsets: plan.offsets, zeros: owner.zeros,
        kernels: plan.instructionSet.kernels.pointee, training: plan.instructionSet.trainingKernels.pointee,
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
        threads: pool.count,
        times: isReported || isTimed ? .allocate(capacity: plan.steps.count + 1) : nil))
  }

  deinit {
    run.pointee.times?.deallocate()
    run.deinitialize(count: 1)
    run.deallocate()
  }

  /// Calls `body` with the input, `[N, H, W, C]` in C order, to be filled before `execute`.
  public mutating func withInput<Result, Failure: Error>(
    _ body: (UnsafeMutableBufferPointer<Float>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    let count = plan.batch * plan.input.shape.count
    return try body(UnsafeMutableBufferPointer(start: start(of: plan.input), count: count))
  }

  /// Runs all steps on the input that is in place.
  ///
  /// Allocates nothing. The bits of the results do not depend on the number of threads or the place in the batch.
  public mutating func execute() {
    run.pointee.times?[0] = StepReport.nanoseconds()
    run.pointee.queue.restart()
    pool.run(context: UnsafeMutableRawPointer(run)) { context, worker in
      let run = context.assumingMemoryBound(to: SessionRun.self)
      run.pointee.work(as: worker)
    }
    if isReported { StepReport.print(plan: plan, times: run.pointee.times) }
  }

  /// Seconds that each layer of the last run took, in the order of the plan; empty for a session that is not timed.
  public func stepSeconds() -> [Double] {
    guard let times = run.pointee.times else { return [] }
    return plan.layerNanoseconds(times).map { Double($0) / 1e9 }
  }

  /// Copies a result of the last run, `[N, H, W, C]` in C order, into `target`, which must have room for it.
  ///
  /// Traps on an unknown index or too small a target.
  public func copyOutput(_ index: Int, into target: UnsafeMutableBufferPointer<Float>) {
    let location = plan.outputs[index]
    let pixels = plan.batch * location.shape.height * location.shape.width
    let channels = location.shape.channels
    precondition(target.count >= pixels * channels, "the target is too small for the result")
    guard let base = target.baseAddress else { return }
    let source = start(of: location)
    for pixel in 0..<pixels {
      (base + pixel * channels).update(from: source + pixel * location.stride, count: channels)
    }
  }

  /// Runs the network on pictures and returns the results in the order of the graph's outputs.
  ///
  /// - Parameter input: `[N, H, W, C]` with the batch and size of the plan.
  /// - Returns: `[N, K]` for a result of one pixel (logits), else `[N, H, W, C]`.
  /// - Throws: `HGNetError.Code.shapeMismatch` for another shape, `limitExceeded` without memory for the results.
  public mutating func run(_ input: Tensor) throws(HGNetError) -> [Tensor] {
    let size = plan.inputSize
    let expected: Shape = [plan.batch, size.height, size.width, plan.input.shape.channels]
    guard input.shape == expected else {
      throw HGNetError(.shapeMismatch, "expected an input of shape \(expected), found \(input.shape)")
    }
    withInput { target in
      input.withUnsafeBufferPointer { source in _ = target.update(fromContentsOf: source) }
    }
    execute()
    var results: [Tensor] = []
    for (index, shape) in plan.outputShapes.enumerated() {
      let isPixel = shape.height == 1 && shape.width == 1 && !plan.outputRoles[index].isMap
      let extents: Shape =
        isPixel ? [plan.batch, shape.channels] : [plan.batch, shape.height, shape.width, shape.channels]
      results.append(
        try Tensor(allocating: extents, for: "a result of the network") { target in copyOutput(index, into: target) })
    }
    return results
  }
}
