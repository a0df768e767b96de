import HGNetCore
import HGNetProgram

extension CPUEngine {
  /// The packed weights, and the activations of a session.
  ///
  /// - Throws: as the protocol says.
  package func memoryNeed(
    of program: Program, at precision: Precision, extent: RunExtent
  ) throws(HGNetError) -> MemoryNeed {
    let target = Target(instructionSet: instructionSet, purpose: .inference, precision: precision)
    let program = try program.assigningElements(for: target)
    let extents = try CompiledWeights.extents(program, target: target)
    let inference = try InferenceProgram(program.resized(to: extent.inputSize), batch: extent.batch)
    let places = try Plan.places(
      inference, weightByteCounts: extents.map { $0?.weightByteCount ?? 0 },
      threads: CPUEngine.usefulThreads(
        pool.count, multiplyAdds: inference.program.graph.multiplyAdds, batch: extent.batch))
    var need = MemoryNeed(classifying: extent)
    need.add("the packed weights", bytes: PackedExtent.sum(extents))
    need.add("the activations", bytes: places.memory.byteCount)
    return need
  }

  /// The activations, their gradients, and what the kernels keep between forward and backward pass.
  ///
  /// - Throws: as the protocol says.
  package func trainingMemoryNeed(
    of program: Program, batch: Int, isFrozen: (ParameterDeclaration) -> Bool
  ) throws(HGNetError) -> MemoryNeed {
    let frozen = program.graph.parameters.filter(isFrozen).map(\.name)
    let plan = try TrainingPlan(
      TrainingProgram(program.assigningTrainingElements(), batch: batch, frozen: Set(frozen)), threads: pool.count,
      instructionSet: instructionSet)
    var need = MemoryNeed("a training step on \(batch) pictures of \(program.inputSize)")
    need.add("the activations", bytes: plan.memory.byteCount)
    return need
  }
}
