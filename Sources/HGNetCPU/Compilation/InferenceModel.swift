import HGNetCore
import HGNetProgram

/// A network compiled for inference: passes run, weights folded and packed.
///
/// Make it once and share it; sessions of any batch and picture size use the same packed weights. Threads: safe to
/// share. Memory: the packed weights, which are about the size of the parameters plus three times the stride-1 3×3
/// convolutions among them (Winograd holds 36 values for 9).
public final class InferenceModel: Sendable {
  /// What was compiled.
  public var graph: Graph { program.graph }
  /// The kernels in use.
  public let instructionSet: InstructionSet
  private let program: Program
  private let weights: CompiledWeights

  /// Compiles a graph with its parameters.
  ///
  /// Pages of a mapped weights file are handed back as they are packed, so that the peak is one copy of the weights.
  ///
  /// - Parameters:
  ///   - graph: the network, with the outputs that are wanted.
  ///   - parameters: at least the parameters that the graph declares; each is asked for once or twice and not kept.
  ///   - instructionSet: the kernels to use.
  ///   - pool: the threads that pack; nil packs on the caller's.
  /// - Throws: `HGNetError.Code.parameterMismatch` for a missing or misshapen parameter, `unsupported` for an operator
  ///   outside the family, both naming the layer.
  public init(
    graph: Graph, parameters: some ParameterSource, instructionSet: InstructionSet = .best, pool: ThreadPool? = nil
  ) throws(HGNetError) {
    program = try Program(graph)
    self.instructionSet = instructionSet
    weights = try CompiledWeights(
      program, parameters: parameters, target: Target(instructionSet: instructionSet, purpose: .inference),
      pool: pool)
  }

  /// Plans the steps for a batch and picture size.
  ///
  /// - Parameters:
  ///   - batch: the number of pictures of a run, 1 … 65536.
  ///   - inputSize: height and width in pixels; nil for those of the graph.
  ///   - threads: the number of threads that will run it.
  /// - Throws: `HGNetError.Code.shapeMismatch` when the pictures are too small for the network, `limitExceeded` when
  ///   they are too large for any memory.
  public func plan(batch: Int, inputSize: Size? = nil, threads: Int) throws(HGNetError) -> Plan {
    let program = try inputSize.map { (size) throws(HGNetError) in try self.program.resized(to: size) } ?? program
    return try Plan(
      InferenceProgram(program, batch: batch), weights: weights, threads: threads, instructionSet: instructionSet)
  }

  /// Says whether the process may have the memory that a run on a batch of pictures takes, without taking it.
  ///
  /// Cost: that of `plan` for a picture of 1000×1000 pixels or more, else nothing: what comes later says so soon enough.
  ///
  /// - Throws: `HGNetError.Code.limitExceeded` saying how much it takes and what would fit, and as `plan`.
  package func checkMemory(batch: Int, inputSize: Size, threads: Int) throws(HGNetError) {
    guard max(inputSize.height, inputSize.width) >= 1000 else { return }
    let plan = try plan(batch: batch, inputSize: inputSize, threads: threads)
    var need = MemoryNeed("classifying \(batch) pictures of \(inputSize)")
    need.add("their numbers", bytes: 2 * 4 * 3, batch, inputSize.height, inputSize.width)
    need.add("the activations", bytes: 1, plan.arenaByteCount)
    need.add("scratch memory", bytes: 4, plan.scratchCount * threads + plan.zeroCount)
    try need.check(advice: MemoryNeed.fittingPictures(batch, of: inputSize))
  }

  /// Makes a session for a batch and picture size; a timed one can tell how long each step took.
  ///
  /// - Throws: as `plan`, and `limitExceeded` when there is not enough memory.
  public func session(
    batch: Int, inputSize: Size? = nil, pool: ThreadPool, isTimed: Bool = false
  ) throws(HGNetError) -> Session {
    let plan = try plan(batch: batch, inputSize: inputSize, threads: pool.count)
    return try Session(
      plan: plan, pool: pool, memory: SessionMemory(for: [plan], threads: pool.count), isTimed: isTimed)
  }

  /// Makes a session of a plan of this model in memory that other sessions use, too, of which one at a time may run.
  ///
  /// - Parameters:
  ///   - plan: from `plan(batch:inputSize:threads:)`, for as many threads as the pool has.
  ///   - memory: made for this plan among others.
  /// - Throws: `HGNetError.Code.shapeMismatch` when the memory was made for less than the plan and the pool need.
  package func session(plan: Plan, memory: SessionMemory, pool: ThreadPool) throws(HGNetError) -> Session {
    guard memory.fits(plan, threads: pool.count) else {
      throw HGNetError(
        .shapeMismatch, "expected memory for batch \(plan.batch) of \(plan.inputSize) and \(pool.count) threads")
    }
    return try Session(plan: plan, pool: pool, memory: memory)
  }
}
