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
      for: target, floatResults: floatResults,
      roundedResults: precision == .int8 ? program.roundedResults(beside: parameters) : [])
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
    let graph = try program.graph.resized(to: extent.inputSize)
    return try plan(
      extent, threads: CPUEngine.usefulThreads(pool.count, multiplyAdds: graph.multiplyAdds, batch: extent.batch))
  }

  /// The steps of a run with some number of threads.
  ///
  /// - Throws: as `memoryNeed(of:)`.
  func plan(_ extent: RunExtent, threads: Int) throws(HGNetError) -> Plan {
    try Plan(
      InferenceProgram(program.resized(to: extent.inputSize), batch: extent.batch), weights: weights,
      threads: threads, target: Target(instructionSet: instructionSet, purpose: .inference, precision: precision))
  }

  func memoryNeed(of extent: RunExtent) throws(HGNetError) -> MemoryNeed {
    let plan = try plan(extent)
    var need = MemoryNeed(classifying: extent)
    need.add("the activations", bytes: 1, plan.arenaByteCount)
    need.add("scratch memory", bytes: 4, plan.scratchCount * plan.threads + plan.zeroCount)
    return need
  }

  func memory(for extents: [RunExtent]) throws(HGNetError) -> any EngineMemory {
    var plans: [Plan] = []
    for extent in extents { plans.append(try plan(extent)) }
    return try SessionMemory(for: plans)
  }

  func session(
    _ extent: RunExtent, memory: (any EngineMemory)?, isTimed: Bool
  ) throws(HGNetError) -> any EngineSession {
    let plan = try plan(extent)
    let own: any EngineMemory
    if let memory { own = memory } else { own = try SessionMemory(for: [plan]) }
    guard let own = own as? SessionMemory, own.fits(plan) else {
      throw HGNetError(
        .shapeMismatch, "expected memory for batch \(plan.batch) of \(plan.inputSize) and \(plan.threads) threads")
    }
    return try CPUSession(plan: plan, pool: pool, memory: own, isTimed: isTimed)
  }
}

extension Program {
  /// The program with the element types that the implementations of a target read and write.
  func assigningElements(
    for target: Target, floatResults: Set<Int> = [], roundedResults: Set<Int> = []
  ) throws(HGNetError) -> Program {
    try assigningElements(floatResults: floatResults, roundedResults: roundedResults) { (layer) throws(HGNetError) in
      try ImplementationList.choice(for: layer, on: target).implementation.elements(of: layer)
    }
  }
}

extension MemoryNeed {
  /// Begins with the pictures of a run, which are copied once on their way.
  init(classifying extent: RunExtent) {
    self.init("classifying \(extent.batch) pictures of \(extent.inputSize)")
    add("their numbers", bytes: 2 * 4 * 3, extent.batch, extent.inputSize.height, extent.inputSize.width)
  }
}
