import HGNetCore
import HGNetProgram

/// Computes every program in float64, layer by layer and number by number: slow, exact, and the judge of all engines.
///
/// It has every layer of a program, for inference and training, with one thread and without any other algorithm than the
/// definition. Promise: results differ from the true ones by float64's rounding and that of the float32 results.
///
/// Threads: safe to share.
package struct ReferenceEngine: Engine {
  /// Whether quantisation-aware training rounds; without it values are only kept inside their ranges, which has
  /// derivatives that differences can be compared with.
  private let rounds: Bool

  /// Makes the engine.
  package init(rounds: Bool = true) { self.rounds = rounds }

  /// `reference, float64, 1 thread`.
  package var deviceDescription: String { "reference, float64, 1 thread" }

  /// `float64`.
  package var arithmetic: String { "float64" }

  /// It has no other.
  package var fastestPrecision: Precision { .float32 }

  /// Refuses nothing but other precisions than its own, which stands for float32.
  package func refusal(of layer: Layer, in program: Program, at precision: Precision) -> String? {
    precision == .float32 ? nil : "the reference computes in float64 and has no precision \(precision.rawValue)"
  }

  /// Takes over a program with its parameters, twice their size in memory.
  ///
  /// - Throws: as the protocol says.
  package func compile(
    _ program: Program, parameters: some ParameterSource, precision: Precision
  ) throws(HGNetError) -> any CompiledProgram {
    try checkLayers(of: program, at: precision)
    return try ReferenceProgram(program, parameters: parameters, precision: precision)
  }

  /// The program as it is.
  ///
  /// - Throws: as the protocol says.
  package func sharing(_ compiled: any CompiledProgram) throws(HGNetError) -> any CompiledProgram {
    guard compiled is ReferenceProgram else {
      throw HGNetError(.invalidArgument, "expected a program of the reference engine, found one of another engine")
    }
    return compiled
  }

  /// Takes over parameters that are trained.
  ///
  /// - Throws: as the protocol says.
  package func trainingState(
    of declarations: [ParameterDeclaration], parameters: some ParameterSource,
    isFrozen: (ParameterDeclaration) -> Bool
  ) throws(HGNetError) -> any TrainingState {
    try ReferenceState(declarations, parameters: parameters, isFrozen: declarations.map(isFrozen))
  }

  /// The parameters in float64, and the results of a session.
  ///
  /// - Throws: as the protocol says.
  package func memoryNeed(
    of program: Program, at precision: Precision, extent: RunExtent
  ) throws(HGNetError) -> MemoryNeed {
    try checkLayers(of: program, at: precision)
    var need = try NumberPlan(program.resized(to: extent.inputSize), batch: extent.batch).memoryNeed
    need.add("the parameters", bytes: 8, program.graph.parameterCount)
    return need
  }

  /// The results, their gradients, and what layers keep for the backward pass.
  ///
  /// - Throws: as the protocol says.
  package func trainingMemoryNeed(
    of program: Program, batch: Int, isFrozen: (ParameterDeclaration) -> Bool
  ) throws(HGNetError) -> MemoryNeed {
    try checkLayers(of: program, at: .float32)
    let frozen = Set(program.graph.parameters.filter(isFrozen).map(\.name))
    let needs = ReferenceTrainingRun.needsGradient(program) { !frozen.contains($0) }
    return try NumberPlan(program, batch: batch, needsGradient: needs).memoryNeed
  }

  /// Prepares training steps.
  ///
  /// - Throws: as the protocol says.
  package func trainingRun(
    _ program: Program, state: any TrainingState, batch: Int, statistics: (any StatisticsReduction)?
  ) throws(HGNetError) -> any TrainingRun {
    guard let state = state as? ReferenceState else {
      throw HGNetError(.invalidArgument, "expected parameters of the reference engine, found those of another one")
    }
    try checkLayers(of: program, at: .float32)
    return try ReferenceTrainingRun(program, state: state, batch: batch, statistics: statistics, rounds: rounds)
  }
}
