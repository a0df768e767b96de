import HGNetCore
import HGNetProgram

/// A program with its weights folded and packed for the kernels.
///
/// Memory: the packed weights, which are about the size of the parameters plus three times the stride-1 3×3 convolutions
/// among them (Winograd holds 36 values for 9).
final class CPUProgram: CompiledProgram {
  let program: Program
  let precision: Precision
  private let instructionSet: InstructionSet
  private let pool: ThreadPool
  private let weights: CompiledWeights

  /// - Throws: as `CPUEngine.compile`.
  init(
    _ program: Program, parameters: some ParameterSource, instructionSet: InstructionSet, precision: Precision,
    pool: ThreadPool
  ) throws(HGNetError) {
    let target = Target(instructionSet: instructionSet, purpose: .inference, precision: precision)
    let (marked, floatResults) =
      precision == .int8
      ? program.separatingConcatenations(parameters.ranges).keepingFloat(beside: parameters) : (program, [])
    self.program = try marked.assigningElements(
      floatResults: floatResults, roundedResults: precision == .int8 ? program.roundedResults(beside: parameters) : []
    ) { (layer) throws(HGNetError) in
      try ImplementationList.choice(for: layer, on: target).implementation.elements(of: layer)
    }
    self.precision = precision
    self.instructionSet = instructionSet
    self.pool = pool
    weights = try CompiledWeights(self.program, parameters: parameters, target: target, pool: pool)
  }

  /// Shares the weights of another program.
  init(sharing other: CPUProgram, pool: ThreadPool) {
    (program, precision, instructionSet, weights) = (
      other.program, other.precision, other.instructionSet, other.weights
    )
    self.pool = pool
  }

  private func plan(_ extent: RunExtent) throws(HGNetError) -> Plan {
    try Plan(
      InferenceProgram(program.resized(to: extent.inputSize), batch: extent.batch), weights: weights,
      threads: pool.count, target: Target(instructionSet: instructionSet, purpose: .inference, precision: precision))
  }

  func memoryNeed(of extent: RunExtent) throws(HGNetError) -> MemoryNeed {
    let plan = try plan(extent)
    let (batch, size) = (extent.batch, extent.inputSize)
    var need = MemoryNeed("classifying \(batch) pictures of \(size)")
    need.add("their numbers", bytes: 2 * 4 * 3, batch, size.height, size.width)
    need.add("the activations", bytes: 1, plan.arenaByteCount)
    need.add("scratch memory", bytes: 4, plan.scratchCount * pool.count + plan.zeroCount)
    return need
  }

  func memory(for extents: [RunExtent]) throws(HGNetError) -> any EngineMemory {
    var plans: [Plan] = []
    for extent in extents { plans.append(try plan(extent)) }
    return try SessionMemory(for: plans, threads: pool.count)
  }

  func session(
    _ extent: RunExtent, memory: (any EngineMemory)?, isTimed: Bool
  ) throws(HGNetError) -> any EngineSession {
    let plan = try plan(extent)
    let own: any EngineMemory
    if let memory { own = memory } else { own = try SessionMemory(for: [plan], threads: pool.count) }
    guard let own = own as? SessionMemory, own.fits(plan, threads: pool.count) else {
      throw HGNetError(
        .shapeMismatch, "expected memory for batch \(plan.batch) of \(plan.inputSize) and \(pool.count) threads")
    }
    return try CPUSession(plan: plan, pool: pool, memory: own, isTimed: isTimed)
  }
}
