import HGNetCore
import HGNetProgram

/// Runs programs on the host's processor, with the kernels of one instruction set and the threads of one pool.
///
/// Promise: the bits do not depend on the number of threads. After its first run a session allocates nothing. Threads:
/// safe to share; sessions that run at the same time take turns at the pool.
package struct CPUEngine: Engine {
  /// The threads.
  package let pool: ThreadPool
  /// The kernels.
  package let instructionSet: InstructionSet

  /// Makes the engine.
  package init(pool: ThreadPool, instructionSet: InstructionSet = .best) {
    self.pool = pool
    self.instructionSet = instructionSet
  }

  /// `cpu, avx512, 2 threads`.
  package var deviceDescription: String {
    "cpu, \(arithmetic), \(pool.count) thread\(pool.count == 1 ? "" : "s")"
  }

  /// The name of the instruction set.
  package var arithmetic: String { instructionSet.description }

  /// bfloat16 where the processor multiplies pairs of them as quickly as it multiplies and adds in float32.
  package var fastestPrecision: Precision {
    instructionSet.bfloat16Kernels.pointee.is_fast != 0 ? .bfloat16 : .float32
  }

  /// It does.
  package var mixesPrecision: Bool { true }

  private static let halfRefusal =
    "the processor computes in float32, bfloat16 and int8, and only GPUs in float16; choose --precision bfloat16"

  /// Why no implementation takes a layer, nil if one does.
  package func refusal(of layer: Layer, in program: Program, at precision: Precision) -> String? {
    if program.isTraining, let reason = TrainingProgram.refusal(of: layer) { return reason }
    if precision == .float16 { return CPUEngine.halfRefusal }
    guard layer.kind != .concatenate else { return nil }
    do throws(HGNetError) {
      _ = try ImplementationList.choice(
        for: layer,
        on: Target(
          instructionSet: instructionSet, purpose: program.isTraining ? .trainingForward : .inference,
          precision: precision))
      return nil
    } catch {
      return error.message
    }
  }

  /// Chooses an implementation for each layer, folds and packs the weights on all threads.
  ///
  /// Pages of a mapped weights file are handed back as they are packed, so that the peak is one copy of the weights.
  ///
  /// - Throws: as the protocol says.
  package func compile(
    _ program: Program, parameters: some ParameterSource, precision: Precision
  ) throws(HGNetError) -> any CompiledProgram {
    guard precision != .float16 else { throw HGNetError(.unsupported, CPUEngine.halfRefusal) }
    guard precision != .int8 || !parameters.ranges.isEmpty else {
      throw HGNetError(
        .parameterMismatch,
        "expected quantised weights for the precision int8, found weights in float; make them with `hgnet quantize "
          + "MODEL --data FOLDER -o OUT.safetensors`, or choose another precision")
    }
    return try CPUProgram(
      program, parameters: parameters, instructionSet: instructionSet, precision: precision, pool: pool)
  }

  /// The same packed weights for the threads of this engine.
  ///
  /// - Throws: as the protocol says.
  package func sharing(_ compiled: any CompiledProgram) throws(HGNetError) -> any CompiledProgram {
    guard let compiled = compiled as? CPUProgram else {
      throw HGNetError(.invalidArgument, "expected a program of the CPU engine, found one of another engine")
    }
    return CPUProgram(sharing: compiled, pool: pool)
  }

  /// Takes over parameters that are trained.
  ///
  /// - Throws: as the protocol says.
  package func trainingState(
    of declarations: [ParameterDeclaration], parameters: some ParameterSource,
    isFrozen: (ParameterDeclaration) -> Bool
  ) throws(HGNetError) -> any TrainingState {
    try CPUTrainingState(declarations, parameters: parameters, isFrozen: declarations.map(isFrozen), pool: pool)
  }

  /// Plans training steps and takes their memory.
  ///
  /// - Throws: as the protocol says.
  package func trainingRun(
    _ program: Program, state: any TrainingState, batch: Int, statistics: (any StatisticsReduction)?
  ) throws(HGNetError) -> any TrainingRun {
    guard let state = state as? CPUTrainingState else {
      throw HGNetError(.invalidArgument, "expected parameters of the CPU engine, found those of another one")
    }
    return try CPUTrainingRun(
      program.assigningTrainingElements(), state: state, batch: batch, pool: pool, reduction: statistics,
      instructionSet: instructionSet)
  }
}
